/*
 * least_request: the least busy of a few random hosts ("power of two choices").
 *
 * Hosts are drawn as their weights say, and the one with the fewest requests for its weight wins; so idle hosts share
 * in proportion to weight, and busy ones are levelled.
 */
#pragma once

#include "base/attributes.h"
#include "base/random.h"
#include "proxy/balance/random_choice.h"

struct balance_host;

struct least_request {
    struct random_choice draw;
    uint32_t choices;
};

/* count > 0; choices >= 1. */
void least_request_init(struct least_request *least, struct balance_host *const *hosts,
                        uint32_t count, uint32_t choices);
void least_request_fini(struct least_request *least);
struct balance_host *least_request_pick(const struct least_request *least, struct random *random);
