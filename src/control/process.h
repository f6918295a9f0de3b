/*
 * process: tulled put together: store, model, translation, push, CA and API on one loop.
 *
 * What is durable lives under the data directory: tulled.db, ca/ (with roots.pem), api.sock, kubeconfig. Killed at any
 * time, it starts again from there; proxies keep serving meanwhile.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

#include <stdint.h>

struct control_process;

enum { CONFIG_DIRECTORIES_MAX = 16, OWNER_RULES_MAX = 64 };

struct control_options {
    const char *data;
    const char *directories[CONFIG_DIRECTORIES_MAX]; /* imported */
    unsigned directory_count;
    const char *trust_domain;
    const char *xds_address; /* where 15012 listens: "127.0.0.1" unless said otherwise */
    uint16_t xds_port;       /* plaintext, on loopback, never with secrets; 0 = off */
    uint16_t xds_tls_port;
    uint16_t api_port; /* on loopback, over TLS */
    const char *monitoring_address;
    uint16_t monitoring_port; /* metrics; 0 = off */
    bool registry_only;
    const char *access_log; /* of proxies; NULL = none */
};
/* Runs until SIGTERM or SIGINT. False when it cannot start. */
MUST_USE bool control_process_run(const struct control_options *options, struct error *error);
