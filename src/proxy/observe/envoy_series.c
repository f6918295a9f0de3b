#include "proxy/observe/envoy_series.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "build/access_log.h"
#include "build/cluster.h"
#include "proxy/observe/record.h"
#include "stats/counter.h"
#include "stats/histogram.h"

#include <stdio.h>

enum { CLASSES = 5 };

struct http_series {
    uint32_t slots[HTTP_COUNTERS], classes[CLASSES];
};

struct code_slot {
    unsigned code;
    uint32_t slot;
};
struct tcp_series {
    uint32_t slots[TCP_COUNTERS];
};
struct cluster_series {
    uint32_t slots[CLUSTER_COUNTERS], classes[CLASSES];
    char *name;                     /* as statistics have it */
    VECTOR(struct code_slot) codes; /* that were answered; a few */
};

static const struct stats_metric http_metrics[HTTP_COUNTERS] = {
    [HTTP_CX_TOTAL] = {"envoy_http_downstream_cx_total", "http.%.downstream_cx_total",
                       "HTTP connections accepted", STATS_COUNTER, STATS_PLAIN},
    [HTTP_CX_ACTIVE] = {"envoy_http_downstream_cx_active", "http.%.downstream_cx_active",
                        "HTTP connections open", STATS_GAUGE, STATS_PLAIN},
    [HTTP_CX_DESTROY] = {"envoy_http_downstream_cx_destroy", "http.%.downstream_cx_destroy",
                         "HTTP connections closed", STATS_COUNTER, STATS_PLAIN},
    [HTTP_CX_SSL] = {"envoy_http_downstream_cx_ssl_total", "http.%.downstream_cx_ssl_total",
                     "HTTP connections over TLS", STATS_COUNTER, STATS_PLAIN},
    [HTTP_CX_PROTOCOL_ERROR] = {"envoy_http_downstream_cx_protocol_error",
                                "http.%.downstream_cx_protocol_error", "requests that broke a rule",
                                STATS_COUNTER, STATS_PLAIN},
    [HTTP_RQ_TOTAL] = {"envoy_http_downstream_rq_total", "http.%.downstream_rq_total", "requests",
                       STATS_COUNTER, STATS_PLAIN},
    [HTTP_RQ_TIME] = {"envoy_http_downstream_rq_time", "http.%.downstream_rq_time",
                      "time of requests", STATS_HISTOGRAM, STATS_MICROSECONDS},
};
static const struct stats_metric http_class = {"envoy_http_downstream_rq_xx",
                                               "http.%.downstream_rq_%xx", "requests answered so",
                                               STATS_COUNTER, STATS_PLAIN};

static const struct stats_metric cluster_metrics[CLUSTER_COUNTERS] = {
    [CLUSTER_CX_TOTAL] = {"envoy_cluster_upstream_cx_total", "cluster.%.upstream_cx_total",
                          "connections made", STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_CX_ACTIVE] = {"envoy_cluster_upstream_cx_active", "cluster.%.upstream_cx_active",
                           "connections open", STATS_GAUGE, STATS_PLAIN},
    [CLUSTER_CX_FAIL] = {"envoy_cluster_upstream_cx_connect_fail",
                         "cluster.%.upstream_cx_connect_fail", "connections that failed to open",
                         STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_RQ_TOTAL] = {"envoy_cluster_upstream_rq_total", "cluster.%.upstream_rq_total",
                          "requests", STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_RQ_TIME] = {"envoy_cluster_upstream_rq_time", "cluster.%.upstream_rq_time",
                         "time to the answer's head", STATS_HISTOGRAM, STATS_MICROSECONDS},
    [CLUSTER_RQ_TIMEOUT] = {"envoy_cluster_upstream_rq_timeout", "cluster.%.upstream_rq_timeout",
                            "no answer in time", STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_RQ_RETRY] = {"envoy_cluster_upstream_rq_retry", "cluster.%.upstream_rq_retry",
                          "tries after the first", STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_RQ_RETRY_SUCCESS] = {"envoy_cluster_upstream_rq_retry_success",
                                  "cluster.%.upstream_rq_retry_success",
                                  "requests that a later try answered", STATS_COUNTER, STATS_PLAIN},
    [CLUSTER_RQ_RETRY_LIMIT] = {"envoy_cluster_upstream_rq_retry_limit_exceeded",
                                "cluster.%.upstream_rq_retry_limit_exceeded",
                                "requests whose last try failed too", STATS_COUNTER, STATS_PLAIN},
};
static const struct stats_metric tcp_metrics[TCP_COUNTERS] = {
    [TCP_CX_TOTAL] = {"envoy_tcp_downstream_cx_total", "tcp.%.downstream_cx_total",
                      "TCP connections accepted", STATS_COUNTER, STATS_PLAIN},
    [TCP_CX_ACTIVE] = {"envoy_tcp_downstream_cx_active", "tcp.%.downstream_cx_active",
                       "TCP connections open", STATS_GAUGE, STATS_PLAIN},
    [TCP_CX_NO_ROUTE] = {"envoy_tcp_downstream_cx_no_route", "tcp.%.downstream_cx_no_route",
                         "TCP connections whose cluster does not exist", STATS_COUNTER,
                         STATS_PLAIN},
    [TCP_CX_RX] = {"envoy_tcp_downstream_cx_rx_bytes_total", "tcp.%.downstream_cx_rx_bytes_total",
                   "bytes received from clients", STATS_COUNTER, STATS_PLAIN},
    [TCP_CX_TX] = {"envoy_tcp_downstream_cx_tx_bytes_total", "tcp.%.downstream_cx_tx_bytes_total",
                   "bytes sent to clients", STATS_COUNTER, STATS_PLAIN},
};
static const struct stats_metric cluster_class = {
    "envoy_cluster_upstream_rq_xx", "cluster.%.upstream_rq_%xx", "requests answered so",
    STATS_COUNTER, STATS_PLAIN};
static const struct stats_metric cluster_code = {"envoy_cluster_upstream_rq",
                                                 "cluster.%.upstream_rq_%", "requests answered so",
                                                 STATS_COUNTER, STATS_PLAIN};

static const struct stats_label prefix_label = {"envoy_http_conn_manager_prefix", false},
                                tcp_label = {"envoy_tcp_prefix", false},
                                cluster_label = {"envoy_cluster_name", false},
                                class_label = {"envoy_response_code_class", false},
                                code_label = {"envoy_response_code", false};

/* --- finding -------------------------------------------------------------------------------------------------- */

void envoy_series_init(struct envoy_series *all, struct stats_registry *registry)
{
    *all = (struct envoy_series){
        .registry = registry, .http = map_create(), .tcp = map_create(), .clusters = map_create()};
}

void envoy_series_fini(struct envoy_series *all)
{
    struct map_iterator each = {0};
    while (map_next(all->http, &each)) {
        struct http_series *series = each.value;
        stats_release_all(all->registry, series->slots, HTTP_COUNTERS);
        stats_release_all(all->registry, series->classes, CLASSES);
        mem_free(series);
    }
    each = (struct map_iterator){0};
    while (map_next(all->clusters, &each)) {
        struct cluster_series *series = each.value;
        stats_release_all(all->registry, series->slots, CLUSTER_COUNTERS);
        stats_release_all(all->registry, series->classes, CLASSES);
        for (size_t i = 0; i < series->codes.count; i++)
            stats_release(all->registry, series->codes.items[i].slot);
        vector_fini(&series->codes);
        mem_free(series->name);
        mem_free(series);
    }
    each = (struct map_iterator){0};
    while (map_next(all->tcp, &each)) {
        stats_release_all(all->registry, ((struct tcp_series *)each.value)->slots, TCP_COUNTERS);
        mem_free(each.value);
    }
    map_destroy(all->http);
    map_destroy(all->tcp);
    map_destroy(all->clusters);
}

/* One metric with a name's label and another's. */
static uint32_t resolve_two(struct stats_registry *registry, const struct stats_metric *metric,
                            struct stats_label first, struct slice first_value,
                            struct stats_label second, unsigned number)
{
    char text[12];
    const struct stats_label names[] = {first, second};
    const struct slice values[] = {
        first_value, slice_of(text, (size_t)snprintf(text, sizeof(text), "%u", number))};
    struct stats_labels *labels = stats_labels_hold(registry, names, values, 2);
    uint32_t slot = stats_resolve(registry, metric, labels);
    stats_labels_release(registry, labels);
    return slot;
}

struct http_series *http_series_of(struct envoy_series *all, struct slice prefix)
{
    struct http_series *series = map_get(all->http, prefix);
    if (series)
        return series;
    series = mem_new(struct http_series);
    struct stats_labels *labels = stats_labels_hold(all->registry, &prefix_label, &prefix, 1);
    stats_resolve_all(all->registry, http_metrics, HTTP_COUNTERS, labels, series->slots);
    stats_labels_release(all->registry, labels);
    for (unsigned i = 0; i < CLASSES; i++)
        series->classes[i] =
            resolve_two(all->registry, &http_class, prefix_label, prefix, class_label, i + 1);
    map_put(all->http, prefix, series);
    return series;
}

struct tcp_series *tcp_series_of(struct envoy_series *all, struct slice prefix)
{
    struct tcp_series *series = map_get(all->tcp, prefix);
    if (series)
        return series;
    series = mem_new(struct tcp_series);
    struct stats_labels *labels = stats_labels_hold(all->registry, &tcp_label, &prefix, 1);
    stats_resolve_all(all->registry, tcp_metrics, TCP_COUNTERS, labels, series->slots);
    stats_labels_release(all->registry, labels);
    map_put(all->tcp, prefix, series);
    return series;
}

static struct cluster_series *make_cluster(struct envoy_series *all, struct slice name)
{
    struct cluster_series *series = mem_new(struct cluster_series);
    struct stats_labels *labels = stats_labels_hold(all->registry, &cluster_label, &name, 1);
    stats_resolve_all(all->registry, cluster_metrics, CLUSTER_COUNTERS, labels, series->slots);
    stats_labels_release(all->registry, labels);
    for (unsigned i = 0; i < CLASSES; i++)
        series->classes[i] =
            resolve_two(all->registry, &cluster_class, cluster_label, name, class_label, i + 1);
    series->name = slice_to_str(name);
    return series;
}

__attribute__((noinline)) static struct cluster_series *find_cluster(struct envoy_series *all,
                                                                     const struct cluster *cluster)
{
    uint64_t hash = cluster->name.hash;
    struct slice key = slice_of(&hash, sizeof(hash));
    struct cluster_series *series = map_get(all->clusters, key);
    if (!series) {
        series = make_cluster(all, cluster->stat_name);
        map_put(all->clusters, key, series);
    }
    all->last_hash = hash;
    all->last = series;
    return series;
}

struct cluster_series *cluster_series_of(struct envoy_series *all, const struct cluster *cluster)
{
    bool is_last = all->last && all->last_hash == cluster->name.hash;
    return LIKELY(is_last) ? all->last : find_cluster(all, cluster);
}

static uint32_t slot_of_code(struct envoy_series *all, struct cluster_series *series, unsigned code)
{
    for (size_t i = 0; i < series->codes.count; i++)
        if (LIKELY(series->codes.items[i].code == code))
            return series->codes.items[i].slot;
    uint32_t slot = resolve_two(all->registry, &cluster_code, cluster_label,
                                slice_str(series->name), code_label, code);
    vector_push(&series->codes, ((struct code_slot){code, slot}));
    return slot;
}

/* --- counting ------------------------------------------------------------------------------------------------- */

uint32_t http_series_slot(const struct http_series *series, enum http_counter counter)
{
    return series->slots[counter];
}

uint32_t http_series_class_slot(const struct http_series *series, unsigned hundreds)
{
    return series->classes[hundreds - 1];
}

void http_series_count(struct http_series *series, struct stats_set *set, enum http_counter counter,
                       int64_t n)
{
    gauge_add(set, series->slots[counter], n);
}

void tcp_series_count(struct tcp_series *series, struct stats_set *set, enum tcp_counter counter,
                      int64_t n)
{
    gauge_add(set, series->slots[counter], n);
}

uint32_t tcp_series_slot(const struct tcp_series *series, enum tcp_counter counter)
{
    return series->slots[counter];
}

static bool has_class(unsigned status)
{
    return status >= 100 && status < 600;
}

void http_series_request(struct http_series *series, struct stats_set *set, unsigned status,
                         uint64_t took_us)
{
    counter_increment(set, series->slots[HTTP_RQ_TOTAL]);
    if (has_class(status))
        counter_increment(set, series->classes[status / 100 - 1]);
    histogram_record(set, series->slots[HTTP_RQ_TIME], took_us);
}

void cluster_series_count(struct cluster_series *series, struct stats_set *set,
                          enum cluster_counter counter, int64_t n)
{
    gauge_add(set, series->slots[counter], n);
}

void cluster_series_request(struct envoy_series *all, struct stats_set *set,
                            const struct record *record)
{
    struct cluster_series *series = cluster_series_of(all, record->cluster);
    counter_add(set, series->slots[CLUSTER_RQ_TOTAL], record->attempts);
    /* A 503 or 504 of our own, for want of an answer, counts as the cluster's. */
    if (has_class(record->status)) {
        counter_increment(set, series->classes[record->status / 100 - 1]);
        counter_increment(set, slot_of_code(all, series, record->status));
    }
    if (record->upstream_head_us)
        histogram_record(set, series->slots[CLUSTER_RQ_TIME],
                         record->upstream_head_us - record->upstream_start_us);
    if (record->flags & (UINT64_C(1) << FLAG_UT))
        counter_increment(set, series->slots[CLUSTER_RQ_TIMEOUT]);
    if (UNLIKELY(record->retries > 0)) {
        bool has_failed = record->flags & (UINT64_C(1) << FLAG_URX);
        counter_add(set, series->slots[CLUSTER_RQ_RETRY], record->retries);
        counter_increment(
            set, series->slots[has_failed ? CLUSTER_RQ_RETRY_LIMIT : CLUSTER_RQ_RETRY_SUCCESS]);
    }
}
