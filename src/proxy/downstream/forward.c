/* The router: from a route to an attempt upstream, its answer, and other attempts when it fails. */
#include "proxy/downstream/exchange.h"

#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/hcm.h"
#include "build/route_table.h"
#include "net/transport.h"
#include "proxy/downstream/breakers.h"
#include "proxy/downstream/connect.h"
#include "proxy/downstream/deadlines.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/heads.h"
#include "proxy/downstream/websocket.h"
#include "proxy/filter/filters.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"
#include "rpc/grpc_status.h"

#include <stdio.h>
#include <string.h>

static void start_attempt(struct exchange *exchange, bool on_fresh_connection);

/* --- failures and other tries --------------------------------------------------------------------------------- */

/* Why a try failed, in the terms of a retry policy. */
enum attempt_failure {
    FAILED_TO_CONNECT,
    FAILED_RESET,
    FAILED_REFUSED,
    FAILED_STATUS,
    FAILED_TIMEOUT
};

/* A gRPC call that failed at once has its status in the head, as an HTTP answer without a body. */
static bool grpc_is_retriable(const struct retry_policy *retry,
                              const struct http_response *response)
{
    static const uint32_t reasons[GRPC_CODES] = {
        [GRPC_CANCELLED] = RETRY_GRPC_CANCELLED,
        [GRPC_DEADLINE_EXCEEDED] = RETRY_GRPC_DEADLINE_EXCEEDED,
        [GRPC_INTERNAL] = RETRY_GRPC_INTERNAL,
        [GRPC_RESOURCE_EXHAUSTED] = RETRY_GRPC_RESOURCE_EXHAUSTED,
        [GRPC_UNAVAILABLE] = RETRY_GRPC_UNAVAILABLE,
    };
    uint64_t code;
    struct slice status = headers_value(&response->headers, HEADER_GRPC_STATUS);
    return status.size > 0 && slice_to_u64(status, GRPC_CODES - 1, &code) &&
           (retry->on & reasons[code]);
}

static bool status_is_retriable(const struct retry_policy *retry,
                                const struct http_response *response)
{
    unsigned status = response->status;
    if ((retry->on & RETRY_5XX) && status >= 500)
        return true;
    if ((retry->on & RETRY_GATEWAY_ERROR) && status >= 502 && status <= 504)
        return true;
    if ((retry->on >> 16) && grpc_is_retriable(retry, response))
        return true;
    if ((retry->on & RETRY_RETRIABLE_4XX) && status == 409)
        return true;
    for (uint32_t i = 0; (retry->on & RETRY_STATUS_CODES) && i < retry->status_code_count; i++)
        if (retry->status_codes[i] == status)
            return true;
    return false;
}

static bool policy_allows(const struct exchange *exchange, enum attempt_failure failure,
                          const struct http_response *response)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    if (!retry || exchange->tries_left == 0)
        return false;
    switch (failure) {
    case FAILED_TO_CONNECT:
        return retry->on & (RETRY_CONNECT_FAILURE | RETRY_GATEWAY_ERROR | RETRY_5XX | RETRY_RESET);
    case FAILED_RESET: return retry->on & (RETRY_5XX | RETRY_GATEWAY_ERROR | RETRY_RESET);
    case FAILED_REFUSED:
        return retry->on & (RETRY_REFUSED_STREAM | RETRY_5XX | RETRY_GATEWAY_ERROR | RETRY_RESET);
    case FAILED_TIMEOUT: return retry->on & (RETRY_5XX | RETRY_GATEWAY_ERROR);
    case FAILED_STATUS: return status_is_retriable(retry, response);
    }
    return false;
}

/* The body can be sent once more: everything that was sent is in the replay buffer. */
static bool can_replay(const struct exchange *exchange)
{
    return !exchange->is_committed && !exchange->is_answering && !exchange->replay_lost;
}

static void rewind_body(struct exchange *exchange)
{
    struct chain rest = {0};
    chain_move(&rest, &exchange->body);
    chain_move(&exchange->body, &exchange->replay);
    chain_move(&exchange->body, &rest);
}

static void on_back_off(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, back_off);
    exchange->is_retrying = false;
    start_attempt(exchange, false);
}

/* Exponential with full jitter, as Envoy backs off. */
static uint64_t back_off_ms(struct exchange *exchange)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    uint64_t most = retry->back_off_ms << MIN(exchange->record.attempts, 10);
    most = MIN(most, MAX(retry->back_off_max_ms, retry->back_off_ms));
    return most ? random_below(loop_random(exchange_loop(exchange)), most) : 0;
}

/* The host of the try that failed is one to avoid. */
static void remember_host(struct exchange *exchange)
{
    if (exchange->tried_count == EXCHANGE_TRIED_MAX || !exchange->attempt.host)
        return;
    exchange->tried_hosts[exchange->tried_count] = host_ref(exchange->attempt.host);
    exchange->tried[exchange->tried_count++] = &exchange->attempt.host->balance;
}

/* True when another try is on its way. */
static bool try_again(struct exchange *exchange, enum attempt_failure failure,
                      const struct http_response *response)
{
    breakers_give_retry(exchange);
    if (!can_replay(exchange) || !policy_allows(exchange, failure, response) ||
        !breakers_take_retry(exchange))
        return false;
    exchange->tries_left--;
    exchange->record.retries++;
    remember_host(exchange);
    exchange_abort_attempt(exchange);
    rewind_body(exchange);
    exchange->is_retrying = true;
    loop_timer_start(exchange_loop(exchange), &exchange->back_off, back_off_ms(exchange),
                     on_back_off);
    return true;
}

static void keep_failure(struct exchange *exchange, const char *text)
{
    size_t size = strlen(text);
    char *copy = arena_try_alloc(exchange_arena(exchange), size + 1);
    if (!copy)
        return;
    memcpy(copy, text, size + 1);
    exchange->record.upstream_failure = slice_of(copy, size);
}

static void refuse_retries_left(struct exchange *exchange)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    if (retry && retry->retries && exchange->tries_left == 0)
        record_flag(&exchange->record, FLAG_URX);
}

/* --- one try -------------------------------------------------------------------------------------------------- */

void exchange_abort_attempt(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    if (!exchange->has_attempt)
        return;
    exchange->has_attempt = false;
    loop_timer_stop(exchange_loop(exchange), &attempt->timeout);
    if (attempt->is_waiting) {
        if (exchange->connect)
            raw_stream_cancel(&attempt->raw);
        else
            pool_cancel(&attempt->waiter);
        attempt->is_waiting = false;
    }
    if (attempt->stream) {
        struct http_stream *stream = attempt->stream;
        attempt->stream = NULL;
        exchange->record.upstream = NULL;
        if (!attempt->has_failed && !http_stream_is_whole(stream))
            http_stream_reset(stream, HTTP_RESET_CANCEL);
        http_stream_release(stream);
    }
    if (attempt->is_counted)
        host_count(attempt->host->counters, HOST_RQ_ACTIVE, -1);
    attempt->host->balance.active--;
    host_unref(attempt->host);
    attempt->host = NULL;
}

static void connect_failed(struct attempt *attempt, enum pool_failure failure, const char *text)
{
    struct exchange *exchange = attempt->exchange;
    attempt->is_waiting = false;
    keep_failure(exchange, text);
    switch (failure) {
    case POOL_OVERFLOW:
        record_flag(&exchange->record, FLAG_UO);
        exchange_reply(exchange, 503, "upstream_reset_before_response_started{overflow}",
                       "the circuit breaker of %.*s is open: %s",
                       SLICE_ARG(exchange->record.cluster->name.text), text);
        return;
    case POOL_GONE:
        /* The endpoint left while we waited: any other one will do, and nothing was sent. */
        exchange_abort_attempt(exchange);
        start_attempt(exchange, false);
        return;
    case POOL_CONNECT_FAILED:
    case POOL_TIMED_OUT:
    case POOL_SELF:
    case POOL_NO_MEMORY: break;
    }
    if (try_again(exchange, FAILED_TO_CONNECT, NULL))
        return;
    refuse_retries_left(exchange);
    record_flag(&exchange->record, FLAG_UF);
    exchange_reply(exchange, 503, "upstream_reset_before_response_started{connection_failure}",
                   "%s", text);
}

static void on_connect_failed(struct pool_waiter *waiter, enum pool_failure failure,
                              const char *text)
{
    connect_failed(CONTAINER_OF(waiter, struct attempt, waiter), failure, text);
}

static void on_raw_failed(struct raw_waiter *waiter, enum pool_failure failure, const char *text)
{
    connect_failed(CONTAINER_OF(waiter, struct attempt, raw), failure, text);
}

/* --- the answer ----------------------------------------------------------------------------------------------- */

static void note_response(struct exchange *exchange, const struct http_response *head)
{
    struct record *record = &exchange->record;
    record->upstream_head_us = loop_now_us(exchange_loop(exchange));
    record->response_start_us = record->upstream_head_us;
    record->upstream_version = head->version;
    record->details = "via_upstream";
    record->response = head;
    record->status = head->status;
}

static void on_response(struct http_stream *stream, struct http_response *head, bool end)
{
    struct attempt *attempt = stream->owner;
    struct exchange *exchange = attempt->exchange;
    struct chain none = {0};
    if (UNLIKELY(exchange->is_answered))
        return;
    if (http_status_is_informational(head->status) && head->status != 101) {
        if (head->status != 100 || exchange->hcm->proxy_100_continue)
            http_stream_send_response(exchange->stream, head, false);
        return;
    }
    attempt->is_headed = true;
    host_count(attempt->host->counters, head->status >= 500 ? HOST_RQ_ERROR : HOST_RQ_SUCCESS, 1);
    loop_timer_stop(exchange_loop(exchange), &attempt->timeout);
    if (try_again(exchange, FAILED_STATUS, head))
        return;
    const struct retry_policy *retry = exchange->record.route->retry;
    if (retry && status_is_retriable(retry, head))
        refuse_retries_left(exchange);
    note_response(exchange, head);
    if (UNLIKELY(exchange->filters || exchange->filters_response) &&
        filters_response(exchange, head, &none, end))
        return;
    exchange_pass_response(exchange, true, &none, NULL, end);
}

static void on_response_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct attempt *attempt = stream->owner;
    struct exchange *exchange = attempt->exchange;
    if (exchange->counts_messages)
        grpc_messages_count(&exchange->answered, data);
    if (UNLIKELY(exchange->is_answered) ||
        (UNLIKELY(exchange->filters) && filters_data(exchange, FILTER_RESPONSE, data, end)))
        return;
    exchange_pass_response(exchange, false, data, NULL, end);
}

static void on_response_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct attempt *attempt = stream->owner;
    struct exchange *exchange = attempt->exchange;
    struct chain none = {0};
    if (UNLIKELY(exchange->is_answered))
        return;
    exchange->record.trailers = trailers;
    if (UNLIKELY(exchange->filters) && filters_trailers(exchange, FILTER_RESPONSE, trailers))
        return;
    exchange_pass_response(exchange, false, &none, trailers, true);
}

/*
 * Once, on a fresh connection: that an idle one was closed by the server as we sent is nobody's fault, nor that the server
 * says that it will not look at what we sent. A server that goes away (GOAWAY) and leaves the stream to another connection may
 * do so on that one, too, while its configuration changes fast: so more than once.
 */
static bool resend_stale(struct exchange *exchange, const struct http_reset *reset)
{
    const struct attempt *attempt = &exchange->attempt;
    bool is_safe =
        reset->unseen || http_method_is_idempotent((enum http_method)exchange->head->method);
    bool is_connection = reset->reason == HTTP_RESET_DISCONNECTED ||
                         reset->reason == HTTP_RESET_TRUNCATED ||
                         reset->reason == HTTP_RESET_REFUSED;
    bool is_moved = reset->reason == HTTP_RESET_REFUSED && attempt->stream->codec->draining;
    bool may_resend = is_moved ? exchange->resends < EXCHANGE_RESENDS_MAX
                               : exchange->resends == 0 && (attempt->is_reused || reset->unseen);
    if (!may_resend || attempt->is_headed || !is_safe || !is_connection || !can_replay(exchange))
        return false;
    exchange->resends++;
    exchange_abort_attempt(exchange);
    rewind_body(exchange);
    start_attempt(exchange, true);
    return true;
}

/* The stream was reset by the upstream, whose connection lives; NULL: the connection ended. */
static const char *reset_details(const struct http_reset *reset)
{
    switch ((enum http_reset_reason)reset->reason) {
    case HTTP_RESET_REFUSED:
        return "upstream_reset_before_response_started{remote_refused_stream_reset}";
    case HTTP_RESET_NO_ERROR:
    case HTTP_RESET_CANCEL:
    case HTTP_RESET_INTERNAL: return "upstream_reset_before_response_started{remote_reset}";
    case HTTP_RESET_PROTOCOL:
    case HTTP_RESET_LIMIT:
    case HTTP_RESET_TRUNCATED:
    case HTTP_RESET_DISCONNECTED:
    case HTTP_RESET_IDLE_TIMEOUT:
    case HTTP_RESET_REASONS: break;
    }
    return NULL;
}

static void fail_late(struct exchange *exchange, const char *details, const char *why);

static void on_upstream_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct attempt *attempt = stream->owner;
    struct exchange *exchange = attempt->exchange;
    attempt->has_failed = true;
    if (exchange->response_ended) { /* a tunnel whose other direction was still open */
        http_stream_reset(exchange->stream, HTTP_RESET_DISCONNECTED);
        exchange_end(exchange);
        return;
    }
    /* The answer is whole or our own; the request's rest was not wanted. */
    if (exchange->is_answered || (exchange->filters && filters_have_end(exchange)))
        return;
    if (reset->reason == HTTP_RESET_IDLE_TIMEOUT) {
        fail_late(exchange, "upstream_per_try_idle_timeout",
                  "nothing moved on the try's stream for its idle timeout");
        return;
    }
    if (!attempt->is_headed)
        host_count(attempt->host->counters, HOST_RQ_ERROR, 1);
    if (resend_stale(exchange, reset))
        return;
    enum attempt_failure failure =
        reset->reason == HTTP_RESET_REFUSED ? FAILED_REFUSED : FAILED_RESET;
    if (try_again(exchange, failure, NULL))
        return;
    refuse_retries_left(exchange);
    if (reset->reason == HTTP_RESET_PROTOCOL || reset->reason == HTTP_RESET_LIMIT) {
        record_flag(&exchange->record, FLAG_UPE);
        exchange_reply(exchange, 502, "upstream_response_malformed",
                       "the upstream's answer is malformed: %s",
                       http_refusal_text((enum http_refusal)reset->refusal));
        return;
    }
    const char *details = reset_details(reset);
    record_flag(&exchange->record, details ? FLAG_UR : FLAG_UC);
    exchange_reply(
        exchange, 503,
        details ? details : "upstream_reset_before_response_started{connection_termination}",
        "the upstream %s before %s (%s)", details ? "reset the stream" : "closed the connection",
        attempt->is_headed ? "its answer was whole" : "it answered",
        reset->failure ? reset->failure : http_reset_text((enum http_reset_reason)reset->reason));
}

/* Bytes of the request left: credit downstream. What is replayed was credited the first time. */
static void on_request_sent(struct http_stream *stream, size_t bytes)
{
    struct attempt *attempt = stream->owner;
    struct exchange *exchange = attempt->exchange;
    attempt->sent += bytes;
    if (attempt->sent > exchange->consumed) {
        size_t credit = attempt->sent - exchange->consumed;
        exchange->consumed = attempt->sent;
        if (UNLIKELY(exchange->filters))
            credit = filters_credit(exchange, FILTER_REQUEST, credit);
        http_stream_consumed(exchange->stream, credit);
    }
}

static const struct http_stream_events upstream_events = {.on_response = on_response,
                                                          .on_data = on_response_data,
                                                          .on_trailers = on_response_trailers,
                                                          .on_reset = on_upstream_reset,
                                                          .on_sent = on_request_sent};

/* --- the request's way up ------------------------------------------------------------------------------------- */

static void keep_for_replay(struct exchange *exchange)
{
    if (exchange->replay_lost || exchange->is_committed || exchange->is_answering)
        return;
    if (exchange->replay.size + exchange->body.size > EXCHANGE_REPLAY_MAX) {
        exchange->replay_lost = true;
        chain_fini(&exchange->replay);
        return;
    }
    chain_share_n(&exchange->replay, &exchange->body, exchange->body.size);
}

void exchange_pump_request(struct exchange *exchange)
{
    struct http_stream *stream = exchange->has_attempt ? exchange->attempt.stream : NULL;
    if (!stream || exchange->attempt.has_failed || stream->out != HTTP_OPEN)
        return;
    bool ends = exchange->request_ended && !exchange->has_trailers;
    if (exchange->body.size > 0 || ends) {
        keep_for_replay(exchange);
        http_stream_send_data(stream, &exchange->body, ends);
    }
    if (exchange->has_trailers)
        http_stream_send_trailers(stream, exchange->trailers);
    if (exchange->record.is_tunnel && exchange->request_ended && exchange->response_ended)
        exchange_end(exchange);
}

void exchange_count_timeout(const struct exchange *exchange)
{
    if (!exchange->has_attempt)
        return;
    host_count(exchange->attempt.host->counters, HOST_RQ_TIMEOUT, 1);
    host_count(exchange->attempt.host->counters, HOST_RQ_ERROR, 1);
}

/* A time of the try has passed. */
static void fail_late(struct exchange *exchange, const char *details, const char *why)
{
    exchange_count_timeout(exchange);
    if (try_again(exchange, FAILED_TIMEOUT, NULL))
        return;
    refuse_retries_left(exchange);
    record_flag(&exchange->record, FLAG_UT);
    exchange_abort_attempt(exchange);
    exchange_reply(exchange, 504, details, "%s", why);
}

void exchange_on_try_timeout(struct timer *timer)
{
    struct attempt *attempt = CONTAINER_OF(timer, struct attempt, timeout);
    fail_late(attempt->exchange, "upstream_per_try_timeout",
              "the try's timeout passed without an answer");
}

/* What differs by try stands in an overlay: the host, and how many tries there were. */
static const struct http_request *attempt_head(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    const struct endpoint *endpoint = exchange->attempt.host->balance.endpoint;
    bool rewrites = route->host_how == ROUTE_HOST_AUTO && endpoint && endpoint->hostname.size > 0;
    bool counts = route->host && route->host->attempt_count_to_upstream;
    if (LIKELY(!rewrites && !counts))
        return exchange->head;
    struct arena *arena = exchange_arena(exchange);
    struct http_request *head = arena_try_alloc(arena, sizeof(*head));
    if (!head || !http_request_copy(head, arena, exchange->head))
        return NULL;
    if (rewrites)
        head->authority = slice_of(endpoint->hostname.data, endpoint->hostname.size);
    char *count = arena_try_alloc(arena, 8);
    if (counts &&
        (!count || !headers_set_id(&head->headers, arena, HEADER_X_ENVOY_ATTEMPT_COUNT,
                                   slice_of(count, (size_t)snprintf(count, 8, "%u",
                                                                    exchange->record.attempts)))))
        return NULL;
    return head;
}

static void note_upstream(struct exchange *exchange, const struct transport *transport)
{
    struct record *record = &exchange->record;
    record->upstream = transport;
    record->upstream_start_us = loop_now_us(exchange_loop(exchange));
}

/* The try has its stream. */
static void send_head(struct exchange *exchange, const struct http_request *head,
                      const struct transport *transport)
{
    struct attempt *attempt = &exchange->attempt;
    note_upstream(exchange, transport);
    attempt->is_counted = true;
    host_count(attempt->host->counters, HOST_RQ_TOTAL, 1);
    host_count(attempt->host->counters, HOST_RQ_ACTIVE, 1);
    /* A gRPC request ends with a DATA frame, also an empty stream (gRPC over HTTP/2, "Requests"): servers wait for it. */
    bool has_body = !exchange->request_ended || exchange->body.size > 0 || exchange->has_trailers ||
                    exchange->record.is_grpc;
    http_stream_send_request(attempt->stream, head, !has_body);
    deadlines_try(exchange);
    if (has_body)
        exchange_pump_request(exchange);
}

static void send_on(struct exchange *exchange, struct http_connection *connection, bool is_reused)
{
    struct attempt *attempt = &exchange->attempt;
    attempt->is_reused = is_reused;
    const struct http_request *head = attempt_head(exchange);
    attempt->stream = head ? http_connection_open_stream(connection, exchange_arena(exchange),
                                                         &upstream_events, attempt)
                           : NULL;
    if (!attempt->stream) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    deadlines_try_idle(exchange);
    send_head(exchange, head, http_connection_transport(connection));
}

static void on_connection(struct pool_waiter *waiter, struct http_connection *connection)
{
    struct attempt *attempt = CONTAINER_OF(waiter, struct attempt, waiter);
    attempt->is_waiting = false;
    send_on(attempt->exchange, connection, http_connection_requests(connection) > 0);
}

static void on_raw_ready(struct raw_waiter *waiter, struct raw_stream *raw)
{
    struct attempt *attempt = CONTAINER_OF(waiter, struct attempt, raw);
    struct exchange *exchange = attempt->exchange;
    attempt->is_waiting = false;
    attempt->stream = raw_stream_begin(raw, exchange_arena(exchange), &upstream_events, attempt);
    send_head(exchange, exchange->head, raw_stream_transport(raw));
}

static enum http_pool pool_for(const struct exchange *exchange, const struct cluster *cluster)
{
    switch (cluster->http) {
    case CLUSTER_HTTP1: return HTTP_POOL_1;
    case CLUSTER_HTTP2: return HTTP_POOL_2;
    case CLUSTER_HTTP_AUTO: return HTTP_POOL_AUTO;
    case CLUSTER_HTTP_DOWNSTREAM: break;
    }
    return exchange->head->version == HTTP_2 ? HTTP_POOL_2 : HTTP_POOL_1;
}

static bool pick_host(struct exchange *exchange, struct upstream *upstream)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    struct balance_avoid avoid = {
        .hosts = exchange->tried,
        .host_count = exchange->tried_count,
        .attempts = retry && retry->other_hosts ? MAX(retry->host_attempts, 1u) : 0};
    const struct address *original = address_is_set(&exchange->record.original_destination)
                                         ? &exchange->record.original_destination
                                         : NULL;
    switch (upstream_pick(upstream, exchange->tried_count ? &avoid : NULL, original,
                          &exchange->attempt.host)) {
    case UPSTREAM_PICKED: return true;
    case UPSTREAM_NO_HOST:
        record_flag(&exchange->record, FLAG_UH);
        exchange_reply(exchange, 503, "no_healthy_upstream",
                       "no healthy endpoint in %.*s (%u known)",
                       SLICE_ARG(upstream->cluster->name.text),
                       upstream->endpoints ? upstream->endpoints->count : 0);
        return false;
    case UPSTREAM_NO_DESTINATION:
        record_flag(&exchange->record, FLAG_UH);
        exchange_reply(exchange, 503, "no_healthy_upstream",
                       "the connection was not redirected, so its destination is unknown");
        return false;
    case UPSTREAM_SELF:
        record_flag(&exchange->record, FLAG_UH);
        exchange_reply(exchange, 503, "proxy_loop", "the destination is this proxy itself");
        return false;
    }
    return false;
}

/* A later try may find the cluster changed; it is looked up by name each time. */
static struct upstream *find_upstream(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    struct name by_header;
    const struct name *name = exchange->record.target ? &exchange->record.target->cluster : NULL;
    if (!name) {
        const struct header *header =
            route->cluster_header
                ? headers_find_name(&exchange->head->headers, route->cluster_header->name)
                : NULL;
        by_header = name_of(header ? header_value(header) : SLICE_NONE);
        name = &by_header;
    }
    struct upstream *upstream = upstream_find(exchange->downstream->worker, name);
    if (!upstream) {
        record_flag(&exchange->record, FLAG_NC);
        exchange_reply(exchange, route->missing_cluster_status, "cluster_not_found",
                       "there is no cluster %.*s", SLICE_ARG(name->text));
        return NULL;
    }
    return upstream;
}

static void pin_cluster(struct exchange *exchange, const struct upstream *upstream)
{
    struct reader *reader = exchange->downstream->worker->reader;
    if (exchange->cluster == upstream->resource)
        return;
    reader_pin(reader, upstream->resource);
    if (exchange->cluster)
        reader_unpin(reader, exchange->cluster);
    exchange->cluster = upstream->resource;
    exchange->record.cluster = upstream->cluster;
}

/* A connection of its own. Returns the limit that refuses it, as a clause, or NULL. */
static const char *dial_raw(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    attempt->raw = (struct raw_waiter){.on_ready = on_raw_ready, .on_failed = on_raw_failed};
    connect_describe(exchange, &attempt->raw);
    return raw_stream_dial(attempt->host, &attempt->raw);
}

/* A stream on a pooled connection, now or later. Returns the limit that refuses it, as a clause, or NULL. */
static const char *borrow(struct exchange *exchange, bool on_fresh_connection)
{
    struct attempt *attempt = &exchange->attempt;
    struct http_connection *connection =
        on_fresh_connection ? NULL : pool_borrow(attempt->host, attempt->pool);
    /* What cannot be sent again is not sent where nobody listens any more. */
    if (connection && !http_method_is_idempotent((enum http_method)exchange->head->method) &&
        http_connection_is_stale(connection)) {
        connection = NULL;
        on_fresh_connection = true;
    }
    if (LIKELY(connection)) {
        attempt->is_waiting = false;
        send_on(exchange, connection, true);
        pool_opened(connection);
        return NULL;
    }
    attempt->waiter = (struct pool_waiter){.on_ready = on_connection,
                                           .on_failed = on_connect_failed,
                                           .wants_fresh = on_fresh_connection};
    list_init(&attempt->waiter.node);
    return pool_wait(attempt->host, attempt->pool, &attempt->waiter);
}

static void start_attempt(struct exchange *exchange, bool on_fresh_connection)
{
    struct attempt *attempt = &exchange->attempt;
    struct upstream *upstream = find_upstream(exchange);
    if (!upstream || !breakers_take_request(exchange, upstream))
        return;
    pin_cluster(exchange, upstream);
    *attempt = (struct attempt){.exchange = exchange};
    if (!pick_host(exchange, upstream))
        return;
    exchange->has_attempt = true;
    attempt->host->balance.active++;
    exchange->record.attempts++;
    exchange->record.upstream_address = attempt->host->address;
    host_unref(exchange->record.host);
    exchange->record.host = host_ref(attempt->host);
    attempt->pool = pool_for(exchange, upstream->cluster);
    attempt->is_waiting = true;
    const char *refusal = UNLIKELY(exchange->connect != NULL)
                              ? dial_raw(exchange)
                              : borrow(exchange, on_fresh_connection);
    if (refusal) {
        attempt->is_waiting = false;
        record_flag(&exchange->record, FLAG_UO);
        exchange_reply(exchange, 503, "upstream_reset_before_response_started{overflow}",
                       "the circuit breaker of %.*s is open: %s",
                       SLICE_ARG(upstream->cluster->name.text), refusal);
    }
}

void exchange_forward(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    if (route->targets)
        exchange->record.target =
            route_target_pick(route, random_u64(loop_random(exchange_loop(exchange))));
    if (!heads_route_request(exchange)) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    exchange->tries_left = route->retry ? route->retry->retries : 0;
    if (!websocket_ask(exchange)) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    if (UNLIKELY(exchange->head->method == HTTP_CONNECT)) {
        const struct route_upgrade *upgrade = connect_find(exchange);
        exchange->connect = upgrade && upgrade->ends_here ? upgrade : NULL;
    }
    exchange->is_routed = true;
    deadlines_route(exchange);
    start_attempt(exchange, false);
}
