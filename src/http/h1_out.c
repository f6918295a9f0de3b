#include "http/h1_internal.h"

/* A body's bytes are on their way; on_sent gives them back as credit. */
static void write_payload(struct h1 *h1, struct http_stream *stream, struct chain *data)
{
    stream->unsent += data->size;
    h1_write(h1, data);
    stream->moved_ms = h1->codec.now_ms;
}

/* --- ends --------------------------------------------------------------------------------------------------- */

static void end_out(struct h1 *h1, struct http_stream *stream)
{
    if (h1->out == H1_OUT_LENGTH && h1->out_left > 0) {
        /* Less than was declared: the peer must not take it for whole. */
        h1_break(h1, HTTP_RESET_INTERNAL);
        return;
    }
    if (h1->out == H1_OUT_TUNNEL && stream->in == HTTP_OPEN)
        h1->codec.half_close = true;
    if (h1->out == H1_OUT_CLOSE)
        h1->keeps_alive = false;
    stream->out = HTTP_ENDED;
    if (h1->codec.half_close)
        h1_wake(h1);
    h1_end_if_over(h1);
}

/* --- heads -------------------------------------------------------------------------------------------------- */

static enum h1_out out_of(enum h1_framing framing)
{
    switch (framing) {
    case H1_FRAME_NONE: return H1_OUT_NOTHING;
    case H1_FRAME_LENGTH: return H1_OUT_LENGTH;
    case H1_FRAME_CHUNKED: return H1_OUT_CHUNKED;
    }
    return H1_OUT_NOTHING;
}

/* Methods whose request says so when it has no content (RFC 9110 8.6). */
static bool usually_has_content(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static struct h1_head_style request_style(const struct http_request *head, bool end)
{
    struct h1_head_style style = {.framing = H1_FRAME_NONE};
    if (head->method == HTTP_CONNECT || head->upgrade.size > 0)
        return style;
    if (end) {
        if (head->content_length >= 0 || usually_has_content((enum http_method)head->method))
            style.framing = H1_FRAME_LENGTH;
    } else if (head->content_length >= 0) {
        style.framing = H1_FRAME_LENGTH;
        style.length = (uint64_t)head->content_length;
    } else {
        style.framing = H1_FRAME_CHUNKED;
    }
    return style;
}

static void send_request(struct http_stream *stream, const struct http_request *head, bool end)
{
    struct h1 *h1 = h1_of_stream(stream);
    if (!h1 || stream->out != HTTP_OPEN || stream->out_headed)
        return;
    struct h1_head_style style = request_style(head, end);
    struct chain out;
    chain_init(&out);
    if (!h1_write_request(&out, h1->codec.pool, head, &style)) {
        chain_fini(&out);
        h1_break(h1, HTTP_RESET_LIMIT);
        return;
    }
    h1_write(h1, &out);
    stream->out_headed = true;
    stream->method = head->method;
    h1->asks_tunnel = head->method == HTTP_CONNECT || head->upgrade.size > 0;
    h1->out = h1->asks_tunnel ? H1_OUT_WAIT : (uint8_t)out_of(style.framing);
    h1->out_left = style.length;
    if (end && !h1->asks_tunnel)
        end_out(h1, stream);
}

/*
 * The answer's framing. Without a length HTTP/1.1 gets chunks and HTTP/1.0 the connection's end. An error that
 * comes before the request's end says that the connection closes: clients then stop sending.
 */
static struct h1_head_style response_style(struct h1 *h1, const struct http_stream *stream,
                                           const struct http_response *head, bool end)
{
    struct h1_head_style style = {.framing = H1_FRAME_NONE};
    enum http_method method = (enum http_method)stream->method;
    if (http_response_is_tunnel(method, head->status))
        return style;
    if (stream->in == HTTP_OPEN && (head->status >= 300 || h1->asks_tunnel) &&
        (h1->in != H1_AT_END || method == HTTP_CONNECT))
        h1->keeps_alive = false;
    if (http_response_is_bodyless(method, head->status)) {
        if (head->content_length >= 0 && head->status != 204) {
            style.framing = H1_FRAME_LENGTH;
            style.length = (uint64_t)head->content_length;
        }
    } else if (end) {
        style.framing = H1_FRAME_LENGTH;
    } else if (head->content_length >= 0) {
        style.framing = H1_FRAME_LENGTH;
        style.length = (uint64_t)head->content_length;
    } else if (!h1->peer_is_1_0) {
        style.framing = H1_FRAME_CHUNKED;
    } else {
        h1->keeps_alive = false;
    }
    style.close = !h1->keeps_alive || h1->codec.draining || (h1->got_eof && !h1->pending);
    style.keep_alive = h1->peer_is_1_0;
    return style;
}

static void send_final(struct h1 *h1, struct http_stream *stream, const struct http_response *head,
                       bool end)
{
    enum http_method method = (enum http_method)stream->method;
    bool tunnel = http_response_is_tunnel(method, head->status);
    bool bodyless = !tunnel && http_response_is_bodyless(method, head->status);
    struct h1_head_style style = response_style(h1, stream, head, end);
    struct chain out;
    chain_init(&out);
    if (!h1_write_response(&out, h1->codec.pool, head, &style)) {
        chain_fini(&out);
        h1_break(h1, HTTP_RESET_LIMIT);
        return;
    }
    h1_write(h1, &out);
    stream->out_headed = true;
    stream->moved_ms = h1->codec.now_ms;
    if (style.close)
        h1->keeps_alive = false;
    if (tunnel)
        h1->out = H1_OUT_TUNNEL;
    else if (bodyless)
        h1->out = H1_OUT_NOTHING;
    else
        h1->out = style.framing == H1_FRAME_NONE ? H1_OUT_CLOSE : (uint8_t)out_of(style.framing);
    h1->out_left = end ? 0 : style.length;
    h1_response_sent(h1, stream, tunnel);
    if (end)
        end_out(h1, stream);
}

static void send_response(struct http_stream *stream, const struct http_response *head, bool end)
{
    struct h1 *h1 = h1_of_stream(stream);
    if (!h1 || stream->out != HTTP_OPEN || stream->out_headed)
        return;
    if (head->status >= 200 || head->status == 101) {
        send_final(h1, stream, head, end);
        return;
    }
    if (h1->peer_is_1_0)
        return; /* knows no informational response (RFC 9110 15.2) */
    struct h1_head_style style = {.framing = H1_FRAME_NONE};
    struct chain out;
    chain_init(&out);
    if (h1_write_response(&out, h1->codec.pool, head, &style))
        h1_write(h1, &out);
    else
        h1_break(h1, HTTP_RESET_LIMIT);
    chain_fini(&out);
}

void h1_response_sent(struct h1 *h1, struct http_stream *stream, bool tunnel)
{
    if (tunnel) {
        stream->tunnel = true;
        h1->in = H1_IN_TUNNEL;
        if (h1->pending || h1->got_eof)
            h1_wake(h1);
    } else if (h1->asks_tunnel) {
        /* No tunnel, so what the client sent for it goes; after an upgrade that was declined, requests follow. */
        stream->in = HTTP_ENDED;
        if (stream->method == HTTP_CONNECT)
            h1_drop_pending(h1);
    }
}

void h1_answered(struct h1 *h1, struct http_stream *stream, bool tunnel)
{
    if (!h1->asks_tunnel)
        return;
    if (tunnel) {
        h1->out = H1_OUT_TUNNEL;
    } else {
        h1->out = H1_OUT_NOTHING;
        stream->out = HTTP_ENDED;
    }
}

/* --- bodies ------------------------------------------------------------------------------------------------- */

static bool write_chunk(struct h1 *h1, struct http_stream *stream, struct chain *data, bool end)
{
    char head[CHUNK_HEAD_MAX];
    struct chain out;
    chain_init(&out);
    if (data->size > 0) {
        struct slice line = slice_of(head, chunk_head(head, data->size));
        if (!chain_append_copy(&out, h1->codec.pool, line))
            return false;
        stream->unsent += data->size;
        chain_move(&out, data);
        chain_append_static(&out, end ? SLICE("\r\n0\r\n\r\n") : SLICE("\r\n"));
    } else if (end) {
        chain_append_static(&out, SLICE("0\r\n\r\n"));
    }
    if (out.size > 0)
        h1_write(h1, &out);
    stream->moved_ms = h1->codec.now_ms;
    return true;
}

static bool write_body(struct h1 *h1, struct http_stream *stream, struct chain *data, bool end)
{
    switch ((enum h1_out)h1->out) {
    case H1_OUT_CHUNKED: return write_chunk(h1, stream, data, end);
    case H1_OUT_LENGTH:
        if (data->size > h1->out_left)
            return false; /* more than was declared */
        h1->out_left -= data->size;
        break;
    case H1_OUT_CLOSE:
    case H1_OUT_TUNNEL: break;
    case H1_OUT_HEAD:
    case H1_OUT_WAIT:
        return data->size == 0; /* bytes before the head, or before the tunnel stands */
    case H1_OUT_NOTHING: chain_fini(data); break;
    }
    if (data->size > 0)
        write_payload(h1, stream, data);
    return true;
}

static void send_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct h1 *h1 = h1_of_stream(stream);
    if (h1 && stream->out == HTTP_OPEN && !h1->codec.broken) {
        if (!write_body(h1, stream, data, end))
            h1_break(h1, HTTP_RESET_INTERNAL);
        else if (end)
            end_out(h1, stream);
    }
    chain_fini(data);
}

static void send_trailers(struct http_stream *stream, const struct headers *trailers)
{
    struct h1 *h1 = h1_of_stream(stream);
    struct chain out;
    chain_init(&out);
    if (!h1 || stream->out != HTTP_OPEN || h1->codec.broken)
        return;
    if (h1->out != H1_OUT_CHUNKED) {
        end_out(h1, stream);
        return;
    }
    chain_append_static(&out, SLICE("0\r\n"));
    if (h1_write_trailers(&out, h1->codec.pool, trailers)) {
        h1_write(h1, &out);
        end_out(h1, stream);
    } else {
        h1_break(h1, HTTP_RESET_LIMIT);
    }
    chain_fini(&out);
}

/* --- credit and the consumer's leave ------------------------------------------------------------------------ */

static void consumed(struct http_stream *stream, size_t bytes)
{
    struct h1 *h1 = h1_of_stream(stream);
    stream->unconsumed -= MIN(bytes, stream->unconsumed);
    if (!h1)
        return;
    /* Half a window of hysteresis, so that reading is not switched for every block. */
    if (!h1->codec.wants_read && stream->unconsumed <= h1->codec.limits->receive_window / 2)
        h1_wake(h1);
}

/* Gives the exchange up as far as it is still open. */
static void abandon(struct h1 *h1, struct http_stream *stream)
{
    bool answered = stream->out == HTTP_ENDED;
    h1->stream = NULL;
    stream->in = stream->out = HTTP_RESET;
    if (h1->codec.broken || h1->codec.closing)
        return;
    if (h1_is_server(h1) && answered)
        h1_close(h1, true); /* the answer is whole; the request's rest is not wanted */
    else
        h1_break(h1, HTTP_RESET_CANCEL);
}

static void reset(struct http_stream *stream, enum http_reset_reason reason)
{
    struct h1 *h1 = h1_of_stream(stream);
    (void)reason; /* HTTP/1 can only close */
    if (h1)
        abandon(h1, stream);
}

static void release(struct http_stream *stream)
{
    struct h1 *h1 = h1_of(stream->codec);
    stream->released = true;
    if (h1->stream == stream)
        abandon(h1, stream);
    if (!h1_is_server(h1)) {
        list_remove(&stream->node);
        h1_left(h1);
        return;
    }
    h1->has_released = true;
    h1_enter(h1);
    h1_leave(h1);
}

const struct http_stream_ops h1_stream_ops = {
    .send_request = send_request,
    .send_response = send_response,
    .send_data = send_data,
    .send_trailers = send_trailers,
    .consumed = consumed,
    .reset = reset,
    .release = release,
};
