/*
 * ads_client: configuration from tulled or istiod, over delta ADS.
 *
 * Keeps one stream open: dials again with back-off and jitter, says what it holds, and goes on with what differs. What the
 * consumer has stays as it is while the stream is down. Every response is handed to the consumer, whole and in order, and
 * answered: ACK, or NACK naming each resource that the consumer refused, with its reason; the good ones of that response count
 * as taken. Runs on one loop; the consumer is called from the loop only.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/client.h"
#include "xds/delta_client.h"
#include "xds/resource_type.h"

struct ads_client;

struct ads_consumer {
    /* Takes what it can build at once; refuses the rest with delta_update_refuse. Bytes are borrowed for the call. */
    void (*on_update)(void *owner, struct delta_update *update);
    /* The server has answered on a new stream; the stream is lost, or could not be had, with the reason. May be NULL. */
    void (*on_connected)(void *owner);
    void (*on_disconnected)(void *owner, const char *reason);
};

struct ads_client_config {
    struct rpc_client_config
        channel; /* keepalive_ms 0 = 30,000; max_message 0 = 16 MiB; its back-off is the stream's */
    struct slice node; /* a packed envoy.config.core.v3.Node; copied */
    /* Called before each stream for the authorization header's value ("Bearer ..."), reread from its file; may be NULL,
     * and may return NULL. The string is freed here. */
    char *(*token)(void *owner);
    struct delta_client_limits limits; /* zeroed = the defaults */
    uint32_t settle_ms; /* a stream that lived so long resets the back-off; 0 = 10,000 */
};

/* Connects from ads_client_start on. What `means` holds must outlive the client. */
struct ads_client *ads_client_create(const struct rpc_means *means,
                                     const struct ads_client_config *config,
                                     const struct ads_consumer *consumer, void *owner);
/* No report follows. Accepts NULL. */
void ads_client_close(struct ads_client *client);
void ads_client_start(struct ads_client *client);

/* As delta_client; requests leave at the end of the turn. */
void ads_client_watch_all(struct ads_client *client, enum resource_type type);
void ads_client_subscribe(struct ads_client *client, enum resource_type type, struct slice name);
void ads_client_unsubscribe(struct ads_client *client, enum resource_type type, struct slice name);
/* Before the start: what a snapshot on disk holds. */
void ads_client_hold(struct ads_client *client, enum resource_type type, struct slice name,
                     struct slice version);
void ads_client_set_tls(struct ads_client *client, struct tls_context *tls);

struct ads_client_status {
    bool connected;
    uint64_t connects, failures;       /* streams opened; streams lost and attempts failed */
    uint64_t updates[RESOURCE_TYPES];  /* responses taken whole */
    uint64_t rejected[RESOURCE_TYPES]; /* responses refused, wholly or in part */
    char control_plane[128]; /* control_plane.identifier of the last response, "" = none */
    const char *error;       /* why the stream is down; "" when it is up */
};
void ads_client_status(const struct ads_client *client, struct ads_client_status *status);
