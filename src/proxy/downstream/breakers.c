#include "proxy/downstream/breakers.h"

#include "build/cluster.h"
#include "build/route_table.h"
#include "proxy/downstream/exchange.h"
#include "proxy/observe/record.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/upstream.h"

/* A budget is a share of the requests under way, so that these are counted even where nothing limits them. */
static uint32_t most_requests(const struct cluster_limits *configured)
{
    bool is_counted = configured->retry_budget_percent >= 0;
    return is_counted ? MIN(configured->requests, CLUSTER_UNLIMITED - 1) : configured->requests;
}

static uint32_t most_retries(const struct exchange *exchange,
                             const struct cluster_limits *configured)
{
    if (configured->retry_budget_percent < 0)
        return configured->retries;
    uint32_t requests = atomic_load_explicit(
        &exchange->limits->used[exchange->priority][LIMIT_REQUESTS], memory_order_relaxed);
    double share = configured->retry_budget_percent / 100 * requests;
    return MAX((uint32_t)MIN(share, CLUSTER_UNLIMITED - 1), configured->retry_budget_minimum);
}

bool breakers_take_request(struct exchange *exchange, const struct upstream *upstream)
{
    if (exchange->has_request_slot)
        return true;
    exchange->limits = upstream->limits;
    exchange->priority = exchange->record.route->high_priority;
    exchange->request_limit = most_requests(&upstream->cluster->limits[exchange->priority]);
    if (!limits_take(exchange->limits, exchange->priority, LIMIT_REQUESTS,
                     exchange->request_limit)) {
        record_flag(&exchange->record, FLAG_UO);
        exchange_reply(exchange, 503, "upstream_reset_before_response_started{overflow}",
                       "the circuit breaker of %.*s is open: %u requests are under way",
                       SLICE_ARG(upstream->cluster->name.text), exchange->request_limit);
        return false;
    }
    exchange->has_request_slot = true;
    return true;
}

bool breakers_take_retry(struct exchange *exchange)
{
    const struct cluster *cluster = exchange->record.cluster;
    uint32_t most = most_retries(exchange, &cluster->limits[exchange->priority]);
    if (!limits_take(exchange->limits, exchange->priority, LIMIT_RETRIES, most)) {
        record_flag(&exchange->record, FLAG_UO);
        return false;
    }
    exchange->has_retry_slot = true;
    exchange->retry_limit = most;
    return true;
}

void breakers_give_retry(struct exchange *exchange)
{
    if (!exchange->has_retry_slot)
        return;
    exchange->has_retry_slot = false;
    limits_give(exchange->limits, exchange->priority, LIMIT_RETRIES, exchange->retry_limit);
}

void breakers_give_all(struct exchange *exchange)
{
    breakers_give_retry(exchange);
    if (exchange->has_request_slot)
        limits_give(exchange->limits, exchange->priority, LIMIT_REQUESTS, exchange->request_limit);
}
