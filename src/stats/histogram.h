/*
 * histogram: how values are spread, in buckets that are the same everywhere, so that merging is addition.
 *
 * Decimal log-linear: 34 buckets a decade, each at most a tenth of its value wide, with an edge at every number that
 * the usual Prometheus bounds name (1, 2.5, 3, 5, 6, 1.8, 3.6 times a power of ten). Bucket counts at those bounds
 * are therefore exact, and `le` includes the bound itself. Values of 10^12 and more share the last bucket.
 */
#pragma once

#include "stats/set.h"

enum { HISTOGRAM_BUCKETS = 34 }; /* a decade; the first one holds the values 0 to 10, one each */

extern const uint8_t histogram_steps[90]; /* two leading digits, less 10 -> bucket */
extern const uint64_t histogram_powers[STATS_DECADES + 1];
extern const uint64_t histogram_reciprocals[STATS_DECADES];
_Atomic uint64_t *histogram_open_decade(struct stats_histogram *histogram, uint32_t decade) COLD;
uint32_t histogram_digits_of_large(uint64_t value, uint32_t *decade) COLD;

/* The decade and bucket of a value; no division. */
static inline uint32_t histogram_bucket(uint64_t value, uint32_t *decade)
{
    if (value <= 10) {
        *decade = 0;
        return (uint32_t)value;
    }
    uint64_t below = value - 1; /* a bucket holds its upper edge */
    if (UNLIKELY(below >= 10000000000u))
        return histogram_steps[histogram_digits_of_large(below, decade) - 10];
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(below),
             exponent = bits * 1233 >> 12; /* log10(2) */
    exponent += below >= histogram_powers[exponent + 1];
    *decade = exponent;
    unsigned __int128 product = (unsigned __int128)below * histogram_reciprocals[exponent];
    return histogram_steps[(uint32_t)(product >> 63) - 10];
}

static inline void histogram_record(struct stats_set *set, uint32_t slot, uint64_t value)
{
    struct stats_histogram *histogram = stats_histogram_cell(set, slot);
    uint32_t decade, bucket = histogram_bucket(value, &decade);
    _Atomic uint64_t *buckets =
        atomic_load_explicit(&histogram->decades[decade], memory_order_relaxed);
    if (UNLIKELY(!buckets))
        buckets = histogram_open_decade(histogram, decade);
    uint64_t count = atomic_load_explicit(&buckets[bucket], memory_order_relaxed);
    atomic_store_explicit(&buckets[bucket], count + 1, memory_order_relaxed);
    uint64_t sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum, sum + value, memory_order_relaxed);
}

/* What several threads recorded, added up. */
struct histogram_totals {
    uint64_t buckets[STATS_DECADES][HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum;
};
void histogram_collect(struct histogram_totals *totals, const struct stats_histogram *histogram);
/* For each of the ascending bounds, how many values are at most that; within a bucket, in proportion. */
void histogram_count_below(const struct histogram_totals *totals, const double *bounds,
                           size_t count, uint64_t *below);
/* quantile in [0, 1]; NAN when nothing was recorded. */
double histogram_quantile(const struct histogram_totals *totals, double quantile);
/* Adds `from` to `to`, which has one writer: the caller. With a negative sign, takes it away. */
void histogram_fold(struct stats_histogram *to, const struct histogram_totals *from, bool negative);
/* Back to nothing; nobody else may be looking. */
void histogram_clear(struct stats_histogram *histogram);
void histogram_fini(struct stats_histogram *histogram);
