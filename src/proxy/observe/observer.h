/*
 * observer: where the data plane tells what happened: access logs, Istio's and Envoy's metrics; one a worker.
 *
 * Called by connections and exchanges at their ends, on the worker. It hashes no string on the request path: series are
 * resolved once and kept.
 */
#pragma once

#include "base/attributes.h"
#include "http/refusal.h"
#include "net/http_connection.h"
#include "proxy/observe/udp_series.h"

struct access_logs;
struct cluster;
struct cluster_series;
struct downstream;
struct exchange;
struct hcm;
struct http_series;
struct observer;
struct record;
struct tunnel;
struct udp_proxy;
struct worker;

/* Where the connections of a connection manager are counted. */
struct http_series *observe_http(struct observer *observer, const struct hcm *hcm);
void observe_downstream_opened(struct observer *observer, struct downstream *downstream);
void observe_downstream_closed(struct observer *observer, struct downstream *downstream,
                               enum http_closed reason, const struct transport_failure *failure);
/* A request that the codec answered by itself. */
void observe_refused(struct observer *observer, struct downstream *downstream,
                     enum http_refusal refusal);
/* A connection to an endpoint of the cluster is being made; the series is given back when it ended. */
struct cluster_series *observe_upstream_opened(struct observer *observer,
                                               const struct cluster *cluster);
void observe_upstream_closed(struct observer *observer, struct cluster_series *series,
                             bool never_opened);
/* An exchange is over; everything that its record names is still there. */
void observe_exchange(struct observer *observer, struct exchange *exchange);
/* How long it took to know what a connection speaks. */
void observe_detection(struct observer *observer, uint64_t us);
/* A silent client's server spoke first. */
void observe_server_first(struct observer *observer);
void observe_tunnel_opened(struct observer *observer, struct tunnel *tunnel);
/* It has an upstream, or goes on: what is new since the last time. */
void observe_tunnel_progress(struct observer *observer, struct tunnel *tunnel);
/* A tunnel is over. */
void observe_tunnel(struct observer *observer, struct tunnel *tunnel);
/* Where a UDP proxy, and a cluster that it leads to, are counted: found once a session. */
struct udp_proxy_series *observe_udp_proxy(struct observer *observer,
                                           const struct udp_proxy *proxy);
struct udp_cluster_series *observe_udp_cluster(struct observer *observer,
                                               const struct cluster *cluster);
void observe_udp(struct observer *observer, struct udp_proxy_series *series,
                 enum udp_counter counter, int64_t n);
void observe_udp_upstream(struct observer *observer, struct udp_cluster_series *series,
                          enum udp_cluster_counter counter, uint64_t n);
/* A session is over; or there is none, because it was refused: why is one of a fixed set of names. */
void observe_session(struct observer *observer, const struct access_logs *logs,
                     const struct record *record);
void observe_session_refused(struct observer *observer, const char *why);
/* A connection was closed at once: there are as many as there may be. */
void observe_overflow(struct observer *observer);
/* A connection was refused before it had a filter chain: why is a static phrase. */
void observe_arrival_refused(struct observer *observer, const struct record *record);
