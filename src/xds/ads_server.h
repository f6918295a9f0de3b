/*
 * ads_server: serves ADS, delta and state of the world, and istio.io/debug/syncz, to proxies, Envoy and gRPC clients.
 *
 * It decodes and encodes, keeps a session a stream, paces what goes out and closes streams that stand still. It does not know
 * which view a proxy should have: for each new stream it asks its source, which answers at once or later by
 * ads_server_serve. Until then the stream is silent. Everything runs on one loop; several servers on several loops share
 * nothing but blobs, tables and views.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/grpc_status.h"
#include "xds/ads_session.h"

struct ads_server;
struct loop;
struct refusals;
struct rpc_server;
struct view;

struct ads_server_limits {
    size_t max_streams;         /* 0 = 16,384 */
    uint32_t max_stream_starts; /* new streams a second; 0 = 1,000; beyond: UNAVAILABLE */
    uint32_t
        max_requests; /* requests a second and stream, after a burst of the same; 0 = 1,000; beyond: RESOURCE_EXHAUSTED */
    size_t turn_bytes; /* one turn of the loop sends at most so much; 0 = 8 MiB */
    uint32_t turn_us;  /* or works at most so long; 0 = 4,000 */
    /* Responses that peers have not taken yet, of all streams together: while they are more, nothing is composed, so that
     * a storm of new streams costs no memory. Peers that stand still are not counted. 0 = 64 MiB */
    size_t max_untaken;
    uint32_t stale_ms;                 /* unwritable or unanswered for so long: stale; 0 = 30,000 */
    uint32_t dead_ms;                  /* for so long: closed with UNAVAILABLE; 0 = 300,000 */
    struct ads_session_limits session; /* zeroed = the defaults */
};

/* Who is asking, from the first request and the connection. Strings are owned by the stream. */
struct ads_peer {
    const char *node_id, *cluster;
    const char *user_agent, *user_agent_version; /* "" when absent */
    struct slice node;                           /* the packed Node as it came */
    const char *identity; /* "spiffe://..." of the client certificate; NULL = none */
    const char *token;    /* the authorization header; NULL = none */
    const char *address;  /* "10.0.0.1:41220" */
    bool encrypted;
    enum ads_variant variant;
};

/* A response that went out. */
struct ads_sent {
    enum resource_type type;
    size_t resources, bytes;
    uint64_t queued_us, composed_us,
        written_us; /* how long it waited for its turn, and took to be made and written */
};

struct ads_source {
    /* A stream has said who it is. The source answers with ads_server_serve or ads_server_refuse, now or later. */
    void (*on_stream)(void *owner, uint64_t stream, const struct ads_peer *peer);
    /* The stream is gone; its handle is stale from now on. */
    void (*on_gone)(void *owner, uint64_t stream, const struct ads_peer *peer);
    /* A proxy answered a response. reason is NULL for an ACK. May be NULL. */
    void (*on_answer)(void *owner, uint64_t stream, enum resource_type type, const char *reason);
    /* May be NULL. */
    void (*on_sent)(void *owner, uint64_t stream, const struct ads_sent *sent);
    /* Everything that its view asks for has been sent and answered. May be NULL. */
    void (*on_settled)(void *owner, uint64_t stream, uint64_t generation);
    /* The peer stands still, or no longer does. May be NULL. */
    void (*on_stale)(void *owner, uint64_t stream, bool stale);
    /* istio.io/debug/PAGE was asked for (syncz). The source answers with ads_server_debug, now or later. NULL: there are no
     * such pages. */
    void (*on_debug)(void *owner, uint64_t stream, const struct ads_peer *peer, struct slice page);
};

/* Adds its services to the server. identifier is control_plane.identifier; it is copied. */
struct ads_server *ads_server_create(struct loop *loop, struct rpc_server *server,
                                     const struct ads_server_limits *limits,
                                     struct slice identifier, const struct ads_source *source,
                                     void *owner);
/* Ends every stream with UNAVAILABLE, as a server that is about to go does; reports follow. */
void ads_server_drain(struct ads_server *server);
/* Ends every stream with UNAVAILABLE; no report follows. Before rpc_server_close. */
void ads_server_destroy(struct ads_server *server);

/* From the source: what the stream is to be served from now on. A stale handle is ignored. `refusals` is its class's, outlives
 * the stream's use of it, and may change with the class. */
void ads_server_serve(struct ads_server *server, uint64_t stream, const struct view *view,
                      struct refusals *refusals);
void ads_server_refuse(struct ads_server *server, uint64_t stream, enum grpc_code code,
                       struct slice reason);

/* Answers on_debug. Each resource is a packed message with its type URL. */
struct discovery_any;
void ads_server_debug(struct ads_server *server, uint64_t stream, struct slice page,
                      const struct discovery_any *resources, size_t count);

/* What is known of one stream. Borrowed until the next turn; NULL for a stale handle. */
struct ads_stream_status {
    uint64_t stream;
    const struct ads_peer *peer;
    const struct ads_session *session;
    uint64_t connected_ms;
    int64_t connected_wall_us;
    bool stale;
    uint64_t generation; /* of its view; 0 = none yet */
};
MUST_USE bool ads_server_stream(const struct ads_server *server, uint64_t stream,
                                struct ads_stream_status *status);
size_t ads_server_count(const struct ads_server *server);

struct ads_server_totals {
    uint64_t streams, requests, responses[RESOURCE_TYPES], resources[RESOURCE_TYPES],
        rejects[RESOURCE_TYPES];
    uint64_t bytes, refused_streams, refused_requests, stale_streams, dead_streams;
};
const struct ads_server_totals *ads_server_totals(const struct ads_server *server);
