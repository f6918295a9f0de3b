#include "proxy/observe/udp_series.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "stats/registry.h"

#define OF_PROXY(name, help)                                                                       \
    {                                                                                              \
        "envoy_udp_" name, "udp.%." name, help, STATS_COUNTER, STATS_PLAIN                         \
    }
static const struct stats_metric proxy_metrics[UDP_COUNTERS] = {
    [UDP_SESS_TOTAL] = OF_PROXY("downstream_sess_total", "sessions begun"),
    [UDP_SESS_ACTIVE] = {"envoy_udp_downstream_sess_active", "udp.%.downstream_sess_active",
                         "sessions open", STATS_GAUGE, STATS_PLAIN},
    [UDP_SESS_NO_ROUTE] = OF_PROXY("downstream_sess_no_route", "datagrams without a cluster"),
    [UDP_RX_BYTES] = OF_PROXY("downstream_sess_rx_bytes", "bytes from clients"),
    [UDP_RX_DATAGRAMS] = OF_PROXY("downstream_sess_rx_datagrams", "datagrams from clients"),
    [UDP_RX_ERRORS] = OF_PROXY("downstream_sess_rx_errors", "receiving from clients failed"),
    [UDP_TX_BYTES] = OF_PROXY("downstream_sess_tx_bytes", "bytes to clients"),
    [UDP_TX_DATAGRAMS] = OF_PROXY("downstream_sess_tx_datagrams", "datagrams to clients"),
    [UDP_TX_ERRORS] = OF_PROXY("downstream_sess_tx_errors", "sending to clients failed"),
    [UDP_IDLE_TIMEOUT] = OF_PROXY("idle_timeout", "sessions that were idle for too long"),
    [UDP_DROPPED] =
        OF_PROXY("downstream_rx_datagram_dropped", "datagrams longer than max_rx_datagram_size"),
};

#define OF_CLUSTER(name, help)                                                                     \
    {                                                                                              \
        "envoy_cluster_udp_" name, "cluster.%.udp." name, help, STATS_COUNTER, STATS_PLAIN         \
    }
static const struct stats_metric cluster_metrics[UDP_CLUSTER_COUNTERS] = {
    [UDP_CLUSTER_RX_DATAGRAMS] = OF_CLUSTER("sess_rx_datagrams", "datagrams from endpoints"),
    [UDP_CLUSTER_RX_ERRORS] = OF_CLUSTER("sess_rx_errors", "receiving from endpoints failed"),
    [UDP_CLUSTER_TX_DATAGRAMS] = OF_CLUSTER("sess_tx_datagrams", "datagrams to endpoints"),
    [UDP_CLUSTER_TX_ERRORS] = OF_CLUSTER("sess_tx_errors", "sending to endpoints failed"),
    [UDP_CLUSTER_DROPPED] =
        OF_CLUSTER("sess_rx_datagrams_dropped", "datagrams longer than max_rx_datagram_size"),
};

static const struct stats_label prefix_label = {"envoy_udp_prefix", false},
                                cluster_label = {"envoy_cluster_name", false};

void udp_series_init(struct udp_series *all, struct stats_registry *registry)
{
    *all = (struct udp_series){registry, map_create(), map_create()};
}

void udp_series_fini(struct udp_series *all)
{
    struct map_iterator each = {0};
    while (map_next(all->proxies, &each)) {
        stats_release_all(all->registry, ((struct udp_proxy_series *)each.value)->slots,
                          UDP_COUNTERS);
        mem_free(each.value);
    }
    each = (struct map_iterator){0};
    while (map_next(all->clusters, &each)) {
        stats_release_all(all->registry, ((struct udp_cluster_series *)each.value)->slots,
                          UDP_CLUSTER_COUNTERS);
        mem_free(each.value);
    }
    map_destroy(all->proxies);
    map_destroy(all->clusters);
}

struct udp_proxy_series *udp_proxy_series_of(struct udp_series *all, struct slice prefix)
{
    struct udp_proxy_series *series = map_get(all->proxies, prefix);
    if (series)
        return series;
    series = mem_new(struct udp_proxy_series);
    struct stats_labels *labels = stats_labels_hold(all->registry, &prefix_label, &prefix, 1);
    stats_resolve_all(all->registry, proxy_metrics, UDP_COUNTERS, labels, series->slots);
    stats_labels_release(all->registry, labels);
    map_put(all->proxies, prefix, series);
    return series;
}

struct udp_cluster_series *udp_cluster_series_of(struct udp_series *all,
                                                 const struct cluster *cluster)
{
    uint64_t hash = cluster->name.hash;
    struct slice key = slice_of(&hash, sizeof(hash)), name = cluster->stat_name;
    struct udp_cluster_series *series = map_get(all->clusters, key);
    if (series)
        return series;
    series = mem_new(struct udp_cluster_series);
    struct stats_labels *labels = stats_labels_hold(all->registry, &cluster_label, &name, 1);
    stats_resolve_all(all->registry, cluster_metrics, UDP_CLUSTER_COUNTERS, labels, series->slots);
    stats_labels_release(all->registry, labels);
    map_put(all->clusters, key, series);
    return series;
}
