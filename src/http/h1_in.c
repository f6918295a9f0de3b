#include "http/h1_internal.h"

#include "base/memory.h"

/* --- bodies ------------------------------------------------------------------------------------------------- */

static void take_bytes(struct piece *piece, size_t size, struct chain *data)
{
    struct slice bytes = slice_take(&piece->bytes, size);
    if (piece->block)
        block_ref(piece->block);
    chain_append_block(data, piece->block, bytes.data, bytes.size);
}

/* The peer's message is complete, if `end`; the consumer hears of it last, when all is settled. */
static void deliver(struct h1 *h1, struct piece *piece, struct chain *data, bool end)
{
    struct http_stream *stream = h1->stream;
    stream->unconsumed += data->size;
    stream->moved_ms = h1->codec.now_ms;
    if (end) {
        stream->in = HTTP_ENDED;
        h1->in = H1_AT_END;
        if (h1_is_server(h1))
            h1_end_if_over(h1);
        else
            h1_end_response(h1, piece);
    }
    if (!stream->released)
        stream->events->on_data(stream, data, end);
    chain_fini(data);
}

static void read_length(struct h1 *h1, struct piece *piece)
{
    struct chain data;
    chain_init(&data);
    size_t size = MIN((uint64_t)piece->bytes.size, h1->in_left);
    h1->in_left -= size;
    take_bytes(piece, size, &data);
    deliver(h1, piece, &data, h1->in_left == 0);
}

static void read_plain(struct h1 *h1, struct piece *piece)
{
    struct chain data;
    chain_init(&data);
    take_bytes(piece, piece->bytes.size, &data);
    deliver(h1, piece, &data, false);
}

static void refuse_body(struct h1 *h1, enum http_refusal refusal)
{
    struct http_stream *stream = h1->stream;
    if (!h1_is_server(h1) || stream->out_headed) {
        h1_fail_stream(h1, HTTP_RESET_PROTOCOL, refusal);
        return;
    }
    /* The response can still say what was wrong with the request's body. */
    h1->stream = NULL;
    stream->in = stream->out = HTTP_RESET;
    h1_answer_refusal(h1, refusal);
    struct http_reset reset = {.reason = HTTP_RESET_PROTOCOL, .refusal = (uint8_t)refusal};
    if (!stream->released)
        stream->events->on_reset(stream, &reset);
}

/* Nothing behind the last chunk but the empty line, as nearly always: the body's last bytes carry the end. */
static bool ends_here(const struct piece *piece)
{
    return piece->bytes.size >= 2 && piece->bytes.data[0] == '\r' && piece->bytes.data[1] == '\n';
}

static void read_chunked(struct h1 *h1, struct piece *piece)
{
    struct chain data;
    chain_init(&data);
    enum chunked_status status;
    size_t size = 0;
    while ((status = chunked_read(&h1->chunked, h1->codec.limits, &piece->bytes, &size)) ==
           CHUNKED_BYTES)
        take_bytes(piece, size, &data);
    bool end = status == CHUNKED_END && ends_here(piece);
    if (end) {
        slice_take(&piece->bytes, 2);
    } else if (status == CHUNKED_END) {
        h1->in = H1_IN_TRAILERS;
        h1->scan = (struct head_scan){0};
    }
    uint8_t refusal = h1->chunked.refusal;
    struct http_stream *stream = h1->stream;
    if (end || data.size > 0)
        deliver(h1, piece, &data, end);
    if (status == CHUNKED_BAD && h1->stream == stream && !h1->codec.broken)
        refuse_body(h1, (enum http_refusal)refusal);
}

static void take_trailers(struct h1 *h1, struct piece *piece)
{
    struct http_stream *stream = h1->stream;
    struct head_input input;
    struct headers *trailers = arena_try_alloc(stream->arena, sizeof(*trailers));
    if (!trailers || !h1_gather(h1, piece, stream->arena, &input)) {
        refuse_body(h1, HTTP_REFUSAL_OVERLOAD);
        return;
    }
    input.max_bytes = h1->codec.limits->max_trailer_bytes;
    if (head_parse_trailers(&input, trailers) != HEAD_WHOLE) {
        refuse_body(h1, (enum http_refusal)input.refusal);
        return;
    }
    if (trailers->count == 0) {
        struct chain none = {0};
        deliver(h1, piece, &none, true);
        return;
    }
    stream->in = HTTP_ENDED;
    stream->moved_ms = h1->codec.now_ms;
    h1->in = H1_AT_END;
    if (h1_is_server(h1))
        h1_end_if_over(h1);
    else
        h1_end_response(h1, piece);
    if (!stream->released)
        stream->events->on_trailers(stream, trailers);
}

static void read_trailers(struct h1 *h1, struct piece *piece)
{
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    switch (h1_scan(h1, piece, h1->codec.limits->max_trailer_bytes, &refusal)) {
    case HEAD_MORE: return;
    case HEAD_WHOLE: take_trailers(h1, piece); return;
    case HEAD_BAD: break;
    }
    bool is_size = refusal == HTTP_REFUSAL_HEAD_SIZE || refusal == HTTP_REFUSAL_TARGET_SIZE ||
                   refusal == HTTP_REFUSAL_HEAD_COUNT;
    refuse_body(h1, is_size ? HTTP_REFUSAL_TRAILER_SIZE : refusal);
}

/* --- the machine -------------------------------------------------------------------------------------------- */

/* Works through the piece until it is used up or the rest has to wait. */
static void consume(struct h1 *h1, struct piece *piece)
{
    uint32_t messages = 0;
    while (piece->bytes.size > 0) {
        switch ((enum h1_in)h1->in) {
        case H1_AT_HEAD:
            if (h1_is_server(h1) && messages++ >= h1->codec.limits->max_turn_messages) {
                h1_keep(h1, piece);
                h1->codec.events->wake_next(&h1->codec);
                return;
            }
            h1_read_head(h1, piece);
            break;
        case H1_IN_LENGTH: read_length(h1, piece); break;
        case H1_IN_CHUNKED: read_chunked(h1, piece); break;
        case H1_IN_TRAILERS: read_trailers(h1, piece); break;
        case H1_IN_CLOSE:
        case H1_IN_TUNNEL: read_plain(h1, piece); break;
        case H1_AT_END:
            if (h1_is_server(h1))
                h1_keep(h1, piece);
            else
                h1_note_surplus(h1);
            return;
        case H1_IN_RUIN: return;
        }
    }
}

/* Whether input must go behind what waits already; the beginning of a head is no such thing. */
static bool must_wait(const struct h1 *h1)
{
    return h1->pending && h1->scan.size == 0;
}

void h1_read(struct http_codec *codec, struct block *block, const char *data, size_t size)
{
    struct h1 *h1 = h1_of(codec);
    struct piece piece = {.block = block, .bytes = slice_of(data, size)};
    codec->bytes_in += size;
    h1_enter(h1);
    if (must_wait(h1))
        h1_keep(h1, &piece);
    else
        consume(h1, &piece);
    block_unref(block);
    h1_settle_reading(h1);
    h1_leave(h1);
}

static void end_tunnel(struct h1 *h1, bool truncated)
{
    struct http_stream *stream = h1->stream;
    struct chain none = {0};
    if (truncated) {
        h1_fail_stream(h1, HTTP_RESET_TRUNCATED, HTTP_REFUSAL_TRUNCATED);
        return;
    }
    stream->in = HTTP_ENDED;
    h1->in = H1_IN_RUIN;
    h1_end_if_over(h1);
    if (!stream->released)
        stream->events->on_data(stream, &none, true);
}

/* The peer's end was known already; the input before it has been read by now. */
static void end_waited(struct h1 *h1)
{
    if (!h1->stream && (!h1->pending || h1->scan.size > 0))
        h1_close(h1, false);
    else if (h1->in == H1_IN_TUNNEL && !h1->pending)
        end_tunnel(h1, false);
}

void h1_read_pending(struct h1 *h1)
{
    if (!must_wait(h1) || h1->in == H1_AT_END)
        goto ended;
    struct chain *waiting = h1->pending;
    h1->pending = NULL;
    while (waiting->size > 0) {
        struct segment front = *chain_segment(waiting, 0);
        struct piece piece = {.block = front.block, .bytes = slice_of(front.data, front.size)};
        if (piece.block)
            block_ref(piece.block);
        chain_consume(waiting, front.size);
        if (must_wait(h1))
            h1_keep(h1, &piece);
        else
            consume(h1, &piece);
        block_unref(piece.block);
    }
    chain_fini(waiting);
    mem_free(waiting);
ended:
    if (h1->got_eof && !h1->codec.closing && !h1->codec.broken)
        end_waited(h1);
}

/* --- the peer's end ----------------------------------------------------------------------------------------- */

static void server_eof(struct h1 *h1, bool truncated)
{
    if (!h1->stream) {
        if (!h1->pending || h1->scan.size > 0)
            h1_close(h1, false);
        return;
    }
    if (h1->in != H1_AT_END || (h1->asks_tunnel && truncated))
        h1_fail_stream(h1, HTTP_RESET_TRUNCATED, HTTP_REFUSAL_TRUNCATED);
    else if (h1->codec.limits->fin_cancels)
        h1_fail_stream(h1, HTTP_RESET_CANCEL, HTTP_REFUSAL_NONE);
}

static void client_eof(struct h1 *h1)
{
    if (!h1->stream) {
        h1_close(h1, false);
        return;
    }
    bool began = h1->stream->in_headed || h1->informational > 0 || h1->scan.size > 0;
    if (began)
        h1_fail_stream(h1, HTTP_RESET_TRUNCATED, HTTP_REFUSAL_TRUNCATED);
    else
        h1_fail_stream(h1, HTTP_RESET_DISCONNECTED, HTTP_REFUSAL_NONE);
}

void h1_eof(struct http_codec *codec, bool truncated)
{
    struct h1 *h1 = h1_of(codec);
    h1->got_eof = true;
    if (codec->broken || codec->closing)
        return;
    h1_enter(h1);
    if (h1->in == H1_IN_TUNNEL) {
        end_tunnel(h1, truncated);
    } else if (h1->in == H1_IN_CLOSE && !truncated) {
        struct piece nothing = {0};
        struct chain none = {0};
        deliver(h1, &nothing, &none, true);
    } else if (h1->in != H1_IN_RUIN) {
        if (h1_is_server(h1))
            server_eof(h1, truncated);
        else
            client_eof(h1);
    }
    h1_settle_reading(h1);
    h1_leave(h1);
}
