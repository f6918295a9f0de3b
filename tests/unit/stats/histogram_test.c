#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "stats/histogram.h"
#include "stats/registry.h"

#include <math.h>

static const struct stats_metric bytes = {.name = "bytes", .kind = STATS_HISTOGRAM};

struct fixture {
    struct stats_registry *registry;
    struct stats_set *set;
    uint32_t slot;
    struct histogram_totals totals;
};

static struct fixture set_up(void)
{
    struct fixture f = {.registry = stats_registry_create(0)};
    f.set = stats_set_create(f.registry);
    f.slot = stats_resolve(f.registry, &bytes, NULL);
    return f;
}

static void collect(struct fixture *f)
{
    f->totals = (struct histogram_totals){0};
    histogram_collect(&f->totals, stats_histogram_cell(f->set, f->slot));
}

static void tear_down(struct fixture *f)
{
    stats_set_destroy(f->set);
    stats_registry_destroy(f->registry);
}

static uint64_t below(const struct histogram_totals *totals, double bound)
{
    uint64_t count;
    histogram_count_below(totals, &bound, 1, &count);
    return count;
}

/* By division, slowly: the bucket that holds the value, as low < value <= high. */
static uint32_t bucket_by_division(uint64_t value, uint32_t *decade)
{
    static const uint8_t edges[] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22,
                                    24, 25, 26, 28, 30, 32, 34, 36, 38, 40, 43, 46,
                                    50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100};
    *decade = 0;
    if (value <= 10)
        return (uint32_t)value;
    uint64_t unit = 1;
    for (*decade = 1; value - 1 >= unit * 100 && *decade < STATS_DECADES - 1; ++*decade)
        unit *= 10;
    uint64_t digits = MIN((value - 1) / unit, (uint64_t)99);
    uint32_t bucket = 0;
    while (edges[bucket + 1] <= digits)
        bucket++;
    return bucket;
}

static void check_bucket(uint64_t value)
{
    uint32_t decade, expected_decade, bucket = histogram_bucket(value, &decade);
    uint32_t expected = bucket_by_division(value, &expected_decade);
    if (bucket != expected || decade != expected_decade)
        CHECK(false, "%lu is in %u of %u, not in %u of %u", value, bucket, decade, expected,
              expected_decade);
    if (bucket >= HISTOGRAM_BUCKETS || decade >= STATS_DECADES)
        CHECK(false, "%lu is outside", value);
}

TEST(histogram_finds_the_bucket_without_division)
{
    for (uint64_t value = 0; value < 300000; value++)
        check_bucket(value);
    for (uint64_t power = 1; power < UINT64_MAX / 100; power *= 10) {
        for (uint64_t digits = 10; digits <= 100; digits++) {
            for (int off = -2; off <= 2; off++)
                check_bucket(power * digits + (uint64_t)off);
        }
    }
    struct random random;
    random_seed(&random, 1);
    for (int i = 0; i < 1000000; i++)
        check_bucket(random_u64(&random) >> random_below(&random, 64));
    check_bucket(UINT64_MAX);
}

TEST(histogram_counts_exactly_at_the_usual_bounds)
{
    static const uint64_t bounds[] = {500,       1000,      5000,       10000,     25000,
                                      50000,     100000,    250000,     500000,    1000000,
                                      2500000,   5000000,   10000000,   30000000,  60000000,
                                      300000000, 600000000, 1800000000, 3600000000};
    struct fixture f = set_up();
    struct random random;
    random_seed(&random, 2);
    uint64_t expected[COUNT(bounds)] = {0}, sum = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t near = bounds[random_below(&random, COUNT(bounds))] + random_below(&random, 3) - 1;
        uint64_t value = i % 2 ? near : random_u64(&random) >> (28 + random_below(&random, 36));
        histogram_record(f.set, f.slot, value);
        sum += value;
        for (size_t j = 0; j < COUNT(bounds); j++)
            expected[j] += value <= bounds[j];
    }
    collect(&f);
    CHECK(f.totals.count == 20000 && f.totals.sum == sum);
    for (size_t j = 0; j < COUNT(bounds); j++)
        CHECK(below(&f.totals, (double)bounds[j]) == expected[j], "up to %lu", bounds[j]);
    tear_down(&f);
}

TEST(histogram_tells_small_numbers_apart)
{
    struct fixture f = set_up();
    for (uint64_t value = 0; value <= 20; value++) {
        histogram_record(f.set, f.slot, value);
        collect(&f);
        CHECK(below(&f.totals, (double)value) == value + 1 &&
                  (value == 0 || below(&f.totals, (double)value - 1) == value),
              "%lu", value);
    }
    CHECK(below(&f.totals, 0.5) == 1);
    tear_down(&f);
}

TEST(histogram_quantiles_are_near)
{
    struct fixture f = set_up();
    collect(&f);
    CHECK(isnan(histogram_quantile(&f.totals, 0.5)));
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_record(f.set, f.slot, value);
    collect(&f);
    for (double quantile = 0.05; quantile <= 1; quantile += 0.05) {
        double value = histogram_quantile(&f.totals, quantile);
        CHECK(fabs(value - quantile * 100000) <= 100000 * quantile * 0.01 + 1, "%g is %g", quantile,
              value);
    }
    CHECK(histogram_quantile(&f.totals, 0) == 1 && histogram_quantile(&f.totals, 1) == 100000);
    tear_down(&f);
}

TEST(histogram_keeps_what_is_too_large)
{
    struct fixture f = set_up();
    histogram_record(f.set, f.slot, UINT64_MAX);
    histogram_record(f.set, f.slot, 1000000000001u);
    histogram_record(f.set, f.slot, 999999999999u);
    collect(&f);
    CHECK(f.totals.count == 3 && below(&f.totals, 1e12) == 3 && below(&f.totals, 1e11) == 0);
    tear_down(&f);
}

TEST(histogram_opens_decades_on_first_use)
{
    struct fixture f = set_up();
    struct stats_histogram *histogram = stats_histogram_cell(f.set, f.slot);
    for (size_t i = 0; i < STATS_DECADES; i++)
        CHECK(atomic_load(&histogram->decades[i]) == NULL);
    histogram_record(f.set, f.slot, 5000);
    size_t open = 0;
    for (size_t i = 0; i < STATS_DECADES; i++)
        open += atomic_load(&histogram->decades[i]) != NULL;
    CHECK(open == 1);
    tear_down(&f);
}

TEST(histogram_folds_both_ways)
{
    struct fixture f = set_up();
    uint32_t other = stats_resolve(
        f.registry, &(struct stats_metric){.name = "other", .kind = STATS_HISTOGRAM}, NULL);
    struct stats_histogram *to = stats_histogram_cell(f.set, other);
    struct histogram_totals first, second = {0};
    for (uint64_t value = 0; value < 5000; value += 7)
        histogram_record(f.set, f.slot, value);
    collect(&f);
    first = f.totals;
    histogram_fold(to, &first, false);
    histogram_collect(&second, to);
    CHECK(memcmp(&first, &second, sizeof(first)) == 0);
    histogram_fold(to, &first, true);
    second = (struct histogram_totals){0};
    histogram_collect(&second, to);
    CHECK(second.count == 0 && second.sum == 0);
    tear_down(&f);
}
