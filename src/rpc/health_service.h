/*
 * health_service: grpc.health.v1.Health, Check and Watch.
 */
#pragma once

#include "base/attributes.h"

struct health_service;
struct rpc_server;

enum health {
    HEALTH_UNKNOWN,
    HEALTH_SERVING,
    HEALTH_NOT_SERVING,
    HEALTH_SERVICE_UNKNOWN,
    HEALTH_NEVER_TOLD, /* of a watcher; not for health_service_set */
};

/* Adds itself to the server, serving as a whole. Destroyed right after rpc_server_close. */
struct health_service *health_service_create(struct rpc_server *server);
void health_service_destroy(struct health_service *service);
/* name "" is the whole server. Watchers are told when it changes. */
void health_service_set(struct health_service *service, const char *name, enum health health);
