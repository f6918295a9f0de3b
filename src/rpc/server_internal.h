/*
 * server_internal: a server's connections and exchanges, shared by server.c and exchange.c.
 */
#pragma once

#include "base/buffer.h"
#include "base/chain.h"
#include "base/handle.h"
#include "base/list.h"
#include "base/vector.h"
#include "http/date.h"
#include "http/message.h"
#include "io/loop.h"
#include "net/http_connection.h"
#include "rpc/grpc_frame.h"
#include "rpc/server.h"

struct rpc_route {
    char *path; /* whole for gRPC, a prefix for HTTP */
    const struct rpc_service *service;
    void *owner;
};

struct rpc_listener {
    struct rpc_server *server;
    int number;
    struct listen_group *group; /* NULL: the descriptor is somebody else's */
    struct acceptor *acceptor;
    struct tls_context *tls;
    char **hosts; /* NULL-terminated; NULL = any */
};

struct rpc_server {
    struct rpc_means means;
    struct rpc_server_limits limits;
    struct http_limits http_limits;
    struct http_connection_options options;
    VECTOR(struct rpc_listener *) listeners;
    VECTOR(struct rpc_route) http_routes; /* longest prefix first */
    struct map *grpc_routes;
    struct list connections;
    size_t connection_count;
    int64_t date_s; /* the second that `date` holds */
    char date[HTTP_DATE_SIZE + 1];
    struct task reap;
};

struct rpc_connection {
    struct list node; /* of the server */
    struct rpc_server *server;
    struct rpc_listener *listener;
    struct http_connection *http;
    struct list exchanges;
    struct timer age;
    struct task reap;
};

struct rpc_exchange {
    struct list node; /* of the connection */
    struct rpc_server *server;
    struct rpc_connection *connection; /* NULL once that is gone */
    struct http_stream *stream;        /* NULL once released */
    const struct rpc_service *service;
    void *owner;
    void *state;
    handle name;
    struct chain in;           /* gRPC: received and not yet read */
    struct grpc_reader reader; /* gRPC */
    struct buffer body;        /* HTTP: gathered */
    struct timer timer;        /* gRPC: the deadline; HTTP: the request's time */
    struct task run, reap;
    uint64_t deadline_ms;
    uint64_t sent_moved_ms;
    bool is_grpc;
    bool headed;      /* the response's head is out */
    bool finished;    /* nothing more goes out, and nothing but on_close is told */
    bool gone;        /* waits to be reaped */
    bool input_ended; /* the request is complete */
    bool end_told;    /* on_end or on_body was called */
    bool full;        /* the backlog passed its limit, and on_writable is owed */
};

/* A request has come: makes its exchange, and answers at once what goes nowhere. */
void rpc_exchange_begin(struct rpc_connection *connection, struct http_stream *stream);
/* Without a report: the server closes. */
void rpc_exchange_discard(struct rpc_exchange *exchange);
/* NULL when no service answers such a path. */
const struct rpc_route *rpc_server_route(const struct rpc_server *server, struct slice path,
                                         bool is_grpc);
/* The Date of now; borrowed until the next call. */
struct slice rpc_server_date(struct rpc_server *server);
