#include "proxy/downstream/attempt.h"

#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/route_table.h"
#include "net/transport.h"
#include "proxy/downstream/breakers.h"
#include "proxy/downstream/connect.h"
#include "proxy/downstream/deadlines.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/downstream/forward.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <stdio.h>

/* --- the request goes out ------------------------------------------------------------------------------------- */

/* What differs by try stands in an overlay: the host if it is given, and how many tries there were. */
__attribute__((noinline)) static const struct http_request *
make_overlay(struct exchange *exchange, const struct endpoint *endpoint, bool counts)
{
    struct arena *arena = exchange_arena(exchange);
    struct http_request *head = arena_try_alloc(arena, sizeof(*head));
    if (!head || !http_request_copy(head, arena, exchange->head))
        return NULL;
    if (endpoint)
        head->authority = slice_of(endpoint->hostname.data, endpoint->hostname.size);
    char *count = arena_try_alloc(arena, 8);
    if (counts &&
        (!count || !headers_set_id(&head->headers, arena, HEADER_X_ENVOY_ATTEMPT_COUNT,
                                   slice_of(count, (size_t)snprintf(count, 8, "%u",
                                                                    exchange->record.attempts)))))
        return NULL;
    return head;
}

static const struct http_request *attempt_head(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    const struct endpoint *endpoint = exchange->attempt.host->balance.endpoint;
    bool rewrites = route->host_how == ROUTE_HOST_AUTO && endpoint && endpoint->hostname.size > 0;
    bool counts = route->host && route->host->attempt_count_to_upstream;
    if (LIKELY(!rewrites && !counts))
        return exchange->head;
    return make_overlay(exchange, rewrites ? endpoint : NULL, counts);
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
        forward_request(exchange);
}

static void send_on(struct exchange *exchange, struct http_connection *connection, bool is_reused)
{
    struct attempt *attempt = &exchange->attempt;
    attempt->is_reused = is_reused;
    const struct http_request *head = attempt_head(exchange);
    attempt->stream = head ? http_connection_open_stream(connection, exchange_arena(exchange),
                                                         &forward_events, attempt)
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
    attempt->stream = raw_stream_begin(raw, exchange_arena(exchange), &forward_events, attempt);
    send_head(exchange, exchange->head, raw_stream_transport(raw));
}

static void on_connect_failed(struct pool_waiter *waiter, enum pool_failure failure,
                              const char *text)
{
    forward_connect_failed(CONTAINER_OF(waiter, struct attempt, waiter), failure, text);
}

static void on_raw_failed(struct raw_waiter *waiter, enum pool_failure failure, const char *text)
{
    forward_connect_failed(CONTAINER_OF(waiter, struct attempt, raw), failure, text);
}

/* --- the host, and a connection to it ------------------------------------------------------------------------- */

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
    const char *refusal = raw_stream_dial(attempt->host, &attempt->raw);
    attempt->is_waiting = !refusal;
    return refusal;
}

/* A stream on a pooled connection, now or later. Returns the limit that refuses it, as a clause, or NULL. */
static const char *borrow(struct exchange *exchange, bool on_fresh_connection)
{
    struct attempt *attempt = &exchange->attempt;
    bool only_once = !http_method_is_idempotent((enum http_method)exchange->head->method);
    struct http_connection *connection =
        on_fresh_connection ? NULL : pool_borrow(attempt->host, attempt->pool, only_once);
    if (LIKELY(connection)) {
        send_on(exchange, connection, true);
        pool_opened(connection);
        return NULL;
    }
    attempt->waiter = (struct pool_waiter){.on_ready = on_connection,
                                           .on_failed = on_connect_failed,
                                           .wants_fresh = on_fresh_connection};
    list_init(&attempt->waiter.node);
    const char *refusal = pool_wait(attempt->host, attempt->pool, &attempt->waiter);
    attempt->is_waiting = !refusal;
    return refusal;
}

void attempt_start(struct exchange *exchange, bool on_fresh_connection)
{
    struct attempt *attempt = &exchange->attempt;
    struct upstream *upstream = find_upstream(exchange);
    if (!upstream || !breakers_take_request(exchange, upstream))
        return;
    pin_cluster(exchange, upstream);
    if (exchange->record.attempts > 0) /* an exchange begins zeroed */
        *attempt = (struct attempt){0};
    attempt->exchange = exchange;
    if (!pick_host(exchange, upstream))
        return;
    exchange->has_attempt = true;
    attempt->host->balance.active++;
    exchange->record.attempts++;
    exchange->record.upstream_address = &attempt->host->address;
    host_unref(exchange->record.host);
    exchange->record.host = host_ref(attempt->host);
    attempt->pool = pool_for(exchange, upstream->cluster);
    const char *refusal = UNLIKELY(exchange->connect != NULL)
                              ? dial_raw(exchange)
                              : borrow(exchange, on_fresh_connection);
    if (refusal) {
        record_flag(&exchange->record, FLAG_UO);
        exchange_reply(exchange, 503, "upstream_reset_before_response_started{overflow}",
                       "the circuit breaker of %.*s is open: %s",
                       SLICE_ARG(upstream->cluster->name.text), refusal);
    }
}

void attempt_abort(struct exchange *exchange)
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
