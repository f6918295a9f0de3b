/*
 * scrape_internal: one look at every series, for the exporters.
 *
 * Taking the look needs the lock; reading the values does not. Series are ordered by metric name.
 */
#pragma once

#include "base/buffer.h"
#include "stats/export.h"
#include "stats/registry_internal.h"

struct stats_shown {
    const struct stats_series *series;
    const struct stats_family *family;
    const struct stats_bounds *bounds; /* NULL: the default ones */
};

struct stats_scrape {
    struct stats_registry *registry;
    VECTOR(struct stats_set *) sets;
    VECTOR(struct stats_shown) shown;
};

void scrape_begin(struct stats_scrape *scrape, struct stats_registry *registry);
void scrape_end(struct stats_scrape *scrape);

/* The name that /stats shows, such as "cluster.web.upstream_rq_total"; replaces what is in `name`. */
void scrape_name(const struct stats_series *series, struct buffer *name);
/* Whether the query asks for a series of that name. */
bool scrape_wants(const struct stats_query *query, const struct buffer *name);
uint64_t scrape_value(const struct stats_scrape *scrape, const struct stats_series *series);
void scrape_collect(const struct stats_scrape *scrape, const struct stats_series *series,
                    struct histogram_totals *totals);

/* The bounds that a histogram is shown with, in the unit that it is shown in. */
const double *scrape_bounds(const struct stats_shown *shown, size_t *count);
/* How many of the values recorded make one of the unit shown. */
double scrape_scale(const struct stats_family *family);
/* How many values are at most each bound; `below` has room for them all. */
void scrape_count_below(const struct stats_shown *shown, const struct histogram_totals *totals,
                        uint64_t *below);
/* The same as a list on the heap, with what is above the last bound at its end; disjoint where asked. */
uint64_t *scrape_buckets(const struct stats_shown *shown, const struct histogram_totals *totals,
                         enum stats_buckets buckets, size_t *count);

/* What a query asks for, by the name that /stats shows: sorted, histograms last. */
struct stats_named {
    char *name;
    const struct stats_shown *shown;
};
struct stats_names {
    VECTOR(struct stats_named) series;
};
void scrape_names(const struct stats_scrape *scrape, const struct stats_query *query,
                  struct stats_names *names);
void stats_names_fini(struct stats_names *names);
static inline bool stats_named_is_histogram(const struct stats_named *named)
{
    return named->shown->family->metric.kind == STATS_HISTOGRAM;
}

/* Those that Envoy computes. */
enum { SCRAPE_QUANTILES = 10 };
extern const double scrape_quantiles[SCRAPE_QUANTILES];
/* Gauges have a sign. */
void scrape_append_value(struct buffer *out, const struct stats_family *family, uint64_t value);
/* As short as it can be: 0.5, 1, 3600000. */
void scrape_append_number(struct buffer *out, double number);
