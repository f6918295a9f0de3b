/*
 * server: HTTP and gRPC services that Tulle itself answers: xDS, the CA, the REST API, health, metrics, admin.
 *
 * An rpc_server owns listeners and their connections on one loop. A request is routed by its path to a service: gRPC paths
 * exactly, HTTP paths by the longest prefix. An rpc_exchange is one request and its answer, in either protocol. It reports to
 * its service from the loop only, and on_close is always the last report. After it has been finished nothing but on_close
 * follows.
 *
 * HTTP/1 and HTTP/2 are both spoken on every listener (by ALPN under TLS, by preface without).
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/grpc_status.h"

struct address;
struct chain;
struct error;
struct loop;
struct message_head;
struct rpc_exchange;
struct rpc_server;
struct tls_context;
struct tls_identity;

struct rpc_server_limits {
    uint32_t max_connections;    /* 0 = 16,384 */
    uint32_t max_streams;        /* a connection; 0 = 100 */
    size_t max_body;             /* HTTP requests gathered for on_body; 0 = 4 MiB */
    size_t max_message;          /* gRPC messages received; 0 = GRPC_MAX_MESSAGE */
    size_t max_send_backlog;     /* an exchange; 0 = 1 MiB */
    uint32_t idle_timeout_ms;    /* a connection without exchanges; 0 = 300,000 */
    uint32_t request_timeout_ms; /* head and body of HTTP requests; 0 = 60,000 */
    uint32_t keepalive_ms; /* HTTP/2 PING when a connection was silent for so long; 0 = 30,000 */
    uint32_t keepalive_timeout_ms; /* 0 = 20,000 */
    uint32_t
        max_age_ms; /* a connection is asked to go (GOAWAY) after so long, with jitter; 0 = never */
};

struct rpc_server *rpc_server_create(struct loop *loop, const struct rpc_server_limits *limits);
/* Resets every exchange (on_close comes first) and closes; memory goes with the last operation. */
void rpc_server_close(struct rpc_server *server);
/* Takes no new connections, tells the peers to go, lets exchanges end. */
void rpc_server_drain(struct rpc_server *server);

/* Where to listen. A TLS context (a reference is taken) may ask for a client certificate; without one: plaintext. */
struct rpc_listen {
    const char *address; /* "127.0.0.1", "::1", "0.0.0.0"; NULL with unix_path */
    uint16_t port;       /* 0 = any; see rpc_server_port */
    const char *unix_path;
    unsigned unix_mode; /* permissions; 0 = 0600 */
    struct tls_context *tls;
    /* Host and :authority must be one of these (without port), else 421; NULL = any. NULL-terminated. Guards loopback
     * services from DNS rebinding. */
    const char *const *hosts;
};
/* The number of the listener, or a negative errno with `error` filled. */
MUST_USE int rpc_server_listen(struct rpc_server *server, const struct rpc_listen *listen,
                               struct error *error);
/* The port that the kernel picked. */
uint16_t rpc_server_port(const struct rpc_server *server, int listener);
void rpc_server_set_tls(struct rpc_server *server, int listener, struct tls_context *tls);

/* Reports of one exchange; `owner` is the service's, exchange state is kept with rpc_exchange_set_state. Those not wanted may
 * be NULL. */
struct rpc_service {
    /* The request's head has come. gRPC: the call begins. HTTP: with on_body set, the answer can wait for the body. */
    void (*on_open)(void *owner, struct rpc_exchange *exchange);
    /* gRPC: one message, borrowed. */
    void (*on_message)(void *owner, struct rpc_exchange *exchange, struct slice message);
    /* HTTP: the whole body (413 is answered for a longer one); borrowed. Comes also when it is empty. */
    void (*on_body)(void *owner, struct rpc_exchange *exchange, struct slice body);
    /* gRPC: the peer sends no more. */
    void (*on_end)(void *owner, struct rpc_exchange *exchange);
    /* rpc_exchange_is_writable has become true again. */
    void (*on_writable)(void *owner, struct rpc_exchange *exchange);
    /* Last report: finished or broken. The exchange is gone when it returns. */
    void (*on_close)(void *owner, struct rpc_exchange *exchange);
};

/* The service must outlive the server; path is copied. gRPC: "/package.Service/Method". */
void rpc_server_add_grpc(struct rpc_server *server, const char *path,
                         const struct rpc_service *service, void *owner);
/* Every path that starts with `prefix` and for which no longer prefix was added; "/" = everything else. */
void rpc_server_add_http(struct rpc_server *server, const char *prefix,
                         const struct rpc_service *service, void *owner);

/* Of the request. Borrowed for as long as the exchange lives. */
const struct message_head *rpc_exchange_head(const struct rpc_exchange *exchange);
struct slice rpc_exchange_method(const struct rpc_exchange *exchange);
/* Without the query. */
struct slice rpc_exchange_path(const struct rpc_exchange *exchange);
/* After the '?', or empty. */
struct slice rpc_exchange_query(const struct rpc_exchange *exchange);
/* The first such header's value; data == NULL when there is none. */
struct slice rpc_exchange_header(const struct rpc_exchange *exchange, const char *name);
/* The verified identity of the peer, or NULL: plaintext, or no client certificate. */
const struct tls_identity *rpc_exchange_identity(const struct rpc_exchange *exchange);
const struct address *rpc_exchange_peer(const struct rpc_exchange *exchange);
/* Credentials of the process at the other end of a Unix socket; false for other sockets. */
struct rpc_credentials {
    int pid;
    unsigned uid, gid;
};
MUST_USE bool rpc_exchange_credentials(const struct rpc_exchange *exchange,
                                       struct rpc_credentials *credentials);
/* The listener it came in by, as rpc_server_listen numbered it. */
int rpc_exchange_listener(const struct rpc_exchange *exchange);
/* Loop milliseconds by which the peer wants an answer, or UINT64_MAX. */
uint64_t rpc_exchange_deadline_ms(const struct rpc_exchange *exchange);
/* Names the exchange for answers that come later (DATA-PLANE: handles); NULL from a stale one. */
uint64_t rpc_exchange_handle(const struct rpc_exchange *exchange);
struct rpc_exchange *rpc_server_exchange(struct rpc_server *server, uint64_t handle);
void rpc_exchange_set_state(struct rpc_exchange *exchange, void *state);
void *rpc_exchange_state(const struct rpc_exchange *exchange);

/* HTTP. A whole answer; headers may be NULL. */
struct rpc_header;
void rpc_exchange_reply(struct rpc_exchange *exchange, unsigned status, const char *content_type,
                        struct slice body);
void rpc_exchange_reply_with(struct rpc_exchange *exchange, unsigned status,
                             const struct rpc_header *headers, size_t header_count,
                             struct slice body);
/* A streamed answer (a watch): head, any number of writes, finish. */
void rpc_exchange_start(struct rpc_exchange *exchange, unsigned status,
                        const struct rpc_header *headers, size_t header_count);
/* False when the memory budget refuses: the exchange is then to be reset. */
MUST_USE bool rpc_exchange_write(struct rpc_exchange *exchange, struct slice bytes);
void rpc_exchange_finish(struct rpc_exchange *exchange);

/* gRPC. Messages, then the status. */
MUST_USE bool rpc_exchange_send(struct rpc_exchange *exchange, struct slice message);
MUST_USE bool rpc_exchange_send_chain(struct rpc_exchange *exchange, struct chain *message);
void rpc_exchange_end(struct rpc_exchange *exchange, enum grpc_code code, struct slice message);
/* One message and GRPC_OK. */
void rpc_exchange_answer(struct rpc_exchange *exchange, struct slice message);

/* Bytes of ours that the peer has not taken, below max_send_backlog. */
bool rpc_exchange_is_writable(const struct rpc_exchange *exchange);
size_t rpc_exchange_backlog(const struct rpc_exchange *exchange);
/* Since when nothing of the backlog has moved (loop milliseconds), or UINT64_MAX when there is none. */
uint64_t rpc_exchange_stalled_since_ms(const struct rpc_exchange *exchange);
/* Takes no more of the request until resumed. */
void rpc_exchange_pause(struct rpc_exchange *exchange);
void rpc_exchange_resume(struct rpc_exchange *exchange);
/* Breaks the exchange off; only on_close follows. */
void rpc_exchange_reset(struct rpc_exchange *exchange);
