/*
 * registry: which metrics and series there are, and the slot of each.
 *
 * A series is a metric with a value for each of its labels. It is resolved once, to a slot that every set knows, and
 * the slot is kept by whoever counts (a cluster, a connection, a worker's cache): no string is looked at on the
 * request path. Resolving takes a lock and may be called by any thread; so may scraping (export.h), which holds the
 * lock only while it copies pointers.
 *
 * Who resolves a series holds it and must release it. A series that nobody holds is shown for a while longer, for
 * the scrapers, and then expires; its slot serves another. The number of series is limited: beyond the limit, the label
 * values that others choose become "other", which is counted.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "stats/set.h"

enum stats_kind { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM };
/* What a histogram's values are: shown as they are, or recorded in microseconds and shown in milliseconds or seconds. */
enum stats_unit { STATS_PLAIN, STATS_MICROSECONDS, STATS_SECONDS };

struct stats_metric {
    const char *name; /* for Prometheus, with its prefix: "envoy_cluster_upstream_rq_total" */
    /* For Envoy's /stats: "cluster.%.upstream_rq_total", a % for each label value in order. NULL: name, label, value. */
    const char *text;
    const char *help;
    enum stats_kind kind;
    enum stats_unit unit;
};

struct stats_label {
    const char *name;
    bool open; /* others choose its values: becomes "other" beyond the limit */
};

enum {
    STATS_LABELS_MAX = 40,        /* a series */
    STATS_LABEL_BYTES_MAX = 512,  /* a value; what is longer is cut */
    STATS_SERIES_DEFAULT = 20000, /* a registry */
    STATS_OTHERS_MAX = 1000,      /* series more, for what became "other" */
};

struct stats_labels;
struct stats_registry;

/* series_max 0 = STATS_SERIES_DEFAULT. */
struct stats_registry *stats_registry_create(size_t series_max);
/* Every set must be gone. */
void stats_registry_destroy(struct stats_registry *registry);
OWNED(stats_registry, stats_registry_destroy)

/*
 * The labels of one or more series, shared: metrics with the same labels resolve the same object. Names and values
 * are copied; values that are not UTF-8 are mended. Held by the caller until stats_labels_release. NULL names none.
 */
struct stats_labels *stats_labels_hold(struct stats_registry *registry,
                                       const struct stats_label *names, const struct slice *values,
                                       size_t count);
void stats_labels_release(struct stats_registry *registry, struct stats_labels *labels);

/* The series' slot, which the caller holds until stats_release. labels may be NULL. The metric is copied. */
uint32_t stats_resolve(struct stats_registry *registry, const struct stats_metric *metric,
                       struct stats_labels *labels);
/* The slots of many metrics with the same labels. */
void stats_resolve_all(struct stats_registry *registry, const struct stats_metric *metrics,
                       size_t count, struct stats_labels *labels, uint32_t *slots);
/* After the last count of whoever resolved it. STATS_NOWHERE is harmless. */
void stats_release(struct stats_registry *registry, uint32_t slot);
void stats_release_all(struct stats_registry *registry, const uint32_t *slots, size_t count);

/* Forgets the series that nobody held for idle_ms; returns how many. Call it every minute, with the loop's time. */
size_t stats_expire(struct stats_registry *registry, uint64_t now_ms, uint64_t idle_ms);
/* Counters and histograms begin again at zero, gauges stay. */
void stats_reset(struct stats_registry *registry);

size_t stats_series_count(struct stats_registry *registry);
/* How often a series became "other" (or nothing) because of the limit. */
uint64_t stats_folded_count(struct stats_registry *registry);
/* The sum over all sets: of a counter or gauge, or of a histogram's values. */
uint64_t stats_sum(struct stats_registry *registry, uint32_t slot);
/*
 * The sum of a counter over all its series, those that expired included: goes down by stats_reset only. Of a
 * histogram, how many values it has.
 */
uint64_t stats_metric_total(struct stats_registry *registry, const char *name);
/* Bounds to show instead of the default ones for histograms whose name starts so; the longest such prefix wins. */
void stats_set_bounds(struct stats_registry *registry, const char *name_prefix,
                      const double *bounds, size_t count);
