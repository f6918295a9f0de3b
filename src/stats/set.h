/*
 * set: the cells that one thread counts in.
 *
 * A set has one writer, so counting is a plain load and store; scrapers on other threads load the same cells,
 * relaxed, and add the sets up. Cells lie in chunks that are never moved and live as long as the set. A slot, given
 * by the registry (registry.h), is the same cell in every set. Slot 0 is nowhere: it may be counted in and is never
 * shown, so no caller has to ask whether a metric is on.
 */
#pragma once

#include "base/attributes.h"

#include <assert.h>
#include <stdatomic.h>

struct stats_registry;

enum {
    STATS_CELLS_A_CHUNK = 512,
    STATS_CELL_CHUNKS = 256,
    STATS_HISTOGRAMS_A_CHUNK = 32,
    STATS_HISTOGRAM_CHUNKS = 512,
    STATS_DECADES = 12,
    STATS_NOWHERE = 0,
};
/* The slots of histograms are a space of their own. */
#define STATS_HISTOGRAM_SLOT ((uint32_t)1 << 31)

/* What one thread recorded in one histogram; the buckets of a decade come with its first value. */
struct stats_histogram {
    _Atomic uint64_t sum;
    _Atomic(_Atomic uint64_t *) decades[STATS_DECADES];
};

struct stats_set {
    _Atomic uint64_t *cells[STATS_CELL_CHUNKS];
    struct stats_histogram *histograms[STATS_HISTOGRAM_CHUNKS];
    struct stats_registry *registry;
    bool left; /* destroyed while a scrape was looking */
};

/* For the calling thread to count in. The registry must outlive it. */
struct stats_set *stats_set_create(struct stats_registry *registry);
/* The thread counts no more; what it counted stays in the totals, its gauges do not. */
void stats_set_destroy(struct stats_set *set);
OWNED(stats_set, stats_set_destroy)

static inline _Atomic uint64_t *stats_cell(const struct stats_set *set, uint32_t slot)
{
    assert(!(slot & STATS_HISTOGRAM_SLOT));
    return &set->cells[slot / STATS_CELLS_A_CHUNK % STATS_CELL_CHUNKS][slot % STATS_CELLS_A_CHUNK];
}
static inline struct stats_histogram *stats_histogram_cell(const struct stats_set *set,
                                                           uint32_t slot)
{
    assert((slot & STATS_HISTOGRAM_SLOT) || slot == STATS_NOWHERE);
    return &set->histograms[slot / STATS_HISTOGRAMS_A_CHUNK % STATS_HISTOGRAM_CHUNKS]
                           [slot % STATS_HISTOGRAMS_A_CHUNK];
}
