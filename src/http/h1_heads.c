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

/* The whole head in one piece of the arena, off the input. NULL when memory is refused. */
static char *gather_head(struct h1 *h1, struct piece *piece, struct arena *arena)
{
    size_t size = h1->scan.size;
    size_t kept = h1->pending ? h1->pending->size : 0;
    char *copy = arena_try_alloc(arena, size + HEAD_PADDING);
    if (!copy)
        return NULL;
    if (kept > 0) {
        chain_copy_out(h1->pending, 0, copy, kept);
        h1_drop_pending(h1);
    }
    memcpy(copy + kept, piece->bytes.data, size - kept);
    memset(copy + size, 0, HEAD_PADDING);
    slice_take(&piece->bytes, size - kept);
    return copy;
}

/* Fills *input; a head that came in pieces is scanned once more, for the ends of its lines. */
bool h1_head_input(struct h1 *h1, struct piece *piece, struct arena *arena, uint32_t *ends,
                   struct head_input *input)
{
    bool in_pieces = h1->pending != NULL;
    size_t size = h1->scan.size;
    const char *copy = gather_head(h1, piece, arena);
    if (!copy)
        return false;
    if (in_pieces) {
        enum http_refusal none;
        h1->scan = (struct head_scan){0};
        head_scan(&h1->scan, copy, size, UINT32_MAX - 1, HEAD_LINES_MAX - 1, ends, &none);
    }
    *input = (struct head_input){.bytes = slice_of(copy, size),
                                 .ends = ends,
                                 .lines = h1->scan.lines,
                                 .limits = h1->codec.limits,
                                 .arena = arena};
    h1->scan = (struct head_scan){0};
    return true;
}

enum head_scan_status h1_scan(struct h1 *h1, const struct piece *piece, uint32_t max_bytes,
                              uint32_t *ends, enum http_refusal *refusal)
{
    return head_scan(&h1->scan, piece->bytes.data, piece->bytes.size, max_bytes,
                     h1->codec.limits->max_headers, h1->pending ? NULL : ends, refusal);
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

static void take_request(struct h1 *h1, struct piece *piece, uint32_t *ends)
{
    struct http_codec *codec = &h1->codec;
    struct h1_server_stream *own = new_server_stream(h1);
    struct head_input input;
    if (!own || !h1_head_input(h1, piece, &own->arena, ends, &input)) {
        if (own)
            free_new_stream(own);
        h1_refuse_request(h1, HTTP_REFUSAL_OVERLOAD);
        return;
    }
    struct head_framing framing;
    enum http_refusal refusal = head_parse_request(&input, &own->request, &framing);
    if (UNLIKELY(refusal)) {
        free_new_stream(own);
        h1_refuse_request(h1, refusal);
        return;
    }
    codec->requests++;
    list_push_back(&codec->streams, &own->stream.node);
    h1->stream = &own->stream;
    settle_request(h1, &own->stream, &framing);
    codec->consumer->on_request(codec, &own->stream);
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
    stream->in_headed = true;
    begin_response_body(h1, stream, head, framing);
    h1_answered(h1, stream, stream->tunnel);
    bool end = stream->in == HTTP_ENDED;
    if (end)
        h1_end_response(h1, piece);
    stream->events->on_response(stream, head, end);
}

static void take_response(struct h1 *h1, struct piece *piece, uint32_t *ends)
{
    struct http_stream *stream = h1->stream;
    struct head_input input;
    struct http_response *head = arena_try_alloc(stream->arena, sizeof(*head));
    if (!head || !h1_head_input(h1, piece, stream->arena, ends, &input)) {
        h1_fail_stream(h1, HTTP_RESET_LIMIT, HTTP_REFUSAL_OVERLOAD);
        return;
    }
    struct head_framing framing;
    enum http_refusal refusal = head_parse_response(&input, head, &framing);
    if (!refusal && head->status < 200)
        refusal = check_informational(h1, head, input.bytes.size);
    if (!refusal && framing.chunked && (head->status < 200 || head->status == 204))
        refusal = HTTP_REFUSAL_CODING_LIST;
    if (UNLIKELY(refusal))
        h1_fail_stream(h1, HTTP_RESET_PROTOCOL, refusal);
    else if (head->status < 200 && head->status != 101)
        stream->events->on_response(stream, head, false);
    else
        take_final(h1, piece, head, &framing);
}

/* Bytes where no response can be: nobody asked, or nobody can have heard the question yet. */
static bool is_unasked(const struct h1 *h1)
{
    return !h1->stream || h1_is_unsent(h1);
}

void h1_read_head(struct h1 *h1, struct piece *piece)
{
    uint32_t ends[HEAD_LINES_MAX];
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    bool server = h1_is_server(h1);
    if (!server && is_unasked(h1)) {
        h1_fail_stream(h1, HTTP_RESET_DISCONNECTED, HTTP_REFUSAL_SURPLUS);
        return;
    }
    switch (h1_scan(h1, piece, h1->codec.limits->max_head_bytes, ends, &refusal)) {
    case HEAD_MORE: h1_keep(h1, piece); return;
    case HEAD_BAD: break;
    case HEAD_WHOLE:
        if (h1->scan.lines > 0) {
            if (server)
                take_request(h1, piece, ends);
            else
                take_response(h1, piece, ends);
            return;
        }
        refusal = server ? HTTP_REFUSAL_LEADING_LINES : HTTP_REFUSAL_STATUS_LINE;
        if (server && !h1->skipped_line) {
            /* RFC 9112 2.2: one empty line before a request line is forgiven. */
            slice_take(&piece->bytes, 2 - (h1->pending ? h1->pending->size : 0));
            h1_drop_pending(h1);
            h1->scan = (struct head_scan){0};
            h1->skipped_line = true;
            return;
        }
    }
    if (server)
        h1_refuse_request(h1, refusal);
    else
        h1_fail_stream(h1, HTTP_RESET_PROTOCOL, refusal);
}
