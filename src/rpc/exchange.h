/*
 * exchange: one request that Tulle answers, HTTP or gRPC.
 *
 * It reports to its service from the loop only, never from inside a call of the service, and on_close is always its
 * last report. After it has been finished nothing but on_close follows; calls on a finished exchange do nothing.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "rpc/grpc_status.h"

struct address;
struct chain;
struct peer_identity;
struct rpc_exchange;

/* Those not wanted may be NULL. */
struct rpc_service {
    /* The request's head has come. gRPC: the call begins. HTTP: with on_body set, the answer may wait for the body. */
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

/* Of the request. Borrowed for as long as the exchange lives. */
struct slice rpc_exchange_method(const struct rpc_exchange *exchange);
/* Without the query. */
struct slice rpc_exchange_path(const struct rpc_exchange *exchange);
/* After the '?', or empty. */
struct slice rpc_exchange_query(const struct rpc_exchange *exchange);
/* The first such header's value; data == NULL when there is none. Any case. */
struct slice rpc_exchange_header(const struct rpc_exchange *exchange, const char *name);
/* The verified identity of the peer, or NULL: plaintext, or no client certificate. */
const struct peer_identity *rpc_exchange_identity(const struct rpc_exchange *exchange);
bool rpc_exchange_is_encrypted(const struct rpc_exchange *exchange);
struct address rpc_exchange_peer(const struct rpc_exchange *exchange);
/* Credentials of the process at the other end of a Unix socket; false for other sockets. */
struct rpc_credentials {
    int pid;
    unsigned uid, gid;
};
MUST_USE bool rpc_exchange_credentials(const struct rpc_exchange *exchange,
                                       struct rpc_credentials *credentials);
/* The listener it came in by, as rpc_server_listen numbered it. */
int rpc_exchange_listener(const struct rpc_exchange *exchange);
/* Names the exchange for answers that come later; rpc_server_exchange finds it again. */
uint64_t rpc_exchange_handle(const struct rpc_exchange *exchange);
/* The service's own. */
void rpc_exchange_set_state(struct rpc_exchange *exchange, void *state);
void *rpc_exchange_state(const struct rpc_exchange *exchange);
/* The answer is complete, or was broken off. */
bool rpc_exchange_is_finished(const struct rpc_exchange *exchange);

struct rpc_header {
    struct slice name, value;
};

/* HTTP: a whole answer. content_type NULL: none. */
void rpc_exchange_reply(struct rpc_exchange *exchange, unsigned status, const char *content_type,
                        struct slice body);
void rpc_exchange_reply_with(struct rpc_exchange *exchange, unsigned status,
                             const struct rpc_header *headers, size_t header_count,
                             struct slice body);
/* HTTP: a streamed answer (a watch): head, any number of writes, finish. */
void rpc_exchange_start(struct rpc_exchange *exchange, unsigned status,
                        const struct rpc_header *headers, size_t header_count);
/* False when the memory budget refuses: the exchange is then to be reset. */
MUST_USE bool rpc_exchange_write(struct rpc_exchange *exchange, struct slice bytes);
void rpc_exchange_finish(struct rpc_exchange *exchange);

/* gRPC: messages, then the status. False as above. */
MUST_USE bool rpc_exchange_send(struct rpc_exchange *exchange, struct slice message);
/* The message's bytes are taken from the chain. */
MUST_USE bool rpc_exchange_send_chain(struct rpc_exchange *exchange, struct chain *message);
void rpc_exchange_end(struct rpc_exchange *exchange, enum grpc_code code, struct slice message);
/* One message and GRPC_OK. */
void rpc_exchange_answer(struct rpc_exchange *exchange, struct slice message);

/* Bytes of ours that the peer has not taken are fewer than max_send_backlog. */
bool rpc_exchange_is_writable(const struct rpc_exchange *exchange);
size_t rpc_exchange_backlog(const struct rpc_exchange *exchange);
/* Since when nothing of the backlog has moved (loop milliseconds), or UINT64_MAX when there is none. */
uint64_t rpc_exchange_stalled_since_ms(const struct rpc_exchange *exchange);
/* Breaks the exchange off; only on_close follows. */
void rpc_exchange_reset(struct rpc_exchange *exchange);
