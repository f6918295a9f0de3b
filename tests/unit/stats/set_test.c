#include "test.h"

#include "stats/counter.h"
#include "stats/histogram.h"
#include "stats/registry.h"

static const struct stats_metric requests = {.name = "requests_total", .kind = STATS_COUNTER};
static const struct stats_metric active = {.name = "active", .kind = STATS_GAUGE};
static const struct stats_metric times = {.name = "times", .kind = STATS_HISTOGRAM};

TEST(set_adds_up_with_the_others)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *a = stats_set_create(registry), *b = stats_set_create(registry);
    uint32_t count = stats_resolve(registry, &requests, NULL),
             gauge = stats_resolve(registry, &active, NULL);
    uint32_t histogram = stats_resolve(registry, &times, NULL);
    counter_increment(a, count);
    counter_add(b, count, 41);
    gauge_add(a, gauge, 5);
    gauge_add(b, gauge, -7);
    histogram_record(a, histogram, 10);
    histogram_record(b, histogram, 32);
    CHECK(stats_sum(registry, count) == 42 && counter_value(a, count) == 1);
    CHECK((int64_t)stats_sum(registry, gauge) == -2 && stats_sum(registry, histogram) == 42);
    gauge_set(a, gauge, 100);
    CHECK((int64_t)stats_sum(registry, gauge) == 93);
    stats_set_destroy(a);
    stats_set_destroy(b);
    stats_registry_destroy(registry);
}

TEST(set_that_leaves_keeps_its_counts_in_the_totals)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *a = stats_set_create(registry), *b = stats_set_create(registry);
    uint32_t count = stats_resolve(registry, &requests, NULL),
             gauge = stats_resolve(registry, &active, NULL);
    uint32_t histogram = stats_resolve(registry, &times, NULL);
    for (int i = 0; i < 3; i++) {
        counter_add(a, count, 10);
        gauge_add(a, gauge, 1);
        histogram_record(a, histogram, 7);
        stats_set_destroy(a);
        a = stats_set_create(registry);
    }
    CHECK(stats_sum(registry, count) == 30 && stats_sum(registry, histogram) == 21);
    CHECK(stats_sum(registry, gauge) == 0, "its gauges were its own");
    CHECK(stats_metric_total(registry, "times") == 3);
    stats_set_destroy(a);
    stats_set_destroy(b);
    stats_set_destroy(NULL);
    CHECK(stats_sum(registry, count) == 30);
    stats_registry_destroy(registry);
}

TEST(set_cells_never_move)
{
    enum { MANY = 3 * STATS_CELLS_A_CHUNK };
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *early = stats_set_create(registry);
    uint32_t first = stats_resolve(registry, &requests, NULL);
    const _Atomic uint64_t *cell = stats_cell(early, first);
    static uint32_t slots[MANY], histograms[MANY];
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "counter_%d", i);
        slots[i] = stats_resolve(registry,
                                 &(struct stats_metric){.name = name, .kind = STATS_COUNTER}, NULL);
        snprintf(name, sizeof(name), "histogram_%d", i);
        histograms[i] = stats_resolve(
            registry, &(struct stats_metric){.name = name, .kind = STATS_HISTOGRAM}, NULL);
    }
    struct stats_set *late = stats_set_create(registry);
    for (int i = 0; i < MANY; i++) {
        counter_add(early, slots[i], (uint64_t)i);
        counter_add(late, slots[i], 1);
        histogram_record(early, histograms[i], (uint64_t)i);
        histogram_record(late, histograms[i], 1);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK(stats_sum(registry, slots[i]) == (uint64_t)i + 1);
        CHECK(stats_sum(registry, histograms[i]) == (uint64_t)i + 1);
    }
    CHECK(stats_cell(early, first) == cell);
    stats_set_destroy(early);
    stats_set_destroy(late);
    stats_registry_destroy(registry);
}

TEST(set_takes_what_is_counted_nowhere)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *set = stats_set_create(registry);
    counter_increment(set, STATS_NOWHERE);
    gauge_set(set, STATS_NOWHERE, 7);
    histogram_record(set, STATS_NOWHERE, 7);
    CHECK(stats_sum(registry, STATS_NOWHERE) == 0);
    stats_set_destroy(set);
    stats_registry_destroy(registry);
}
