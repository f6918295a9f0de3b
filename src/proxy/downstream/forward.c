#include "proxy/downstream/forward.h"

#include "build/cluster.h"
#include "build/hcm.h"
#include "build/route_table.h"
#include "proxy/downstream/attempt.h"
#include "proxy/downstream/connect.h"
#include "proxy/downstream/deadlines.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/downstream/heads.h"
#include "proxy/downstream/retries.h"
#include "proxy/downstream/websocket.h"
#include "proxy/filter/filters.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <string.h>

/* --- failures ------------------------------------------------------------------------------------------------- */

void forward_count_timeout(const struct exchange *exchange)
{
    if (!exchange->has_attempt)
        return;
    host_count(exchange->attempt.host->counters, HOST_RQ_TIMEOUT, 1);
    host_count(exchange->attempt.host->counters, HOST_RQ_ERROR, 1);
}

/* A time of the try has passed. */
static void fail_late(struct exchange *exchange, const char *details, const char *why)
{
    forward_count_timeout(exchange);
    if (retries_begin(exchange, FAILED_TIMEOUT, NULL))
        return;
    retries_note_end(exchange);
    record_flag(&exchange->record, FLAG_UT);
    attempt_abort(exchange);
    exchange_reply(exchange, 504, details, "%s", why);
}

void forward_on_try_timeout(struct timer *timer)
{
    struct attempt *attempt = CONTAINER_OF(timer, struct attempt, timeout);
    fail_late(attempt->exchange, "upstream_per_try_timeout",
              "the try's timeout passed without an answer");
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

void forward_connect_failed(struct attempt *attempt, enum pool_failure failure, const char *text)
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
        attempt_abort(exchange);
        attempt_start(exchange, false);
        return;
    case POOL_CONNECT_FAILED:
    case POOL_TIMED_OUT:
    case POOL_SELF:
    case POOL_NO_MEMORY: break;
    }
    if (retries_begin(exchange, FAILED_TO_CONNECT, NULL))
        return;
    retries_note_end(exchange);
    record_flag(&exchange->record, FLAG_UF);
    exchange_reply(exchange, 503, "upstream_reset_before_response_started{connection_failure}",
                   "%s", text);
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
    struct chain none;
    if (UNLIKELY(exchange->is_answered))
        return;
    chain_init(&none);
    if (http_status_is_informational(head->status) && head->status != 101) {
        if (head->status != 100 || exchange->hcm->proxy_100_continue)
            http_stream_send_response(exchange->stream, head, false);
        return;
    }
    attempt->is_headed = true;
    host_count(attempt->host->counters, head->status >= 500 ? HOST_RQ_ERROR : HOST_RQ_SUCCESS, 1);
    loop_timer_stop(exchange_loop(exchange), &attempt->timeout);
    if (retries_begin(exchange, FAILED_STATUS, head))
        return;
    retries_note_status(exchange, head);
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
    struct chain none;
    if (UNLIKELY(exchange->is_answered))
        return;
    chain_init(&none);
    exchange->record.trailers = trailers;
    if (UNLIKELY(exchange->filters) && filters_trailers(exchange, FILTER_RESPONSE, trailers))
        return;
    exchange_pass_response(exchange, false, &none, trailers, true);
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
    if (retries_resend(exchange, reset))
        return;
    enum attempt_failure failure =
        reset->reason == HTTP_RESET_REFUSED ? FAILED_REFUSED : FAILED_RESET;
    if (retries_begin(exchange, failure, NULL))
        return;
    retries_note_end(exchange);
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

const struct http_stream_events forward_events = {.on_response = on_response,
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

void forward_request(struct exchange *exchange)
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
void forward_begin(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    if (route->targets) {
        bool is_split = route->split.count > 1;
        uint64_t random = is_split ? random_u64(loop_random(exchange_loop(exchange))) : 0;
        exchange->record.target = route_target_pick(route, random);
    }
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
    attempt_start(exchange, false);
}
