/*
 * breakers: what an exchange holds of its cluster's circuit breakers: a place among the requests under way, and while it
 * tries again, one among the retries. Connections and those who wait for one are the pool's (proxy/upstream/pool.h).
 *
 * As in Envoy: `max_requests`, and `max_retries` or `retry_budget` (a share of the requests under way, or its minimum).
 */
#pragma once

#include "base/attributes.h"

#include <stdbool.h>

struct exchange;
struct upstream;

/* False: the exchange was answered with 503, UO. The place is kept from try to try. */
MUST_USE bool breakers_take_request(struct exchange *exchange, const struct upstream *upstream);
/* False: too many retries are under way; the failure is passed on, with UO. Until breakers_give_retry. */
MUST_USE bool breakers_take_retry(struct exchange *exchange);
/* The retry has its answer. */
void breakers_give_retry(struct exchange *exchange);
/* The exchange ends. */
void breakers_give_all(struct exchange *exchange);
