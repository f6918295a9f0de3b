#include "http/h1.h"

#include "base/memory.h"
#include "http/h1_internal.h"

/* --- streams and their end ---------------------------------------------------------------------------------- */

static void free_server_stream(struct http_stream *stream)
{
    struct h1_server_stream *own = CONTAINER_OF(stream, struct h1_server_stream, stream);
    list_remove(&stream->node);
    struct arena arena = own->arena; /* it holds the stream itself */
    arena_fini(&arena);
}

void h1_left(struct h1 *h1)
{
    if ((h1->codec.broken || h1->codec.closing) && list_is_empty(&h1->codec.streams))
        h1_wake(h1);
}

void h1_sweep(struct h1 *h1)
{
    h1->has_released = false;
    LIST_EACH_SAFE(node, after, &h1->codec.streams)
    {
        struct http_stream *stream = LIST_ENTRY(node, struct http_stream, node);
        if (stream->released && stream != h1->stream)
            free_server_stream(stream);
    }
    h1_left(h1);
}

void h1_write(struct h1 *h1, struct chain *bytes)
{
    h1->codec.bytes_written += bytes->size;
    h1->codec.events->write(&h1->codec, bytes);
}

void h1_break(struct h1 *h1, enum http_reset_reason reason)
{
    if (h1->codec.broken)
        return;
    h1->codec.broken = true;
    h1->codec.draining = true;
    h1->fail_reason = (uint8_t)reason;
    h1->in = H1_IN_RUIN;
    h1_wake(h1);
}

void h1_close(struct h1 *h1, bool unread)
{
    h1->codec.closing = true;
    h1->codec.draining = true;
    h1->codec.unread |= unread || h1->pending;
    h1->in = H1_IN_RUIN;
    h1_drop_pending(h1);
    h1_wake(h1);
}

/* Whether the peer provably did not see the request: not a byte of it was given to the kernel, or it had ended before. */
static bool is_unseen(const struct h1 *h1)
{
    return !h1_is_server(h1) && (h1_is_unsent(h1) || h1->codec.unheard);
}

void h1_fail_stream(struct h1 *h1, enum http_reset_reason reason, enum http_refusal refusal)
{
    struct http_stream *stream = h1->stream;
    if (!h1->codec.broken && !h1->codec.closing)
        h1_break(h1, reason);
    h1_drop_pending(h1);
    if (refusal && !h1->codec.refusal)
        h1->codec.refusal = (uint8_t)refusal;
    if (!stream)
        return;
    struct http_reset reset = {.reason = (uint8_t)reason,
                               .unseen = is_unseen(h1),
                               .refusal = (uint8_t)refusal,
                               .failure = h1->codec.failure};
    h1->stream = NULL;
    stream->in = stream->out = HTTP_RESET;
    if (!stream->released)
        stream->events->on_reset(stream, &reset);
}

/* A server that drains goes on as long as it has not said so: the peer may have begun the next request. */
static bool may_go_on(const struct h1 *h1)
{
    return h1->keeps_alive && (h1_is_server(h1) || !h1->codec.draining) &&
           (!h1->got_eof || h1->pending);
}

void h1_end_if_over(struct h1 *h1)
{
    struct http_stream *stream = h1->stream;
    if (!stream || stream->in == HTTP_OPEN || stream->out == HTTP_OPEN)
        return;
    bool was_tunnel = stream->tunnel;
    h1->stream = NULL;
    if (was_tunnel || !may_go_on(h1)) {
        h1_close(h1, false);
        return;
    }
    h1->in = H1_AT_HEAD;
    h1->scan = (struct head_scan){0};
    h1->skipped_line = false;
    if (h1->pending || !h1->codec.wants_read)
        h1_wake(h1);
}

void h1_settle_reading(struct h1 *h1)
{
    const struct http_limits *limits = h1->codec.limits;
    bool waits = h1->in == H1_AT_END && h1->pending && h1->pending->size >= limits->receive_window;
    bool full = h1->stream && h1->stream->unconsumed >= limits->receive_window;
    h1->codec.wants_read = !waits && !full;
    h1->codec.in_head = h1->in == H1_AT_HEAD && h1->scan.size > 0;
}

/* --- the codec's interface ---------------------------------------------------------------------------------- */

static void lost(struct http_codec *codec, enum http_reset_reason reason)
{
    struct h1 *h1 = h1_of(codec);
    h1_enter(h1);
    codec->broken = true;
    codec->draining = true;
    h1->in = H1_IN_RUIN;
    h1_fail_stream(h1, reason, HTTP_REFUSAL_NONE);
    h1_leave(h1);
}

static void sent(struct http_codec *codec, size_t size, size_t backlog)
{
    struct h1 *h1 = h1_of(codec);
    struct http_stream *stream = h1->stream;
    codec->bytes_sent += size;
    if (!stream || stream->unsent <= backlog)
        return;
    size_t credit = stream->unsent - backlog;
    stream->unsent = backlog;
    stream->moved_ms = codec->now_ms;
    if (stream->released || !stream->events->on_sent)
        return;
    h1_enter(h1);
    stream->events->on_sent(stream, credit);
    h1_leave(h1);
}

static void run(struct http_codec *codec)
{
    struct h1 *h1 = h1_of(codec);
    h1_enter(h1);
    if (codec->broken)
        h1_fail_stream(h1, (enum http_reset_reason)h1->fail_reason, HTTP_REFUSAL_NONE);
    else
        h1_read_pending(h1);
    h1_settle_reading(h1);
    h1_leave(h1);
}

static uint32_t room(const struct http_codec *codec)
{
    const struct h1 *h1 = CONTAINER_OF(codec, const struct h1, codec);
    bool free = codec->role == HTTP_CLIENT && !h1->stream && !codec->draining &&
                h1->in == H1_AT_HEAD && h1->scan.size == 0;
    return free ? 1 : 0;
}

static struct http_stream *open_stream(struct http_codec *codec, struct arena *arena)
{
    struct h1 *h1 = h1_of(codec);
    struct http_stream *stream;
    if (room(codec) == 0 || !(stream = arena_try_alloc(arena, sizeof(*stream))))
        return NULL;
    *stream = (struct http_stream){.ops = &h1_stream_ops,
                                   .codec = codec,
                                   .arena = arena,
                                   .moved_ms = codec->now_ms,
                                   .id = codec->requests++};
    list_push_back(&codec->streams, &stream->node);
    h1->stream = stream;
    h1->out = H1_OUT_HEAD;
    h1->keeps_alive = true;
    h1->asks_tunnel = false;
    h1->informational = 0;
    h1->informational_bytes = 0;
    h1->begin_turn = codec->turn;
    return stream;
}

static void drain(struct http_codec *codec)
{
    struct h1 *h1 = h1_of(codec);
    codec->draining = true;
    if (!h1->stream && !(h1->in == H1_AT_HEAD && h1->scan.size > 0) && !h1->pending)
        h1_close(h1, false);
}

static void refuse(struct http_codec *codec, enum http_refusal refusal)
{
    struct h1 *h1 = h1_of(codec);
    if (codec->broken || codec->closing)
        return;
    h1_enter(h1);
    if (h1_is_server(h1) && !h1->stream)
        h1_refuse_request(h1, refusal);
    else
        h1_fail_stream(h1, HTTP_RESET_LIMIT, refusal);
    h1_leave(h1);
}

static void expire(struct http_codec *codec, struct http_stream *stream)
{
    struct h1 *h1 = h1_of(codec);
    if (h1->stream != stream)
        return;
    h1_enter(h1);
    if (h1_is_server(h1) && !stream->out_headed && !codec->broken)
        h1_answer_refusal(h1, HTTP_REFUSAL_TIMEOUT);
    h1_fail_stream(h1, HTTP_RESET_IDLE_TIMEOUT, HTTP_REFUSAL_NONE);
    h1_leave(h1);
}

static void destroy(struct http_codec *codec)
{
    struct h1 *h1 = h1_of(codec);
    h1_drop_pending(h1);
    h1_sweep(h1);
}

static const struct http_codec_ops h1_ops = {
    .read = h1_read,
    .eof = h1_eof,
    .lost = lost,
    .sent = sent,
    .run = run,
    .open = open_stream,
    .room = room,
    .drain = drain,
    .refuse = refuse,
    .expire = expire,
    .destroy = destroy,
};

void h1_init(struct h1 *h1, enum http_role role, const struct http_codec_events *events,
             const struct http_codec_consumer *consumer, const struct http_limits *limits,
             struct block_pool *pool, void *owner)
{
    *h1 = (struct h1){
        .codec = {.ops = &h1_ops,
                  .events = events,
                  .consumer = consumer,
                  .limits = limits,
                  .pool = pool,
                  .owner = owner,
                  .protocol = HTTP_PROTOCOL_1,
                  .role = (uint8_t)role,
                  .wants_read = true},
        .in = H1_AT_HEAD,
        .keeps_alive = true,
    };
    list_init(&h1->codec.streams);
}

/* --- what both directions decide ---------------------------------------------------------------------------- */

void h1_answer_refusal(struct h1 *h1, enum http_refusal refusal)
{
    struct http_codec *codec = &h1->codec;
    struct slice sentence = slice_str(http_refusal_text(refusal));
    struct http_response head;
    struct header fields[1] = {{.name = "content-type",
                                .value = "text/plain",
                                .value_size = 10,
                                .name_size = 12,
                                .id = HEADER_CONTENT_TYPE}};
    http_response_init(&head, http_refusal_status(refusal));
    head.headers = (struct headers){.items = fields, .count = 1, .capacity = 1};
    struct h1_head_style style = {
        .framing = H1_FRAME_LENGTH, .length = sentence.size + 1, .close = true};
    struct chain out = {0};
    if (h1_write_response(&out, codec->pool, &head, &style)) {
        chain_append_static(&out, sentence);
        chain_append_static(&out, SLICE("\n"));
        h1_write(h1, &out);
    }
    chain_fini(&out);
    codec->refusal = (uint8_t)refusal;
    h1_close(h1, true);
}

void h1_refuse_request(struct h1 *h1, enum http_refusal refusal)
{
    h1_answer_refusal(h1, refusal);
    h1->codec.consumer->on_refused(&h1->codec, refusal);
}

void h1_drop_pending(struct h1 *h1)
{
    if (!h1->pending)
        return;
    chain_fini(h1->pending);
    mem_free(h1->pending);
    h1->pending = NULL;
}

bool h1_is_at_rest(const struct http_codec *codec)
{
    const struct h1 *h1 = CONTAINER_OF(codec, const struct h1, codec);
    return list_is_empty(&codec->streams) && h1->in == H1_AT_HEAD && h1->scan.size == 0 &&
           !h1->pending && !h1->skipped_line && !h1->got_eof && h1->busy == 0 &&
           codec->wants_read && !codec->draining && !codec->closing && !codec->broken;
}

bool h1_is_tunnel(const struct http_codec *codec)
{
    const struct h1 *h1 = CONTAINER_OF(codec, const struct h1, codec);
    return h1->stream && h1->stream->tunnel;
}
