/*
 * h1_internal: what the two halves of the HTTP/1 codec share: h1_in.c reads, h1_out.c writes, h1.c ends exchanges.
 */
#pragma once

#include "http/h1.h"

/* The first thing in a server stream's own arena. */
struct h1_server_stream {
    struct http_stream stream;
    struct arena arena;
    struct http_request request;
};

extern const struct http_stream_ops h1_stream_ops;

static inline struct h1 *h1_of(struct http_codec *codec)
{
    return CONTAINER_OF(codec, struct h1, codec);
}
/* The codec of a stream that still is its exchange; NULL when that is over. */
static inline struct h1 *h1_of_stream(const struct http_stream *stream)
{
    struct h1 *h1 = h1_of(stream->codec);
    return h1->stream == stream ? h1 : NULL;
}
static inline bool h1_is_server(const struct h1 *h1)
{
    return h1->codec.role == HTTP_SERVER;
}
static inline void h1_wake(struct h1 *h1)
{
    h1->codec.events->wake(&h1->codec);
}

/* A request that was begun in this turn has not left: what is written leaves at the turn's end. */
static inline bool h1_is_unsent(const struct h1 *h1)
{
    return !h1->codec.established || h1->begin_turn == h1->codec.turn;
}

/* Events may be delivered between the two; the second frees what was released meanwhile. */
void h1_sweep(struct h1 *h1);
static inline void h1_enter(struct h1 *h1)
{
    h1->busy++;
}
static inline void h1_leave(struct h1 *h1)
{
    if (--h1->busy == 0 && h1->has_released)
        h1_sweep(h1);
}
/* A codec that is over tells its connection when the last stream has left. */
void h1_left(struct h1 *h1);

void h1_write(struct h1 *h1, struct chain *bytes);
/* The connection is lost for HTTP. The stream hears of it in the next h1_run. */
COLD void h1_break(struct h1 *h1, enum http_reset_reason reason);
/* The same where events may be delivered: now. */
COLD void h1_fail_stream(struct h1 *h1, enum http_reset_reason reason, enum http_refusal refusal);
/* Begins to close: what is queued leaves. unread: the peer is still sending. */
void h1_close(struct h1 *h1, bool unread);
/* Ends an exchange whose directions have both ended, and makes way for the next. */
void h1_end_if_over(struct h1 *h1);
/* Whether the transport should read. */
void h1_settle_reading(struct h1 *h1);
/* An answer of our own, after which the connection closes. */
COLD void h1_answer_refusal(struct h1 *h1, enum http_refusal refusal);
/* The same for a request that is no stream, and says so. */
COLD void h1_refuse_request(struct h1 *h1, enum http_refusal refusal);
/* The response head was sent: what had to wait for it. */
void h1_response_sent(struct h1 *h1, struct http_stream *stream, bool tunnel);
/* Client: the tunnel stands (or not), so bytes that waited leave. */
void h1_answered(struct h1 *h1, struct http_stream *stream, bool tunnel);

/* Serialises; false when the pool refuses (what was appended then stays in `out`). */
enum h1_framing { H1_FRAME_NONE, H1_FRAME_LENGTH, H1_FRAME_CHUNKED };
struct h1_head_style {
    enum h1_framing framing;
    uint64_t length;
    bool close;
    bool keep_alive; /* said to HTTP/1.0 */
};
MUST_USE bool h1_write_request(struct chain *out, struct block_pool *pool,
                               const struct http_request *head, const struct h1_head_style *style);
MUST_USE bool h1_write_response(struct chain *out, struct block_pool *pool,
                                const struct http_response *head,
                                const struct h1_head_style *style);
/* The fields and the empty line. */
MUST_USE bool h1_write_trailers(struct chain *out, struct block_pool *pool,
                                const struct headers *trailers);

/* h1_in.c */
void h1_read(struct http_codec *codec, struct block *block, const char *data, size_t size);
void h1_eof(struct http_codec *codec, bool truncated);
/* Goes on with input that had to wait. */
void h1_read_pending(struct h1 *h1);
void h1_drop_pending(struct h1 *h1);

/* h1_heads.c */

/* A piece of input: bytes in a block of which we hold one reference. */
struct piece {
    struct block *block;
    struct slice bytes;
};

/* Puts the rest of the piece behind what waits. */
void h1_keep(struct h1 *h1, struct piece *piece);
/* In H1_AT_HEAD: finds the head's end, parses it and begins the exchange or its answer. */
void h1_read_head(struct h1 *h1, struct piece *piece);
/* Looks for the end of a head that comes in pieces; what is not whole is kept. */
enum head_status h1_scan(struct h1 *h1, struct piece *piece, uint32_t max_bytes,
                         enum http_refusal *refusal);
/* Takes the scanned head off the input, into one piece of the arena. False when memory is refused. */
MUST_USE bool h1_gather(struct h1 *h1, struct piece *piece, struct arena *arena,
                        struct head_input *input);
/* Client: the response is complete; what is left of the piece belongs to nobody. */
void h1_end_response(struct h1 *h1, const struct piece *piece);
void h1_note_surplus(struct h1 *h1);
