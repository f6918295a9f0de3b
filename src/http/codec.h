/*
 * codec: one connection's protocol, HTTP/1 or HTTP/2, in either role. Bytes in, events out; no socket, no clock.
 *
 * The connection (net/) embeds or owns a codec, feeds it what the transport read and the time, and sends what the
 * codec writes. All events of streams happen inside http_codec_read, _eof, _fail, _sent and _run. Calls on streams
 * only write and wake.
 */
#pragma once

#include "base/block.h"
#include "http/refusal.h"
#include "http/stream.h"

enum http_protocol { HTTP_PROTOCOL_1, HTTP_PROTOCOL_2 };
enum http_role { HTTP_SERVER, HTTP_CLIENT };

/* What the codec wants of its connection. None of these may call into the codec or its streams. */
struct http_codec_events {
    /* Bytes for the peer; takes them all. */
    void (*write)(struct http_codec *codec, struct chain *bytes);
    /* Call http_codec_run before the turn ends. */
    void (*wake)(struct http_codec *codec);
    /* The same in the next turn: this one's budget is spent. */
    void (*wake_next)(struct http_codec *codec);
};

/* What the connection's owner gets to hear; comes like the events of streams. */
struct http_codec_consumer {
    /*
     * Server: a request's head is complete (stream->request; stream->in says whether a body follows). The consumer
     * sets stream->events and stream->owner before it returns.
     */
    void (*on_request)(struct http_codec *codec, struct http_stream *stream);
    /* A request was refused before it became a stream, and has been answered. For logs and counters. */
    void (*on_refused)(struct http_codec *codec, enum http_refusal refusal);
};

struct http_codec_ops {
    void (*read)(struct http_codec *codec, struct block *block, const char *data, size_t size);
    void (*eof)(struct http_codec *codec, bool truncated);
    void (*lost)(struct http_codec *codec, enum http_reset_reason reason);
    void (*sent)(struct http_codec *codec, size_t size, size_t backlog);
    void (*run)(struct http_codec *codec);
    struct http_stream *(*open)(struct http_codec *codec, struct arena *arena);
    uint32_t (*room)(const struct http_codec *codec);
    void (*drain)(struct http_codec *codec);
    void (*refuse)(struct http_codec *codec, enum http_refusal refusal);
    void (*expire)(struct http_codec *codec, struct http_stream *stream);
    void (*destroy)(struct http_codec *codec);
};

/* Embedded first in struct h1 and struct h2. The connection reads the flags after each call. */
struct http_codec {
    const struct http_codec_ops *ops;
    const struct http_codec_events *events;
    const struct http_codec_consumer *consumer;
    const struct http_limits *limits; /* outlive the codec */
    struct block_pool *pool;
    void *owner;         /* the connection */
    struct list streams; /* not yet released or not yet over */
    uint64_t now_ms;   /* of the current turn; like `turn` set by the connection before each call */
    uint64_t heard_ms; /* when bytes were last fed; the connection's */
    uint64_t sent_before;   /* conn_sent when the last stream was opened; the connection's */
    uint64_t bytes_in;      /* fed so far */
    uint64_t bytes_written; /* given to events->write so far */
    uint64_t bytes_sent;    /* taken by the socket so far */
    const char *failure;    /* of the transport, while http_codec_fail runs; may be NULL then */
    uint32_t requests;      /* streams begun so far */
    uint32_t turn;    /* the loop's: what is written in a turn leaves at its end, not before */
    uint8_t protocol; /* enum http_protocol */
    uint8_t role;     /* enum http_role */
    uint8_t refusal;  /* enum http_refusal that ended the connection, 0 while it is well */
    bool established; /* the transport is open: what is written may leave */
    bool wants_read;  /* false: the transport should pause */
    bool in_head;     /* a request's head has begun and is not complete: the header timeout runs */
    bool draining;    /* takes no new stream */
    bool closing;     /* it drains, too: write what is queued, half-close, linger, close */
    bool broken;      /* it drains, too: close at once, so that the peer sees a reset */
    bool unread;      /* with closing: the peer is still sending, so linger */
    bool half_close;  /* our direction of a tunnel is over: FIN after what is queued */
    bool unheard;     /* the peer ended before it could hear of what follows sent_before */
};

/* Bytes from the peer, lying in `block`, of which one reference is now the codec's. What it cannot use yet it keeps. */
static inline void http_codec_read(struct http_codec *codec, struct block *block, const char *data,
                                   size_t size)
{
    codec->ops->read(codec, block, data, size);
}
/* The peer's end; truncated: TLS ended without close_notify. */
static inline void http_codec_eof(struct http_codec *codec, bool truncated)
{
    codec->ops->eof(codec, truncated);
}
/* The transport is gone: every stream is reset for this reason. `failure`: what it said, NULL: nothing. */
static inline void http_codec_fail(struct http_codec *codec, enum http_reset_reason reason,
                                   const char *failure)
{
    codec->failure = failure;
    codec->ops->lost(codec, reason);
    codec->failure = NULL;
}
/* The socket took `size` bytes, and `backlog` still wait. Streams get on_sent; HTTP/2 frames more. */
static inline void http_codec_sent(struct http_codec *codec, size_t size, size_t backlog)
{
    codec->ops->sent(codec, size, backlog);
}
/* After wake: pipelined input, resets that waited, frames to be packed, streams to be reaped. */
static inline void http_codec_run(struct http_codec *codec)
{
    codec->ops->run(codec);
}
/*
 * Client: a new stream, or NULL when there is no room (http_codec_has_room) or memory. Heads go to the arena, which
 * must live until release. The caller sets events and owner.
 */
static inline struct http_stream *http_codec_open(struct http_codec *codec, struct arena *arena)
{
    return codec->ops->open(codec, arena);
}
/* Client: how many streams may be opened now. */
static inline uint32_t http_codec_room(const struct http_codec *codec)
{
    return codec->ops->room(codec);
}
static inline bool http_codec_is_idle(const struct http_codec *codec)
{
    return list_is_empty(&codec->streams);
}
/* Take no new streams, end when the last is over: Connection: close, GOAWAY. */
static inline void http_codec_drain(struct http_codec *codec)
{
    codec->ops->drain(codec);
}
/* Answers the head that is being read (or GOAWAY) and closes: for timeouts and overload. */
static inline void http_codec_refuse(struct http_codec *codec, enum http_refusal refusal)
{
    codec->ops->refuse(codec, refusal);
}
/* Nothing moved on this stream for too long: 408 where that can still be said, then on_reset. */
static inline void http_codec_expire(struct http_codec *codec, struct http_stream *stream)
{
    codec->ops->expire(codec, stream);
}
/* Every stream must have been released. Frees what the codec holds; h1 itself is embedded and stays. */
static inline void http_codec_destroy(struct http_codec *codec)
{
    codec->ops->destroy(codec);
}
