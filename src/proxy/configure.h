/*
 * configure: where a proxy's configuration comes from: the bootstrap file, ADS, DNS, the last good state on disk.
 *
 * Main thread. Everything goes through one intake, is published to the workers, and then bound to sockets. The control
 * plane is not needed to keep serving: what was taken stays until something newer replaces it.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct bootstrap;
struct configure;
struct delta_update;
struct identity;
struct intake;
struct loop;
struct publisher;
struct rpc_means;
struct sockets;
struct telemetry;
struct tls_context;

struct configure_options {
    struct loop *loop;
    const struct rpc_means *means; /* to reach the control plane */
    const struct bootstrap *bootstrap;
    struct publisher *publisher;
    struct sockets *sockets;
    struct telemetry *telemetry;
    const char *state_directory; /* NULL: nothing is kept */
    bool has_identity; /* the secrets "default" and "ROOTCA" are made here, not asked for */
};
/* Takes what is static; false when any of it cannot be built. The bootstrap must outlive it. */
MUST_USE bool configure_create(const struct configure_options *options, struct configure **out,
                               struct error *error);
/* Loads the last good state if it is there, and connects to the control plane if there is one. */
void configure_start(struct configure *configure);
/* Accepts NULL. */
void configure_destroy(struct configure *configure);

struct intake *configure_intake(struct configure *configure);
/* After something was put into the intake by others (an identity's secrets): publishes. */
void configure_commit(struct configure *configure);
/* For the channel to the control plane, when it is to be authenticated by our certificate. */
void configure_set_tls(struct configure *configure, struct tls_context *tls);
/* Who takes names (NDS); may be NULL. */
void configure_on_names(struct configure *configure,
                        void (*on_names)(void *owner, const struct delta_update *update),
                        void *owner);

/* There is a configuration: a static one, the last good one from disk, or ADS has answered; and what it names is warm, or
 * initial_fetch_timeout has passed. */
bool configure_is_ready(const struct configure *configure);
/* For /server_info and readiness: what it still waits for, or "". Borrowed until the next call. */
const char *configure_waits_for(const struct configure *configure);
