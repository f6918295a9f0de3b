/*
 * export: what was counted, in the formats that existing tools read.
 *
 * Any thread may export, best one that serves no requests: it adds up the sets without stopping them.
 */
#pragma once

#include "base/attributes.h"

struct buffer;
struct stats_registry;

/* How /stats and its JSON show a histogram. */
enum stats_buckets { STATS_SUMMARY, STATS_CUMULATIVE, STATS_DISJOINT };

struct stats_query {
    /* Asked with the name as /stats shows it, such as "cluster.web.upstream_rq_total"; NULL: all. */
    bool (*is_wanted)(const char *name, void *to);
    void *to;
    bool used_only; /* without what is zero */
    enum stats_buckets buckets;
};

/* query may be NULL. Envoy's /stats: "name: value" sorted by name, then the histograms. */
void stats_export_text(struct stats_registry *registry, const struct stats_query *query,
                       struct buffer *out);
/* Envoy's /stats?format=json. */
void stats_export_json(struct stats_registry *registry, const struct stats_query *query,
                       struct buffer *out);
/* Prometheus text 0.0.4, grouped by metric, with process_*. */
void stats_export_prometheus(struct stats_registry *registry, const struct stats_query *query,
                             struct buffer *out);
/* The Content-Type of that. */
#define STATS_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
