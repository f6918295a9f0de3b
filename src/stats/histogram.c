#include "stats/histogram.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* The lower edges of a decade's buckets, in tenths; the next decade begins at 100. */
static const uint8_t edges[HISTOGRAM_BUCKETS + 1] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22,
                                                     24, 25, 26, 28, 30, 32, 34, 36, 38, 40, 43, 46,
                                                     50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100};

const uint8_t histogram_steps[90] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 10, 11, 11, 12, 13, 14, 14, 15, 15, 16, 16, 17,
    17, 18, 18, 19, 19, 20, 20, 21, 21, 21, 22, 22, 22, 23, 23, 23, 23, 24, 24, 24, 24, 24, 25,
    25, 25, 25, 25, 26, 26, 26, 26, 26, 27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 29, 29, 29, 29,
    29, 30, 30, 30, 30, 30, 31, 31, 31, 31, 31, 32, 32, 32, 32, 32, 33, 33, 33, 33, 33,
};

const uint64_t histogram_powers[STATS_DECADES + 1] = {
    1,        10,        100,        1000,        10000,        100000,        1000000,
    10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
};

/* 2^63 / 10^(decade - 1), rounded up: exact for what is below 10^10. */
const uint64_t histogram_reciprocals[STATS_DECADES] = {
    0,
    9223372036854775808u,
    922337203685477581u,
    92233720368547759u,
    9223372036854776u,
    922337203685478u,
    92233720368548u,
    9223372036855u,
    922337203686u,
    92233720369u,
};

uint32_t histogram_digits_of_large(uint64_t value, uint32_t *decade)
{
    uint32_t exponent = 10;
    while (exponent < STATS_DECADES - 1 && value >= histogram_powers[exponent + 1])
        exponent++;
    *decade = exponent;
    uint64_t digits = value / histogram_powers[exponent - 1];
    return (uint32_t)MIN(digits, (uint64_t)99);
}

_Atomic uint64_t *histogram_open_decade(struct stats_histogram *histogram, uint32_t decade)
{
    _Atomic uint64_t *buckets = mem_calloc(HISTOGRAM_BUCKETS, sizeof(*buckets));
    atomic_store_explicit(&histogram->decades[decade], buckets, memory_order_release);
    return buckets;
}

void histogram_collect(struct histogram_totals *totals, const struct stats_histogram *histogram)
{
    totals->sum += atomic_load_explicit(&histogram->sum, memory_order_acquire);
    for (size_t decade = 0; decade < STATS_DECADES; decade++) {
        _Atomic uint64_t *buckets =
            atomic_load_explicit(&histogram->decades[decade], memory_order_acquire);
        for (size_t i = 0; buckets && i < HISTOGRAM_BUCKETS; i++) {
            uint64_t count = atomic_load_explicit(&buckets[i], memory_order_acquire);
            totals->buckets[decade][i] += count;
            totals->count += count;
        }
    }
}

/* A bucket holds low < value <= high, but in the first decade, where it holds one number. */
static void edges_of(size_t decade, size_t bucket, double *low, double *high)
{
    if (decade == 0) {
        *low = *high = (double)bucket;
        return;
    }
    double unit = (double)histogram_powers[decade - 1];
    *low = edges[bucket] * unit;
    *high = edges[bucket + 1] * unit;
}

void histogram_count_below(const struct histogram_totals *totals, const double *bounds,
                           size_t count, uint64_t *below)
{
    uint64_t before = 0;
    size_t at = 0;
    for (size_t decade = 0; decade < STATS_DECADES; decade++) {
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            uint64_t here = totals->buckets[decade][i];
            if (here == 0)
                continue;
            double low, high;
            edges_of(decade, i, &low, &high);
            for (; at < count && bounds[at] < high; at++) {
                double share = bounds[at] > low ? (bounds[at] - low) / (high - low) : 0;
                below[at] = before + (uint64_t)(share * (double)here);
            }
            before += here;
        }
    }
    for (; at < count; at++)
        below[at] = before;
}

double histogram_quantile(const struct histogram_totals *totals, double quantile)
{
    double wanted = quantile * (double)totals->count, before = 0, low = NAN, high = NAN;
    for (size_t decade = 0; decade < STATS_DECADES; decade++) {
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            double here = (double)totals->buckets[decade][i];
            if (here == 0)
                continue;
            edges_of(decade, i, &low, &high);
            if (before + here >= wanted)
                return low + (high - low) * (wanted - before) / here;
            before += here;
        }
    }
    return high;
}

static void add(_Atomic uint64_t *cell, uint64_t n, bool negative)
{
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, negative ? value - n : value + n, memory_order_release);
}

void histogram_fold(struct stats_histogram *to, const struct histogram_totals *from, bool negative)
{
    add(&to->sum, from->sum, negative);
    for (uint32_t decade = 0; decade < STATS_DECADES; decade++) {
        _Atomic uint64_t *buckets =
            atomic_load_explicit(&to->decades[decade], memory_order_relaxed);
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            if (from->buckets[decade][i] == 0)
                continue;
            if (!buckets)
                buckets = histogram_open_decade(to, decade);
            add(&buckets[i], from->buckets[decade][i], negative);
        }
    }
}

void histogram_clear(struct stats_histogram *histogram)
{
    histogram_fini(histogram);
    atomic_store_explicit(&histogram->sum, 0, memory_order_relaxed);
}

void histogram_fini(struct stats_histogram *histogram)
{
    for (size_t i = 0; i < STATS_DECADES; i++) {
        mem_free(atomic_load_explicit(&histogram->decades[i], memory_order_relaxed));
        atomic_store_explicit(&histogram->decades[i], NULL, memory_order_relaxed);
    }
}
