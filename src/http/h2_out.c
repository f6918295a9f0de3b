/*
 * h2_out: what goes to the peer: heads are submitted at once, bodies are packed when window and backlog allow.
 */
#include "http/h2_internal.h"

enum {
    BACKLOG_BYTES = 64 * 1024, /* framed and not yet sent: more would be decided too early */
    FRAME_HEAD = 9,
    /* Payload that is copied behind its frame's head, rather than referred to: at most what a small block holds. */
    COPIED_BYTES = BLOCK_SMALL_CAPACITY - FRAME_HEAD,
};

/* --- packing ------------------------------------------------------------------------------------------------ */

static bool is_enough(const struct h2 *h2)
{
    return h2->backlog + h2->wire.size >= BACKLOG_BYTES;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *own = h2_find(h2, id);
    (void)to, (void)source;
    if (!own)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t size = MIN(room, own->out.size);
    if (size == 0 && !own->is_out_ended) {
        own->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size < own->out.size || !own->is_out_ended)
        return (ssize_t)size;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (own->trailers) {
        struct h2_fields fields;
        h2_fields_of_trailers(&fields, own->trailers);
        int error =
            fields.count > 0 ? nghttp2_submit_trailer(session, id, fields.items, fields.count) : 0;
        if (fields.count > 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        h2_fields_fini(&fields);
        if (error)
            return NGHTTP2_ERR_CALLBACK_FAILURE; /* without them it would not be whole */
    }
    return (ssize_t)size;
}

/* Room for what is copied: a lone message lies in a small block, many frames in large ones. */
static char *reserve(struct h2 *h2, size_t size)
{
    bool is_one_of_many = h2->wire.size > 0 && chain_tail_room(&h2->wire) < size;
    return chain_reserve(&h2->wire, h2->codec.pool, is_one_of_many ? BLOCK_LARGE_CAPACITY : size);
}

/* Any frame but DATA. */
static bool put_frame(struct h2 *h2, const uint8_t *bytes, size_t size)
{
    if (UNLIKELY(size > BLOCK_SMALL_CAPACITY))
        return chain_append_copy(&h2->wire, h2->codec.pool, slice_of(bytes, size));
    char *to = reserve(h2, size);
    if (!to)
        return false;
    memcpy(to, bytes, size);
    chain_commit(&h2->wire, size);
    return true;
}

/* A reference costs a piece of its own in each send, and a block for the head behind it. */
static bool put_small_data(struct h2 *h2, const uint8_t *head, struct chain *body, size_t size)
{
    char *to = reserve(h2, FRAME_HEAD + size);
    if (!to)
        return false;
    memcpy(to, head, FRAME_HEAD);
    chain_copy_out(body, 0, to + FRAME_HEAD, size);
    chain_consume(body, size);
    chain_commit(&h2->wire, FRAME_HEAD + size);
    return true;
}

static bool put_large_data(struct h2 *h2, const uint8_t *head, struct chain *body, size_t size)
{
    if (!chain_append_copy(&h2->wire, h2->codec.pool, slice_of(head, FRAME_HEAD)))
        return false;
    chain_move_n(&h2->wire, body, size);
    return true;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t size, nghttp2_data_source *source, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *own = h2_find(h2, frame->hd.stream_id);
    (void)session, (void)source;
    /* The frame was cut when the body was still there; a reset that came while it waited took the body away. */
    if (!own || own->out.size < size)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (is_enough(h2))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (size <= COPIED_BYTES ? !put_small_data(h2, head, &own->out, size)
                             : !put_large_data(h2, head, &own->out, size))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (size > 0) {
        if (own->credit == 0)
            list_push_back(&h2->credit, &own->credit_node);
        own->credit += size;
        own->stream.moved_ms = h2->codec.now_ms;
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    (void)session;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct h2_stream *own = h2_find(h2, frame->hd.stream_id);
    h2->window_updates = 0;
    if (!own)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !own->is_request_packed) {
        own->is_request_packed = true;
        own->sent_turn = h2->codec.turn;
    }
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    own->is_end_packed = true;
    if (own->rst_at_end)
        h2_rst(h2, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

void h2_set_out_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

static bool pack(struct h2 *h2)
{
    while (!is_enough(h2)) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(h2->session, &bytes);
        if (size <= 0)
            return size == 0;
        if (!put_frame(h2, bytes, (size_t)size))
            return false;
    }
    return true;
}

/* Tells who has room again; they may have more to send at once. */
static void tell_sent(struct h2 *h2)
{
    while (!list_is_empty(&h2->credit)) {
        struct h2_stream *own = LIST_ENTRY(h2->credit.next, struct h2_stream, credit_node);
        size_t size = own->credit;
        list_remove(&own->credit_node);
        own->credit = 0;
        own->stream.unsent -= MIN(size, own->stream.unsent);
        if (!own->stream.released && own->stream.events->on_sent)
            own->stream.events->on_sent(&own->stream, size);
    }
}

/* A session that has nothing to say goes on resting. */
static bool has_to_say(struct h2 *h2)
{
    if (h2->is_failed || is_enough(h2) || !nghttp2_session_want_write(h2->session))
        return false;
    if (LIKELY(!h2->is_resting) || h2_wake_memory(h2))
        return true;
    h2_break(h2);
    return false;
}

void h2_pump(struct h2 *h2)
{
    while (has_to_say(h2)) {
        h2->in_session = true;
        bool is_well = pack(h2);
        h2->in_session = false;
        size_t packed = h2->wire.size;
        if (packed > 0) {
            h2->backlog += packed;
            h2->codec.bytes_written += packed;
            h2->codec.events->write(&h2->codec, &h2->wire);
        }
        if (!is_well) {
            h2_break(h2);
            return;
        }
        /* Only who hears of it may have something to add. */
        if (list_is_empty(&h2->credit))
            return;
        tell_sent(h2);
    }
}

/* --- what consumers send ------------------------------------------------------------------------------------ */

static bool is_sendable(const struct h2 *h2, const struct http_stream *stream)
{
    return !h2->is_failed && stream->out == HTTP_OPEN && !stream->released;
}

/* The session took no more memory, or the stream is not one it can send on. */
static void give_up(struct h2 *h2, struct h2_stream *own)
{
    own->is_hopeless = h2->has_hopeless = true;
    h2_wake(h2);
}

static const nghttp2_data_provider body = {.read_callback = on_read};

/* What is kept must be our own: the head is borrowed for the call. */
static struct slice keep_slice(struct http_stream *stream, struct slice bytes, bool *ok)
{
    char *copy = arena_try_alloc(stream->arena, bytes.size + 1);
    *ok = *ok && copy;
    if (copy && bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, copy ? bytes.size : 0);
}

static bool keep_request(struct h2 *h2, struct h2_stream *own, const struct http_request *head)
{
    struct http_stream *stream = &own->stream;
    struct http_request *copy = arena_try_alloc(stream->arena, sizeof(*copy));
    bool ok = copy != NULL;
    if (!ok)
        return false;
    *copy = *head;
    copy->headers = (struct headers){0};
    copy->scheme = keep_slice(stream, head->scheme, &ok);
    copy->authority = keep_slice(stream, head->authority, &ok);
    copy->path = keep_slice(stream, head->path, &ok);
    copy->upgrade = keep_slice(stream, head->upgrade, &ok);
    for (unsigned i = 0; ok && i < head->headers.count; i++)
        ok = headers_add_copy(&copy->headers, stream->arena, header_name(&head->headers.items[i]),
                              header_value(&head->headers.items[i]));
    own->waiting = ok ? copy : NULL;
    h2->has_waiting |= ok;
    return ok;
}

static void submit_request(struct http_stream *stream, const struct http_request *head, bool end);

void h2_send_waiting(struct h2 *h2)
{
    h2->has_waiting = false;
    LIST_EACH(node, &h2->codec.streams)
    {
        struct h2_stream *own = LIST_ENTRY(node, struct h2_stream, stream.node);
        const struct http_request *head = own->waiting;
        own->waiting = NULL;
        if (head && !own->is_told && own->stream.in == HTTP_OPEN)
            submit_request(&own->stream, head, false);
    }
}

static void send_request(struct http_stream *stream, const struct http_request *head, bool end)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (!is_sendable(h2, stream) || stream->out_headed)
        return;
    stream->out_headed = true;
    if (head->upgrade.size == 0 || h2->got_settings)
        submit_request(stream, head, end);
    else if (!keep_request(h2, own, head))
        give_up(h2, own);
}

static void submit_request(struct http_stream *stream, const struct http_request *head, bool end)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    stream->method = head->method;
    own->asks_tunnel = head->method == HTTP_CONNECT || head->upgrade.size > 0;
    if (head->upgrade.size > 0) {
        bool is_offered = nghttp2_session_get_remote_settings(
            h2->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL);
        char *copy = is_offered ? arena_try_alloc(stream->arena, head->upgrade.size) : NULL;
        if (!copy) {
            give_up(h2, own);
            return;
        }
        memcpy(copy, head->upgrade.data, head->upgrade.size);
        own->upgrade = slice_of(copy, head->upgrade.size);
    }
    bool is_whole = end && !own->asks_tunnel;
    struct h2_fields fields;
    h2_fields_of_request(&fields, head, is_whole);
    int32_t id = nghttp2_submit_request(h2->session, NULL, fields.items, fields.count,
                                        is_whole ? NULL : &body, own);
    h2_fields_fini(&fields);
    if (id < 0) {
        give_up(h2, own);
        return;
    }
    stream->id = (uint32_t)id;
    if (is_whole) {
        stream->out = HTTP_ENDED;
        own->is_out_ended = true;
    }
    h2_wake(h2);
}

static void send_informational(struct h2 *h2, struct h2_stream *own,
                               const struct http_response *head)
{
    struct h2_fields fields;
    h2_fields_of_response(&fields, head, &own->stream, false);
    int error = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, (int32_t)own->stream.id,
                                       NULL, fields.items, fields.count, NULL);
    h2_fields_fini(&fields);
    if (error)
        give_up(h2, own);
    h2_wake(h2);
}

static void send_response(struct http_stream *stream, const struct http_response *head, bool end)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (!is_sendable(h2, stream) || stream->out_headed)
        return;
    stream->moved_ms = h2->codec.now_ms;
    if (head->status < 200 && head->status != 101) {
        send_informational(h2, own, head);
        return;
    }
    bool tunnel = http_response_is_tunnel((enum http_method)stream->method, head->status);
    bool bodyless =
        !tunnel && http_response_is_bodyless((enum http_method)stream->method, head->status);
    struct h2_fields fields;
    stream->out_headed = true;
    h2_fields_of_response(&fields, head, stream, end);
    int error = nghttp2_submit_response(h2->session, (int32_t)stream->id, fields.items,
                                        fields.count, end || bodyless ? NULL : &body);
    h2_fields_fini(&fields);
    if (error) {
        give_up(h2, own);
        return;
    }
    stream->tunnel = tunnel;
    own->is_bodyless = bodyless;
    if (end) {
        stream->out = HTTP_ENDED;
        own->is_out_ended = true;
    }
    if (own->asks_tunnel && !tunnel)
        chain_fini(&own->held);
    if (own->asks_tunnel)
        own->is_answered = h2->has_answered = true;
    h2_wake(h2);
}

static void resume(struct h2 *h2, struct h2_stream *own)
{
    if (own->is_deferred) {
        own->is_deferred = false;
        h2_need(h2, nghttp2_session_resume_data(h2->session, (int32_t)own->stream.id));
    }
    h2_wake(h2);
}

static void send_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (is_sendable(h2, stream) && !own->is_hopeless) {
        if (!own->is_bodyless) {
            stream->unsent += data->size;
            chain_move(&own->out, data);
        }
        if (end) {
            stream->out = HTTP_ENDED;
            own->is_out_ended = true;
        }
        resume(h2, own);
    }
    chain_fini(data);
}

static void send_trailers(struct http_stream *stream, const struct headers *trailers)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (!is_sendable(h2, stream))
        return;
    struct headers *copy = arena_try_alloc(stream->arena, sizeof(*copy));
    bool is_copied = copy != NULL;
    if (copy)
        *copy = (struct headers){0};
    for (unsigned i = 0; is_copied && i < trailers->count; i++)
        is_copied = headers_add_copy(copy, stream->arena, header_name(&trailers->items[i]),
                                     header_value(&trailers->items[i]));
    if (!is_copied) {
        give_up(h2, own);
        return;
    }
    own->trailers = copy;
    own->is_out_ended = true;
    stream->out = HTTP_ENDED;
    resume(h2, own);
}

/* --- credit and the consumer's leave ------------------------------------------------------------------------ */

/* Of no use where nothing more will come. */
static void give_credit(struct h2 *h2, struct http_stream *stream, size_t bytes)
{
    bool is_over = stream->in == HTTP_ENDED || h2_stream_of(stream)->is_closed;
    if (bytes == 0 || is_over || h2->is_failed)
        return;
    h2_need(h2, nghttp2_session_consume_stream(h2->session, (int32_t)stream->id, bytes));
    h2_wake(h2);
}

static void consumed(struct http_stream *stream, size_t bytes)
{
    struct h2 *h2 = h2_of(stream->codec);
    bytes = MIN(bytes, stream->unconsumed);
    stream->unconsumed -= bytes;
    give_credit(h2, stream, bytes);
}

static void detach(struct h2 *h2, struct h2_stream *own)
{
    if (own->credit > 0)
        list_remove(&own->credit_node);
    own->credit = 0;
    chain_fini(&own->out);
    chain_fini(&own->held);
    if (!own->is_closed && own->stream.id > 0)
        h2_forget(h2, own);
}

static bool is_over(const struct h2_stream *own)
{
    return own->is_closed || own->stream.in == HTTP_RESET;
}

static void reset(struct http_stream *stream, enum http_reset_reason reason)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (is_over(own))
        return;
    if (stream->id > 0 && !h2->is_failed)
        h2_rst(h2, (int32_t)stream->id, h2_error_of(reason));
    stream->in = stream->out = HTTP_RESET;
    chain_fini(&own->out);
    chain_fini(&own->held);
    h2_wake(h2);
}

static void release_client(struct h2 *h2, struct h2_stream *own)
{
    struct http_stream *stream = &own->stream;
    if (!is_over(own) && !(stream->in == HTTP_ENDED && own->is_end_packed))
        reset(stream, stream->in == HTTP_ENDED ? HTTP_RESET_NO_ERROR : HTTP_RESET_CANCEL);
    if (!own->is_closed)
        h2->open--;
    detach(h2, own);
    list_remove(&stream->node);
    h2_wake(h2);
}

/* What was given for sending still leaves; a request's rest is refused once the response is out. */
static void release_server(struct h2 *h2, struct h2_stream *own)
{
    struct http_stream *stream = &own->stream;
    if (stream->out == HTTP_OPEN)
        reset(stream, HTTP_RESET_INTERNAL);
    else if (stream->in == HTTP_OPEN && own->is_end_packed && !is_over(own))
        h2_rst(h2, (int32_t)stream->id, NGHTTP2_NO_ERROR);
    else if (stream->in == HTTP_OPEN)
        own->rst_at_end = true;
    give_credit(h2, stream, stream->unconsumed);
    h2_reap_if_over(h2, own);
    h2_wake(h2);
}

static void release(struct http_stream *stream)
{
    struct h2 *h2 = h2_of(stream->codec);
    struct h2_stream *own = h2_stream_of(stream);
    if (h2_is_server(h2)) {
        h2_enter(h2);
        stream->released = true;
        release_server(h2, own);
        h2_leave_quietly(h2);
        h2_wake(h2);
    } else {
        release_client(h2, own);
    }
}

const struct http_stream_ops h2_stream_ops = {
    .send_request = send_request,
    .send_response = send_response,
    .send_data = send_data,
    .send_trailers = send_trailers,
    .consumed = consumed,
    .reset = reset,
    .release = release,
};
