/*
 * ads_server_internal: a server's streams, shared by ads_server.c and ads_stream.c.
 */
#pragma once

#include "base/arena.h"
#include "base/handle.h"
#include "base/list.h"
#include "io/loop.h"
#include "xds/ads_server.h"
#include "xds/discovery.h"

/* Refills by `rate` a second up to `rate`. */
struct ads_bucket {
    double tokens;
    uint64_t since_ms;
};

struct ads_server {
    struct loop *loop;
    struct ads_server_limits limits;
    char *identifier;
    const struct ads_source *source;
    void *owner;
    struct list streams; /* in the order in which they came */
    struct list ready;   /* of them those that may have something to send */
    struct list owed;    /* of them those that have not taken all that was sent */
    size_t untaken;      /* bytes, by owed streams */
    size_t count;
    struct ads_bucket starts, nack_logs;
    struct arena scratch; /* of one request */
    struct task pump, reap;
    struct timer tick; /* runs while there are streams */
    struct ads_response response;
    struct ads_server_totals totals;
};

struct ads_stream {
    struct list node, ready, owed;
    size_t untaken; /* bytes as last looked at */
    struct ads_server *server;
    struct rpc_exchange *exchange;
    handle name;
    enum ads_variant variant;
    struct ads_session *session; /* NULL before the first request */
    struct ads_peer peer;        /* likewise */
    struct arena strings;        /* what peer points to */
    struct ads_bucket requests;
    uint64_t queued_us; /* when it joined the ready */
    uint64_t connected_ms;
    int64_t connected_wall_us;
    uint64_t generation;         /* of its view */
    uint64_t settled_generation; /* told to the source */
    bool announced;              /* the source knows of it */
    bool ending;                 /* its exchange was ended by us */
    bool stale;
};

extern const struct rpc_service ads_delta_service, ads_sotw_service;

bool ads_bucket_take(struct ads_bucket *bucket, uint32_t rate, uint64_t now_ms);
/* Looks how much of what was sent the peer has not taken. */
void ads_stream_count_untaken(struct ads_stream *stream);
/* Queues the stream for the pump. */
void ads_server_ready(struct ads_server *server, struct ads_stream *stream);
/* Sends one response; false when there is none that may go now. */
MUST_USE bool ads_stream_send(struct ads_stream *stream);
/* Notices what stands still. */
void ads_stream_tick(struct ads_stream *stream);
/* Without a report to the source. */
void ads_stream_discard(struct ads_stream *stream);
void ads_stream_end(struct ads_stream *stream, enum grpc_code code, struct slice message);
