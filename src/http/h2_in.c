/*
 * h2_in: what nghttp2 hears from the peer, as events of streams.
 */
#include "base/memory.h"
#include "http/h2_internal.h"

/* --- streams ------------------------------------------------------------------------------------------------ */

static struct h2_server_stream *new_server_stream(struct h2 *h2, int32_t id)
{
    struct arena arena;
    arena_init(&arena, h2->codec.pool);
    struct h2_server_stream *own = arena_try_alloc(&arena, sizeof(*own));
    if (!own)
        return NULL;
    *own = (struct h2_server_stream){.arena = arena};
    http_request_init(&own->request);
    own->request.version = HTTP_2;
    own->base.fields = &own->request.headers;
    own->base.body_left = HTTP_LENGTH_UNKNOWN;
    own->base.stream = (struct http_stream){.ops = &h2_stream_ops,
                                            .codec = &h2->codec,
                                            .arena = &own->arena,
                                            .request = &own->request,
                                            .moved_ms = h2->codec.now_ms,
                                            .id = (uint32_t)id};
    list_init(&own->base.credit_node);
    list_push_back(&h2->codec.streams, &own->base.stream.node);
    return own;
}

/* Streams that we still work for count even when the peer has reset them: it must not get more by that. */
static bool is_full(const struct h2 *h2)
{
    return h2->open >= 2 * h2->codec.limits->max_streams;
}

static struct h2_stream *begin_request(struct h2 *h2, int32_t id)
{
    if (UNLIKELY(h2->said_goaway) && id > h2->goaway_id) {
        h2_rst(h2, id,
               NGHTTP2_REFUSED_STREAM); /* GOAWAY says so too, but it may wait for a slow peer */
        return NULL;
    }
    h2->turn_messages++;
    h2->window_requests++;
    struct h2_server_stream *own = is_full(h2) ? NULL : new_server_stream(h2, id);
    if (!own) {
        h2_rst(h2, id, NGHTTP2_REFUSED_STREAM);
        h2_glitch(h2, 1);
        return NULL;
    }
    h2->codec.requests++;
    h2->open++;
    nghttp2_session_set_stream_user_data(h2->session, id, &own->base);
    return &own->base;
}

static void begin_trailers(struct h2_stream *own)
{
    h2_begin_section(own);
    own->in_trailers = true;
    own->received = 0;
    own->fields = arena_try_alloc(own->stream.arena, sizeof(*own->fields));
    if (own->fields)
        *own->fields = (struct headers){0};
    else
        own->refusal = HTTP_REFUSAL_OVERLOAD;
}

static void begin_response(struct h2_stream *own)
{
    own->response = arena_try_alloc(own->stream.arena, sizeof(*own->response));
    h2_begin_section(own);
    own->body_left = HTTP_LENGTH_UNKNOWN;
    if (!own->response) {
        own->refusal = HTTP_REFUSAL_OVERLOAD;
        return;
    }
    http_response_init(own->response, 0);
    own->response->version = HTTP_2;
    own->fields = &own->response->headers;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    (void)session;
    h2->heading = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (h2_is_server(h2) && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2->heading = begin_request(h2, frame->hd.stream_id);
        return 0;
    }
    struct h2_stream *own = h2_find(h2, frame->hd.stream_id);
    if (!own || own->stream.released)
        return 0;
    h2->heading = own;
    if (h2_is_server(h2) || own->stream.in_headed)
        begin_trailers(own);
    else
        begin_response(own);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *own = h2->heading; /* no other frame comes between those of a section */
    (void)session, (void)frame;
    if (!own || own->stream.released)
        return 0;
    bool is_first = own->received == 0;
    h2_take_field(h2, own, slice_of(name, name_size), slice_of(value, value_size),
                  flags & NGHTTP2_NV_FLAG_NO_INDEX);
    if (LIKELY(!is_first))
        return 0;
    /* A turn takes so many requests up; the rest of the input waits for the next. */
    bool is_spent = h2->turn_messages > h2->codec.limits->max_turn_messages;
    return h2_is_server(h2) && is_spent ? NGHTTP2_ERR_PAUSE : 0;
}

/* --- heads -------------------------------------------------------------------------------------------------- */

/* Against the rules of HTTP/2 itself, rather than more than we take or other than we like. */
static bool is_breach(enum http_refusal refusal)
{
    switch ((int)refusal) {
    case HTTP_REFUSAL_CONNECTION_FIELD:
    case HTTP_REFUSAL_HTTP2:
    case HTTP_REFUSAL_LENGTH:
    case HTTP_REFUSAL_LENGTH_TWICE:
    case HTTP_REFUSAL_PSEUDO: return true;
    default: return false;
    }
}

static void fail_stream(struct h2 *h2, struct h2_stream *own, enum http_reset_reason reason,
                        enum http_refusal refusal)
{
    struct http_stream *stream = &own->stream;
    struct http_reset reset = {.reason = (uint8_t)reason, .refusal = (uint8_t)refusal};
    if (is_breach(refusal))
        h2_glitch(h2, 1);
    h2_rst(h2, (int32_t)stream->id, h2_error_of(reason));
    stream->in = stream->out = HTTP_RESET;
    chain_fini(&own->out);
    chain_fini(&own->held);
    if (!stream->released)
        stream->events->on_reset(stream, &reset);
}

/* The request is answered here, or its stream is reset where it was no honest request. */
static void refuse_request(struct h2 *h2, struct h2_stream *own, enum http_refusal refusal,
                           bool is_end)
{
    int32_t id = (int32_t)own->stream.id;
    unsigned status = http_refusal_status(refusal);
    own->stream.released = true;
    own->stream.in = own->stream.out = HTTP_RESET;
    if (refusal == HTTP_REFUSAL_OVERLOAD) {
        h2_rst(h2, id, NGHTTP2_REFUSED_STREAM);
    } else if (status == 400) {
        h2_rst(h2, id, NGHTTP2_PROTOCOL_ERROR);
    } else {
        struct http_response head;
        struct h2_fields fields;
        http_response_init(&head, status);
        h2_fields_of_response(&fields, &head, &own->stream, true);
        own->rst_at_end = !is_end;
        if (nghttp2_submit_response(h2->session, id, fields.items, fields.count, NULL))
            h2_rst(h2, id, NGHTTP2_INTERNAL_ERROR);
        h2_fields_fini(&fields);
    }
    h2_glitch(h2, 1);
    h2->codec.consumer->on_refused(&h2->codec, refusal);
}

static void take_request(struct h2 *h2, struct h2_stream *own, bool is_end)
{
    enum http_refusal refusal = h2_settle_request(h2, own);
    h2_expect_body(h2, own);
    if (!refusal && is_end && !h2_body_is_within(h2, own, 0, true))
        refusal = HTTP_REFUSAL_LENGTH;
    if (refusal) {
        refuse_request(h2, own, refusal, is_end);
        return;
    }
    own->stream.in_headed = true;
    if (is_end)
        own->stream.in = HTTP_ENDED;
    h2->codec.consumer->on_request(&h2->codec, &own->stream);
}

static enum http_refusal check_informational(struct h2 *h2, struct h2_stream *own)
{
    if (++own->informational > h2->codec.limits->max_informational)
        return HTTP_REFUSAL_INFORMATIONAL;
    return HTTP_REFUSAL_NONE; /* their bytes add up in own->received */
}

static void take_response(struct h2 *h2, struct h2_stream *own, bool is_end)
{
    struct http_stream *stream = &own->stream;
    struct http_response *head = own->response;
    enum http_refusal refusal = h2_settle_response(h2, own);
    if (!refusal && head->status < 200)
        refusal = check_informational(h2, own);
    if (refusal) {
        bool is_limit = refusal == HTTP_REFUSAL_OVERLOAD;
        fail_stream(h2, own, is_limit ? HTTP_RESET_LIMIT : HTTP_RESET_PROTOCOL, refusal);
        return;
    }
    stream->moved_ms = h2->codec.now_ms;
    h2_expect_body(h2, own);
    if (head->status >= 200) {
        stream->in_headed = true;
        if (own->asks_tunnel && head->status < 300) {
            stream->tunnel = true;
            if (own->upgrade.size > 0) {
                head->status = 101;
                head->upgrade = own->upgrade;
            }
        }
    }
    if (is_end && !h2_body_is_within(h2, own, 0, true)) {
        fail_stream(h2, own, HTTP_RESET_PROTOCOL, HTTP_REFUSAL_LENGTH);
        return;
    }
    if (is_end)
        stream->in = HTTP_ENDED;
    stream->events->on_response(stream, head, is_end);
}

static void take_trailers(struct h2 *h2, struct h2_stream *own, bool is_end)
{
    struct http_stream *stream = &own->stream;
    if (!own->refusal && !is_end)
        own->refusal = HTTP_REFUSAL_HTTP2; /* a second head */
    if (!own->refusal && !h2_body_is_within(h2, own, 0, true))
        own->refusal = HTTP_REFUSAL_LENGTH;
    if (own->refusal) {
        fail_stream(h2, own, HTTP_RESET_PROTOCOL, (enum http_refusal)own->refusal);
        return;
    }
    h2_settle_trailers(own);
    stream->in = HTTP_ENDED;
    stream->moved_ms = h2->codec.now_ms;
    if (own->fields->count > 0) {
        stream->events->on_trailers(stream, own->fields);
        return;
    }
    struct chain none = {0};
    stream->events->on_data(stream, &none, true);
}

static void take_section(struct h2 *h2, struct h2_stream *own, bool is_end)
{
    if (own->stream.released || own->stream.in != HTTP_OPEN)
        return;
    if (own->in_trailers)
        take_trailers(h2, own, is_end);
    else if (h2_is_server(h2))
        take_request(h2, own, is_end);
    else
        take_response(h2, own, is_end);
}

/* --- data --------------------------------------------------------------------------------------------------- */

static bool must_hold(const struct h2 *h2, const struct h2_stream *own)
{
    return h2_is_server(h2) && own->asks_tunnel && !own->stream.tunnel;
}

/* Bytes of a frame, with its end if that is the stream's. */
static void deliver(struct h2 *h2, struct h2_stream *own, struct chain *bytes, bool is_end)
{
    struct http_stream *stream = &own->stream;
    size_t size = bytes->size;
    if (stream->released || stream->in != HTTP_OPEN) {
        chain_fini(bytes);
        h2_need(h2, nghttp2_session_consume_stream(h2->session, (int32_t)stream->id, size));
        return;
    }
    if (must_hold(h2, own)) {
        chain_move(&own->held, bytes);
        own->is_held_ended = is_end;
        return;
    }
    if (size == 0 && !is_end)
        return;
    struct chain data = {0};
    chain_move(&data, bytes);
    stream->unconsumed += size;
    stream->moved_ms = h2->codec.now_ms;
    if (is_end)
        stream->in = HTTP_ENDED;
    stream->events->on_data(stream, &data, is_end);
    chain_fini(&data);
}

/* The same as it comes from the wire, where its length is counted. */
static void receive(struct h2 *h2, struct h2_stream *own, bool is_end)
{
    bool is_wanted = !own->stream.released && own->stream.in == HTTP_OPEN;
    if (!is_wanted || h2_body_is_within(h2, own, h2->data.size, is_end)) {
        deliver(h2, own, &h2->data, is_end);
        return;
    }
    h2_need(h2,
            nghttp2_session_consume_stream(h2->session, (int32_t)own->stream.id, h2->data.size));
    chain_fini(&h2->data);
    fail_stream(h2, own, HTTP_RESET_PROTOCOL, HTTP_REFUSAL_LENGTH);
}

void h2_deliver_held(struct h2 *h2, struct h2_stream *own)
{
    bool is_end = own->is_held_ended;
    own->is_held_ended = false;
    if (own->held.size == 0 && !is_end)
        return;
    struct chain held = {0};
    chain_move(&held, &own->held);
    deliver(h2, own, &held, is_end);
}

/*
 * Nobody is told of the end of a frame when its stream was reset while it came. What was gathered of it must not become
 * another stream's.
 */
static void data_is_of(struct h2 *h2, int32_t id)
{
    if (h2->data_id != id)
        chain_fini(&h2->data);
    h2->data_id = id;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t size, void *user)
{
    struct h2 *h2 = user;
    (void)flags;
    h2->arrived += size;
    if (!h2_find(h2, id)) {
        h2_need(h2, nghttp2_session_consume_stream(session, id, size));
        return 0;
    }
    if (h2->block)
        block_ref(h2->block);
    data_is_of(h2, id);
    chain_append_block(&h2->data, h2->block, (const char *)data, size);
    return 0;
}

void h2_deliver_part(struct h2 *h2)
{
    if (h2->data.size == 0)
        return;
    struct h2_stream *own = h2_find(h2, h2->data_id);
    if (own)
        receive(h2, own, false);
    else
        chain_fini(&h2->data);
}

/* --- rules that nghttp2 does not hold ----------------------------------------------------------------------- */

static void violate(struct h2 *h2, uint32_t error_code)
{
    if (!h2->violation)
        h2->violation = error_code;
}

/* The stream is over on our side only; what the peer has on its way is no fault of its. */
static void note_cut(struct h2 *h2, int32_t id)
{
    int32_t *oldest = &h2->cut[h2->cut_next++ % H2_CUT_STREAMS];
    h2->cut_floor = MAX(h2->cut_floor, *oldest);
    *oldest = id;
}

static bool was_cut(const struct h2 *h2, int32_t id)
{
    for (int i = 0; i < H2_CUT_STREAMS; i++)
        if (h2->cut[i] == id)
            return true;
    return id <= h2->cut_floor;
}

/* Begun in the bytes that the session has still to take. */
static bool is_fresh(const struct h2 *h2, int32_t id)
{
    for (uint32_t i = 0; i < h2->fresh_count && i < H2_FRESH_STREAMS; i++)
        if (h2->fresh[i] == id)
            return true;
    return h2->fresh_count > H2_FRESH_STREAMS;
}

/* HEADERS and DATA on a stream that the peer itself has ended, or passed over (RFC 9113 5.1 and 5.1.1). */
static void watch_stream(struct h2 *h2, uint8_t type, int32_t id)
{
    if (type == NGHTTP2_HEADERS && id > h2->last_id) {
        h2->last_id = id;
        if (h2->fresh_count++ < H2_FRESH_STREAMS)
            h2->fresh[h2->fresh_count - 1] = id;
        return;
    }
    if (id > h2->last_id || id == 0 || h2->said_notice || h2->said_goaway)
        return; /* nghttp2 knows; after GOAWAY it takes no new ones, and the peer may not have heard it */
    bool is_open = id > h2->settled_id ? is_fresh(h2, id) : h2_find(h2, id) || was_cut(h2, id);
    if (id == h2->watched_reset_id || !is_open)
        violate(h2, NGHTTP2_STREAM_CLOSED);
}

/* Priorities mean nothing here, but a stream that depends on itself is an error all the same (RFC 7540 5.3.1). */
static void watch_priority(struct h2 *h2, const uint8_t *head)
{
    if (((head[5] ^ head[9]) & 0x7f) == 0 && memcmp(head + 6, head + 10, 3) == 0)
        violate(h2, NGHTTP2_PROTOCOL_ERROR);
}

static void watch_frame(struct h2 *h2, const uint8_t *head)
{
    int32_t id = (int32_t)((uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 |
                           (uint32_t)head[7] << 8 | head[8]);
    switch (head[3]) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS: watch_stream(h2, head[3], id); break;
    case NGHTTP2_RST_STREAM: h2->watched_reset_id = id; break;
    case NGHTTP2_PRIORITY:
        if (id == 0)
            violate(h2, NGHTTP2_PROTOCOL_ERROR);
        break;
    }
}

void h2_watch_frames(struct h2 *h2, struct slice bytes)
{
    enum { HEAD = 9, PRIORITY_SIZE = 5 };
    uint8_t *head = h2->frame_head;
    if (!h2->pending) {
        h2->settled_id = h2->last_id;
        h2->fresh_count = 0;
    }
    while (bytes.size > 0) {
        if (h2->frame_left > 0) {
            size_t size = MIN(bytes.size, (size_t)h2->frame_left);
            slice_take(&bytes, size);
            h2->frame_left -= (uint32_t)size;
            continue;
        }
        size_t whole = h2->frame_seen < HEAD ? HEAD : sizeof(h2->frame_head);
        size_t size = MIN(bytes.size, whole - h2->frame_seen);
        memcpy(head + h2->frame_seen, slice_take(&bytes, size).data, size);
        h2->frame_seen = (uint8_t)(h2->frame_seen + size);
        if (h2->frame_seen < whole)
            return;
        uint32_t length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        bool is_priority = head[3] == NGHTTP2_PRIORITY && length == PRIORITY_SIZE;
        if (whole == HEAD)
            watch_frame(h2, head);
        if (is_priority && whole == HEAD)
            continue; /* the stream that it depends on is wanted as well */
        if (is_priority)
            watch_priority(h2, head);
        h2->frame_left = is_priority ? PRIORITY_SIZE - 4 : length;
        h2->frame_seen = 0;
    }
}

/* --- frames ------------------------------------------------------------------------------------------------- */

static void take_data(struct h2 *h2, const nghttp2_frame *frame)
{
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *own = h2_find(h2, frame->hd.stream_id);
    /* One empty frame is clumsy, a row of them is an attack. */
    bool is_empty = frame->hd.length == 0 && !is_end;
    if (is_empty && h2->had_empty)
        h2_glitch(h2, 1);
    h2->had_empty = is_empty;
    data_is_of(h2, frame->hd.stream_id);
    if (own)
        receive(h2, own, is_end);
    else
        chain_fini(&h2->data);
}

/* Streams that begin and are reset at once cost us much and the peer nothing. */
static void count_reset(struct h2 *h2)
{
    const struct http_limits *limits = h2->codec.limits;
    if (h2->codec.now_ms - h2->window_ms >= 1000) {
        h2->window_ms = h2->codec.now_ms;
        h2->window_resets = h2->window_requests = 0;
    }
    h2->window_resets++;
    if (h2->window_resets > limits->reset_burst && h2->window_resets * 2 > h2->window_requests)
        h2_calm(h2);
}

static void take_ping_answer(struct h2 *h2)
{
    h2->has_ping = false;
    h2->heard_notice = h2->said_notice;
    h2_end_notice(h2);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *own;
    (void)session;
    h2->codec.in_head = false;
    switch (frame->hd.type) {
    case NGHTTP2_DATA: take_data(h2, frame); break;
    case NGHTTP2_HEADERS:
        own = h2->heading;
        h2->heading = NULL;
        if (own)
            take_section(h2, own, is_end);
        break;
    case NGHTTP2_RST_STREAM:
        h2->reset_id = frame->hd.stream_id;
        if (h2_is_server(h2))
            count_reset(h2);
        break;
    case NGHTTP2_SETTINGS:
        h2_glitch(h2, 1);
        h2->got_settings |= !(frame->hd.flags & NGHTTP2_FLAG_ACK);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            take_ping_answer(h2);
        break;
    case NGHTTP2_GOAWAY:
        h2->got_goaway = true;
        h2->codec.draining = true;
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (++h2->window_updates > 10)
            h2_glitch(h2, 1);
        break;
    }
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    struct h2 *h2 = user;
    (void)session;
    /* What is begun must be finished in time; bodies have their streams' timeouts. */
    h2->codec.in_head = head->type != NGHTTP2_DATA;
    /* Priorities are switched off, so these mean nothing, and nghttp2 does not show them otherwise. */
    if (head->type == NGHTTP2_PRIORITY)
        h2_glitch(h2, 1);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *own = h2_find(h2, frame->hd.stream_id);
    (void)session, (void)error;
    h2->codec.in_head = false;
    h2_glitch(h2, 1);
    if (!own) {
        note_cut(h2, frame->hd.stream_id); /* refused before it was a stream */
        return 0;
    }
    if (h2_is_server(h2) && !own->stream.in_headed && !own->stream.released) {
        /* nghttp2 resets the stream; nobody has heard of it yet. */
        own->stream.released = true;
        h2->codec.consumer->on_refused(&h2->codec, HTTP_REFUSAL_HTTP2);
    } else if (!own->refusal) {
        own->refusal = HTTP_REFUSAL_HTTP2;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *own = h2_find(h2, id);
    if (h2_is_server(h2) && id != h2->reset_id &&
        nghttp2_session_get_stream_remote_close(session, id) != 1)
        note_cut(h2, id);
    if (own)
        h2_stream_closed(h2, own, error_code);
    return 0;
}

void h2_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
