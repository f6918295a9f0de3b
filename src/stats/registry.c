#include "stats/registry.h"

#include "base/memory.h"
#include "stats/registry_internal.h"

static const struct stats_metric own_series = {
    .name = "tulle_stats_series",
    .text = "tulle.stats.series",
    .help = "Series that are counted.",
    .kind = STATS_GAUGE,
};
static const struct stats_metric own_folded = {
    .name = "tulle_stats_folded_total",
    .text = "tulle.stats.folded",
    .help = "Times that a series became other, or nothing, because of the limit on series.",
    .kind = STATS_COUNTER,
};

struct stats_registry *stats_registry_create(size_t series_max)
{
    struct stats_registry *registry = mem_new(struct stats_registry);
    pthread_mutex_init(&registry->lock, NULL);
    registry->series_max = series_max ? series_max : STATS_SERIES_DEFAULT;
    registry->families = map_create();
    registry->series = map_create();
    registry->labels = map_create();
    registry->cells.max = (size_t)STATS_CELL_CHUNKS * STATS_CELLS_A_CHUNK;
    registry->histograms.max = (size_t)STATS_HISTOGRAM_CHUNKS * STATS_HISTOGRAMS_A_CHUNK;
    vector_push(&registry->cells.series, NULL);
    vector_push(&registry->histograms.series, NULL);
    struct stats_set *first = stats_set_new(registry);
    vector_push(&registry->sets, first);
    registry->series_slot = stats_resolve(registry, &own_series, NULL);
    registry->folded_slot = stats_resolve(registry, &own_folded, NULL);
    return registry;
}

static void family_destroy(struct stats_family *family)
{
    mem_free((void *)(uintptr_t)family->metric.name);
    mem_free((void *)(uintptr_t)family->metric.text);
    mem_free((void *)(uintptr_t)family->metric.help);
    for (size_t i = 0; i < family->series.count; i++)
        mem_free(family->series.items[i]);
    vector_fini(&family->series);
    mem_free(family);
}

static void labels_destroy(struct stats_labels *labels)
{
    for (struct stats_labels *next; labels; labels = next) {
        next = labels->next;
        mem_free(labels);
    }
}

static void bounds_fini(struct stats_registry *registry)
{
    for (size_t i = 0; i < registry->bounds.count; i++) {
        mem_free(registry->bounds.items[i]->prefix);
        mem_free(registry->bounds.items[i]->bounds);
        mem_free(registry->bounds.items[i]);
    }
    vector_fini(&registry->bounds);
}

static void space_fini(struct stats_space *space)
{
    vector_fini(&space->series);
    vector_fini(&space->free);
}

void stats_registry_destroy(struct stats_registry *registry)
{
    if (!registry)
        return;
    assert(registry->sets.count == 1 && registry->scrapes == 0);
    struct map_iterator it = {0};
    while (map_next(registry->families, &it))
        family_destroy(it.value);
    it = (struct map_iterator){0};
    while (map_next(registry->labels, &it))
        labels_destroy(it.value);
    map_destroy(registry->families);
    map_destroy(registry->series);
    map_destroy(registry->labels);
    stats_shapes_fini(registry);
    bounds_fini(registry);
    space_fini(&registry->cells);
    space_fini(&registry->histograms);
    stats_set_free(registry->sets.items[0]);
    vector_fini(&registry->sets);
    pthread_mutex_destroy(&registry->lock);
    mem_free(registry);
}

static const struct stats_bounds *bounds_of(const struct stats_registry *registry, const char *name)
{
    const struct stats_bounds *best = NULL;
    for (size_t i = 0; i < registry->bounds.count; i++) {
        const struct stats_bounds *bounds = registry->bounds.items[i];
        /* As long as the longest so far, it is newer. */
        if (slice_starts_with(slice_str(name), slice_str(bounds->prefix)) &&
            (!best || strlen(bounds->prefix) >= strlen(best->prefix)))
            best = bounds;
    }
    return best;
}

void stats_set_bounds(struct stats_registry *registry, const char *name_prefix,
                      const double *bounds, size_t count)
{
    struct stats_bounds *added = mem_new(struct stats_bounds);
    added->prefix = str_copy(name_prefix);
    added->bounds = mem_calloc(count, sizeof(*bounds));
    added->count = count;
    memcpy(added->bounds, bounds, count * sizeof(*bounds));
    pthread_mutex_lock(&registry->lock);
    vector_push(&registry->bounds, added);
    struct map_iterator it = {0};
    while (map_next(registry->families, &it)) {
        struct stats_family *family = it.value;
        family->bounds = bounds_of(registry, family->metric.name);
    }
    pthread_mutex_unlock(&registry->lock);
}

static struct stats_family *family_of(struct stats_registry *registry,
                                      const struct stats_metric *metric)
{
    struct stats_family *family = map_get(registry->families, slice_str(metric->name));
    if (family)
        return family;
    family = mem_new(struct stats_family);
    family->metric = (struct stats_metric){
        .name = str_copy(metric->name),
        .text = metric->text ? str_copy(metric->text) : NULL,
        .help = metric->help ? str_copy(metric->help) : NULL,
        .kind = metric->kind,
        .unit = metric->unit,
    };
    family->bounds = bounds_of(registry, metric->name);
    map_put(registry->families, slice_str(metric->name), family);
    return family;
}

struct series_key {
    const struct stats_family *family;
    const struct stats_labels *labels;
};

static struct slice key_bytes(const struct series_key *key)
{
    return slice_of(key, sizeof(*key));
}

static struct stats_space *space_of(struct stats_registry *registry, enum stats_kind kind)
{
    return kind == STATS_HISTOGRAM ? &registry->histograms : &registry->cells;
}

/* STATS_NOWHERE when every slot is taken. */
static uint32_t take_slot(struct stats_registry *registry, enum stats_kind kind,
                          struct stats_series *series)
{
    struct stats_space *space = space_of(registry, kind);
    uint32_t number;
    if (space->free.count > 0) {
        number = vector_last(&space->free);
        space->free.count--;
        space->series.items[number] = series;
    } else if (space->series.count < space->max) {
        number = (uint32_t)space->series.count;
        vector_push(&space->series, series);
        if (kind == STATS_HISTOGRAM)
            stats_sets_grow_histograms(registry, space->series.count);
        else
            stats_sets_grow_cells(registry, space->series.count);
    } else {
        return STATS_NOWHERE;
    }
    return kind == STATS_HISTOGRAM ? number | STATS_HISTOGRAM_SLOT : number;
}

/* NULL when every slot is taken. */
static struct stats_series *series_create(struct stats_registry *registry,
                                          struct stats_family *family, struct stats_labels *labels)
{
    struct stats_series *series = mem_new(struct stats_series);
    series->slot = take_slot(registry, family->metric.kind, series);
    if (series->slot == STATS_NOWHERE) {
        mem_free(series);
        return NULL;
    }
    series->family = family;
    series->labels = labels;
    if (labels)
        labels->holds++;
    series->place = family->series.count;
    vector_push(&family->series, series);
    map_put(registry->series, key_bytes(&(struct series_key){family, labels}), series);
    registry->series_count++;
    return series;
}

/* Beyond the limit, a new series goes to the one whose open labels are "other". */
COLD static struct stats_series *series_fold(struct stats_registry *registry,
                                             struct stats_family *family,
                                             struct stats_labels *labels)
{
    registry->folded++;
    struct stats_labels *folded = labels ? stats_labels_fold(registry, labels) : NULL;
    struct stats_series *series =
        map_get(registry->series, key_bytes(&(struct series_key){family, folded}));
    if (!series && registry->series_count < registry->series_max + STATS_OTHERS_MAX)
        series = series_create(registry, family, folded);
    stats_labels_drop(registry, folded);
    return series;
}

static uint32_t resolve(struct stats_registry *registry, const struct stats_metric *metric,
                        struct stats_labels *labels)
{
    struct stats_family *family = family_of(registry, metric);
    assert(family->metric.kind == metric->kind && family->metric.unit == metric->unit);
    if (family->metric.kind != metric->kind)
        return STATS_NOWHERE;
    struct stats_series *series =
        map_get(registry->series, key_bytes(&(struct series_key){family, labels}));
    if (!series)
        series = registry->series_count < registry->series_max
                     ? series_create(registry, family, labels)
                     : series_fold(registry, family, labels);
    if (!series)
        return STATS_NOWHERE;
    series->holds++;
    return series->slot;
}

uint32_t stats_resolve(struct stats_registry *registry, const struct stats_metric *metric,
                       struct stats_labels *labels)
{
    uint32_t slot;
    stats_resolve_all(registry, metric, 1, labels, &slot);
    return slot;
}

void stats_resolve_all(struct stats_registry *registry, const struct stats_metric *metrics,
                       size_t count, struct stats_labels *labels, uint32_t *slots)
{
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < count; i++)
        slots[i] = resolve(registry, &metrics[i], labels);
    pthread_mutex_unlock(&registry->lock);
}

static struct stats_series *series_of(const struct stats_registry *registry, uint32_t slot)
{
    const struct stats_space *space =
        slot & STATS_HISTOGRAM_SLOT ? &registry->histograms : &registry->cells;
    uint32_t number = slot & ~STATS_HISTOGRAM_SLOT;
    return number < space->series.count ? space->series.items[number] : NULL;
}

void stats_release(struct stats_registry *registry, uint32_t slot)
{
    stats_release_all(registry, &slot, 1);
}

void stats_release_all(struct stats_registry *registry, const uint32_t *slots, size_t count)
{
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < count; i++) {
        struct stats_series *series =
            slots[i] == STATS_NOWHERE ? NULL : series_of(registry, slots[i]);
        if (!series)
            continue;
        assert(series->holds > 0);
        series->holds--;
    }
    pthread_mutex_unlock(&registry->lock);
}

/* A counter's or gauge's value, or how many values a histogram has. */
static uint64_t value_of(const struct stats_registry *registry, const struct stats_series *series)
{
    if (series->family->metric.kind != STATS_HISTOGRAM)
        return stats_sets_sum(registry->sets.items, registry->sets.count, series->slot);
    struct histogram_totals totals;
    stats_sets_collect(registry->sets.items, registry->sets.count, series->slot, &totals);
    return totals.count;
}

/* Nobody holds it and no scrape looks: its slot is free at once. */
static void series_expire(struct stats_registry *registry, struct stats_series *series)
{
    struct stats_family *family = series->family;
    if (family->metric.kind != STATS_GAUGE)
        family->expired += value_of(registry, series);
    struct stats_series *last = vector_last(&family->series);
    family->series.items[series->place] = last;
    last->place = series->place;
    family->series.count--;
    map_remove(registry->series, key_bytes(&(struct series_key){family, series->labels}));
    registry->series_count--;

    struct stats_space *space = space_of(registry, family->metric.kind);
    uint32_t number = series->slot & ~STATS_HISTOGRAM_SLOT;
    stats_sets_clear(registry, series->slot);
    space->series.items[number] = NULL;
    vector_push(&space->free, number);
    stats_labels_drop(registry, series->labels);
    mem_free(series);
}

/* Nobody counts in what nobody holds, so its time begins when it is first seen so. */
static bool has_been_idle(struct stats_series *series, uint64_t now_ms, uint64_t idle_ms)
{
    if (series->holds > 0) {
        series->is_idle = false;
        return false;
    }
    if (!series->is_idle) {
        series->is_idle = true;
        series->idle_since_ms = now_ms;
    }
    return now_ms - series->idle_since_ms >= idle_ms;
}

static size_t expire_in(struct stats_registry *registry, const struct stats_space *space,
                        uint64_t now_ms, uint64_t idle_ms)
{
    size_t count = 0;
    for (size_t i = 1; i < space->series.count; i++) {
        struct stats_series *series = space->series.items[i];
        if (series && has_been_idle(series, now_ms, idle_ms)) {
            series_expire(registry, series);
            count++;
        }
    }
    return count;
}

size_t stats_expire(struct stats_registry *registry, uint64_t now_ms, uint64_t idle_ms)
{
    size_t count = 0;
    pthread_mutex_lock(&registry->lock);
    if (registry->scrapes == 0) { /* else at the next call */
        count = expire_in(registry, &registry->cells, now_ms, idle_ms) +
                expire_in(registry, &registry->histograms, now_ms, idle_ms);
    }
    pthread_mutex_unlock(&registry->lock);
    return count;
}

static void reset_series(struct stats_registry *registry, const struct stats_series *series)
{
    struct stats_set **sets = registry->sets.items;
    if (series->family->metric.kind == STATS_COUNTER) {
        uint64_t sum = stats_sets_sum(sets, registry->sets.count, series->slot);
        _Atomic uint64_t *cell = stats_cell(sets[0], series->slot);
        atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) - sum,
                              memory_order_release);
    } else if (series->family->metric.kind == STATS_HISTOGRAM) {
        struct histogram_totals totals;
        stats_sets_collect(sets, registry->sets.count, series->slot, &totals);
        histogram_fold(stats_histogram_cell(sets[0], series->slot), &totals, true);
    }
}

void stats_reset(struct stats_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    struct map_iterator it = {0};
    while (map_next(registry->series, &it))
        reset_series(registry, it.value);
    it = (struct map_iterator){0};
    while (map_next(registry->families, &it))
        ((struct stats_family *)it.value)->expired = 0;
    pthread_mutex_unlock(&registry->lock);
}

size_t stats_series_count(struct stats_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    size_t count = registry->series_count;
    pthread_mutex_unlock(&registry->lock);
    return count;
}

uint64_t stats_folded_count(struct stats_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    uint64_t folded = registry->folded;
    pthread_mutex_unlock(&registry->lock);
    return folded;
}

uint64_t stats_sum(struct stats_registry *registry, uint32_t slot)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&registry->lock);
    struct stats_set *const *sets = registry->sets.items;
    if (slot & STATS_HISTOGRAM_SLOT) {
        struct histogram_totals totals;
        stats_sets_collect(sets, registry->sets.count, slot, &totals);
        sum = totals.sum;
    } else if (slot != STATS_NOWHERE) {
        sum = stats_sets_sum(sets, registry->sets.count, slot);
    }
    pthread_mutex_unlock(&registry->lock);
    return sum;
}

uint64_t stats_metric_total(struct stats_registry *registry, const char *name)
{
    uint64_t total = 0;
    pthread_mutex_lock(&registry->lock);
    const struct stats_family *family = map_get(registry->families, slice_str(name));
    if (family) {
        total = family->expired;
        for (size_t i = 0; i < family->series.count; i++)
            total += value_of(registry, family->series.items[i]);
    }
    pthread_mutex_unlock(&registry->lock);
    return total;
}
