#include "stats/set.h"

#include "base/memory.h"
#include "stats/registry_internal.h"

static void grow_cells(struct stats_set *set, size_t count)
{
    for (size_t i = 0; i * STATS_CELLS_A_CHUNK < count; i++) {
        if (!set->cells[i])
            set->cells[i] = mem_calloc(STATS_CELLS_A_CHUNK, sizeof(*set->cells[i]));
    }
}

static void grow_histograms(struct stats_set *set, size_t count)
{
    for (size_t i = 0; i * STATS_HISTOGRAMS_A_CHUNK < count; i++) {
        if (!set->histograms[i])
            set->histograms[i] = mem_calloc(STATS_HISTOGRAMS_A_CHUNK, sizeof(*set->histograms[i]));
    }
}

void stats_sets_grow_cells(struct stats_registry *registry, size_t count)
{
    for (size_t i = 0; i < registry->sets.count; i++)
        grow_cells(registry->sets.items[i], count);
}

void stats_sets_grow_histograms(struct stats_registry *registry, size_t count)
{
    for (size_t i = 0; i < registry->sets.count; i++)
        grow_histograms(registry->sets.items[i], count);
}

struct stats_set *stats_set_new(struct stats_registry *registry)
{
    struct stats_set *set = mem_new(struct stats_set);
    set->registry = registry;
    grow_cells(set, registry->cells.series.count);
    grow_histograms(set, registry->histograms.series.count);
    return set;
}

void stats_set_free(struct stats_set *set)
{
    for (size_t i = 0; i < STATS_CELL_CHUNKS; i++)
        mem_free(set->cells[i]);
    for (size_t i = 0; i < STATS_HISTOGRAM_CHUNKS && set->histograms[i]; i++) {
        for (size_t j = 0; j < STATS_HISTOGRAMS_A_CHUNK; j++)
            histogram_fini(&set->histograms[i][j]);
        mem_free(set->histograms[i]);
    }
    mem_free(set);
}

struct stats_set *stats_set_create(struct stats_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    struct stats_set *set = stats_set_new(registry);
    vector_push(&registry->sets, set);
    pthread_mutex_unlock(&registry->lock);
    return set;
}

/*
 * The first set is written under the lock and read without it. Release and acquire see to it that who reads what a
 * reset took away also reads counts that are as new as those the reset saw, so that no sum falls below zero.
 */
static void set_to(const struct stats_set *set, uint32_t slot, uint64_t value)
{
    atomic_store_explicit(stats_cell(set, slot), value, memory_order_release);
}

static uint64_t value_in(const struct stats_set *set, uint32_t slot)
{
    return atomic_load_explicit(stats_cell(set, slot), memory_order_acquire);
}

/* What it counted goes to the first set; its gauges were its own. */
static void fold(struct stats_registry *registry, const struct stats_set *set)
{
    const struct stats_set *first = registry->sets.items[0];
    const struct stats_space *cells = &registry->cells, *histograms = &registry->histograms;
    for (uint32_t slot = 1; slot < cells->series.count; slot++) {
        const struct stats_series *series = cells->series.items[slot];
        if (series && series->family->metric.kind == STATS_COUNTER)
            set_to(first, slot, value_in(first, slot) + value_in(set, slot));
    }
    for (uint32_t i = 1; i < histograms->series.count; i++) {
        struct histogram_totals totals = {0};
        uint32_t slot = i | STATS_HISTOGRAM_SLOT;
        if (!histograms->series.items[i])
            continue;
        histogram_collect(&totals, stats_histogram_cell(set, slot));
        histogram_fold(stats_histogram_cell(first, slot), &totals, false);
    }
}

void stats_sets_reap(struct stats_registry *registry)
{
    for (size_t i = registry->sets.count - 1; i > 0; i--) {
        struct stats_set *set = registry->sets.items[i];
        if (!set->left)
            continue;
        fold(registry, set);
        vector_remove(&registry->sets, i);
        stats_set_free(set);
    }
}

void stats_set_destroy(struct stats_set *set)
{
    if (!set)
        return;
    struct stats_registry *registry = set->registry;
    pthread_mutex_lock(&registry->lock);
    set->left = true;
    if (registry->scrapes == 0)
        stats_sets_reap(registry);
    pthread_mutex_unlock(&registry->lock);
}

void stats_sets_clear(struct stats_registry *registry, uint32_t slot)
{
    for (size_t i = 0; i < registry->sets.count; i++) {
        const struct stats_set *set = registry->sets.items[i];
        if (slot & STATS_HISTOGRAM_SLOT)
            histogram_clear(stats_histogram_cell(set, slot));
        else
            set_to(set, slot, 0);
    }
}

uint64_t stats_sets_sum(struct stats_set *const *sets, size_t count, uint32_t slot)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += value_in(sets[i], slot);
    return sum;
}

void stats_sets_collect(struct stats_set *const *sets, size_t count, uint32_t slot,
                        struct histogram_totals *totals)
{
    *totals = (struct histogram_totals){0};
    for (size_t i = 0; i < count; i++)
        histogram_collect(totals, stats_histogram_cell(sets[i], slot));
}
