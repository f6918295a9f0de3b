#include "proxy/downstream/retries.h"

#include "build/route_table.h"
#include "proxy/downstream/attempt.h"
#include "proxy/downstream/breakers.h"
#include "proxy/downstream/exchange.h"
#include "proxy/upstream/upstream.h"
#include "rpc/grpc_status.h"

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

__attribute__((noinline)) static void rewind_body(struct exchange *exchange)
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
    attempt_start(exchange, false);
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

bool retries_begin(struct exchange *exchange, enum attempt_failure failure,
                   const struct http_response *response)
{
    breakers_give_retry(exchange);
    if (!can_replay(exchange) || !policy_allows(exchange, failure, response) ||
        !breakers_take_retry(exchange))
        return false;
    exchange->tries_left--;
    exchange->record.retries++;
    remember_host(exchange);
    attempt_abort(exchange);
    rewind_body(exchange);
    exchange->is_retrying = true;
    loop_timer_start(exchange_loop(exchange), &exchange->back_off, back_off_ms(exchange),
                     on_back_off);
    return true;
}

void retries_note_end(struct exchange *exchange)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    if (retry && retry->retries && exchange->tries_left == 0)
        record_flag(&exchange->record, FLAG_URX);
}

void retries_note_status(struct exchange *exchange, const struct http_response *response)
{
    const struct retry_policy *retry = exchange->record.route->retry;
    if (retry && status_is_retriable(retry, response))
        retries_note_end(exchange);
}

/*
 * On a fresh connection: that an idle one was closed by the server as we sent is nobody's fault, nor that the server says that
 * it will not look at what we sent. It may do so on the next one, too, while its configuration changes fast: so more than
 * once, but for a live connection that refuses.
 */
bool retries_resend(struct exchange *exchange, const struct http_reset *reset)
{
    const struct attempt *attempt = &exchange->attempt;
    bool is_safe =
        reset->unseen || http_method_is_idempotent((enum http_method)exchange->head->method);
    bool is_connection = reset->reason == HTTP_RESET_DISCONNECTED ||
                         reset->reason == HTTP_RESET_TRUNCATED ||
                         reset->reason == HTTP_RESET_REFUSED;
    bool is_live = reset->reason == HTTP_RESET_REFUSED && !attempt->stream->codec->draining;
    bool may_resend = exchange->resends < (is_live ? 1 : EXCHANGE_RESENDS_MAX) &&
                      (attempt->is_reused || reset->unseen);
    if (!may_resend || attempt->is_headed || !is_safe || !is_connection || !can_replay(exchange))
        return false;
    exchange->resends++;
    attempt_abort(exchange);
    rewind_body(exchange);
    attempt_start(exchange, true);
    return true;
}
