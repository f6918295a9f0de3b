#include "test.h"

#include "base/buffer.h"
#include "base/random.h"
#include "stats/counter.h"
#include "stats/export.h"
#include "stats/histogram.h"
#include "stats/registry.h"

#include <pthread.h>

/* Workers count, resolve and release, come and go, while others scrape, expire and reset: nothing is lost or torn. */
enum { WORKERS = 4, ROUNDS = 300, COUNTS = 50, PEERS = 40 };

static const struct stats_metric requests = {.name = "requests_total", .kind = STATS_COUNTER};
static const struct stats_metric active = {.name = "active", .kind = STATS_GAUGE};
static const struct stats_metric times = {
    .name = "times", .kind = STATS_HISTOGRAM, .unit = STATS_MICROSECONDS};
static const struct stats_label peer_label[] = {{"peer", true}};

struct shared {
    struct stats_registry *registry;
    uint32_t active;
    atomic_uint running;
    _Atomic uint64_t counted;
};

static void count_for_a_peer(struct shared *shared, struct stats_set *set, struct random *random)
{
    char text[24];
    struct slice value =
        slice_of(text, (size_t)snprintf(text, sizeof(text), "%lu", random_below(random, PEERS)));
    struct stats_labels *labels = stats_labels_hold(shared->registry, peer_label, &value, 1);
    uint32_t counter = stats_resolve(shared->registry, &requests, labels);
    uint32_t histogram = stats_resolve(shared->registry, &times, labels);
    gauge_add(set, shared->active, 1);
    for (int i = 0; i < COUNTS; i++) {
        counter_increment(set, counter);
        histogram_record(set, histogram, random_below(random, 1000000));
    }
    gauge_add(set, shared->active, -1);
    stats_release(shared->registry, counter);
    stats_release(shared->registry, histogram);
    stats_labels_release(shared->registry, labels);
}

static void *work(void *to)
{
    struct shared *shared = to;
    struct random random;
    random_seed_from_kernel(&random);
    struct stats_set *set = stats_set_create(shared->registry);
    for (int round = 0; round < ROUNDS; round++) {
        count_for_a_peer(shared, set, &random);
        if (round % 50 == 49) {
            stats_set_destroy(set);
            set = stats_set_create(shared->registry);
        }
    }
    stats_set_destroy(set);
    atomic_fetch_add(&shared->counted, (uint64_t)ROUNDS * COUNTS);
    atomic_fetch_sub(&shared->running, 1);
    return NULL;
}

static void *scrape(void *to)
{
    struct shared *shared = to;
    uint64_t now_ms = 0;
    while (atomic_load(&shared->running) > 0) {
        owned_buffer text = {0}, prometheus = {0}, json = {0};
        stats_export_text(shared->registry, NULL, &text);
        stats_export_prometheus(shared->registry, NULL, &prometheus);
        stats_export_json(shared->registry, NULL, &json);
        stats_expire(shared->registry, now_ms += 10, 20);
    }
    return NULL;
}

TEST(threads_lose_no_count)
{
    struct shared shared = {.registry = stats_registry_create(0), .running = WORKERS};
    shared.active = stats_resolve(shared.registry, &active, NULL);
    pthread_t workers[WORKERS], scrapers[2];
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, &shared);
    for (size_t i = 0; i < 2; i++)
        pthread_create(&scrapers[i], NULL, scrape, &shared);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    for (size_t i = 0; i < 2; i++)
        pthread_join(scrapers[i], NULL);
    CHECK(stats_metric_total(shared.registry, "requests_total") == atomic_load(&shared.counted));
    CHECK(stats_metric_total(shared.registry, "times") == atomic_load(&shared.counted));
    CHECK(stats_sum(shared.registry, shared.active) == 0);
    stats_registry_destroy(shared.registry);
}

static void *reset(void *to)
{
    struct shared *shared = to;
    while (atomic_load(&shared->running) > 0) {
        stats_reset(shared->registry);
        uint64_t total = stats_metric_total(shared->registry, "requests_total");
        CHECK(total <= (uint64_t)WORKERS * ROUNDS * COUNTS, "no sum falls below zero: %lu", total);
    }
    return NULL;
}

TEST(threads_never_see_less_than_nothing)
{
    struct shared shared = {.registry = stats_registry_create(0), .running = WORKERS};
    pthread_t workers[WORKERS], resetter;
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, &shared);
    pthread_create(&resetter, NULL, reset, &shared);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    pthread_join(resetter, NULL);
    stats_registry_destroy(shared.registry);
}
