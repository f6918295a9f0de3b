#include "rpc/exchange.h"

#include "base/memory.h"
#include "http/header.h"
#include "http/url.h"
#include "io/conn.h"
#include "net/transport.h"
#include "rpc/server_internal.h"

#include <stdio.h>
#include <sys/socket.h>

static struct loop *loop_of(const struct rpc_exchange *x)
{
    return x->server->means.loop;
}

/* The end of an exchange. */

static void reap(struct task *task)
{
    struct rpc_exchange *x = CONTAINER_OF(task, struct rpc_exchange, reap);
    chain_fini(&x->in);
    grpc_reader_fini(&x->reader);
    buffer_fini(&x->body);
    loop_object_free(loop_of(x), x, sizeof(*x));
}

static void let_go(struct rpc_exchange *x)
{
    if (x->gone)
        return; /* the server was closed in on_close */
    x->gone = true;
    loop_timer_stop(loop_of(x), &x->timer);
    loop_task_cancel(&x->run);
    if (x->stream)
        http_stream_release(x->stream);
    x->stream = NULL;
    handle_drop(loop_handles(loop_of(x)), x->name);
    list_remove(&x->node);
    loop_reap_later(loop_of(x), &x->reap);
}

void rpc_exchange_discard(struct rpc_exchange *x)
{
    x->finished = true;
    let_go(x);
}

/* on_close is told by the run task, for this may be called by the service. */
static void finish(struct rpc_exchange *x)
{
    x->finished = true;
    loop_timer_stop(loop_of(x), &x->timer);
    loop_run_later(loop_of(x), &x->run);
}

void rpc_exchange_reset(struct rpc_exchange *x)
{
    if (x->finished)
        return;
    http_stream_reset(x->stream, HTTP_RESET_INTERNAL);
    finish(x);
}

/* Answers. */

static void note_sending(struct rpc_exchange *x)
{
    if (x->stream->unsent == 0)
        x->sent_moved_ms = loop_now_ms(loop_of(x));
}

static void check_full(struct rpc_exchange *x)
{
    x->full = x->full || !rpc_exchange_is_writable(x);
}

static bool add_headers(struct rpc_exchange *x, struct headers *to,
                        const struct rpc_header *headers, size_t count)
{
    if (!headers_add_id(to, x->stream->arena, HEADER_DATE, rpc_server_date(x->server)))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!headers_add(to, x->stream->arena, headers[i].name, headers[i].value))
            return false;
    }
    return true;
}

static bool send_head(struct rpc_exchange *x, unsigned status, const struct rpc_header *headers,
                      size_t count, int64_t content_length, bool end)
{
    struct http_response head;
    http_response_init(&head, status);
    head.content_length = content_length;
    if (!add_headers(x, &head.headers, headers, count)) {
        rpc_exchange_reset(x);
        return false;
    }
    x->headed = true;
    http_stream_send_response(x->stream, &head, end);
    return true;
}

static bool send_bytes(struct rpc_exchange *x, struct slice bytes, bool end)
{
    struct chain chain = {0};
    if (bytes.size > 0 && !chain_append_copy(&chain, loop_blocks(loop_of(x)), bytes))
        return false;
    note_sending(x);
    http_stream_send_data(x->stream, &chain, end);
    check_full(x);
    return true;
}

void rpc_exchange_reply_with(struct rpc_exchange *x, unsigned status,
                             const struct rpc_header *headers, size_t header_count,
                             struct slice body)
{
    if (x->finished || x->headed)
        return;
    bool bodyless =
        body.size == 0 || http_response_is_bodyless((enum http_method)x->stream->method, status);
    if (!send_head(x, status, headers, header_count, (int64_t)body.size, bodyless))
        return;
    if (!bodyless && !send_bytes(x, body, true))
        rpc_exchange_reset(x);
    else
        finish(x);
}

void rpc_exchange_reply(struct rpc_exchange *x, unsigned status, const char *content_type,
                        struct slice body)
{
    struct rpc_header type = {SLICE("content-type"), slice_str(content_type)};
    rpc_exchange_reply_with(x, status, &type, content_type ? 1 : 0, body);
}

void rpc_exchange_start(struct rpc_exchange *x, unsigned status, const struct rpc_header *headers,
                        size_t header_count)
{
    if (!x->finished && !x->headed &&
        !send_head(x, status, headers, header_count, HTTP_LENGTH_UNKNOWN, false))
        return;
    loop_timer_stop(loop_of(x), &x->timer);
}

bool rpc_exchange_write(struct rpc_exchange *x, struct slice bytes)
{
    return x->finished || bytes.size == 0 || send_bytes(x, bytes, false);
}

void rpc_exchange_finish(struct rpc_exchange *x)
{
    if (x->finished)
        return;
    send_bytes(x, SLICE_NONE, true);
    finish(x);
}

/* gRPC. */

static bool send_grpc_head(struct rpc_exchange *x)
{
    static const struct rpc_header type = {{"content-type", 12}, {"application/grpc", 16}};
    return x->headed || send_head(x, 200, &type, 1, HTTP_LENGTH_UNKNOWN, false);
}

bool rpc_exchange_send_chain(struct rpc_exchange *x, struct chain *message)
{
    struct chain frame = {0};
    if (x->finished)
        return true;
    if (!grpc_write_head(&frame, loop_blocks(loop_of(x)), message->size))
        return false;
    chain_move(&frame, message);
    if (!send_grpc_head(x)) {
        chain_fini(&frame);
        return true;
    }
    note_sending(x);
    http_stream_send_data(x->stream, &frame, false);
    check_full(x);
    return true;
}

bool rpc_exchange_send(struct rpc_exchange *x, struct slice message)
{
    struct chain chain = {0};
    if (message.size > 0 && !chain_append_copy(&chain, loop_blocks(loop_of(x)), message))
        return false;
    bool sent = rpc_exchange_send_chain(x, &chain);
    chain_fini(&chain);
    return sent;
}

/* The status after messages is in the trailers; alone it is in the head (gRPC calls that Trailers-Only). */
static void send_status(struct rpc_exchange *x, enum grpc_code code, struct slice message)
{
    char digits[4];
    struct buffer text = {0};
    int size = snprintf(digits, sizeof(digits), "%d", (int)code);
    grpc_message_encode(&text, message);
    struct rpc_header fields[] = {
        {SLICE("content-type"), SLICE("application/grpc")},
        {SLICE("grpc-status"), slice_of(digits, (size_t)size)},
        {SLICE("grpc-message"), buffer_slice(&text)},
    };
    size_t last = text.size > 0 ? 3 : 2;
    if (!x->headed) {
        send_head(x, 200, fields, last, HTTP_LENGTH_UNKNOWN, true);
    } else {
        struct headers trailers = {0};
        bool added = true;
        for (size_t i = 1; i < last; i++)
            added =
                added && headers_add(&trailers, x->stream->arena, fields[i].name, fields[i].value);
        if (added)
            http_stream_send_trailers(x->stream, &trailers);
        else
            rpc_exchange_reset(x);
    }
    buffer_fini(&text);
}

void rpc_exchange_end(struct rpc_exchange *x, enum grpc_code code, struct slice message)
{
    if (x->finished)
        return;
    send_status(x, code, message);
    if (!x->finished)
        finish(x);
}

void rpc_exchange_answer(struct rpc_exchange *x, struct slice message)
{
    if (rpc_exchange_send(x, message))
        rpc_exchange_end(x, GRPC_OK, SLICE_NONE);
    else
        rpc_exchange_end(x, GRPC_RESOURCE_EXHAUSTED, SLICE("no memory is left for the answer"));
}

/* Reading. */

static void give_credit(struct rpc_exchange *x, size_t bytes)
{
    if (bytes > 0 && x->stream)
        http_stream_consumed(x->stream, bytes);
}

static void fail_reading(struct rpc_exchange *x, enum grpc_frame_status status)
{
    if (status == GRPC_FRAME_TOO_LONG)
        rpc_exchange_end(x, GRPC_RESOURCE_EXHAUSTED,
                         SLICE("a message is longer than max_message allows"));
    else
        rpc_exchange_end(x, GRPC_INTERNAL, SLICE("the framing of messages is broken"));
}

static void tell_end(struct rpc_exchange *x)
{
    if (!x->input_ended || x->end_told || x->finished)
        return;
    x->end_told = true;
    if (x->in.size > 0 || grpc_reader_is_amid(&x->reader))
        rpc_exchange_end(x, GRPC_INTERNAL, SLICE("the call ended inside a message"));
    else if (x->service->on_end)
        x->service->on_end(x->owner, x);
}

static void read_messages(struct rpc_exchange *x)
{
    for (unsigned read = 0; !x->finished; read++) {
        struct slice message;
        if (read == LOOP_CONN_MESSAGES) {
            loop_run_next_turn(loop_of(x), &x->run);
            return;
        }
        size_t before = x->in.size;
        enum grpc_frame_status status = grpc_read(&x->reader, &x->in, &message);
        give_credit(x, before - x->in.size);
        if (status == GRPC_FRAME_MORE) {
            grpc_reader_rest(&x->reader);
            tell_end(x);
            return;
        }
        if (status != GRPC_FRAME_MESSAGE)
            fail_reading(x, status);
        else if (x->service->on_message)
            x->service->on_message(x->owner, x, message);
    }
}

static void tell_body(struct rpc_exchange *x)
{
    if (!x->input_ended || x->end_told || x->finished)
        return;
    x->end_told = true;
    loop_timer_stop(loop_of(x), &x->timer);
    if (x->service->on_body)
        x->service->on_body(x->owner, x, buffer_slice(&x->body));
}

static void gather_body(struct rpc_exchange *x, struct chain *data)
{
    size_t size = data->size;
    if (x->service->on_body && size > x->server->limits.max_body - x->body.size) {
        rpc_exchange_reply(x, 413, "text/plain",
                           SLICE("the body is longer than max_body allows\n"));
    } else if (x->service->on_body) {
        chain_copy_out(data, 0, buffer_reserve(&x->body, size), size);
        x->body.size += size;
    }
    chain_consume(data, size);
    give_credit(x, size);
    tell_body(x);
}

static void on_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct rpc_exchange *x = stream->owner;
    if (x->finished) {
        http_stream_consumed(stream, data->size);
        return;
    }
    x->input_ended = x->input_ended || end;
    if (!x->is_grpc) {
        gather_body(x, data);
        return;
    }
    chain_move(&x->in, data);
    if (!task_is_queued(&x->run))
        read_messages(x);
}

static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    (void)trailers;
    struct rpc_exchange *x = stream->owner;
    x->input_ended = true;
    if (x->is_grpc && !task_is_queued(&x->run))
        read_messages(x);
    else if (!x->is_grpc)
        tell_body(x);
}

static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    (void)reset;
    struct rpc_exchange *x = stream->owner;
    if (!x->finished)
        finish(x);
}

static void on_sent(struct http_stream *stream, size_t bytes)
{
    (void)bytes;
    struct rpc_exchange *x = stream->owner;
    x->sent_moved_ms = loop_now_ms(loop_of(x));
    if (x->finished || !x->full || stream->unsent > x->server->limits.max_send_backlog / 2)
        return;
    x->full = false;
    if (x->service->on_writable)
        x->service->on_writable(x->owner, x);
}

static const struct http_stream_events stream_events = {
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_sent = on_sent,
};

static void run(struct task *task)
{
    struct rpc_exchange *x = CONTAINER_OF(task, struct rpc_exchange, run);
    if (!x->finished) {
        read_messages(x);
        return;
    }
    if (x->service && x->service->on_close)
        x->service->on_close(x->owner, x);
    let_go(x);
}

/* Beginning. */

static void on_timer(struct timer *timer)
{
    struct rpc_exchange *x = CONTAINER_OF(timer, struct rpc_exchange, timer);
    if (x->is_grpc)
        rpc_exchange_end(x, GRPC_DEADLINE_EXCEEDED,
                         SLICE("the deadline that the caller gave has passed"));
    else
        rpc_exchange_reply(x, 408, "text/plain", SLICE("the request did not come in time\n"));
}

static bool is_host_allowed(const struct rpc_listener *listener, struct slice text)
{
    struct authority authority;
    if (!listener->hosts)
        return true;
    for (size_t i = 0; authority_parse(text, &authority) && listener->hosts[i]; i++) {
        if (slice_equals_nocase(authority.host, slice_str(listener->hosts[i])))
            return true;
    }
    return false;
}

static bool start_deadline(struct rpc_exchange *x)
{
    uint64_t timeout_us;
    struct slice value = headers_value(&x->stream->request->headers, HEADER_GRPC_TIMEOUT);
    if (!value.data)
        return true;
    if (!grpc_timeout_parse(value, &timeout_us))
        return false;
    uint64_t timeout_ms = (timeout_us + 999) / 1000;
    x->deadline_ms = loop_now_ms(loop_of(x)) + timeout_ms;
    loop_timer_start(loop_of(x), &x->timer, timeout_ms, on_timer);
    return true;
}

static void begin_grpc(struct rpc_exchange *x)
{
    const struct headers *headers = &x->stream->request->headers;
    grpc_reader_init(&x->reader, x->server->limits.max_message);
    if (http_connection_protocol(x->connection->http) != HTTP_PROTOCOL_2)
        rpc_exchange_reply(x, 505, "text/plain", SLICE("gRPC is spoken over HTTP/2 only\n"));
    else if (x->stream->method != HTTP_POST)
        rpc_exchange_reply(x, 405, "text/plain", SLICE("gRPC calls are POST requests\n"));
    else if (!grpc_encoding_is_read(headers_value(headers, HEADER_GRPC_ENCODING)))
        rpc_exchange_end(x, GRPC_UNIMPLEMENTED,
                         SLICE("messages are read uncompressed only (grpc-encoding: identity)"));
    else if (!start_deadline(x))
        rpc_exchange_end(x, GRPC_INVALID_ARGUMENT, SLICE("grpc-timeout is malformed"));
    else if (x->service->on_open)
        x->service->on_open(x->owner, x);
    if (!x->finished && x->input_ended)
        read_messages(x);
}

/* Who asked whether to go on is told so, once it is clear that somebody reads the body. */
static void expect_body(struct rpc_exchange *x)
{
    struct http_response informational;
    loop_timer_start(loop_of(x), &x->timer, x->server->limits.request_timeout_ms, on_timer);
    if (!x->stream->request->expects_continue || x->headed)
        return;
    http_response_init(&informational, 100);
    http_stream_send_response(x->stream, &informational, false);
}

static void begin_http(struct rpc_exchange *x)
{
    int64_t length = x->stream->request->content_length;
    if (x->service->on_body && length > (int64_t)x->server->limits.max_body) {
        rpc_exchange_reply(x, 413, "text/plain",
                           SLICE("the body is longer than max_body allows\n"));
        return;
    }
    if (x->service->on_open)
        x->service->on_open(x->owner, x);
    if (x->finished)
        return;
    if (!x->input_ended && x->service->on_body)
        expect_body(x);
    tell_body(x);
}

static bool is_grpc_request(const struct http_request *request)
{
    struct slice type = headers_value(&request->headers, HEADER_CONTENT_TYPE);
    return slice_starts_with(type, SLICE("application/grpc")) &&
           !slice_starts_with(type, SLICE("application/grpc-web"));
}

static void begin(struct rpc_exchange *x)
{
    const struct http_request *request = x->stream->request;
    x->is_grpc = is_grpc_request(request);
    const struct rpc_route *route = rpc_server_route(x->server, rpc_exchange_path(x), x->is_grpc);
    if (!is_host_allowed(x->connection->listener, request->authority)) {
        rpc_exchange_reply(x, 421, "text/plain", SLICE("this host is not served here\n"));
    } else if (!route && x->is_grpc) {
        rpc_exchange_end(x, GRPC_UNIMPLEMENTED, SLICE("there is no such method here"));
    } else if (!route) {
        rpc_exchange_reply(x, 404, "text/plain", SLICE("there is no such path here\n"));
    } else {
        x->service = route->service;
        x->owner = route->owner;
        if (x->is_grpc)
            begin_grpc(x);
        else
            begin_http(x);
    }
}

void rpc_exchange_begin(struct rpc_connection *connection, struct http_stream *stream)
{
    struct rpc_server *server = connection->server;
    struct rpc_exchange *x = loop_object_new(server->means.loop, sizeof(*x));
    if (!x) {
        http_stream_reset(stream, HTTP_RESET_REFUSED);
        http_stream_release(stream);
        return;
    }
    *x = (struct rpc_exchange){.server = server,
                               .connection = connection,
                               .stream = stream,
                               .deadline_ms = UINT64_MAX,
                               .input_ended = stream->in == HTTP_ENDED};
    task_init(&x->run, run);
    task_init(&x->reap, reap);
    x->name = handle_new(loop_handles(server->means.loop), x);
    list_push_back(&connection->exchanges, &x->node);
    stream->events = &stream_events;
    stream->owner = x;
    begin(x);
}

/* What services ask. */

struct slice rpc_exchange_method(const struct rpc_exchange *x)
{
    return x->stream->request->method_text;
}

struct slice rpc_exchange_path(const struct rpc_exchange *x)
{
    return path_only(x->stream->request->path);
}

struct slice rpc_exchange_query(const struct rpc_exchange *x)
{
    return path_query(x->stream->request->path);
}

struct slice rpc_exchange_header(const struct rpc_exchange *x, const char *name)
{
    const struct header *header = headers_find_name(&x->stream->request->headers, slice_str(name));
    return header ? header_value(header) : SLICE_NONE;
}

static const struct transport *transport_of(const struct rpc_exchange *x)
{
    return x->connection ? http_connection_transport(x->connection->http) : NULL;
}

const struct peer_identity *rpc_exchange_identity(const struct rpc_exchange *x)
{
    const struct transport *transport = transport_of(x);
    return transport ? transport_peer(transport) : NULL;
}

bool rpc_exchange_is_encrypted(const struct rpc_exchange *x)
{
    const struct transport *transport = transport_of(x);
    return transport && transport_session(transport);
}

struct address rpc_exchange_peer(const struct rpc_exchange *x)
{
    const struct transport *transport = transport_of(x);
    return transport ? conn_peer_address(transport_conn(transport)) : (struct address){0};
}

bool rpc_exchange_credentials(const struct rpc_exchange *x, struct rpc_credentials *credentials)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    const struct transport *transport = transport_of(x);
    if (!transport)
        return false;
    struct address local = conn_local_address(transport_conn(transport));
    int fd = conn_fd(transport_conn(transport));
    if (!address_is_unix(&local) || fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
        return false;
    *credentials = (struct rpc_credentials){peer.pid, peer.uid, peer.gid};
    return true;
}

int rpc_exchange_listener(const struct rpc_exchange *x)
{
    return x->connection ? x->connection->listener->number : -1;
}

uint64_t rpc_exchange_handle(const struct rpc_exchange *x)
{
    return x->name;
}

void rpc_exchange_set_state(struct rpc_exchange *x, void *state)
{
    x->state = state;
}

void *rpc_exchange_state(const struct rpc_exchange *x)
{
    return x->state;
}

bool rpc_exchange_is_finished(const struct rpc_exchange *x)
{
    return x->finished;
}

bool rpc_exchange_is_writable(const struct rpc_exchange *x)
{
    return !x->finished && x->stream->unsent < x->server->limits.max_send_backlog;
}

size_t rpc_exchange_backlog(const struct rpc_exchange *x)
{
    return x->stream ? x->stream->unsent : 0;
}

uint64_t rpc_exchange_stalled_since_ms(const struct rpc_exchange *x)
{
    return rpc_exchange_backlog(x) > 0 ? x->sent_moved_ms : UINT64_MAX;
}
