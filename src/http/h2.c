#include "http/h2.h"

#include "base/memory.h"
#include "http/h2_internal.h"

struct slice h2_preface(void)
{
    return slice_of(NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
}

/* --- errors ------------------------------------------------------------------------------------------------- */

uint32_t h2_error_of(enum http_reset_reason reason)
{
    switch (reason) {
    case HTTP_RESET_NO_ERROR: return NGHTTP2_NO_ERROR;
    case HTTP_RESET_CANCEL:
    case HTTP_RESET_DISCONNECTED:
    case HTTP_RESET_IDLE_TIMEOUT: return NGHTTP2_CANCEL;
    case HTTP_RESET_REFUSED: return NGHTTP2_REFUSED_STREAM;
    case HTTP_RESET_PROTOCOL: return NGHTTP2_PROTOCOL_ERROR;
    case HTTP_RESET_LIMIT: return NGHTTP2_ENHANCE_YOUR_CALM;
    case HTTP_RESET_INTERNAL:
    case HTTP_RESET_TRUNCATED:
    case HTTP_RESET_REASONS: break;
    }
    return NGHTTP2_INTERNAL_ERROR;
}

enum http_reset_reason h2_reason_of(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_NO_ERROR: return HTTP_RESET_NO_ERROR;
    case NGHTTP2_CANCEL: return HTTP_RESET_CANCEL;
    case NGHTTP2_REFUSED_STREAM: return HTTP_RESET_REFUSED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return HTTP_RESET_LIMIT;
    case NGHTTP2_INTERNAL_ERROR:
    case NGHTTP2_CONNECT_ERROR: return HTTP_RESET_INTERNAL;
    default: return HTTP_RESET_PROTOCOL;
    }
}

static bool spend(struct bucket *bucket, uint32_t cost, uint32_t burst, uint32_t per_s,
                  uint64_t now_ms)
{
    uint64_t refill = (now_ms - bucket->filled_ms) * per_s / 1000;
    if (refill > 0) {
        bucket->left = (uint32_t)MIN((uint64_t)burst, bucket->left + refill);
        bucket->filled_ms = now_ms;
    }
    if (bucket->left < cost)
        return false;
    bucket->left -= cost;
    return true;
}

/* GOAWAY, and no stream after it. */
static void say_last(struct h2 *h2, uint32_t error_code)
{
    h2_need(h2, nghttp2_session_terminate_session(h2->session, error_code));
}

void h2_calm(struct h2 *h2)
{
    if (h2->codec.refusal == HTTP_REFUSAL_FLOOD)
        return;
    h2->codec.refusal = HTTP_REFUSAL_FLOOD;
    h2->codec.draining = true;
    /* Terminating inside a callback trips an assertion of nghttp2 1.52 over the rest of the input. */
    if (!h2->in_session)
        say_last(h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

void h2_glitch(struct h2 *h2, uint32_t cost)
{
    const struct http_limits *limits = h2->codec.limits;
    if (!spend(&h2->glitches, cost, limits->glitch_burst, limits->glitch_per_s, h2->codec.now_ms))
        h2_calm(h2);
}

void h2_rst(struct h2 *h2, int32_t id, uint32_t error_code)
{
    h2_need(h2, nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, error_code));
}

/* --- streams and their end ---------------------------------------------------------------------------------- */

void h2_wake(struct h2 *h2)
{
    if (h2->busy == 0)
        h2->codec.events->wake(&h2->codec);
}

void h2_enter(struct h2 *h2)
{
    h2->busy++;
}

static void free_server_stream(struct h2_stream *own)
{
    struct h2_server_stream *whole = CONTAINER_OF(own, struct h2_server_stream, base);
    list_remove(&own->stream.node);
    list_remove(&own->credit_node);
    chain_fini(&own->out);
    chain_fini(&own->held);
    struct arena arena = whole->arena; /* it holds the stream itself */
    arena_fini(&arena);
}

static void sweep(struct h2 *h2)
{
    while (!list_is_empty(&h2->reap))
        free_server_stream(LIST_ENTRY(h2->reap.next, struct h2_stream, stream.node));
}

void h2_leave_quietly(struct h2 *h2)
{
    if (--h2->busy == 0)
        sweep(h2);
}

void h2_reap_if_over(struct h2 *h2, struct h2_stream *own)
{
    if (!h2_is_server(h2) || !own->stream.released || !(own->is_closed || h2->is_failed))
        return;
    list_remove(&own->stream.node);
    list_push_back(&h2->reap, &own->stream.node);
}

/* Whether the request provably was not acted on. */
static bool is_unseen(const struct h2 *h2, const struct h2_stream *own, uint32_t error_code)
{
    if (h2_is_server(h2))
        return false;
    return error_code == NGHTTP2_REFUSED_STREAM || !own->is_request_packed ||
           !h2->codec.established || own->sent_turn == h2->codec.turn;
}

static void tell_reset(struct h2 *h2, struct h2_stream *own, enum http_reset_reason reason,
                       bool unseen)
{
    struct http_stream *stream = &own->stream;
    struct http_reset reset = {.reason = (uint8_t)reason,
                               .unseen = unseen,
                               .refusal = own->refusal,
                               .failure = h2->codec.failure};
    stream->in = stream->out = HTTP_RESET;
    if (!stream->released)
        stream->events->on_reset(stream, &reset);
}

/* A request whose head never became whole has no consumer. */
static void forget_unannounced(const struct h2 *h2, struct http_stream *stream)
{
    if (h2_is_server(h2) && !stream->in_headed)
        stream->released = true;
}

/* Calls about a stream come in rows, and nghttp2 looks each of them up. */
struct h2_stream *h2_find(struct h2 *h2, int32_t id)
{
    if (h2->found && h2->found->stream.id == (uint32_t)id)
        return h2->found;
    struct h2_stream *own = nghttp2_session_get_stream_user_data(h2->session, id);
    if (own)
        h2->found = own;
    return own;
}

void h2_forget(struct h2 *h2, struct h2_stream *own)
{
    if (h2->heading == own)
        h2->heading = NULL;
    if (h2->found == own)
        h2->found = NULL;
    nghttp2_session_set_stream_user_data(h2->session, (int32_t)own->stream.id, NULL);
}

void h2_stream_closed(struct h2 *h2, struct h2_stream *own, uint32_t error_code)
{
    struct http_stream *stream = &own->stream;
    own->is_closed = true;
    h2->open--;
    forget_unannounced(h2, stream);
    chain_fini(&own->out);
    chain_fini(&own->held);
    h2_forget(h2, own);
    bool is_well = stream->in == HTTP_ENDED && own->is_end_packed;
    if (stream->released || stream->in == HTTP_RESET || is_well) {
        h2_reap_if_over(h2, own);
        return;
    }
    enum http_reset_reason reason = own->refusal ? HTTP_RESET_PROTOCOL : h2_reason_of(error_code);
    bool unseen = is_unseen(h2, own, error_code);
    tell_reset(h2, own, reason, unseen);
    /* A client's stream may be gone with its memory now; a server's waits in the list. */
}

/* --- the session's end -------------------------------------------------------------------------------------- */

void h2_break(struct h2 *h2)
{
    h2->is_failed = true;
    h2->codec.broken = true;
    h2->codec.draining = true;
    h2->codec.events->wake(&h2->codec);
}

/* Every stream hears of the end; consumers may release any of them meanwhile. */
static void fail_all(struct h2 *h2, enum http_reset_reason reason)
{
    bool found = true;
    while (found) {
        found = false;
        LIST_EACH(node, &h2->codec.streams)
        {
            struct h2_stream *own = LIST_ENTRY(node, struct h2_stream, stream.node);
            struct http_stream *stream = &own->stream;
            if (own->is_told)
                continue;
            own->is_told = found = true;
            forget_unannounced(h2, stream);
            bool is_well = stream->in == HTTP_ENDED && own->is_end_packed;
            if (stream->released)
                h2_reap_if_over(h2, own);
            else if (stream->in != HTTP_RESET && !is_well)
                tell_reset(h2, own, reason, is_unseen(h2, own, NGHTTP2_NO_ERROR));
            break;
        }
    }
}

static void lost(struct http_codec *codec, enum http_reset_reason reason)
{
    struct h2 *h2 = h2_of(codec);
    h2_enter(h2);
    h2->is_failed = true;
    codec->broken = true;
    codec->draining = true;
    fail_all(h2, reason);
    /* Those that were told and let go before it failed. */
    LIST_EACH_SAFE(node, after, &codec->streams)
    h2_reap_if_over(h2, LIST_ENTRY(node, struct h2_stream, stream.node));
    h2_leave_quietly(h2);
}

/* Streams whose submission failed are reset from here, where events may be delivered. */
static void end_hopeless(struct h2 *h2)
{
    bool found = true;
    while (found) {
        found = false;
        LIST_EACH(node, &h2->codec.streams)
        {
            struct h2_stream *own = LIST_ENTRY(node, struct h2_stream, stream.node);
            if (!own->is_hopeless || own->is_told)
                continue;
            own->is_told = found = true;
            if (own->stream.id > 0)
                h2_rst(h2, (int32_t)own->stream.id, NGHTTP2_INTERNAL_ERROR);
            tell_reset(h2, own, HTTP_RESET_INTERNAL, !own->is_request_packed);
            break;
        }
    }
    h2->has_hopeless = false;
}

/* Bytes for tunnels that stand by now. */
static void deliver_answered(struct h2 *h2)
{
    bool found = true;
    while (found) {
        found = false;
        LIST_EACH(node, &h2->codec.streams)
        {
            struct h2_stream *own = LIST_ENTRY(node, struct h2_stream, stream.node);
            if (!own->is_answered)
                continue;
            own->is_answered = false;
            found = true;
            if (own->stream.tunnel)
                h2_deliver_held(h2, own);
            break;
        }
    }
    h2->has_answered = false;
}

static void settle(struct h2 *h2)
{
    struct http_codec *codec = &h2->codec;
    if (h2->is_failed)
        return;
    codec->wants_read = !h2->pending;
    bool has_drained = codec->draining && (h2->said_goaway || !h2_is_server(h2));
    bool is_done = list_is_empty(&codec->streams) && (h2->got_goaway || has_drained);
    if (is_done && !h2->said_last) {
        h2->said_last = true;
        say_last(h2, NGHTTP2_NO_ERROR);
        h2_pump(h2);
    }
    bool is_over =
        !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
    if (is_over && !codec->closing) {
        codec->closing = true;
        codec->unread = true;
        codec->draining = true;
        fail_all(h2, HTTP_RESET_DISCONNECTED);
        codec->events->wake(codec);
    }
}

/* When all that has come is taken up: it speaks for every request that was begun, and none is begun behind it. */
static void say_goaway(struct h2 *h2)
{
    h2->owes_goaway = false;
    h2->said_goaway = true;
    h2->goaway_id = nghttp2_session_get_last_proc_stream_id(h2->session);
    h2_need(h2, nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, h2->goaway_id,
                                      NGHTTP2_NO_ERROR, NULL, 0));
}

/* Does what calls asked for while events were delivered, then frees what left. */
void h2_leave(struct h2 *h2)
{
    if (h2->busy > 1) {
        h2->busy--;
        return;
    }
    if (!h2->is_failed) {
        if (h2->has_waiting && h2->got_settings)
            h2_send_waiting(h2);
        if (h2->has_hopeless)
            end_hopeless(h2);
        if (h2->has_answered)
            deliver_answered(h2);
        if (UNLIKELY(h2->owes_goaway) && !h2->pending)
            say_goaway(h2);
        h2_pump(h2);
        settle(h2);
    }
    h2_leave_quietly(h2);
}

/* --- the codec's interface ---------------------------------------------------------------------------------- */

static void keep(struct h2 *h2, struct block *block, struct slice bytes)
{
    if (!h2->pending)
        h2->pending = slab_heap_take_zeroed(h2->heap, sizeof(*h2->pending));
    if (!h2->pending) {
        h2_break(h2);
        return;
    }
    if (block)
        block_ref(block);
    chain_append_block(h2->pending, block, bytes.data, bytes.size);
}

/* Without the session, which has no memory for it. Frames are written whole, so it may follow any. */
static void say_no_memory(struct h2 *h2)
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
    uint8_t frame[9 + 8] = {[2] = 8, [3] = NGHTTP2_GOAWAY, [16] = NGHTTP2_INTERNAL_ERROR};
    for (int i = 0; i < 4; i++)
        frame[9 + i] = (uint8_t)(last >> (24 - 8 * i));
    if (chain_append_copy(&h2->wire, h2->codec.pool, slice_of(frame, sizeof(frame))))
        h2->codec.events->write(&h2->codec, &h2->wire);
}

static void on_fatal(struct h2 *h2, ssize_t error)
{
    struct http_codec *codec = &h2->codec;
    if (!codec->refusal)
        codec->refusal = error == NGHTTP2_ERR_FLOODED            ? HTTP_REFUSAL_FLOOD
                         : error == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? HTTP_REFUSAL_PREFACE
                         : error == NGHTTP2_ERR_NOMEM            ? HTTP_REFUSAL_OVERLOAD
                                                                 : HTTP_REFUSAL_HTTP2;
    /* Its GOAWAY, if there is one, shall arrive, so the connection lingers. */
    if (error == NGHTTP2_ERR_NOMEM)
        say_no_memory(h2);
    else
        h2_pump(h2);
    h2->is_failed = true;
    codec->draining = codec->closing = codec->unread = true;
    fail_all(h2, HTTP_RESET_DISCONNECTED);
    codec->events->wake(codec);
}

/* A stalled stream holds its own window back, never the connection's. */
static void give_connection_credit(struct h2 *h2)
{
    if (h2->arrived > 0)
        h2_need(h2, nghttp2_session_consume_connection(h2->session, h2->arrived));
    h2->arrived = 0;
}

/* Gives bytes to the session; false when the rest must wait or be dropped. */
static bool work(struct h2 *h2, struct block *block, struct slice bytes)
{
    if (UNLIKELY(h2->is_resting) && !h2_wake_memory(h2)) {
        h2_break(h2);
        return false;
    }
    if (h2->turn != h2->codec.turn) {
        h2->turn = h2->codec.turn;
        /* A request that was cut off by the last turn's budget counts in this one. */
        h2->turn_messages = h2->turn_messages > h2->codec.limits->max_turn_messages;
    }
    while (bytes.size > 0) {
        h2->block = block;
        h2->in_session = true;
        ssize_t used =
            nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.data, bytes.size);
        h2->in_session = false;
        h2_deliver_part(h2);
        give_connection_credit(h2);
        h2->block = NULL;
        if (used < 0) {
            on_fatal(h2, used);
            return false;
        }
        if (UNLIKELY(h2->is_failed))
            return false;
        if (UNLIKELY(h2->violation)) {
            h2->codec.refusal = HTTP_REFUSAL_HTTP2;
            h2->codec.draining = true;
            say_last(h2, h2->violation);
            return false;
        }
        if (h2->codec.refusal == HTTP_REFUSAL_FLOOD) {
            say_last(h2, NGHTTP2_ENHANCE_YOUR_CALM);
            return false;
        }
        slice_take(&bytes, (size_t)used);
        if (bytes.size > 0) {
            keep(h2, block, bytes);
            h2->codec.events->wake_next(&h2->codec);
            return false;
        }
    }
    return true;
}

static void read_bytes(struct http_codec *codec, struct block *block, const char *data, size_t size)
{
    struct h2 *h2 = h2_of(codec);
    codec->bytes_in += size;
    if (!h2->is_failed && !codec->closing) {
        h2_enter(h2);
        if (h2_is_server(h2))
            h2_watch_frames(h2, slice_of(data, size));
        if (h2->pending)
            keep(h2, block, slice_of(data, size));
        else
            work(h2, block, slice_of(data, size));
        h2_leave(h2);
    }
    block_unref(block);
}

static void read_pending(struct h2 *h2)
{
    struct chain *waiting = h2->pending;
    if (!waiting)
        return;
    h2->pending = NULL;
    bool goes_on = true;
    while (waiting->size > 0) {
        struct segment front = *chain_segment(waiting, 0);
        if (front.block)
            block_ref(front.block);
        chain_consume(waiting, front.size);
        if (goes_on)
            goes_on = work(h2, front.block, slice_of(front.data, front.size));
        else if (!h2->is_failed)
            keep(h2, front.block, slice_of(front.data, front.size));
        block_unref(front.block);
    }
    chain_fini(waiting);
    slab_heap_give_back(h2->heap, waiting);
}

static void run(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    h2_enter(h2);
    if (h2->is_failed)
        fail_all(h2, HTTP_RESET_DISCONNECTED);
    else if (!h2->pending || h2->turn != codec->turn)
        read_pending(h2);
    else
        codec->events->wake_next(codec);
    h2_leave(h2);
}

static void eof(struct http_codec *codec, bool truncated)
{
    struct h2 *h2 = h2_of(codec);
    (void)truncated;
    if (h2->is_failed || codec->closing)
        return;
    h2_enter(h2);
    codec->draining = true;
    if (list_is_empty(&codec->streams)) {
        codec->closing = true;
        codec->events->wake(codec);
    } else {
        h2_break(h2);
        fail_all(h2, HTTP_RESET_DISCONNECTED);
    }
    h2_leave_quietly(h2);
}

static void sent(struct http_codec *codec, size_t size, size_t backlog)
{
    struct h2 *h2 = h2_of(codec);
    codec->bytes_sent += size;
    h2->backlog = backlog;
    if (h2->is_failed)
        return;
    h2_enter(h2);
    h2_leave(h2);
}

static uint32_t room(const struct http_codec *codec)
{
    const struct h2 *h2 = h2_of(codec);
    if (codec->role == HTTP_SERVER || codec->draining || codec->closing || h2->is_failed)
        return 0;
    uint32_t most =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    most = MIN(most, codec->limits->max_streams);
    return h2->open < most ? most - h2->open : 0;
}

static struct http_stream *open_stream(struct http_codec *codec, struct arena *arena)
{
    struct h2 *h2 = h2_of(codec);
    struct h2_stream *own;
    if (room(codec) == 0 || !(own = arena_try_alloc(arena, sizeof(*own))))
        return NULL;
    if (nghttp2_session_get_next_stream_id(h2->session) > INT32_MAX) {
        codec->draining = true;
        return NULL;
    }
    *own = (struct h2_stream){.stream = {.ops = &h2_stream_ops,
                                         .codec = codec,
                                         .arena = arena,
                                         .moved_ms = codec->now_ms},
                              .body_left = HTTP_LENGTH_UNKNOWN};
    list_init(&own->credit_node);
    list_push_back(&codec->streams, &own->stream.node);
    codec->requests++;
    h2->open++;
    return &own->stream;
}

/*
 * A server says so first and counts its streams when the peer must have heard it (RFC 9113 6.8). A client only opens no new
 * ones, and says GOAWAY with its last: there are servers that answer nothing any more once they read one.
 */
static void drain(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    if (h2->said_notice || h2->is_failed || codec->closing)
        return;
    codec->draining = true;
    h2->said_notice = true;
    if (h2_is_server(h2)) {
        h2_need(h2, nghttp2_submit_shutdown_notice(h2->session));
        h2_need(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL));
    }
    h2_wake(h2);
}

void h2_end_notice(struct h2 *h2)
{
    h2->owes_goaway = h2->heard_notice && !h2->has_grace && !h2->said_goaway;
}

void h2_begin_grace(struct http_codec *codec)
{
    h2_of(codec)->has_grace = true;
}

void h2_end_grace(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    h2->has_grace = false;
    h2_end_notice(h2);
    h2_wake(h2);
}

bool h2_has_grace(const struct http_codec *codec)
{
    return CONTAINER_OF(codec, const struct h2, codec)->has_grace;
}

static void refuse(struct http_codec *codec, enum http_refusal refusal)
{
    struct h2 *h2 = h2_of(codec);
    if (h2->is_failed || codec->closing)
        return;
    h2_enter(h2);
    codec->refusal = (uint8_t)refusal;
    codec->draining = true;
    say_last(h2, refusal == HTTP_REFUSAL_OVERLOAD ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
    h2_leave(h2);
}

static void expire(struct http_codec *codec, struct http_stream *stream)
{
    struct h2 *h2 = h2_of(codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (h2->is_failed || stream->in == HTTP_RESET)
        return;
    h2_enter(h2);
    if (h2_is_server(h2) && !stream->out_headed && !own->is_closed) {
        struct http_response head;
        http_response_init(&head, http_refusal_status(HTTP_REFUSAL_TIMEOUT));
        own->rst_at_end = stream->in == HTTP_OPEN;
        http_stream_send_response(stream, &head, true);
    } else if (!own->is_closed && stream->id > 0) {
        h2_rst(h2, (int32_t)stream->id, NGHTTP2_CANCEL);
    }
    tell_reset(h2, own, HTTP_RESET_IDLE_TIMEOUT, false);
    h2_leave(h2);
}

static void destroy(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    h2->is_failed = true;
    LIST_EACH_SAFE(node, after, &codec->streams)
    h2_reap_if_over(h2, LIST_ENTRY(node, struct h2_stream, stream.node));
    sweep(h2);
    nghttp2_session_del(h2->session);
    if (h2->pending) {
        chain_fini(h2->pending);
        slab_heap_give_back(h2->heap, h2->pending);
    }
    chain_fini(&h2->wire);
    chain_fini(&h2->data);
    slab_heap_give_back(h2->heap, h2);
}

/* --- making ------------------------------------------------------------------------------------------------- */

void h2_ping(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    if (h2->is_failed || h2->has_ping)
        return;
    h2->has_ping = true;
    h2_need(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL));
    h2_wake(h2);
}

bool h2_ping_is_open(const struct http_codec *codec)
{
    return h2_of(codec)->has_ping;
}

static const struct http_codec_ops h2_ops = {
    .read = read_bytes,
    .eof = eof,
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

static int new_session(struct h2 *h2)
{
    const struct http_limits *limits = h2->codec.limits;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int error = nghttp2_session_callbacks_new(&callbacks);
    if (!error)
        error = nghttp2_option_new(&option);
    if (!error) {
        h2_set_callbacks(callbacks);
        h2_set_out_callbacks(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1); /* h2_rules.c */
        nghttp2_option_set_max_outbound_ack(option, limits->max_queued_control);
        nghttp2_option_set_max_continuations(option, limits->max_continuations);
        /* Ours looks at the share as well; this one is the last resort. */
        nghttp2_option_set_stream_reset_rate_limit(option, (uint64_t)limits->reset_burst * 10,
                                                   limits->reset_per_s);
        nghttp2_option_set_max_reserved_remote_streams(option, 0);
        nghttp2_mem memory = h2_memory(h2);
        error = h2_is_server(h2)
                    ? nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &memory)
                    : nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &memory);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return error;
}

static int submit_settings(struct h2 *h2)
{
    const struct http_limits *limits = h2->codec.limits;
    nghttp2_settings_entry entries[6];
    size_t count = 0;
#define SETTING(name, number)                                                                      \
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_##name, number}
    SETTING(INITIAL_WINDOW_SIZE, limits->stream_window);
    SETTING(MAX_HEADER_LIST_SIZE, limits->max_head_bytes);
    if (h2_is_server(h2)) {
        SETTING(MAX_CONCURRENT_STREAMS, limits->max_streams);
        SETTING(NO_RFC7540_PRIORITIES, 1);
        if (limits->offer_extended_connect)
            SETTING(ENABLE_CONNECT_PROTOCOL, 1);
    } else {
        SETTING(ENABLE_PUSH, 0);
    }
#undef SETTING
    int error = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count);
    if (!error)
        error = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                      (int32_t)limits->connection_window);
    return error;
}

struct http_codec *h2_create(enum http_role role, const struct http_codec_events *events,
                             const struct http_codec_consumer *consumer,
                             const struct http_limits *limits, struct block_pool *pool,
                             struct slab_heap *heap, void *owner)
{
    struct h2 *h2 = slab_heap_take_zeroed(heap, sizeof(*h2));
    if (!h2)
        return NULL;
    h2->heap = heap;
    h2->codec = (struct http_codec){.ops = &h2_ops,
                                    .events = events,
                                    .consumer = consumer,
                                    .limits = limits,
                                    .pool = pool,
                                    .owner = owner,
                                    .protocol = HTTP_PROTOCOL_2,
                                    .role = (uint8_t)role,
                                    .wants_read = true};
    list_init(&h2->codec.streams);
    list_init(&h2->reap);
    list_init(&h2->credit);
    h2->frame_left = NGHTTP2_CLIENT_MAGIC_LEN;
    h2->codec.in_head = role == HTTP_SERVER; /* until the preface's SETTINGS have come */
    h2->glitches.left = limits->glitch_burst;
    if (new_session(h2)) {
        slab_heap_give_back(heap, h2);
        return NULL;
    }
    if (submit_settings(h2)) {
        nghttp2_session_del(h2->session);
        slab_heap_give_back(heap, h2);
        return NULL;
    }
    events->wake(&h2->codec);
    return &h2->codec;
}
