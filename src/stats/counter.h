/*
 * counter: counting on the request path, a load and a store.
 *
 * Only the set's own thread may write. A gauge that several threads move is the sum of their sets; a gauge that is
 * set to a value belongs to one thread alone.
 */
#pragma once

#include "stats/set.h"

static inline void counter_add(struct stats_set *set, uint32_t slot, uint64_t n)
{
    _Atomic uint64_t *cell = stats_cell(set, slot);
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, value + n, memory_order_relaxed);
}
static inline void counter_increment(struct stats_set *set, uint32_t slot)
{
    counter_add(set, slot, 1);
}

static inline void gauge_add(struct stats_set *set, uint32_t slot, int64_t n)
{
    counter_add(set, slot, (uint64_t)n);
}
static inline void gauge_set(struct stats_set *set, uint32_t slot, int64_t value)
{
    atomic_store_explicit(stats_cell(set, slot), (uint64_t)value, memory_order_relaxed);
}
/* What this thread counted in it. */
static inline uint64_t counter_value(const struct stats_set *set, uint32_t slot)
{
    return atomic_load_explicit(stats_cell(set, slot), memory_order_relaxed);
}
