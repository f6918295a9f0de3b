/*
 * raw_stream: a TCP connection of its own that looks like an HTTP stream: where a CONNECT ends and its payload goes on.
 *
 * It answers the request by 200 as soon as the connection is open; from then on data is bytes, an end is a FIN, and each
 * passes by itself. Credit and release are those of http/stream.h. It counts among the cluster's connections.
 */
#pragma once

#include "base/attributes.h"
#include "http/stream.h"
#include "proxy/upstream/pool.h"

struct address;
struct host;
struct raw_stream;
struct raw_waiter;
struct transport;

/* Bytes of the upstream that the consumer may owe before reading pauses. */
enum { RAW_STREAM_BACKLOG_MAX = 64 * 1024 };

/* Who waits for the connection; embedded. Exactly one of the first two comes, from the loop, unless it is cancelled. */
struct raw_waiter {
    struct raw_stream *stream; /* while it waits */
    /* raw_stream_begin is to be called now. */
    void (*on_ready)(struct raw_waiter *waiter, struct raw_stream *stream);
    /* text is one sentence for logs, borrowed. */
    void (*on_failed)(struct raw_waiter *waiter, enum pool_failure failure, const char *text);
    /* For PROXY headers, the cluster's and ours: whose connection this is. */
    void (*ends)(const struct raw_waiter *waiter, struct address *source,
                 struct address *destination);
    uint8_t proxy_protocol; /* a header of this version goes before the payload; 0: none */
};

/* Dials: NULL. Otherwise nothing is waited for, and this is the limit that refuses, as a clause. The host's cluster is there. */
MUST_USE const char *raw_stream_dial(struct host *host, struct raw_waiter *waiter);
void raw_stream_cancel(struct raw_waiter *waiter);

/* The stream, on which http_stream_send_request comes next; on_response follows when on_ready returns. */
MUST_USE struct http_stream *raw_stream_begin(struct raw_stream *stream, struct arena *arena,
                                              const struct http_stream_events *events, void *owner);
const struct transport *raw_stream_transport(const struct raw_stream *stream);
