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
#include "http/h1_head.h"

enum h1_in {
    H1_AT_HEAD,     /* before a message or inside its head */
    H1_IN_LENGTH,   /* in a body of known length */
    H1_IN_CHUNKED,  /* in a chunked body */
    H1_IN_TRAILERS, /* behind the last chunk */
    H1_IN_CLOSE,    /* in a response that lasts until the connection ends */
    H1_IN_TUNNEL,   /* plain bytes */
    H1_AT_END,      /* behind a request; what comes waits until the exchange is over */
    H1_IN_RUIN,     /* what comes is dropped */
};

enum h1_out {
    H1_OUT_HEAD,    /* no final head went out */
    H1_OUT_LENGTH,  /* in a body of known length */
    H1_OUT_CHUNKED, /* in a chunked body */
    H1_OUT_CLOSE,   /* in a response that lasts until we close */
    H1_OUT_TUNNEL,  /* plain bytes */
    H1_OUT_WAIT,    /* behind a request that asks for a tunnel: its bytes wait for the answer */
    H1_OUT_NOTHING, /* behind a head without body */
};

struct h1 {
    struct http_codec codec;
    struct http_stream *stream; /* the exchange under way; NULL between exchanges */
    struct chain *pending; /* the beginning of a head, or pipelined requests; NULL while empty */
    struct head_scan scan; /* of the head that has begun */
    union {
        struct chunked chunked; /* H1_IN_CHUNKED */
        uint64_t in_left;       /* H1_IN_LENGTH */
    };
    uint64_t out_left; /* H1_OUT_LENGTH */

    uint32_t begin_turn;          /* in which the request was opened */
    uint32_t informational_bytes; /* of 1xx heads in this exchange */
    uint16_t informational;
    uint8_t in;        /* enum h1_in */
    uint8_t out;       /* enum h1_out */
    uint8_t busy;      /* depth of calls that deliver events: nothing is freed meanwhile */
    bool has_released; /* a server stream waits for busy to be 0 */
    bool peer_is_1_0;
    bool keeps_alive; /* as far as the heads of this exchange say */
    bool skipped_line;
    bool got_eof;
    bool asks_tunnel;    /* the request is CONNECT or an upgrade */
    uint8_t fail_reason; /* enum http_reset_reason for the stream once broken */
};

/* In place, as a server or client codec in its first state. The pool and the limits outlive it. */
void h1_init(struct h1 *h1, enum http_role role, const struct http_codec_events *events,
             const struct http_codec_consumer *consumer, const struct http_limits *limits,
             struct block_pool *pool, void *owner);
/*
 * Between two exchanges, with nothing kept of either: a codec that is made anew, and given the count of requests, goes on
 * as this one would.
 */
bool h1_is_at_rest(const struct http_codec *codec);
/* What is under way is a tunnel: after CONNECT, or an upgrade. */
bool h1_is_tunnel(const struct http_codec *codec);
