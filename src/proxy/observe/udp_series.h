/*
 * udp_series: what Envoy counts of each UDP proxy and of the clusters that its sessions lead to, under its names.
 *
 * A series is found once by name, by the session that keeps it; counting looks at no string.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct cluster;
struct map;
struct stats_registry;

enum udp_counter {
    UDP_SESS_TOTAL,
    UDP_SESS_ACTIVE,
    UDP_SESS_NO_ROUTE,
    UDP_RX_BYTES,
    UDP_RX_DATAGRAMS,
    UDP_RX_ERRORS,
    UDP_TX_BYTES,
    UDP_TX_DATAGRAMS,
    UDP_TX_ERRORS,
    UDP_IDLE_TIMEOUT,
    UDP_DROPPED, /* longer than the limit */
    UDP_COUNTERS
};
enum udp_cluster_counter {
    UDP_CLUSTER_RX_DATAGRAMS,
    UDP_CLUSTER_RX_ERRORS,
    UDP_CLUSTER_TX_DATAGRAMS,
    UDP_CLUSTER_TX_ERRORS,
    UDP_CLUSTER_DROPPED,
    UDP_CLUSTER_COUNTERS
};
struct udp_proxy_series {
    uint32_t slots[UDP_COUNTERS];
};
struct udp_cluster_series {
    uint32_t slots[UDP_CLUSTER_COUNTERS];
};

/* Of one worker. */
struct udp_series {
    struct stats_registry *registry;
    struct map *proxies;  /* stat_prefix -> struct udp_proxy_series */
    struct map *clusters; /* hash of the name -> struct udp_cluster_series */
};
void udp_series_init(struct udp_series *all, struct stats_registry *registry);
void udp_series_fini(struct udp_series *all);

/* Both live as long as `all`. */
struct udp_proxy_series *udp_proxy_series_of(struct udp_series *all, struct slice prefix);
struct udp_cluster_series *udp_cluster_series_of(struct udp_series *all,
                                                 const struct cluster *cluster);
