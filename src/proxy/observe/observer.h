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

struct access_logs;
struct cluster;
struct cluster_series;
struct downstream;
struct exchange;
struct observer;
struct record;
struct tunnel;
struct worker;

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
/* A connection was refused before it had a filter chain: why is a static phrase. */
void observe_arrival_refused(struct observer *observer, const struct record *record);
