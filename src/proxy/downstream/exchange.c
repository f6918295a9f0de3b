#include "proxy/downstream/exchange.h"

#include "build/hcm.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "http/url.h"
#include "net/transport.h"
#include "proxy/downstream/attempt.h"
#include "proxy/downstream/breakers.h"
#include "proxy/downstream/connect.h"
#include "proxy/downstream/deadlines.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/forward.h"
#include "proxy/downstream/heads.h"
#include "proxy/downstream/websocket.h"
#include "proxy/filter/filters.h"
#include "proxy/observe/format_writer.h"
#include "proxy/observe/observer.h"
#include "proxy/route/view.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"
#include "rpc/grpc_status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct arena *exchange_arena(const struct exchange *exchange)
{
    return exchange->stream->arena;
}

struct loop *exchange_loop(const struct exchange *exchange)
{
    return exchange->downstream->worker->loop;
}

/* --- the end -------------------------------------------------------------------------------------------------- */

static void give_back(struct exchange *exchange)
{
    struct reader *reader = exchange->downstream->worker->reader;
    breakers_give_all(exchange);
    for (uint32_t i = 0; i < exchange->tried_count; i++)
        host_unref(exchange->tried_hosts[i]);
    host_unref(exchange->record.host);
    if (exchange->cluster)
        reader_unpin(reader, exchange->cluster);
    if (exchange->table)
        reader_unpin(reader, exchange->table);
    if (exchange->listener)
        reader_unpin(reader, exchange->listener);
}

void exchange_end(struct exchange *exchange)
{
    struct downstream *downstream = exchange->downstream;
    struct http_stream *stream = exchange->stream;
    struct loop *loop = exchange_loop(exchange);
    if (exchange->is_over)
        return;
    exchange->is_over = true;
    deadlines_stop(exchange);
    loop_timer_stop(loop, &exchange->back_off);
    exchange->record.end_us = loop_now_us(loop);
    observe_exchange(downstream->worker->observer, exchange);
    attempt_abort(exchange);
    if (UNLIKELY(exchange->filters))
        filters_end(exchange);
    chain_fini(&exchange->body);
    chain_fini(&exchange->replay);
    give_back(exchange);
    /* The exchange lies in the stream's arena: after this it is gone. */
    list_remove(&exchange->node);
    http_stream_release(stream);
}

/* --- answers of our own --------------------------------------------------------------------------------------- */

bool exchange_edit_response(struct exchange *exchange, struct http_response *response)
{
    return heads_route_response(exchange, response);
}

/* A body that is sent must be in blocks of the worker's pool. */
static bool body_chain(struct exchange *exchange, struct slice body, struct chain *out)
{
    return body.size == 0 || chain_append_copy(out, loop_blocks(exchange_loop(exchange)), body);
}

/* The answer is our own: no other try, and nothing of this one. */
static void stop_trying(struct exchange *exchange)
{
    struct loop *loop = exchange_loop(exchange);
    exchange->is_answered = true;
    deadlines_stop(exchange);
    loop_timer_stop(loop, &exchange->back_off);
    if (exchange->has_attempt && exchange->attempt.is_waiting)
        attempt_abort(exchange);
    else if (exchange->has_attempt)
        loop_timer_stop(loop, &exchange->attempt.timeout);
}

void exchange_respond(struct exchange *exchange, struct http_response *response, struct slice body)
{
    struct chain bytes = {0};
    bool is_head = exchange->head->method == HTTP_HEAD;
    response->content_length = (int64_t)body.size;
    if (!is_head && !body_chain(exchange, body, &bytes)) {
        http_stream_reset(exchange->stream, HTTP_RESET_LIMIT);
        exchange_end(exchange);
        return;
    }
    exchange->record.response = response;
    exchange->record.status = response->status;
    exchange->record.response_start_us = loop_now_us(exchange_loop(exchange));
    stop_trying(exchange);
    if (UNLIKELY(exchange->filters || exchange->filters_response) &&
        filters_response(exchange, response, &bytes, true)) {
        return;
    }
    exchange_pass_response(exchange, true, &bytes, NULL, true);
}

void exchange_pass_response(struct exchange *exchange, bool head, struct chain *data,
                            struct headers *trailers, bool end)
{
    struct http_response *response = (struct http_response *)(uintptr_t)exchange->record.response;
    bool ends_plainly = end && !trailers;
    exchange->record.bytes_sent += data->size;
    if (head) {
        if (!websocket_answer(exchange, response) || !exchange_edit_response(exchange, response)) {
            chain_fini(data);
            http_stream_reset(exchange->stream, HTTP_RESET_LIMIT);
            exchange_end(exchange);
            return;
        }
        exchange->is_committed = true;
        chain_fini(&exchange->replay);
        if (exchange->record.upstream_head_us &&
            http_response_is_tunnel((enum http_method)exchange->head->method, response->status)) {
            exchange->record.is_tunnel = true;
            deadlines_tunnel(exchange);
        }
        http_stream_send_response(exchange->stream, response, ends_plainly && data->size == 0);
    }
    if (data->size > 0 || (ends_plainly && !head))
        http_stream_send_data(exchange->stream, data, ends_plainly);
    if (trailers)
        http_stream_send_trailers(exchange->stream, trailers);
    if (!end)
        return;
    exchange->response_ended = true;
    /* In a tunnel the other direction goes on. A request that is not whole yet is cut: the connection lingers and closes. */
    if (!exchange->record.is_tunnel || exchange->request_ended)
        exchange_end(exchange);
}

static bool is_grpc(const struct exchange *exchange)
{
    return view_is_grpc(&exchange->head->headers);
}

static const char *grpc_status_text(const struct exchange *exchange, unsigned status)
{
    static const char *const numbers[GRPC_CODES] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
    return numbers[exchange->grpc_status ? exchange->grpc_status : grpc_code_of_http(status)];
}

/* A gRPC client reads its error from headers of a 200. Percent-encoding of the message: gRPC over HTTP/2, Responses. */
static bool make_grpc(struct exchange *exchange, unsigned status, struct slice why,
                      struct http_response *response)
{
    struct arena *arena = exchange_arena(exchange);
    char *text = arena_try_alloc(arena, why.size * 3 + 1);
    size_t size = 0;
    if (!text)
        return false;
    for (size_t i = 0; i < why.size; i++) {
        uint8_t byte = (uint8_t)why.data[i];
        if (byte >= ' ' && byte <= '~' && byte != '%')
            text[size++] = (char)byte;
        else
            size += (size_t)sprintf(text + size, "%%%02X", byte);
    }
    response->status = 200;
    return headers_add_id(&response->headers, arena, HEADER_CONTENT_TYPE,
                          SLICE("application/grpc")) &&
           headers_add_id(&response->headers, arena, HEADER_GRPC_STATUS,
                          slice_str(grpc_status_text(exchange, status))) &&
           headers_add_id(&response->headers, arena, HEADER_GRPC_MESSAGE, slice_of(text, size));
}

static struct slice sentence(struct exchange *exchange, const char *format, va_list args)
{
    enum { SENTENCE_MAX = 400 };
    char *text = arena_try_alloc(exchange_arena(exchange), SENTENCE_MAX);
    if (!text)
        return SLICE_NONE;
    int size = vsnprintf(text, SENTENCE_MAX, format, args);
    return slice_of(text, MIN((size_t)MAX(size, 0), (size_t)SENTENCE_MAX - 1));
}

void exchange_reply(struct exchange *exchange, unsigned status, const char *details,
                    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice why = sentence(exchange, format, args);
    va_end(args);
    exchange->record.details = details;
    exchange->record.why = why;
    struct http_response *response = arena_try_alloc(exchange_arena(exchange), sizeof(*response));
    if (!response || exchange->is_committed) {
        http_stream_reset(exchange->stream, HTTP_RESET_INTERNAL);
        exchange_end(exchange);
        return;
    }
    http_response_init(response, status);
    struct slice body = why;
    bool is_made;
    if (is_grpc(exchange)) {
        is_made = make_grpc(exchange, status, why, response);
        body = SLICE_NONE;
    } else {
        is_made = headers_add_id(&response->headers, exchange_arena(exchange), HEADER_CONTENT_TYPE,
                                 SLICE("text/plain"));
    }
    if (is_made) {
        exchange_respond(exchange, response, body);
        return;
    }
    http_stream_reset(exchange->stream, HTTP_RESET_LIMIT);
    exchange_end(exchange);
}

/* --- redirects and direct responses --------------------------------------------------------------------------- */

static struct slice location_of(struct exchange *exchange, const struct route_redirect *redirect)
{
    const struct http_request *head = exchange->head;
    bool was_tls = transport_session(http_connection_transport(exchange->downstream->http)) != NULL;
    struct slice scheme = redirect->scheme.size        ? redirect->scheme
                          : redirect->https || was_tls ? SLICE("https")
                                                       : SLICE("http");
    struct slice host = redirect->host.size ? redirect->host : head->authority;
    struct slice path = redirect->path.size
                            ? redirect->path
                            : heads_rewrite(exchange, &redirect->rewrite, head->path);
    char port[8] = "";
    if (redirect->port || redirect->host.size || redirect->https || redirect->scheme.size) {
        const char *colon = memrchr(host.data, ':', host.size);
        const char *bracket = memrchr(host.data, ']', host.size);
        if (!redirect->host.size && colon && (!bracket || colon > bracket) &&
            (redirect->port || redirect->https))
            host.size = (size_t)(colon - host.data);
        bool is_default = redirect->port == (slice_equals(scheme, SLICE("https")) ? 443 : 80);
        if (redirect->port && !is_default)
            snprintf(port, sizeof(port), ":%u", redirect->port);
    }
    if (redirect->strip_query)
        path = path_only(path);
    size_t size = scheme.size + 3 + host.size + strlen(port) + path.size;
    char *text = path.data ? arena_try_alloc(exchange_arena(exchange), size + 1) : NULL;
    if (!text)
        return SLICE_NONE;
    snprintf(text, size + 1, "%.*s://%.*s%s%.*s", SLICE_ARG(scheme), SLICE_ARG(host), port,
             SLICE_ARG(path));
    return slice_of(text, size);
}

static void redirect(struct exchange *exchange, const struct route_redirect *how)
{
    struct http_response *response = arena_try_alloc(exchange_arena(exchange), sizeof(*response));
    struct slice location = location_of(exchange, how);
    if (!response || !location.data) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    http_response_init(response, how->status);
    exchange->record.details = "direct_response";
    if (!headers_add_id(&response->headers, exchange_arena(exchange), HEADER_LOCATION, location)) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    exchange_respond(exchange, response, SLICE_NONE);
}

/* require_tls of its virtual host: the same place, with TLS. */
static bool redirect_to_tls(struct exchange *exchange)
{
    static const struct route_redirect to_tls = {
        .https = true, .status = 301, .scheme = {"", 0}, .host = {"", 0}, .path = {"", 0}};
    const struct virtual_host *host = exchange->record.route->host;
    if (LIKELY(!host || !host->requires_tls) ||
        transport_session(http_connection_transport(exchange->downstream->http)))
        return false;
    redirect(exchange, &to_tls);
    return true;
}

static void respond_directly(struct exchange *exchange)
{
    const struct route_response *direct = exchange->record.route->response;
    struct http_response *response = arena_try_alloc(exchange_arena(exchange), sizeof(*response));
    struct slice body = direct->body;
    exchange->record.details = "direct_response";
    bool is_made = response != NULL;
    if (is_made)
        http_response_init(response, direct->status);
    if (is_made && direct->format)
        is_made = format_write(direct->format, exchange, exchange_arena(exchange), &body);
    if (is_made && is_grpc(exchange) && direct->status >= 400) {
        is_made = make_grpc(exchange, direct->status, body, response);
        body = SLICE_NONE;
    }
    if (is_made && body.size)
        is_made = headers_add_id(&response->headers, exchange_arena(exchange), HEADER_CONTENT_TYPE,
                                 SLICE("text/plain"));
    if (is_made)
        exchange_respond(exchange, response, body);
    else
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
}

/* --- the request ---------------------------------------------------------------------------------------------- */

static const struct route_table *find_table(struct exchange *exchange)
{
    struct worker *worker = exchange->downstream->worker;
    if (exchange->hcm->routes)
        return exchange->hcm->routes;
    const struct resource *resource =
        snapshot_find(worker_snapshot(worker), KIND_ROUTE, &exchange->hcm->route_name);
    if (!resource)
        resource = exchange->downstream->kept_table;
    if (!resource)
        return NULL;
    reader_pin(worker->reader, resource);
    exchange->table = resource;
    return resource->route;
}

static bool upgrade_is_enabled(const struct exchange *exchange)
{
    struct slice kind = exchange->head->upgrade.size ? exchange->head->upgrade : SLICE("connect");
    const struct route_upgrade *upgrade = connect_find(exchange);
    if (upgrade)
        return upgrade->enabled;
    for (uint32_t i = 0; i < exchange->hcm->upgrade_count; i++)
        if (slice_equals_nocase(exchange->hcm->upgrades[i].kind, kind))
            return exchange->hcm->upgrades[i].enabled;
    return false;
}

/* False: it has answered that there is no route. */
static bool match_route(struct exchange *exchange, const struct route_table *table,
                        struct view *view)
{
    struct http_request *head = exchange->head;
    bool is_tls = transport_session(http_connection_transport(exchange->downstream->http)) != NULL;
    view_init(view, head, exchange_arena(exchange), is_tls,
              random_u64(loop_random(exchange_loop(exchange))));
    exchange->record.is_grpc = view->request.is_grpc;
    exchange->counts_messages =
        view->request.is_grpc && (exchange->hcm->grpc_stats ||
                                  exchange->listener->listener->direction != LISTENER_UNSPECIFIED);
    const struct route *route = table ? route_table_find(table, &view->request) : NULL;
    if (view->lost) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return false;
    }
    if (!route) {
        record_flag(&exchange->record, FLAG_NR);
        exchange_reply(exchange, 404, "route_not_found",
                       table ? "no route for %.*s%.*s"
                             : "the routes have not arrived yet: %.*s%.*s",
                       SLICE_ARG(head->authority), SLICE_ARG(view->request.path));
        return false;
    }
    exchange->record.route = route;
    return true;
}

/* A filter changed what the route depends on: once more, in the same table. */
static bool find_again(struct exchange *exchange)
{
    struct view view;
    const struct route_table *table =
        exchange->table ? exchange->table->route : exchange->hcm->routes;
    exchange->reroutes = false;
    return match_route(exchange, table, &view);
}

void exchange_act(struct exchange *exchange)
{
    if (UNLIKELY(exchange->reroutes) && !find_again(exchange))
        return;
    const struct route *route = exchange->record.route;
    if (redirect_to_tls(exchange))
        return;
    switch (route->action) {
    case ROUTE_FORWARD: forward_begin(exchange); return;
    case ROUTE_REDIRECT: redirect(exchange, route->redirect); return;
    case ROUTE_RESPOND: respond_directly(exchange); return;
    case ROUTE_REFUSE:
        exchange_reply(exchange, 403, "route_refused", "the route refuses this request");
        return;
    }
}

static void find_route(struct exchange *exchange)
{
    struct http_request *head = exchange->head;
    struct view view;
    if (!match_route(exchange, find_table(exchange), &view))
        return;
    bool asks_tunnel = head->upgrade.size > 0 || head->method == HTTP_CONNECT;
    if (asks_tunnel && !upgrade_is_enabled(exchange)) {
        exchange_reply(exchange, 403, "upgrade_failed", "%s%.*s is not enabled here",
                       head->upgrade.size ? "the upgrade to " : "CONNECT",
                       SLICE_ARG(head->upgrade));
        return;
    }
    filters_request(exchange, &view);
}

static void answer_expectation(struct exchange *exchange)
{
    struct http_request *head = exchange->head;
    if (!head->expects_continue || exchange->hcm->proxy_100_continue || exchange->request_ended)
        return;
    struct http_response go_on;
    http_response_init(&go_on, 100);
    http_stream_send_response(exchange->stream, &go_on, false);
    headers_remove_id(&head->headers, HEADER_EXPECT);
    head->expects_continue = false;
}

/* All of it is here, though some may wait at a filter. */
static void note_arrival(struct exchange *exchange)
{
    exchange->record.request_end_us = loop_now_us(exchange_loop(exchange));
    loop_timer_stop(exchange_loop(exchange), &exchange->arrival);
}

static void end_request(struct exchange *exchange)
{
    exchange->request_ended = true;
    deadlines_request_ended(exchange);
}

static void on_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct exchange *exchange = stream->owner;
    exchange->record.bytes_received += data->size;
    if (exchange->counts_messages)
        grpc_messages_count(&exchange->asked, data);
    if (end)
        note_arrival(exchange);
    if (UNLIKELY(exchange->filters) &&
        (exchange->is_answered || filters_data(exchange, FILTER_REQUEST, data, end)))
        return;
    chain_move(&exchange->body, data);
    if (end)
        end_request(exchange);
    forward_request(exchange);
}

static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct exchange *exchange = stream->owner;
    note_arrival(exchange);
    if (UNLIKELY(exchange->filters) &&
        (exchange->is_answered || filters_trailers(exchange, FILTER_REQUEST, trailers)))
        return;
    exchange->trailers = trailers;
    exchange->has_trailers = true;
    end_request(exchange);
    forward_request(exchange);
}

static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct exchange *exchange = stream->owner;
    struct record *record = &exchange->record;
    switch ((enum http_reset_reason)reset->reason) {
    case HTTP_RESET_IDLE_TIMEOUT:
        record_flag(record, FLAG_SI);
        record->details = "stream_idle_timeout";
        record->why = SLICE("nothing moved on the stream for the idle timeout");
        break;
    case HTTP_RESET_PROTOCOL:
    case HTTP_RESET_LIMIT:
        record_flag(record, FLAG_DPE);
        record->details = http_refusal_name((enum http_refusal)reset->refusal);
        record->why = slice_str(http_refusal_text((enum http_refusal)reset->refusal));
        break;
    case HTTP_RESET_NO_ERROR:
    case HTTP_RESET_CANCEL:
    case HTTP_RESET_REFUSED:
    case HTTP_RESET_INTERNAL:
    case HTTP_RESET_TRUNCATED:
    case HTTP_RESET_DISCONNECTED:
    case HTTP_RESET_REASONS:
        record_flag(record, FLAG_DC);
        record->details = "downstream_remote_disconnect";
        record->why = SLICE("the client went away");
        break;
    }
    exchange_end(exchange);
}

/* Bytes of the response left: credit for the upstream stream. */
static void on_sent(struct http_stream *stream, size_t bytes)
{
    struct exchange *exchange = stream->owner;
    if (UNLIKELY(exchange->filters))
        bytes = filters_credit(exchange, FILTER_RESPONSE, bytes);
    exchange_credit_upstream(exchange, bytes);
}

void exchange_credit_upstream(struct exchange *exchange, size_t bytes)
{
    if (exchange->has_attempt && exchange->attempt.stream)
        http_stream_consumed(exchange->attempt.stream, bytes);
}

static const struct http_stream_events events = {
    .on_data = on_data, .on_trailers = on_trailers, .on_reset = on_reset, .on_sent = on_sent};

/* Not even an exchange can be had: the smallest answer there is. */
static void refuse_without_memory(struct http_stream *stream)
{
    static const struct http_stream_events deaf;
    struct http_response response;
    stream->events = &deaf;
    http_response_init(&response, 503);
    response.content_length = 0;
    http_stream_send_response(stream, &response, true);
    http_stream_release(stream);
}

/* What the PROXY header said; without memory for it the log has the socket's addresses. */
static void take_header(struct exchange *exchange)
{
    struct address *ends = arena_try_alloc(exchange->stream->arena, 2 * sizeof(*ends));
    if (!ends)
        return;
    ends[0] = address_unpack(&exchange->downstream->peer);
    ends[1] = address_unpack(&exchange->downstream->local);
    exchange->record.source = &ends[0];
    exchange->record.destination = &ends[1];
}

static void take_ends(struct exchange *exchange)
{
    exchange->record.downstream_local = &exchange->downstream->local;
    exchange->record.downstream_peer = &exchange->downstream->peer;
}

void exchange_begin(struct downstream *downstream, struct http_stream *stream)
{
    struct loop *loop = downstream->worker->loop;
    struct exchange *exchange = arena_try_alloc(stream->arena, sizeof(*exchange));
    if (!exchange || loop_pressure(loop) >= MEMORY_PAUSE_READS) {
        refuse_without_memory(stream);
        return;
    }
    memset(exchange, 0, offsetof(struct exchange, tried));
    const struct filter_chain *chain = downstream_chain(downstream, &exchange->listener);
    exchange->downstream = downstream;
    list_push_back(&downstream->exchanges, &exchange->node);
    exchange->stream = stream;
    exchange->head = stream->request;
    exchange->hcm = chain->http;
    exchange->request_ended = stream->in == HTTP_ENDED;
    exchange->record.request = stream->request;
    exchange->record.start_us = loop_now_us(loop);
    exchange->record.start_wall_us = loop_wall_us(loop);
    exchange->record.downstream = http_connection_transport(downstream->http);
    if (UNLIKELY(address_packed_is_set(&downstream->original_destination)))
        exchange->record.original_destination = address_unpack(&downstream->original_destination);
    if (UNLIKELY(downstream->has_header))
        take_header(exchange);
    else
        take_ends(exchange);
    if (exchange->request_ended)
        exchange->record.request_end_us = exchange->record.start_us;
    stream->events = &events;
    stream->owner = exchange;
    reader_pin(downstream->worker->reader, exchange->listener);
    const char *details, *why;
    if (!heads_receive(exchange, &details, &why)) {
        exchange_reply(exchange, 400, details, "%s", why);
        return;
    }
    if (heads_is_looping(exchange)) {
        exchange_reply(exchange, 508, "proxy_loop",
                       "the request has passed too many proxies: two of them point at each other");
        return;
    }
    answer_expectation(exchange);
    deadlines_begin(exchange);
    find_route(exchange);
}
