/*
 * call: one HTTP or gRPC call that Tulle makes.
 *
 * It reports to its handler from the loop only, never from inside a call of its owner. on_end is always the last report,
 * and comes exactly once unless the call is cancelled, after which nothing comes.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/exchange.h"
#include "rpc/grpc_status.h"

struct chain;
struct http_response;
struct rpc_call;
struct rpc_client;

/* How a call ended. gRPC: the status of the trailers, or what stands for it. HTTP: GRPC_OK when the response came
 * whole, whatever its status; else why not. message is borrowed for the report. */
struct rpc_end {
    enum grpc_code code;
    struct slice message;
    unsigned http_status; /* 0 = no response head came */
};

/* owner is what was given with the call. Those not wanted may be NULL, except on_end. */
struct rpc_call_handler {
    /* The response's head, borrowed. Not for a gRPC call that failed before it began. */
    void (*on_head)(void *owner, const struct http_response *head);
    /* gRPC: one whole message, borrowed. */
    void (*on_message)(void *owner, struct slice message);
    /* HTTP: bytes of the body, borrowed. */
    void (*on_data)(void *owner, struct slice bytes);
    /* rpc_call_is_writable has become true again. */
    void (*on_writable)(void *owner);
    /* The call is gone when it returns. */
    void (*on_end)(void *owner, const struct rpc_end *end);
};

struct rpc_call_config {
    const char *method;               /* HTTP: NULL = GET, or POST with a body */
    const char *path;                 /* "/package.Service/Method", or path and query */
    const struct rpc_header *headers; /* metadata; copied */
    size_t header_count;
    uint32_t timeout_ms; /* 0 = none; gRPC tells the server by grpc-timeout */
    bool
        wait_for_ready; /* stays queued while the target cannot be reached, instead of failing with UNAVAILABLE */
};

/* Never NULL: whatever fails is reported by on_end. The strings of config are copied. */
struct rpc_call *rpc_client_grpc(struct rpc_client *client, const struct rpc_call_config *config,
                                 const struct rpc_call_handler *handler, void *owner);
/* The whole body of the request is given here (copied; may be empty). */
struct rpc_call *rpc_client_http(struct rpc_client *client, const struct rpc_call_config *config,
                                 struct slice body, const struct rpc_call_handler *handler,
                                 void *owner);

/* One gRPC message. False when the memory budget refuses it: the call is then to be cancelled. */
MUST_USE bool rpc_call_send(struct rpc_call *call, struct slice message);
/* As above; takes the message's bytes from the chain. */
MUST_USE bool rpc_call_send_chain(struct rpc_call *call, struct chain *message);
/* We have no more messages. */
void rpc_call_send_end(struct rpc_call *call);
/* What waits for the peer is less than max_send_backlog. */
bool rpc_call_is_writable(const struct rpc_call *call);
/* Takes no more from the peer until resumed: credit stops. */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);
/* Breaks the call off; no report follows. Accepts NULL. */
void rpc_call_cancel(struct rpc_call *call);
