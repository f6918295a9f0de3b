/*
 * client_internal: a channel's connections and calls, shared by client.c and call.c.
 */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/chain.h"
#include "base/list.h"
#include "base/vector.h"
#include "http/message.h"
#include "io/loop.h"
#include "net/http_connection.h"
#include "rpc/backoff.h"
#include "rpc/client.h"
#include "rpc/grpc_frame.h"
#include "tls/identity.h"

/* One connection. The one that is still being made is the client's `opening`. */
struct rpc_link {
    struct list node; /* of the client */
    struct rpc_client *client;
    struct http_connection *http;
    bool open;
    bool draining;
    struct list calls;
    struct task reap;
};

enum rpc_dialing {
    RPC_AT_REST,   /* nothing is under way */
    RPC_RESOLVING, /* a name is looked up */
    RPC_CONNECTING,
    RPC_OPENING, /* connected; TLS and HTTP are being agreed on */
    RPC_BACKING_OFF,
};

struct rpc_client {
    struct rpc_means means;
    struct rpc_client_config config; /* every pointer in it is our own copy */
    struct http_limits http_limits;
    struct http_connection_options options;
    struct backoff backoff;
    struct list links;
    struct list waiting; /* calls without a stream, oldest first */
    size_t call_count;
    enum rpc_dialing dialing;
    handle lookup, dial;
    struct rpc_link *opening;
    struct timer timer; /* of connecting, or of backing off */
    struct task dispatch, reap;
    bool closed;
    char error[256];
};

struct rpc_call {
    struct list node; /* of the client's waiting calls, or of its link */
    struct rpc_client *client;
    struct rpc_link *link;      /* NULL while it waits, and once the link is gone */
    struct http_stream *stream; /* NULL while it waits, and once released */
    struct arena arena;
    const struct rpc_call_handler *handler;
    void *owner;
    char *method, *path;
    VECTOR(struct rpc_header) headers; /* their bytes are our own */
    struct chain out;                  /* sent before there was a stream */
    struct buffer body;                /* HTTP: kept for a second try until a response has come */
    struct chain in;                   /* received and not yet told */
    struct grpc_reader reader;
    struct timer deadline;
    struct task run, reap;
    uint64_t deadline_ms; /* UINT64_MAX = none */
    uint16_t http_status;
    uint8_t code; /* enum grpc_code, of the trailers and of the end */
    char *message;
    bool is_grpc;
    bool wait_for_ready;
    bool out_ended;
    bool has_status;  /* the trailers, or a head that is all, gave one */
    bool input_ended; /* the response is complete */
    bool ending;      /* only on_end is to come */
    bool gone;        /* cancelled, or on_end was told */
    bool paused;
    bool full;
    bool retried;
};

/* A call may have found room, or a connection is needed. Soon, from the loop. */
void rpc_client_dispatch_later(struct rpc_client *client);
/* Gives the call a stream on the link and sends what it has. False when there is no room after all. */
MUST_USE bool rpc_call_start(struct rpc_call *call, struct rpc_link *link);
/* on_end follows from the loop. message is copied. The first end counts. */
void rpc_call_fail(struct rpc_call *call, enum grpc_code code, struct slice message);
/* A finished call leaves the client's count; it may have made room. */
void rpc_client_forget_call(struct rpc_client *client);
