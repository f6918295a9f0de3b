/*
 * weighted: a choice in proportion to weights, from a random number that the caller draws.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct table_memory;

enum { WEIGHTED_MAX = 1024 };

struct weighted {
    const uint32_t *ends; /* cumulative: choice i owns [ends[i-1], ends[i]) */
    uint32_t count;
    uint32_t total;
};

/* The sum must be 1 to 2^32-1, and equal `declared` unless that is 0. A weight may be 0. */
MUST_USE bool weighted_build(struct weighted *weighted, const uint32_t *weights, size_t count,
                             uint32_t declared, struct table_memory *memory, struct error *error);
/* An index below count, never one of weight 0. */
uint32_t weighted_pick(const struct weighted *weighted, uint64_t random);
