#include "http/h1_internal.h"

#include "base/memory.h"

/* Puts the rest of the piece behind what waits; small rests are copied so that they do not hold a large block. */
void h1_keep(struct h1 *h1, struct piece *piece)
{
    if (piece->bytes.size == 0)
        return;
    if (!h1->pending)
        h1->pending = mem_new(struct chain);
    bool is_small = piece->block && piece->bytes.size * 2 < piece->block->capacity;
    if (!is_small || !chain_append_copy(h1->pending, h1->codec.pool, piece->bytes)) {
        if (piece->block)
            block_ref(piece->block);
        chain_append_block(h1->pending, piece->block, piece->bytes.data, piece->bytes.size);
    }
    piece->bytes.size = 0;
}

/* --- heads -------------------------------------------------------------------------------------------------- */

/* Whether a head can be parsed where it lies: nothing of it came before, and the block goes on behind the piece. */
static bool lies_in_one_piece(const struct h1 *h1, const struct piece *piece)
{
    if (h1->pending || h1->scan.size > 0 || !piece->block)
        return false;
    const char *end = piece->bytes.data + piece->bytes.size;
    return piece->block->bytes + piece->block->capacity - end >= HEAD_PADDING;
}

static void begin_input(const struct h1 *h1, struct head_input *input, struct slice bytes,
                        struct arena *arena)
{
    *input = (struct head_input){.bytes = bytes,
                                 .limits = h1->codec.limits,
                                 .max_bytes = h1->codec.limits->max_head_bytes,
                                 .arena = arena};
}

/* The parsed head in the arena, off the input. NULL when memory is refused. */
static const char *copy_head(const struct head_input *input, struct piece *piece)
{
    char *copy = arena_try_alloc(input->arena, input->used);
    if (copy)
        memcpy(copy, slice_take(&piece->bytes, input->used).data, input->used);
    return copy;
}

/* The scanned head in one piece of the arena, off the input. */
bool h1_gather(struct h1 *h1, struct piece *piece, struct arena *arena, struct head_input *input)
{
    size_t size = h1->scan.size;
    size_t kept = h1->pending ? h1->pending->size : 0;
    char *copy = arena_try_alloc(arena, size + HEAD_PADDING);
    if (!copy)
        return false;
    if (kept > 0) {
        chain_copy_out(h1->pending, 0, copy, kept);
        h1_drop_pending(h1);
    }
    memcpy(copy + kept, piece->bytes.data, size - kept);
    memset(copy + size, 0, HEAD_PADDING);
    slice_take(&piece->bytes, size - kept);
    h1->scan = (struct head_scan){0};
    begin_input(h1, input, slice_of(copy, size), arena);
    return true;
}

enum head_status h1_scan(struct h1 *h1, struct piece *piece, uint32_t max_bytes,
                         enum http_refusal *refusal)
{
    enum head_status status =
        head_scan(&h1->scan, piece->bytes, max_bytes, h1->codec.limits->max_headers, refusal);
    if (status == HEAD_MORE)
        h1_keep(h1, piece);
    return status;
}

/* --- requests ----------------------------------------------------------------------------------------------- */

static void settle_request(struct h1 *h1, struct http_stream *stream,
                           const struct head_framing *framing)
{
    const struct http_request *request = stream->request;
    h1->peer_is_1_0 = request->version == HTTP_1_0;
    h1->keeps_alive = !framing->close && (!h1->peer_is_1_0 || framing->keep_alive);
    h1->asks_tunnel = request->method == HTTP_CONNECT || request->upgrade.size > 0;
    h1->out = H1_OUT_HEAD;
    stream->method = request->method;
    if (framing->chunked) {
        h1->in = H1_IN_CHUNKED;
        chunked_init(&h1->chunked);
    } else if (request->content_length > 0) {
        h1->in = H1_IN_LENGTH;
        h1->in_left = (uint64_t)request->content_length;
    } else {
        h1->in = H1_AT_END;
        /* Bytes of a tunnel may follow once the answer is there. */
        stream->in = h1->asks_tunnel ? HTTP_OPEN : HTTP_ENDED;
    }
}

static struct h1_server_stream *new_server_stream(struct h1 *h1)
{
    struct arena arena;
    arena_init(&arena, h1->codec.pool);
    struct h1_server_stream *own = arena_try_alloc(&arena, sizeof(*own));
    if (!own)
        return NULL;
    own->arena = arena;
    own->stream = (struct http_stream){.ops = &h1_stream_ops,
                                       .codec = &h1->codec,
                                       .arena = &own->arena,
                                       .request = &own->request,
                                       .moved_ms = h1->codec.now_ms,
                                       .id = h1->codec.requests};
    list_init(&own->stream.node);
    return own;
}

static void free_new_stream(struct h1_server_stream *own)
{
    struct arena arena = own->arena;
    arena_fini(&arena);
}

static void take_request(struct h1 *h1, struct h1_server_stream *own,
                         const struct head_framing *framing)
{
    struct http_codec *codec = &h1->codec;
    codec->requests++;
    list_push_back(&codec->streams, &own->stream.node);
    h1->stream = &own->stream;
    h1->skipped_line = false;
    settle_request(h1, &own->stream, framing);
    codec->consumer->on_request(codec, &own->stream);
}

/* In place, and copied when it is whole. MORE: it is not. BAD: *refusal. */
static enum head_status parse_piece(struct h1 *h1, struct piece *piece,
                                    struct h1_server_stream *own, struct head_framing *framing,
                                    enum http_refusal *refusal)
{
    struct head_input input;
    begin_input(h1, &input, piece->bytes, &own->arena);
    enum head_status status = head_parse_request(&input, &own->request, framing);
    if (LIKELY(status == HEAD_WHOLE)) {
        struct slice bytes = slice_first(piece->bytes, input.used);
        const char *copy = copy_head(&input, piece);
        if (LIKELY(copy != NULL)) {
            head_move_request(&own->request, bytes, copy);
            return HEAD_WHOLE;
        }
        status = HEAD_BAD;
        input.refusal = HTTP_REFUSAL_OVERLOAD;
    }
    *refusal = (enum http_refusal)input.refusal;
    return status;
}

static enum head_status parse_gathered(struct h1 *h1, struct piece *piece,
                                       struct h1_server_stream *own, struct head_framing *framing,
                                       enum http_refusal *refusal)
{
    struct head_input input;
    enum head_status status = HEAD_BAD;
    *refusal = HTTP_REFUSAL_OVERLOAD;
    if (h1_gather(h1, piece, &own->arena, &input)) {
        status = head_parse_request(&input, &own->request, framing);
        *refusal = (enum http_refusal)input.refusal;
    }
    return status;
}

/* RFC 9112 2.2: one empty line before a request line is forgiven. */
static void skip_line(struct h1 *h1, struct piece *piece)
{
    if (h1->skipped_line) {
        h1_refuse_request(h1, HTTP_REFUSAL_LEADING_LINES);
        return;
    }
    slice_take(&piece->bytes, 2 - (h1->pending ? h1->pending->size : 0));
    h1_drop_pending(h1);
    h1->scan = (struct head_scan){0};
    h1->skipped_line = true;
}

static void read_request(struct h1 *h1, struct piece *piece)
{
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    enum head_status status = HEAD_MORE;
    struct head_framing framing;
    bool in_place = lies_in_one_piece(h1, piece);
    if (UNLIKELY(in_place && slice_starts_with(piece->bytes, SLICE("\r\n")))) {
        skip_line(h1, piece);
        return;
    }
    if (UNLIKELY(!in_place)) {
        status = h1_scan(h1, piece, h1->codec.limits->max_head_bytes, &refusal);
        if (status == HEAD_WHOLE && h1->scan.lines == 0) {
            skip_line(h1, piece);
            return;
        }
        if (status == HEAD_MORE)
            return;
    }
    struct h1_server_stream *own = NULL;
    if (status != HEAD_BAD && !(own = new_server_stream(h1))) {
        h1_refuse_request(h1, HTTP_REFUSAL_OVERLOAD);
        return;
    }
    if (LIKELY(in_place))
        status = parse_piece(h1, piece, own, &framing, &refusal);
    else if (own)
        status = parse_gathered(h1, piece, own, &framing, &refusal);
    if (LIKELY(status == HEAD_WHOLE)) {
        take_request(h1, own, &framing);
        return;
    }
    if (own)
        free_new_stream(own);
    if (status == HEAD_MORE)
        status = h1_scan(h1, piece, h1->codec.limits->max_head_bytes, &refusal);
    if (status == HEAD_BAD)
        h1_refuse_request(h1, refusal);
}

/* --- responses ---------------------------------------------------------------------------------------------- */

static void begin_response_body(struct h1 *h1, struct http_stream *stream,
                                const struct http_response *head,
                                const struct head_framing *framing)
{
    if (http_response_is_tunnel((enum http_method)stream->method, head->status)) {
        h1->in = H1_IN_TUNNEL;
        stream->tunnel = true;
    } else if (http_response_is_bodyless((enum http_method)stream->method, head->status)) {
        stream->in = HTTP_ENDED;
    } else if (framing->chunked) {
        h1->in = H1_IN_CHUNKED;
        chunked_init(&h1->chunked);
    } else if (head->content_length > 0) {
        h1->in = H1_IN_LENGTH;
        h1->in_left = (uint64_t)head->content_length;
    } else if (head->content_length == 0) {
        stream->in = HTTP_ENDED;
    } else {
        h1->in = H1_IN_CLOSE;
        h1->keeps_alive = false;
    }
}

void h1_note_surplus(struct h1 *h1)
{
    h1->keeps_alive = false;
    h1->codec.refusal = HTTP_REFUSAL_SURPLUS;
}

/*
 * The response is complete. Bytes behind it answer nobody: this connection carries no other request, and that is
 * settled before anybody hears of the end and might use it again.
 */
void h1_end_response(struct h1 *h1, const struct piece *piece)
{
    if (piece->bytes.size > 0)
        h1_note_surplus(h1);
    h1_end_if_over(h1);
}

static enum http_refusal check_informational(struct h1 *h1, const struct http_response *head,
                                             size_t size)
{
    if (head->status == 101)
        return h1->asks_tunnel && h1->stream->method != HTTP_CONNECT ? HTTP_REFUSAL_NONE
                                                                     : HTTP_REFUSAL_UPGRADE;
    h1->informational_bytes += (uint32_t)size;
    if (++h1->informational > h1->codec.limits->max_informational ||
        h1->informational_bytes > h1->codec.limits->max_head_bytes)
        return HTTP_REFUSAL_INFORMATIONAL;
    return HTTP_REFUSAL_NONE;
}

static void take_final(struct h1 *h1, struct piece *piece, struct http_response *head,
                       const struct head_framing *framing)
{
    struct http_stream *stream = h1->stream;
    bool is_1_0 = head->version == HTTP_1_0;
    if (framing->close || (is_1_0 && !framing->keep_alive))
        h1->keeps_alive = false;
    /* What a server that refused a CONNECT takes the next bytes for is not worth finding out. */
    if (stream->method == HTTP_CONNECT)
        h1->keeps_alive = false;
    stream->in_headed = true;
    begin_response_body(h1, stream, head, framing);
    h1_answered(h1, stream, stream->tunnel);
    bool end = stream->in == HTTP_ENDED;
    if (end)
        h1_end_response(h1, piece);
    stream->events->on_response(stream, head, end);
}

static void take_response(struct h1 *h1, struct piece *piece, struct http_response *head,
                          const struct head_framing *framing, size_t size)
{
    struct http_stream *stream = h1->stream;
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    if (UNLIKELY(head->status < 200))
        refusal = check_informational(h1, head, size);
    if (framing->chunked && (head->status < 200 || head->status == 204))
        refusal = HTTP_REFUSAL_CODING_LIST;
    if (UNLIKELY(refusal))
        h1_fail_stream(h1, HTTP_RESET_PROTOCOL, refusal);
    else if (head->status < 200 && head->status != 101)
        stream->events->on_response(stream, head, false);
    else
        take_final(h1, piece, head, framing);
}

/* Bytes where no response can be: nobody asked, or nobody can have heard the question yet. */
static bool is_unasked(const struct h1 *h1)
{
    return !h1->stream || h1_is_unsent(h1);
}

static void read_response(struct h1 *h1, struct piece *piece)
{
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    enum head_status status = HEAD_MORE;
    struct head_framing framing;
    struct head_input input;
    if (UNLIKELY(is_unasked(h1))) {
        h1_fail_stream(h1, HTTP_RESET_DISCONNECTED, HTTP_REFUSAL_SURPLUS);
        return;
    }
    struct arena *arena = h1->stream->arena;
    bool in_place = lies_in_one_piece(h1, piece);
    if (UNLIKELY(!in_place)) {
        status = h1_scan(h1, piece, h1->codec.limits->max_head_bytes, &refusal);
        if (status == HEAD_MORE)
            return;
    }
    struct http_response *head = arena_try_alloc(arena, sizeof(*head));
    if (UNLIKELY(!head || (status == HEAD_WHOLE && !h1_gather(h1, piece, arena, &input)))) {
        h1_fail_stream(h1, HTTP_RESET_LIMIT, HTTP_REFUSAL_OVERLOAD);
        return;
    }
    if (in_place)
        begin_input(h1, &input, piece->bytes, arena);
    if (status != HEAD_BAD) {
        status = head_parse_response(&input, head, &framing);
        refusal = (enum http_refusal)input.refusal;
    }
    if (status == HEAD_MORE &&
        (status = h1_scan(h1, piece, h1->codec.limits->max_head_bytes, &refusal)) == HEAD_MORE)
        return;
    if (status == HEAD_WHOLE && in_place) {
        struct slice bytes = slice_first(piece->bytes, input.used);
        const char *copy = copy_head(&input, piece);
        if (!copy) {
            h1_fail_stream(h1, HTTP_RESET_LIMIT, HTTP_REFUSAL_OVERLOAD);
            return;
        }
        head_move_response(head, bytes, copy);
    }
    if (status == HEAD_WHOLE)
        take_response(h1, piece, head, &framing, input.used);
    else
        h1_fail_stream(h1, HTTP_RESET_PROTOCOL, refusal);
}

void h1_read_head(struct h1 *h1, struct piece *piece)
{
    if (h1_is_server(h1))
        read_request(h1, piece);
    else
        read_response(h1, piece);
}
