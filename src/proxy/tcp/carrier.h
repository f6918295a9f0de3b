/*
 * carrier: a CONNECT stream that carries a tunnel's bytes to the upstream, in place of a connection of its own.
 *
 * Over HTTP/1 it has a connection for itself, over HTTP/2 it is one of many on the cluster's. Embedded, zeroed before first
 * use. Events come from the loop.
 */
#pragma once

#include "base/attributes.h"
#include "http/stream.h"
#include "proxy/upstream/pool.h"

struct carried;
struct carrier;
struct host;
struct transport;

struct carrier_events {
    /* The proxy behind has said 2xx: bytes may be sent. */
    void (*on_open)(struct carrier *carrier);
    /* No stream, or another answer: text is one sentence. It is closed already. */
    void (*on_failed)(struct carrier *carrier, enum pool_failure failure, const char *text);
    /* Take all of it by chain_move; owed back by carrier_consumed. */
    void (*on_bytes)(struct carrier *carrier, struct chain *bytes, bool end);
    void (*on_sent)(struct carrier *carrier);
    /* The last event of one that was open. */
    void (*on_reset)(struct carrier *carrier);
};

struct carrier {
    const struct carrier_events *events;
    struct pool_waiter waiter;
    struct http_stream *stream; /* NULL: none yet */
    struct carried *carried;    /* what the stream's heads lie in; NULL: not started */
    bool is_waiting, is_open;
};

/* False when a limit of the cluster refuses; then nothing was begun. The host's cluster is there. */
MUST_USE bool carrier_start(struct carrier *carrier, struct host *host, struct slice authority,
                            const struct carrier_events *events);
/* At once, without an event; harmless when it was not started. It may be started again. */
void carrier_close(struct carrier *carrier);
/* Takes the bytes. */
void carrier_send(struct carrier *carrier, struct chain *bytes, bool end);
/* So much of what on_bytes gave has gone on. */
void carrier_consumed(struct carrier *carrier, size_t size);
size_t carrier_backlog(const struct carrier *carrier);
/* The connection under it; NULL when there is none. */
const struct transport *carrier_transport(const struct carrier *carrier);
