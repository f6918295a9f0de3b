/*
 * pool: HTTP connections to one host, kept for the next request; a pool a protocol choice.
 *
 * Most recently used first. A connection with room serves at once; otherwise the caller waits, and a connection is dialled for
 * each HTTP/1 waiter, or one for all of HTTP/2. Idle connections stay armed, so one that the peer closed is gone
 * before it is lent.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "net/http_connection.h"

struct host;
struct limits;
struct pool;

/* Which protocol a pool's connections speak. */
enum http_pool { HTTP_POOL_1, HTTP_POOL_2, HTTP_POOL_AUTO, HTTP_POOLS };

struct pool {
    struct list ready;   /* open, with room; most recently used first */
    struct list full;    /* connecting, without room, or draining */
    struct list waiting; /* struct pool_waiter, oldest first */
    uint32_t waiters;    /* how many of them */
    uint32_t connecting;
    uint32_t connections;
    bool is_shared; /* AUTO: the host has agreed on HTTP/2, so that one connection serves many */
};

enum pool_failure {
    POOL_OVERFLOW,       /* a limit of the cluster */
    POOL_CONNECT_FAILED, /* refused, unreachable, TLS */
    POOL_TIMED_OUT,
    POOL_SELF, /* it would have been ourselves */
    POOL_NO_MEMORY,
    POOL_GONE, /* the cluster or host was removed */
};

/* Who waits for a connection; embedded. Exactly one of the two calls comes, from the loop, unless it is cancelled. */
struct pool_waiter {
    struct list node;
    struct pool *pool;
    struct limits *limits; /* of pending requests */
    uint32_t limit;        /* as it was taken */
    bool wants_fresh; /* an HTTP/1 connection that served nobody before: another one just failed */
    /* A stream may be opened now (http_connection_open_stream), and must be: the room is this waiter's. */
    void (*on_ready)(struct pool_waiter *waiter, struct http_connection *connection);
    /* text is one sentence for logs, borrowed. */
    void (*on_failed)(struct pool_waiter *waiter, enum pool_failure failure, const char *text);
};

void pool_init(struct pool *pool);
/*
 * A connection with room, to open a stream on at once; or NULL: wait. `only_once`: what goes out cannot be sent again, so
 * connections that the host has closed, though the loop has not told yet, are passed over (http_connection_is_stale).
 */
struct http_connection *pool_borrow(struct host *host, enum http_pool which, bool only_once);
/* After a stream was opened on a borrowed connection: it may be full now. */
void pool_opened(struct http_connection *connection);
/* Waits, dialling if need be: NULL. Otherwise nothing is waited for, and this is the limit that refuses, as a clause. */
MUST_USE const char *pool_wait(struct host *host, enum http_pool which, struct pool_waiter *waiter);
void pool_cancel(struct pool_waiter *waiter);

/* --- for proxy/upstream/sharing.h: */
/* Somebody waits, and there is no connection at all. */
bool pool_is_starved(const struct pool *pool);
/* One more, for which the limit was taken. */
void pool_dial_granted(struct host *host, enum http_pool which);
/* Lets go of an idle connection; or, with `may_be_busy`, of any, when its streams have ended. False when there is none. */
bool pool_give_up(struct pool *pool, bool may_be_busy);

/* No new streams on what is open: those who wait, and who come, get new connections. */
void pool_renew(struct pool *pool);
/* No new streams on what is open; waiters fail with POOL_GONE. */
void pool_retire(struct pool *pool);
/* Closes everything at once; waiters are dropped without a word. */
void pool_close(struct pool *pool);
