/*
 * envoy_series: what Envoy counts of each cluster and of each HTTP connection manager, under its names.
 *
 * A series is found once by name, by whoever keeps it (a connection, a cluster's last request); counting looks at no string.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "stats/registry.h"

struct cluster;
struct map;
struct record;
struct stats_set;

enum http_counter {
    HTTP_CX_TOTAL,
    HTTP_CX_ACTIVE,
    HTTP_CX_DESTROY,
    HTTP_CX_SSL,
    HTTP_CX_PROTOCOL_ERROR,
    HTTP_RQ_TOTAL,
    HTTP_RQ_TIME,
    HTTP_COUNTERS
};
enum cluster_counter {
    CLUSTER_CX_TOTAL,
    CLUSTER_CX_ACTIVE,
    CLUSTER_CX_FAIL,
    CLUSTER_RQ_TOTAL,
    CLUSTER_RQ_TIME,
    CLUSTER_RQ_TIMEOUT,
    CLUSTER_RQ_RETRY,
    CLUSTER_RQ_RETRY_SUCCESS,
    CLUSTER_RQ_RETRY_LIMIT,
    CLUSTER_COUNTERS
};

enum tcp_counter {
    TCP_CX_TOTAL,
    TCP_CX_ACTIVE,
    TCP_CX_NO_ROUTE,
    TCP_CX_RX,
    TCP_CX_TX,
    TCP_COUNTERS
};

struct http_series;
struct tcp_series;
struct cluster_series;

/* Of one worker. */
struct envoy_series {
    struct stats_registry *registry;
    struct map *http;     /* prefix -> struct http_series */
    struct map *tcp;      /* prefix -> struct tcp_series */
    struct map *clusters; /* hash of the name -> struct cluster_series */
    uint64_t last_hash;   /* of the cluster asked for last */
    struct cluster_series *last;
};
void envoy_series_init(struct envoy_series *all, struct stats_registry *registry);
void envoy_series_fini(struct envoy_series *all);

/* By the connection manager's stat_prefix; lives as long as `all`. */
struct http_series *http_series_of(struct envoy_series *all, struct slice prefix);
void http_series_count(struct http_series *series, struct stats_set *set, enum http_counter counter,
                       int64_t n);
/* Where the registry counts it. */
uint32_t http_series_slot(const struct http_series *series, enum http_counter counter);
uint32_t http_series_class_slot(const struct http_series *series, unsigned hundreds); /* 2: 2xx */
/* A request was answered with that status (0: not at all) after so long. */
void http_series_request(struct http_series *series, struct stats_set *set, unsigned status,
                         uint64_t took_us);

/* By the TCP proxy's stat_prefix; lives as long as `all`. */
struct tcp_series *tcp_series_of(struct envoy_series *all, struct slice prefix);
void tcp_series_count(struct tcp_series *series, struct stats_set *set, enum tcp_counter counter,
                      int64_t n);
uint32_t tcp_series_slot(const struct tcp_series *series, enum tcp_counter counter);

struct cluster_series *cluster_series_of(struct envoy_series *all, const struct cluster *cluster);
void cluster_series_count(struct cluster_series *series, struct stats_set *set,
                          enum cluster_counter counter, int64_t n);
/* What an exchange asked of its cluster; the record has one. */
void cluster_series_request(struct envoy_series *all, struct stats_set *set,
                            const struct record *record);
