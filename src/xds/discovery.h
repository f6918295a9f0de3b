/*
 * discovery: the messages of the protocol as bytes.
 *
 * What is decoded is borrowed from the arena or from the bytes. What a server sends is written by hand around its blobs,
 * which are bytes already.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "xds/ads_session.h"
#include "xds/delta_client.h"
#include "xds/delta_server.h"
#include "xds/sotw_server.h"

struct arena;
struct block_pool;
struct buffer;
struct chain;
struct error;

/* Requests are at most so long, and cost at most so much memory when decoded. */
enum { DISCOVERY_REQUEST_MAX = 4 * 1024 * 1024, DISCOVERY_REQUEST_MEMORY_MAX = 64 * 1024 * 1024 };

/* Of the Node what servers look at; absent strings are "". */
struct discovery_node {
    bool present;
    struct slice packed; /* the whole Node, canonical */
    const char *id, *cluster, *user_agent, *user_agent_version;
};

/* False with an error: the stream ends with INVALID_ARGUMENT. */
MUST_USE bool discovery_read_delta_request(struct slice bytes, struct arena *arena,
                                           struct delta_request *request,
                                           struct discovery_node *node, struct error *error);
MUST_USE bool discovery_read_sotw_request(struct slice bytes, struct arena *arena,
                                          struct sotw_request *request, struct discovery_node *node,
                                          struct error *error);

/* How long the response will be on the wire. identifier is control_plane.identifier, may be empty. */
size_t discovery_response_size(const struct ads_response *response, struct slice identifier);
/* Appends exactly so many bytes; false, with the chain in an unknown state, when the pool refuses. */
MUST_USE bool discovery_write_response(const struct ads_response *response, struct slice identifier,
                                       struct chain *out, struct block_pool *pool);

/* A response of resources that are no blobs: debug pages. */
struct discovery_any {
    struct slice type_url, body;
};
void discovery_write_any(enum ads_variant variant, struct slice type_url,
                         const struct discovery_any *resources, size_t count,
                         struct slice identifier, struct buffer *out);

/* The client's side. node is a packed Node or empty. */
void discovery_write_delta_request(const struct delta_client_request *request, struct slice node,
                                   struct buffer *out);
/* identifier may be NULL. False with an error: the stream is broken off. */
MUST_USE bool discovery_read_delta_response(struct slice bytes, struct arena *arena,
                                            struct delta_response *response,
                                            struct slice *identifier, struct error *error);
