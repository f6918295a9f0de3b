/*
 * h1: HTTP/1.1 (RFC 9112) as a codec, strict, in both roles.
 *
 * A server connection works on one exchange at a time; pipelined requests wait, at most one receive window of them. A
 * client connection never pipelines. A head is scanned once where it was read, copied once into the stream's arena
 * and parsed there; body bytes are passed on by reference. Framing headers are made here, never copied.
 *
 * When the response ended before the request (a 413 to an upload), the consumer may go on relaying the request; when
 * it releases the stream instead, the codec closes: the connection writes what is queued, half-closes and lingers.
 */
#pragma once

#include "http/chunked.h"
#include "http/codec.h"

struct h1 {
    struct http_codec codec;
    struct http_stream *stream; /* the exchange under way, NULL between exchanges */
    struct chain
        *pending; /* a head that is not whole, or pipelined requests; NULL while there are none */
    struct chunked chunked; /* of the body coming in */
    uint64_t in_left;       /* bytes of the body still to come */
    uint64_t out_left;      /* bytes of the body still to be sent, when its length was declared */
    size_t out_wire;        /* framing bytes among those not yet sent */
    uint32_t scanned;       /* bytes of `pending` that were searched for the head's end */
    uint16_t scanned_lines;
    uint16_t informational; /* heads seen for this exchange */
    uint8_t in;             /* enum h1_in: where the machine stands */
    uint8_t out;            /* enum h1_out */
    bool peer_is_1_0;
    bool keeps_alive; /* as far as heads said */
    bool skipped_line;
    bool eof;
    bool in_event; /* the machine is up the stack: only set flags */
    bool upgrade_asked;
    bool discards;
};

/* In place, as a server or client codec in its first state. The pool and the limits outlive it. */
void h1_init(struct h1 *h1, enum http_role role, const struct http_codec_events *events,
             const struct http_codec_consumer *consumer, const struct http_limits *limits,
             struct block_pool *pool);
