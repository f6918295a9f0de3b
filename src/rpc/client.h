/*
 * client: HTTP and gRPC calls that Tulle itself makes.
 *
 * An rpc_client is a channel to one target: it dials when the first call needs it, multiplexes calls over one HTTP/2
 * connection (or a few HTTP/1 connections), dials again after a loss with back-off and jitter, and pings an idle connection when
 * told to. A call is one exchange. It reports to its handler from the loop only, never from inside a call of the
 * owner, and on_end is always its last report. Cancelling ends a call without any further report.
 *
 * Everything runs on the loop that the client was made for.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/grpc_status.h"

struct chain;
struct loop;
struct message_head;
struct rpc_call;
struct rpc_client;
struct tls_context;

enum rpc_protocol {
    RPC_HTTP2, /* prior knowledge, or ALPN h2 under TLS */
    RPC_HTTP1,
};

struct rpc_target {
    const char *host; /* name or address literal; NULL with unix_path */
    uint16_t port;
    const char *unix_path;
    const char *authority;   /* NULL: host:port */
    struct tls_context *tls; /* NULL: plaintext. Its rules say whom to expect */
    const char *server_name; /* SNI and name to verify; NULL: host */
};

struct rpc_client_config {
    struct rpc_target target; /* strings are copied */
    enum rpc_protocol protocol;
    uint32_t connect_timeout_ms; /* 0 = 5,000: resolution, connect and TLS together */
    uint32_t backoff_base_ms;    /* 0 = 500 */
    uint32_t backoff_max_ms;     /* 0 = 30,000 */
    uint32_t
        keepalive_ms; /* 0 = none; HTTP/2 PING when nothing came for so long while calls are open */
    uint32_t keepalive_timeout_ms; /* 0 = 10,000 */
    size_t max_message;            /* 0 = GRPC_MAX_MESSAGE; of gRPC messages received */
    size_t
        max_send_backlog; /* 0 = 1 MiB; bytes of a call that wait for the peer; beyond it rpc_call_is_writable is false */
    uint32_t max_calls;     /* 0 = 1,024; a further one fails with RESOURCE_EXHAUSTED */
    const char *user_agent; /* NULL: tulle/VERSION */
};

/* Dials nothing yet. The loop must outlive the client. */
struct rpc_client *rpc_client_create(struct loop *loop, const struct rpc_client_config *config);
/* Ends its calls without reports and closes its connections; memory goes when the last operation has reported. */
void rpc_client_close(struct rpc_client *client);
/* A new TLS context for connections made from now on (renewed certificate). Takes a reference. */
void rpc_client_set_tls(struct rpc_client *client, struct tls_context *tls);
/* Some connection is up. */
bool rpc_client_is_connected(const struct rpc_client *client);
/* Why the last attempt to connect failed, or "". Borrowed until the next turn. */
const char *rpc_client_error(const struct rpc_client *client);

struct rpc_header {
    struct slice name, value;
};
/* How a call ended. gRPC calls: the status of the trailers, or what stands for it. HTTP calls: GRPC_OK when the response came
 * whole, else why not. message is borrowed for the report. */
struct rpc_end {
    enum grpc_code code;
    struct slice message;
    unsigned http_status; /* 0 = no response head came */
};

/* Reports of a call; owner is what was given with the call. Those not wanted may be NULL, except on_end. */
struct rpc_call_handler {
    /* The response's head, borrowed. */
    void (*on_head)(void *owner, const struct message_head *head);
    /* One whole gRPC message, borrowed. */
    void (*on_message)(void *owner, struct slice message);
    /* HTTP calls: bytes of the body, borrowed. */
    void (*on_data)(void *owner, struct slice bytes);
    /* rpc_call_is_writable has become true again. */
    void (*on_writable)(void *owner);
    /* Last report. The call is gone when it returns. */
    void (*on_end)(void *owner, const struct rpc_end *end);
};

struct rpc_call_config {
    const char *method;               /* HTTP calls; NULL: GET, or POST with a body */
    const char *path;                 /* "/package.Service/Method", or path and query */
    const struct rpc_header *headers; /* metadata; copied */
    size_t header_count;
    uint32_t timeout_ms; /* 0 = none; gRPC tells the server by grpc-timeout */
    bool
        wait_for_ready; /* stays queued while the channel has no connection, instead of failing with UNAVAILABLE */
};

/* Never NULL: whatever fails is reported by on_end. */
struct rpc_call *rpc_client_grpc(struct rpc_client *client, const struct rpc_call_config *config,
                                 const struct rpc_call_handler *handler, void *owner);
/* As above for plain HTTP; the whole request body is given here (copied; may be empty). */
struct rpc_call *rpc_client_http(struct rpc_client *client, const struct rpc_call_config *config,
                                 struct slice body, const struct rpc_call_handler *handler,
                                 void *owner);

/* One gRPC message. False when the memory budget refuses it: the call is then to be cancelled. */
MUST_USE bool rpc_call_send(struct rpc_call *call, struct slice message);
/* As above; takes the message's bytes from `message`. */
MUST_USE bool rpc_call_send_chain(struct rpc_call *call, struct chain *message);
/* We have no more messages. */
void rpc_call_send_end(struct rpc_call *call);
/* The backlog is below the limit. */
bool rpc_call_is_writable(const struct rpc_call *call);
/* Takes no more messages from the peer until resumed: credit stops. */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);
/* Resets the exchange; no report follows. Accepts NULL. */
void rpc_call_cancel(struct rpc_call *call);
