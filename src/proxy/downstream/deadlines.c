#include "proxy/downstream/deadlines.h"

#include "build/hcm.h"
#include "build/route_table.h"
#include "proxy/downstream/attempt.h"
#include "proxy/downstream/exchange.h"
#include "proxy/downstream/forward.h"
#include "rpc/grpc_status.h"

/* --- what happens when they pass ------------------------------------------------------------------------------ */

static void on_request_late(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, arrival);
    record_flag(&exchange->record, FLAG_DT);
    attempt_abort(exchange);
    exchange_reply(exchange, 408, "request_overall_timeout",
                   "the request was not whole within %llu ms",
                   (unsigned long long)exchange->hcm->request_ms);
}

static void on_route_timeout(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, timeout);
    record_flag(&exchange->record, FLAG_UT);
    forward_count_timeout(exchange);
    attempt_abort(exchange);
    exchange_reply(exchange, 504, "response_timeout",
                   "the route's timeout of %llu ms passed before the answer was whole",
                   (unsigned long long)exchange->record.route->timeout_ms);
}

static void on_duration(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, duration);
    attempt_abort(exchange);
    exchange->grpc_status = GRPC_DEADLINE_EXCEEDED;
    exchange_reply(exchange, 504, "max_duration_timeout",
                   "the exchange took longer than it may take");
}

/* --- how long they are ---------------------------------------------------------------------------------------- */

static void start(struct exchange *exchange, struct timer *timer, uint64_t ms,
                  void (*on_due)(struct timer *))
{
    if (ms > 0)
        loop_timer_start(exchange_loop(exchange), timer, ms, on_due);
}

/* The call's own deadline within the route's maximum; 0: it has none. */
static uint64_t grpc_deadline(const struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    uint64_t asked_us = 0, most = route->grpc_timeout_max_ms;
    if (!exchange->record.is_grpc || !route->has_grpc_timeout)
        return 0;
    struct slice text = headers_value(&exchange->head->headers, HEADER_GRPC_TIMEOUT);
    if (text.size > 0 && !grpc_timeout_parse(text, &asked_us))
        asked_us = 0;
    uint64_t asked = (asked_us + 999) / 1000;
    if (asked > route->grpc_timeout_offset_ms)
        asked -= route->grpc_timeout_offset_ms;
    return most > 0 && (asked == 0 || asked > most) ? most : asked;
}

void deadlines_begin(struct exchange *exchange)
{
    if (!exchange->request_ended)
        start(exchange, &exchange->arrival, exchange->hcm->request_ms, on_request_late);
}

/* For a tunnel that may come of it nothing is timed but its connecting. */
static bool asks_tunnel(const struct exchange *exchange)
{
    return exchange->head->upgrade.size > 0 || exchange->head->method == HTTP_CONNECT;
}

void deadlines_route(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    uint64_t deadline = grpc_deadline(exchange);
    uint64_t most =
        route->has_max_stream ? route->max_stream_ms : exchange->hcm->options.max_stream_ms;
    if (deadline > 0 && (most == 0 || deadline < most))
        most = deadline;
    exchange->route_timeout_ms = deadline > 0 ? 0 : route->timeout_ms;
    if (route->has_idle_timeout)
        http_connection_set_stream_idle(exchange->stream, route->idle_timeout_ms);
    if (asks_tunnel(exchange))
        return;
    start(exchange, &exchange->duration, most, on_duration);
    if (exchange->request_ended)
        start(exchange, &exchange->timeout, exchange->route_timeout_ms, on_route_timeout);
}

void deadlines_try(struct exchange *exchange)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    struct attempt *attempt = &exchange->attempt;
    if (retry && exchange->request_ended && !attempt->is_headed && !asks_tunnel(exchange))
        start(exchange, &attempt->timeout, retry->per_try_ms, forward_on_try_timeout);
}

void deadlines_try_idle(struct exchange *exchange)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    if (retry && retry->per_try_idle_ms > 0 && !asks_tunnel(exchange))
        http_connection_set_stream_idle(exchange->attempt.stream, retry->per_try_idle_ms);
}

void deadlines_request_ended(struct exchange *exchange)
{
    loop_timer_stop(exchange_loop(exchange), &exchange->arrival);
    if (!exchange->is_routed || asks_tunnel(exchange))
        return;
    start(exchange, &exchange->timeout, exchange->route_timeout_ms, on_route_timeout);
    if (exchange->has_attempt && exchange->attempt.stream)
        deadlines_try(exchange);
}

void deadlines_tunnel(struct exchange *exchange)
{
    deadlines_stop(exchange);
}

void deadlines_stop(struct exchange *exchange)
{
    struct loop *loop = exchange_loop(exchange);
    loop_timer_stop(loop, &exchange->arrival);
    loop_timer_stop(loop, &exchange->timeout);
    loop_timer_stop(loop, &exchange->duration);
}
