/*
 * client: a channel to one target, over which Tulle makes its own HTTP and gRPC calls (call.h).
 *
 * It dials when the first call needs it, multiplexes calls over one HTTP/2 connection or a few HTTP/1 connections, dials
 * again after a loss with back-off and jitter, and pings a silent connection when told to. Everything runs on the loop
 * of `means`.
 */
#pragma once

#include "base/attributes.h"
#include "rpc/call.h"
#include "rpc/means.h"

struct rpc_client;
struct san_match;
struct tls_context;

enum rpc_protocol {
    RPC_HTTP2, /* prior knowledge, or ALPN h2 under TLS */
    RPC_HTTP1,
};

struct rpc_target {
    const char *host; /* name or address literal; NULL with unix_path */
    uint16_t port;
    const char *unix_path;
    const char *authority;   /* NULL: host:port, or localhost for Unix sockets */
    struct tls_context *tls; /* NULL: plaintext. A reference is taken */
    const char *server_name; /* SNI; NULL: host when it is a name */
    const struct san_match
        *expected; /* who the server must be; copied. None with TLS: a DNS name equal to host */
    size_t expected_count;
};

struct rpc_client_config {
    struct rpc_target target; /* strings are copied */
    enum rpc_protocol protocol;
    uint32_t connect_timeout_ms; /* 0 = 5,000: resolution, connect and TLS together */
    uint32_t backoff_base_ms;    /* 0 = 500 */
    uint32_t backoff_max_ms;     /* 0 = 30,000 */
    uint32_t
        keepalive_ms; /* 0 = none; HTTP/2 PING after so much silence; no answer within it closes */
    size_t max_message;       /* 0 = GRPC_MAX_MESSAGE; of gRPC messages received */
    size_t max_send_backlog;  /* 0 = 1 MiB a call */
    uint32_t max_calls;       /* 0 = 1,024; a further one fails with RESOURCE_EXHAUSTED */
    uint32_t max_connections; /* HTTP/1; 0 = 4 */
    uint32_t idle_timeout_ms; /* a connection without calls; 0 = 90,000 */
    const char *user_agent;   /* NULL: tulle/VERSION */
};

/* Dials nothing yet. What `means` holds must outlive the client. */
struct rpc_client *rpc_client_create(const struct rpc_means *means,
                                     const struct rpc_client_config *config);
/* Ends its calls without reports and closes its connections; accepts NULL. */
void rpc_client_close(struct rpc_client *client);
/* For connections made from now on (a renewed certificate). Takes a reference. */
void rpc_client_set_tls(struct rpc_client *client, struct tls_context *tls);
/* Some connection is up. */
bool rpc_client_is_connected(const struct rpc_client *client);
/* Why the last attempt to connect failed, or "". Borrowed until the next turn. */
const char *rpc_client_error(const struct rpc_client *client);
