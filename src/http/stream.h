/*
 * stream: one exchange, whichever protocol carries it.
 *
 * A stream is two directions, `in` (what the peer sends) and `out` (what we send); each is open, ended or reset by
 * itself. Inward come any number of informational heads, a head, data, trailers and the end; outward go the same.
 * After 101, or a 2xx to CONNECT, both directions carry plain bytes, and the end is a half-close.
 *
 * Rules:
 * - Calls never call back. Events come from the loop: while input is fed, from the run queue, from a timer.
 * - The consumer sets events and owner in on_request (server) or gives them when it opens the stream (client). It
 *   calls http_stream_release exactly once, at any time, also inside an event; afterwards it hears nothing more and
 *   must not touch the stream. A direction that is still open then is abandoned: the response's rest is cut (the peer
 *   sees a reset), the request's rest is read and dropped, or the connection is given up.
 * - on_reset is the last event. A stream that ended both ways hears no more, at most an on_sent.
 * - Credit: every byte given to on_data, dropped or not, is owed back by http_stream_consumed once the next hop has
 *   taken it. What http_stream_send_data was given comes back by on_sent as the socket takes it. So a relay is
 *   on_data -> send_data on the other stream, on_sent -> consumed on the other stream.
 * - Sending into a direction that ended or was reset drops the bytes without on_sent.
 */
#pragma once

#include "base/arena.h"
#include "base/chain.h"
#include "base/list.h"
#include "http/message.h"

struct http_codec;
struct http_stream;

enum http_direction { HTTP_OPEN, HTTP_ENDED, HTTP_RESET };

enum http_reset_reason {
    HTTP_RESET_NO_ERROR,  /* the response is whole and the request's rest is not wanted */
    HTTP_RESET_CANCEL,    /* no longer wanted */
    HTTP_RESET_REFUSED,   /* not processed, says the peer: REFUSED_STREAM, above GOAWAY's last id */
    HTTP_RESET_PROTOCOL,  /* the rules of the protocol were broken */
    HTTP_RESET_LIMIT,     /* a named limit was passed; ENHANCE_YOUR_CALM */
    HTTP_RESET_INTERNAL,  /* the sender's own trouble */
    HTTP_RESET_TRUNCATED, /* the connection ended inside a message */
    HTTP_RESET_DISCONNECTED, /* the connection failed, or could not be made */
    HTTP_RESET_IDLE_TIMEOUT, /* nothing moved for too long */
    HTTP_RESET_REASONS
};

struct http_reset {
    uint8_t reason;  /* enum http_reset_reason */
    bool unseen;     /* the peer provably did not act on the request: it may be sent again */
    uint8_t refusal; /* enum http_refusal behind HTTP_RESET_PROTOCOL and _LIMIT, else 0 */
    /* Of a connection that failed: how, as "connection reset by peer"; NULL: it was closed. Borrowed until the call returns. */
    const char *failure;
};
/* "cancel", "refused", ... */
const char *http_reset_text(enum http_reset_reason reason);

struct http_stream_events {
    /* Client role only. status < 200 and not 101: informational, more follow. Head and bytes live in the arena. */
    void (*on_response)(struct http_stream *stream, struct http_response *head, bool end);
    /* Take the bytes by chain_move; what is left in `data` afterwards is dropped. May be empty with end. */
    void (*on_data)(struct http_stream *stream, struct chain *data, bool end);
    /* Ends the direction. */
    void (*on_trailers)(struct http_stream *stream, struct headers *trailers);
    /* Both directions are over; release what is left. */
    void (*on_reset)(struct http_stream *stream, const struct http_reset *reset);
    /* So many bytes of send_data have left. May be NULL. */
    void (*on_sent)(struct http_stream *stream, size_t bytes);
};

/* What a codec implements; use the functions below. */
struct http_stream_ops {
    void (*send_request)(struct http_stream *stream, const struct http_request *head, bool end);
    void (*send_response)(struct http_stream *stream, const struct http_response *head, bool end);
    void (*send_data)(struct http_stream *stream, struct chain *data, bool end);
    void (*send_trailers)(struct http_stream *stream, const struct headers *trailers);
    void (*consumed)(struct http_stream *stream, size_t bytes);
    void (*reset)(struct http_stream *stream, enum http_reset_reason reason);
    void (*release)(struct http_stream *stream);
};

/* The consumer reads all of it and writes events and owner; the rest is the codec's. */
struct http_stream {
    const struct http_stream_ops *ops;
    const struct http_stream_events *events;
    void *owner;
    struct http_codec *codec;
    struct arena *arena; /* heads and trailers live here: server's own, client's consumer's */
    struct http_request *request; /* server: as received; client: NULL */
    struct list node;             /* the codec's: among its streams, or waiting to be reaped */
    size_t unconsumed;            /* given to on_data and not yet consumed */
    size_t unsent;                /* taken by send_data and not yet sent */
    uint64_t moved_ms;            /* when anything last moved, for idle timeouts */
    uint32_t
        idle_ms; /* how long nothing may move; 0: as the connection says, UINT32_MAX: for ever */
    uint32_t id; /* HTTP/2's stream id; HTTP/1 counts its exchanges */
    uint8_t in, out; /* enum http_direction */
    uint8_t method;  /* enum http_method of the request */
    bool in_headed;  /* the final head came in */
    bool out_headed; /* the final head went out */
    bool tunnel;     /* bytes, not messages */
    bool released;
};

/* Each of these is for one role. end: no body. The head and its bytes are borrowed for the call. */
static inline void http_stream_send_request(struct http_stream *stream,
                                            const struct http_request *head, bool end)
{
    stream->ops->send_request(stream, head, end);
}
static inline void http_stream_send_response(struct http_stream *stream,
                                             const struct http_response *head, bool end)
{
    stream->ops->send_response(stream, head, end);
}
/* Takes the bytes; `data` is empty afterwards. Any amount is accepted: credit is the caller's restraint. */
static inline void http_stream_send_data(struct http_stream *stream, struct chain *data, bool end)
{
    stream->ops->send_data(stream, data, end);
}
/* Ends the direction. HTTP/1 can carry them only in a chunked body, else they are dropped. */
static inline void http_stream_send_trailers(struct http_stream *stream,
                                             const struct headers *trailers)
{
    stream->ops->send_trailers(stream, trailers);
}
static inline void http_stream_consumed(struct http_stream *stream, size_t bytes)
{
    stream->ops->consumed(stream, bytes);
}
/* Ends both directions at once: RST_STREAM, or HTTP/1's connection is closed. No event follows. */
static inline void http_stream_reset(struct http_stream *stream, enum http_reset_reason reason)
{
    stream->ops->reset(stream, reason);
}
static inline void http_stream_release(struct http_stream *stream)
{
    stream->ops->release(stream);
}
static inline bool http_stream_is_whole(const struct http_stream *stream)
{
    return stream->in == HTTP_ENDED && stream->out == HTTP_ENDED;
}
