/*
 * istio_series: Istio's standard metrics of requests, gRPC messages and TCP connections, with its labels; of one worker.
 *
 * A series is found by numbers (cluster, peer, host, code, flags), so that no string is looked at on the request path. The labels
 * of TCP are those of HTTP without the two codes; those of messages only say who speaks with whom.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "stats/registry.h"

struct istio_series;
struct record;
struct stats_set;

/* Who this proxy is, from the bootstrap's node. Slices live as long as the bootstrap. */
struct own_workload {
    struct slice workload, name_space, canonical_service, canonical_revision, app, version, cluster;
};
enum istio_reporter { ISTIO_SOURCE, ISTIO_DESTINATION };

/* Both must outlive it. */
struct istio_series *istio_series_create(struct stats_registry *registry,
                                         const struct own_workload *own);
/* Accepts NULL. */
void istio_series_destroy(struct istio_series *all);

/* A request is over; asked and answered are the messages of a gRPC call. */
void istio_series_request(struct istio_series *all, struct stats_set *set,
                          const struct record *record, enum istio_reporter reporter, uint64_t asked,
                          uint64_t answered);

/* What is new of a tunnel. */
struct tunnel_news {
    bool has_opened, has_ended;
    uint64_t received, sent;
};
void istio_series_tunnel(struct istio_series *all, struct stats_set *set,
                         const struct record *record, enum istio_reporter reporter,
                         const struct tunnel_news *news);

/* The status of a gRPC call as its peer told it; 2 (UNKNOWN) when it never did. */
uint32_t record_grpc_status(const struct record *record);
