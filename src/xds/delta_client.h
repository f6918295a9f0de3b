/*
 * delta_client: what a client wants and holds of delta ADS, across streams.
 *
 * It outlives streams: after a reconnect it asks again for what it wants and says which versions it holds, so that a server
 * with content-hash versions sends only what differs. It keeps names and versions, not resources. Every response is
 * answered once, in order. Pure: requests come out of delta_client_next, responses go into delta_client_read.
 *
 * It bears with istiod: one version for everything, resources that nobody asked for (ignored where names are asked for),
 * removals of unknown names, answers of types that we never watched (refused with the reason).
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "base/vector.h"
#include "xds/resource_type.h"
#include "xds/subscription.h"

struct delta_client;
struct delta_refusals;

struct delta_client_limits {
    size_t max_resources; /* held, all types together; default 1,000,000 */
    size_t max_error;     /* bytes of a NACK's reason; default 4,096 */
};
extern const struct delta_client_limits delta_client_default_limits;

struct delta_client *delta_client_create(const struct delta_client_limits *limits);
void delta_client_destroy(struct delta_client *client);

/* What is wanted. Repetition is harmless. Takes effect with the next requests. */
void delta_client_watch_all(struct delta_client *client, enum resource_type type);
void delta_client_subscribe(struct delta_client *client, enum resource_type type,
                            struct slice name);
/* Also forgets the version held. Unsubscribing and subscribing again before the request left sends both. */
void delta_client_unsubscribe(struct delta_client *client, enum resource_type type,
                              struct slice name);
/* A resource kept from before (last good snapshot on disk). */
void delta_client_hold(struct delta_client *client, enum resource_type type, struct slice name,
                       struct slice version);
/* The version held, empty when none. Borrowed until the next call. */
struct slice delta_client_version(const struct delta_client *client, enum resource_type type,
                                  struct slice name);
size_t delta_client_count(const struct delta_client *client, enum resource_type type);

/* A new stream begins: everything is to be asked again. */
void delta_client_begin(struct delta_client *client);
/* The stream is gone: nothing is sent until delta_client_begin. */
void delta_client_end(struct delta_client *client);

/* The next request, borrowed until the next call; false when there is none. Subscriptions go before answers. */
struct delta_client_request {
    enum resource_type type;
    const char *type_url; /* also set where type is none of ours (an answer to a stranger) */
    VECTOR(struct slice) subscribe;
    VECTOR(struct slice) unsubscribe;
    VECTOR(struct name_version) held;
    struct slice nonce;
    struct slice error; /* data == NULL: no error */
};
MUST_USE bool delta_client_next(struct delta_client *client,
                                const struct delta_client_request **request);

/* One resource of a response. */
struct delta_resource {
    struct slice name, version;
    struct slice type_url; /* of the Any */
    struct slice body;     /* the packed message */
};
/* A response, borrowed for the call. */
struct delta_response {
    struct slice type_url, nonce, version;
    const struct delta_resource *resources;
    size_t resource_count;
    const struct slice *removed;
    size_t removed_count;
};
/* What the consumer is asked to take. It refuses single resources with delta_update_refuse, for the good ones are used. */
struct delta_update {
    enum resource_type type;
    struct slice version; /* system_version_info */
    const struct delta_resource **added;
    size_t added_count;
    const struct slice *removed;
    size_t removed_count;
    struct delta_refusals *refusals;
};
void delta_update_refuse(struct delta_update *update, size_t index, struct slice reason);

/* Checks the response against what was asked; false: it was refused whole and the answer waits in
 * delta_client_next. True: `update` is to be handed to the consumer, and delta_client_answer called afterwards. */
MUST_USE bool delta_client_read(struct delta_client *client, const struct delta_response *response,
                                struct delta_update *update);
/* Takes the versions of what was not refused, and queues ACK or NACK. The update ends here. Returns how many were refused. */
size_t delta_client_answer(struct delta_client *client, struct delta_update *update);
OWNED(delta_client, delta_client_destroy)
