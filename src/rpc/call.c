#include "rpc/call.h"

#include "base/memory.h"
#include "http/header.h"
#include "rpc/client_internal.h"

#include <stdio.h>

static struct loop *loop_of(const struct rpc_call *call)
{
    return call->client->means.loop;
}

/* The end of a call. */

static void clear_headers(struct rpc_call *call)
{
    VECTOR_EACH(header, &call->headers)
    {
        mem_free((char *)header->name.data);
        mem_free((char *)header->value.data);
    }
    vector_fini(&call->headers);
}

static void reap(struct task *task)
{
    struct rpc_call *call = CONTAINER_OF(task, struct rpc_call, reap);
    grpc_reader_fini(&call->reader);
    chain_fini(&call->in);
    chain_fini(&call->out);
    buffer_fini(&call->body);
    clear_headers(call);
    arena_fini(&call->arena);
    mem_free(call->method);
    mem_free(call->path);
    mem_free(call->message);
    mem_free(call);
}

static void release_stream(struct rpc_call *call)
{
    if (call->stream)
        http_stream_release(call->stream);
    call->stream = NULL;
    call->link = NULL;
    list_remove(&call->node);
}

static void let_go(struct rpc_call *call)
{
    call->gone = true;
    loop_timer_stop(loop_of(call), &call->deadline);
    loop_task_cancel(&call->run);
    release_stream(call);
    rpc_client_forget_call(call->client);
    loop_reap_later(loop_of(call), &call->reap);
}

void rpc_call_cancel(struct rpc_call *call)
{
    if (!call || call->gone)
        return;
    if (call->stream)
        http_stream_reset(call->stream, HTTP_RESET_CANCEL);
    let_go(call);
}

/* on_end is told by the run task. */
static void end(struct rpc_call *call)
{
    call->ending = true;
    loop_timer_stop(loop_of(call), &call->deadline);
    loop_run_later(loop_of(call), &call->run);
}

void rpc_call_fail(struct rpc_call *call, enum grpc_code code, struct slice message)
{
    if (call->ending || call->gone)
        return;
    call->code = (uint8_t)code;
    mem_free(call->message);
    call->message = slice_to_str(message);
    if (!call->stream)
        list_remove(&call->node); /* no longer among those that wait */
    end(call);
}

/* Breaks off what the peer does not know to be over. */
static void abort_call(struct rpc_call *call, enum grpc_code code, struct slice message)
{
    if (call->stream)
        http_stream_reset(call->stream, HTTP_RESET_CANCEL);
    rpc_call_fail(call, code, message);
}

static void on_deadline(struct timer *timer)
{
    abort_call(CONTAINER_OF(timer, struct rpc_call, deadline), GRPC_DEADLINE_EXCEEDED,
               SLICE("no answer came in time"));
}

/* Responses. */

static void give_credit(struct rpc_call *call, size_t bytes)
{
    if (bytes > 0 && call->stream)
        http_stream_consumed(call->stream, bytes);
}

static bool read_message(struct rpc_call *call)
{
    struct slice message;
    size_t before = call->in.size;
    enum grpc_frame_status status = grpc_read(&call->reader, &call->in, &message);
    give_credit(call, before - call->in.size);
    switch (status) {
    case GRPC_FRAME_MORE: grpc_reader_rest(&call->reader); return false;
    case GRPC_FRAME_MESSAGE:
        if (call->handler->on_message)
            call->handler->on_message(call->owner, message);
        return true;
    case GRPC_FRAME_TOO_LONG:
        abort_call(call, GRPC_RESOURCE_EXHAUSTED,
                   SLICE("a message is longer than max_message allows"));
        return false;
    case GRPC_FRAME_BAD: break;
    }
    abort_call(call, GRPC_INTERNAL, SLICE("the framing of messages is broken"));
    return false;
}

static bool read_bytes(struct rpc_call *call)
{
    struct slice front = chain_front(&call->in);
    if (front.size == 0)
        return false;
    if (call->handler->on_data)
        call->handler->on_data(call->owner, front);
    if (call->gone)
        return false;
    chain_consume(&call->in, front.size);
    give_credit(call, front.size);
    return true;
}

static void finish_reading(struct rpc_call *call)
{
    if (!call->input_ended || call->ending || call->gone)
        return;
    if (call->is_grpc && (call->in.size > 0 || grpc_reader_is_amid(&call->reader)))
        rpc_call_fail(call, GRPC_INTERNAL, SLICE("the response ended inside a message"));
    else if (call->is_grpc && !call->has_status)
        rpc_call_fail(call, GRPC_UNKNOWN, SLICE("the response ended without a status"));
    else
        end(call);
}

static void read_on(struct rpc_call *call)
{
    for (unsigned read = 0; !call->paused && !call->ending && !call->gone; read++) {
        if (read == LOOP_CONN_MESSAGES) {
            loop_run_next_turn(loop_of(call), &call->run);
            return;
        }
        if (!(call->is_grpc ? read_message(call) : read_bytes(call))) {
            finish_reading(call);
            return;
        }
    }
}

static void read_soon(struct rpc_call *call)
{
    if (!task_is_queued(&call->run))
        read_on(call);
}

/* grpc-status and grpc-message, of trailers or of a head that is all there is. */
static bool take_status(struct rpc_call *call, const struct headers *headers)
{
    struct slice status = headers_value(headers, HEADER_GRPC_STATUS);
    if (!status.data)
        return false;
    struct buffer text = {0};
    grpc_message_decode(&text, headers_value(headers, HEADER_GRPC_MESSAGE));
    call->has_status = true;
    call->code = (uint8_t)grpc_code_parse(status);
    mem_free(call->message);
    call->message = buffer_take(&text);
    return true;
}

static void check_grpc_head(struct rpc_call *call, const struct http_response *head)
{
    char text[64];
    struct slice type = headers_value(&head->headers, HEADER_CONTENT_TYPE);
    if (head->status != 200) {
        int size =
            snprintf(text, sizeof(text), "the server answered with HTTP status %u", head->status);
        if (!take_status(call, &head->headers))
            abort_call(call, grpc_code_of_http(head->status), slice_of(text, (size_t)size));
    } else if (!slice_starts_with(type, SLICE("application/grpc"))) {
        abort_call(call, GRPC_UNKNOWN, SLICE("the server answered with something other than gRPC"));
    } else if (!grpc_encoding_is_read(headers_value(&head->headers, HEADER_GRPC_ENCODING))) {
        abort_call(call, GRPC_INTERNAL,
                   SLICE("the server compresses, although only identity was offered"));
    }
}

static void on_response(struct http_stream *stream, struct http_response *head, bool last)
{
    struct rpc_call *call = stream->owner;
    if (call->ending || http_status_is_informational(head->status))
        return;
    call->http_status = head->status;
    buffer_fini(&call->body);
    if (call->is_grpc && last)
        take_status(call, &head->headers);
    if (call->is_grpc)
        check_grpc_head(call, head);
    /* A gRPC head that is all there is (Trailers-Only) is an end, not a beginning. */
    if (!call->ending && call->handler->on_head && !(call->is_grpc && last))
        call->handler->on_head(call->owner, head);
    if (call->gone || call->ending)
        return;
    call->input_ended = last;
    read_soon(call);
}

static void on_data(struct http_stream *stream, struct chain *data, bool last)
{
    struct rpc_call *call = stream->owner;
    if (call->ending) {
        http_stream_consumed(stream, data->size);
        return;
    }
    chain_move(&call->in, data);
    call->input_ended = last;
    read_soon(call);
}

static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct rpc_call *call = stream->owner;
    if (call->ending)
        return;
    if (call->is_grpc)
        take_status(call, trailers);
    call->input_ended = true;
    read_soon(call);
}

static enum grpc_code code_of_reset(enum http_reset_reason reason)
{
    switch (reason) {
    case HTTP_RESET_NO_ERROR: return GRPC_UNKNOWN;
    case HTTP_RESET_CANCEL: return GRPC_CANCELLED;
    case HTTP_RESET_LIMIT: return GRPC_RESOURCE_EXHAUSTED;
    case HTTP_RESET_PROTOCOL:
    case HTTP_RESET_INTERNAL: return GRPC_INTERNAL;
    case HTTP_RESET_REFUSED:
    case HTTP_RESET_TRUNCATED:
    case HTTP_RESET_DISCONNECTED:
    case HTTP_RESET_IDLE_TIMEOUT:
    case HTTP_RESET_REASONS: break;
    }
    return GRPC_UNAVAILABLE;
}

/* A request that the server surely or harmlessly did not see twice goes out once more (RFC 9110, 9.2.2). */
static bool may_retry(const struct rpc_call *call, const struct http_reset *reset)
{
    bool harmless = http_method_is_idempotent(http_method_of(slice_str(call->method)));
    return !call->is_grpc && !call->retried && call->http_status == 0 &&
           (reset->unseen || harmless);
}

static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct rpc_call *call = stream->owner;
    if (call->ending)
        return;
    if (may_retry(call, reset)) {
        release_stream(call);
        call->retried = true;
        list_push_back(&call->client->waiting, &call->node);
        rpc_client_dispatch_later(call->client);
        return;
    }
    rpc_call_fail(call, code_of_reset((enum http_reset_reason)reset->reason),
                  slice_str(http_reset_text((enum http_reset_reason)reset->reason)));
}

static void on_sent(struct http_stream *stream, size_t bytes)
{
    (void)bytes;
    struct rpc_call *call = stream->owner;
    if (call->ending || !call->full || stream->unsent > call->client->config.max_send_backlog / 2)
        return;
    call->full = false;
    if (call->handler->on_writable)
        call->handler->on_writable(call->owner);
}

static const struct http_stream_events stream_events = {
    .on_response = on_response,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_sent = on_sent,
};

static void run(struct task *task)
{
    struct rpc_call *call = CONTAINER_OF(task, struct rpc_call, run);
    if (!call->ending) {
        read_on(call);
        return;
    }
    struct rpc_end told = {.code = (enum grpc_code)call->code,
                           .message = slice_str(call->message ? call->message : ""),
                           .http_status = call->http_status};
    call->gone = true; /* cancelling it in on_end does nothing */
    call->handler->on_end(call->owner, &told);
    let_go(call);
}

/* Requests. */

static bool add(struct rpc_call *call, struct http_request *head, const char *name,
                struct slice value)
{
    return headers_add_copy(&head->headers, &call->arena, slice_str(name), value);
}

static bool add_grpc_headers(struct rpc_call *call, struct http_request *head)
{
    char timeout[12];
    bool added = add(call, head, "content-type", SLICE("application/grpc")) &&
                 add(call, head, "te", SLICE("trailers")) &&
                 add(call, head, "grpc-accept-encoding", SLICE("identity"));
    if (call->deadline_ms != UINT64_MAX) {
        uint64_t now_ms = loop_now_ms(loop_of(call));
        uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;
        size_t size = grpc_timeout_format(left_ms * 1000, timeout);
        added = added && add(call, head, "grpc-timeout", slice_of(timeout, size));
    }
    return added;
}

static bool make_head(struct rpc_call *call, struct http_request *head)
{
    const struct rpc_target *target = &call->client->config.target;
    http_request_init(head);
    head->method_text = slice_str(call->method);
    head->method = (uint8_t)http_method_of(head->method_text);
    head->scheme = target->tls ? SLICE("https") : SLICE("http");
    head->authority = slice_str(target->authority);
    head->path = slice_str(call->path);
    if (!call->is_grpc)
        head->content_length =
            call->body.size > 0 || head->method == HTTP_POST || head->method == HTTP_PUT
                ? (int64_t)call->body.size
                : HTTP_LENGTH_UNKNOWN;
    bool added = add(call, head, "user-agent", slice_str(call->client->config.user_agent));
    if (call->is_grpc)
        added = added && add_grpc_headers(call, head);
    VECTOR_EACH(header, &call->headers)
    added = added && headers_add(&head->headers, &call->arena, header->name, header->value);
    return added;
}

static bool queue_body(struct rpc_call *call)
{
    chain_fini(&call->out);
    return call->body.size == 0 ||
           chain_append_copy(&call->out, loop_blocks(loop_of(call)), buffer_slice(&call->body));
}

bool rpc_call_start(struct rpc_call *call, struct rpc_link *link)
{
    struct http_request head;
    if (!call->is_grpc && !queue_body(call)) {
        rpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, SLICE("no memory is left for the request"));
        return true;
    }
    struct http_stream *stream =
        http_connection_open_stream(link->http, &call->arena, &stream_events, call);
    if (!stream)
        return false;
    list_remove(&call->node);
    list_push_back(&link->calls, &call->node);
    call->link = link;
    call->stream = stream;
    if (!make_head(call, &head)) {
        abort_call(call, GRPC_RESOURCE_EXHAUSTED, SLICE("no memory is left for the request"));
        return true;
    }
    bool all = call->out.size == 0 && call->out_ended;
    http_stream_send_request(stream, &head, all);
    if (!all && (call->out.size > 0 || call->out_ended))
        http_stream_send_data(stream, &call->out, call->out_ended);
    return true;
}

static bool has_room(const struct rpc_client *client)
{
    return client->call_count <= client->config.max_calls;
}

static struct rpc_call *create(struct rpc_client *client, const struct rpc_call_config *config,
                               const struct rpc_call_handler *handler, void *owner)
{
    struct rpc_call *call = mem_new(struct rpc_call);
    call->client = client;
    call->handler = handler;
    call->owner = owner;
    call->path = str_copy(config->path);
    call->wait_for_ready = config->wait_for_ready;
    call->deadline_ms = UINT64_MAX;
    for (size_t i = 0; i < config->header_count; i++) {
        struct slice name = config->headers[i].name, value = config->headers[i].value;
        vector_push(&call->headers, {slice_of(slice_to_str(name), name.size),
                                     slice_of(slice_to_str(value), value.size)});
    }
    arena_init(&call->arena, loop_blocks(loop_of(call)));
    task_init(&call->run, run);
    task_init(&call->reap, reap);
    list_push_back(&client->waiting, &call->node);
    client->call_count++;
    if (config->timeout_ms > 0) {
        call->deadline_ms = loop_now_ms(loop_of(call)) + config->timeout_ms;
        loop_timer_start(loop_of(call), &call->deadline, config->timeout_ms, on_deadline);
    }
    if (has_room(client))
        rpc_client_dispatch_later(client);
    else
        rpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED,
                      SLICE("there are more calls than max_calls allows"));
    return call;
}

struct rpc_call *rpc_client_grpc(struct rpc_client *client, const struct rpc_call_config *config,
                                 const struct rpc_call_handler *handler, void *owner)
{
    struct rpc_call *call = create(client, config, handler, owner);
    call->is_grpc = true;
    call->method = str_copy("POST");
    grpc_reader_init(&call->reader, client->config.max_message);
    return call;
}

struct rpc_call *rpc_client_http(struct rpc_client *client, const struct rpc_call_config *config,
                                 struct slice body, const struct rpc_call_handler *handler,
                                 void *owner)
{
    struct rpc_call *call = create(client, config, handler, owner);
    call->method = str_copy(config->method ? config->method : body.size > 0 ? "POST" : "GET");
    call->out_ended = true;
    buffer_append_slice(&call->body, body);
    return call;
}

bool rpc_call_send_chain(struct rpc_call *call, struct chain *message)
{
    if (call->ending || call->gone || call->out_ended)
        return true;
    struct chain frame = {0};
    if (!grpc_write_head(&frame, loop_blocks(loop_of(call)), message->size))
        return false;
    chain_move(&frame, message);
    if (call->stream)
        http_stream_send_data(call->stream, &frame, false);
    else
        chain_move(&call->out, &frame);
    call->full = call->full || !rpc_call_is_writable(call);
    return true;
}

bool rpc_call_send(struct rpc_call *call, struct slice message)
{
    struct chain chain = {0};
    if (message.size > 0 && !chain_append_copy(&chain, loop_blocks(loop_of(call)), message))
        return false;
    bool sent = rpc_call_send_chain(call, &chain);
    chain_fini(&chain);
    return sent;
}

void rpc_call_send_end(struct rpc_call *call)
{
    struct chain nothing = {0};
    if (call->ending || call->gone || call->out_ended)
        return;
    call->out_ended = true;
    if (call->stream)
        http_stream_send_data(call->stream, &nothing, true);
}

bool rpc_call_is_writable(const struct rpc_call *call)
{
    size_t waiting = call->stream ? call->stream->unsent : call->out.size;
    return !call->ending && !call->gone && waiting < call->client->config.max_send_backlog;
}

void rpc_call_pause(struct rpc_call *call)
{
    call->paused = true;
}

void rpc_call_resume(struct rpc_call *call)
{
    call->paused = false;
    if (!call->gone)
        loop_run_later(loop_of(call), &call->run);
}
