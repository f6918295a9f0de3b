/*
 * server: HTTP and gRPC services that Tulle itself answers: xDS, the CA, the REST API, health, metrics, admin.
 *
 * An rpc_server owns listeners and their connections on one loop. A request is routed by its path to a service: gRPC
 * paths exactly, HTTP paths by the longest prefix; it is then an exchange (exchange.h), which reports to its service.
 * HTTP/1 and HTTP/2 are both spoken on every listener, by ALPN under TLS and by preface without.
 *
 * What it serves is exempt from memory pressure (DATA-PLANE: admin, readiness and xDS).
 */
#pragma once

#include "base/attributes.h"
#include "rpc/exchange.h"
#include "rpc/means.h"

struct error;
struct rpc_server;
struct tls_context;

struct rpc_server_limits {
    uint32_t max_connections;    /* 0 = 16,384 */
    uint32_t max_streams;        /* a connection; 0 = 100 */
    size_t max_body;             /* HTTP requests gathered for on_body; 0 = 4 MiB */
    size_t max_message;          /* gRPC messages received; 0 = GRPC_MAX_MESSAGE */
    size_t max_send_backlog;     /* an exchange; 0 = 1 MiB */
    uint32_t idle_timeout_ms;    /* a connection without exchanges; 0 = 300,000 */
    uint32_t request_timeout_ms; /* head and body of HTTP requests; 0 = 60,000 */
    uint32_t keepalive_ms; /* HTTP/2 PING when a connection was silent for so long; 0 = 30,000 */
    uint32_t
        max_age_ms; /* a connection is asked to go (GOAWAY) after so long, with jitter; 0 = never */
    bool lenient_query;        /* see http_limits: for interfaces that people type into */
    uint32_t max_age_grace_ms; /* and its exchanges are broken off after so long more; 0 = 10,000 */
};

/* limits may be NULL. What `means` holds must outlive the server. */
struct rpc_server *rpc_server_create(const struct rpc_means *means,
                                     const struct rpc_server_limits *limits);
/* Ends everything at once: listeners, connections and exchanges. No report follows; services clean up by themselves. */
void rpc_server_close(struct rpc_server *server);
/* Takes no new connections, tells the peers to go, lets exchanges end. */
void rpc_server_drain(struct rpc_server *server);
size_t rpc_server_connections(const struct rpc_server *server);

/* Where to listen. A TLS context (a reference is taken) may ask for a client certificate; without one: plaintext. */
struct rpc_listen {
    const char *address;   /* "127.0.0.1", "::1", "0.0.0.0"; or with unix_path or fd: NULL */
    uint16_t port;         /* 0 = any; see rpc_server_port */
    const char *unix_path; /* "/run/tulled.sock", "@abstract" */
    unsigned unix_mode;    /* permissions; 0 = 0600 */
    int fd; /* listens already and is borrowed (shared by several loops, or simulated); 0 = none */
    struct tls_context *tls;
    /* Host and :authority must be one of these (without port), else 421; NULL = any. NULL-terminated, copied. Guards
     * loopback services from DNS rebinding. */
    const char *const *hosts;
};
/* The number of the listener, or a negative errno with `error` filled. */
MUST_USE int rpc_server_listen(struct rpc_server *server, const struct rpc_listen *listen,
                               struct error *error);
/* The port that the kernel picked; 0 for Unix sockets and borrowed descriptors. */
uint16_t rpc_server_port(const struct rpc_server *server, int listener);
/* For connections that come from now on. */
void rpc_server_set_tls(struct rpc_server *server, int listener, struct tls_context *tls);

/* The service must outlive the server; path is copied. gRPC: "/package.Service/Method". */
void rpc_server_add_grpc(struct rpc_server *server, const char *path,
                         const struct rpc_service *service, void *owner);
/* Every path that starts with `prefix` and for which no longer prefix was added; "/" = everything else. */
void rpc_server_add_http(struct rpc_server *server, const char *prefix,
                         const struct rpc_service *service, void *owner);

/* The exchange, or NULL when it is gone (rpc_exchange_handle). */
struct rpc_exchange *rpc_server_exchange(struct rpc_server *server, uint64_t handle);
