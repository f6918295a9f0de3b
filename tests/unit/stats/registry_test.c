#include "test.h"

#include "base/buffer.h"
#include "base/random.h"
#include "stats/counter.h"
#include "stats/export.h"
#include "stats/histogram.h"
#include "stats/registry.h"

static const struct stats_metric requests = {.name = "requests_total", .kind = STATS_COUNTER};
static const struct stats_metric active = {.name = "active", .kind = STATS_GAUGE};
static const struct stats_metric times = {.name = "times", .kind = STATS_HISTOGRAM};
static const struct stats_label peer_labels[] = {{"reporter", false}, {"peer", true}};

static struct stats_labels *peer(struct stats_registry *registry, size_t number)
{
    char text[24];
    struct slice values[] = {
        SLICE("source"), slice_of(text, (size_t)snprintf(text, sizeof(text), "peer-%zu", number))};
    return stats_labels_hold(registry, peer_labels, values, 2);
}

/* A slot of a peer's own; the labels are let go. */
static uint32_t peer_slot(struct stats_registry *registry, const struct stats_metric *metric,
                          size_t number)
{
    struct stats_labels *labels = peer(registry, number);
    uint32_t slot = stats_resolve(registry, metric, labels);
    stats_labels_release(registry, labels);
    return slot;
}

TEST(registry_gives_a_series_one_slot)
{
    struct stats_registry *registry = stats_registry_create(0);
    size_t own = stats_series_count(registry);
    uint32_t a = peer_slot(registry, &requests, 1), b = peer_slot(registry, &requests, 2);
    CHECK(a != b && a == peer_slot(registry, &requests, 1) && a != STATS_NOWHERE);
    CHECK(a != peer_slot(registry, &active, 1) && a != stats_resolve(registry, &requests, NULL));
    CHECK(peer_slot(registry, &times, 1) & STATS_HISTOGRAM_SLOT);
    CHECK(stats_series_count(registry) == own + 5);
    stats_registry_destroy(registry);
}

TEST(registry_resolves_many_at_once)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_metric metrics[] = {requests, active, times};
    uint32_t slots[3];
    stats_resolve_all(registry, metrics, 3, NULL, slots);
    CHECK(slots[0] == stats_resolve(registry, &requests, NULL) &&
          slots[2] == stats_resolve(registry, &times, NULL));
    stats_release_all(registry, slots, 3);
    stats_release(registry, STATS_NOWHERE);
    stats_registry_destroy(registry);
}

TEST(registry_folds_what_is_beyond_its_limit)
{
    enum { LIMIT = 50 };
    struct stats_registry *registry = stats_registry_create(LIMIT);
    struct stats_set *set = stats_set_create(registry);
    size_t own = stats_series_count(registry);
    for (size_t i = 0; i < LIMIT - own; i++)
        counter_increment(set, peer_slot(registry, &requests, i));
    CHECK(stats_series_count(registry) == LIMIT && stats_folded_count(registry) == 0);
    uint32_t other = peer_slot(registry, &requests, 1000);
    CHECK(other != STATS_NOWHERE && stats_folded_count(registry) == 1, "one more");
    CHECK(peer_slot(registry, &requests, 1001) == other &&
          stats_series_count(registry) == LIMIT + 1);
    CHECK(peer_slot(registry, &requests, 1) != other, "the old ones stay");
    counter_add(set, other, 7);

    owned_buffer text = {0};
    stats_export_prometheus(registry, NULL, &text);
    struct slice all = buffer_slice(&text);
    CHECK(slice_find(all, SLICE("requests_total{reporter=\"source\",peer=\"other\"} 7\n")) !=
              SIZE_MAX,
          "%s", text.data);
    CHECK(slice_find(all, SLICE("\ntulle_stats_folded_total 2\n")) != SIZE_MAX);
    CHECK(slice_find(all, SLICE("\ntulle_stats_series 51\n")) != SIZE_MAX);
    stats_set_destroy(set);
    stats_registry_destroy(registry);
}

TEST(registry_limits_the_others_too)
{
    struct stats_registry *registry = stats_registry_create(10);
    size_t before = stats_series_count(registry);
    static const struct stats_label closed[] = {{"code", false}};
    uint32_t slot = STATS_NOWHERE;
    size_t made = 0;
    for (; made < 2000; made++) {
        char text[24];
        struct slice value = slice_of(text, (size_t)snprintf(text, sizeof(text), "%zu", made));
        struct stats_labels *labels = stats_labels_hold(registry, closed, &value, 1);
        slot = stats_resolve(registry, &requests, labels);
        stats_labels_release(registry, labels);
        if (slot == STATS_NOWHERE)
            break;
    }
    CHECK(made + before == 10 + STATS_OTHERS_MAX && slot == STATS_NOWHERE, "%zu", made);
    stats_registry_destroy(registry);
}

TEST(registry_expires_what_nobody_holds)
{
    enum { MINUTE = 60000 };
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *set = stats_set_create(registry);
    uint32_t held = peer_slot(registry, &requests, 1), idle = peer_slot(registry, &requests, 2);
    uint32_t histogram = peer_slot(registry, &times, 2);
    counter_add(set, held, 1);
    counter_add(set, idle, 5);
    histogram_record(set, histogram, 9);
    stats_release(registry, idle);
    stats_release(registry, histogram);
    size_t own = stats_series_count(registry);
    for (uint64_t now = 0; now < 15 * MINUTE; now += MINUTE)
        CHECK(stats_expire(registry, now, 15 * MINUTE) == 0);
    CHECK(stats_expire(registry, 15 * MINUTE, 15 * MINUTE) == 2 &&
          stats_series_count(registry) == own - 2);
    CHECK(stats_sum(registry, held) == 1);
    CHECK(stats_metric_total(registry, "requests_total") == 1 + 5,
          "the total keeps what expired had counted");
    CHECK(stats_metric_total(registry, "times") == 1);

    uint32_t again = peer_slot(registry, &requests, 4),
             again_histogram = peer_slot(registry, &times, 5);
    CHECK(again == idle && again_histogram == histogram, "slots are used again");
    CHECK(stats_sum(registry, again) == 0 && stats_sum(registry, again_histogram) == 0,
          "from zero");
    CHECK(stats_expire(registry, 100 * MINUTE, 15 * MINUTE) == 0);
    stats_release(registry, held);
    CHECK(stats_expire(registry, 200 * MINUTE, 15 * MINUTE) == 0,
          "its time begins when it is let go");
    CHECK(stats_expire(registry, 215 * MINUTE - 1, 15 * MINUTE) == 0);
    CHECK(stats_expire(registry, 215 * MINUTE, 15 * MINUTE) == 1);
    stats_set_destroy(set);
    stats_registry_destroy(registry);
}

TEST(registry_revives_a_series_that_was_let_go)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *set = stats_set_create(registry);
    uint32_t slot = peer_slot(registry, &requests, 1);
    counter_add(set, slot, 3);
    stats_release(registry, slot);
    stats_expire(registry, 0, 10);
    CHECK(peer_slot(registry, &requests, 1) == slot && stats_sum(registry, slot) == 3);
    CHECK(stats_expire(registry, 1000, 10) == 0);
    stats_set_destroy(set);
    stats_registry_destroy(registry);
}

TEST(registry_resets_counters_but_not_gauges)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *set = stats_set_create(registry);
    uint32_t count = stats_resolve(registry, &requests, NULL),
             gauge = stats_resolve(registry, &active, NULL);
    uint32_t histogram = stats_resolve(registry, &times, NULL);
    for (int i = 1; i <= 3; i++) {
        counter_add(set, count, 4);
        gauge_set(set, gauge, i);
        histogram_record(set, histogram, 100);
        CHECK(stats_sum(registry, count) == 4 && stats_sum(registry, histogram) == 100);
        stats_reset(registry);
        CHECK(stats_sum(registry, count) == 0 && stats_sum(registry, histogram) == 0);
        CHECK(stats_metric_total(registry, "times") == 0 &&
              stats_sum(registry, gauge) == (uint64_t)i);
    }
    counter_increment(set, count);
    stats_set_destroy(set);
    CHECK(stats_sum(registry, count) == 1);
    stats_registry_destroy(registry);
}

/* Peers come and go; what is shown for a peer is what was counted for it since it came. */
TEST(registry_does_as_a_model)
{
    enum { PEERS = 60, STEPS = 20000 };
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_set *sets[2] = {stats_set_create(registry), stats_set_create(registry)};
    uint32_t slots[PEERS] = {0};
    uint64_t counted[PEERS] = {0}, total = 0, now = 0;
    struct random random;
    random_seed(&random, 5);
    for (int step = 0; step < STEPS; step++) {
        size_t i = random_below(&random, PEERS);
        uint64_t n = random_below(&random, 100);
        if (!slots[i]) {
            slots[i] = peer_slot(registry, &requests, i);
            CHECK(stats_sum(registry, slots[i]) == 0 || stats_sum(registry, slots[i]) == counted[i],
                  "step %d", step);
            counted[i] = stats_sum(registry, slots[i]);
        } else if (random_below(&random, 10) == 0) {
            stats_release(registry, slots[i]);
            slots[i] = 0;
        } else {
            counter_add(sets[random_below(&random, 2)], slots[i], n);
            counted[i] += n;
            total += n;
            CHECK(stats_sum(registry, slots[i]) == counted[i], "step %d", step);
        }
        if (random_below(&random, 50) == 0)
            stats_expire(registry, now += 10, 20);
        if (random_below(&random, 500) == 0) {
            stats_set_destroy(sets[0]);
            sets[0] = stats_set_create(registry);
        }
    }
    CHECK(stats_metric_total(registry, "requests_total") == total);
    stats_set_destroy(sets[0]);
    stats_set_destroy(sets[1]);
    stats_registry_destroy(registry);
}
