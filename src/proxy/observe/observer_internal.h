/* An observer's insides, for telemetry, which makes it. */
#pragma once

#include "base/clock.h"
#include "base/map.h"
#include "proxy/observe/envoy_series.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/udp_series.h"
#include "stats/registry.h"

enum observer_counter {
    TCP_TOTAL,
    TCP_ACTIVE,
    DETECTION_TIME,
    SERVER_FIRST,
    LOG_DROPPED,
    OBSERVER_COUNTERS
};

/* What a series of Istio's metrics is found by, without a string. */
struct series_key {
    uint64_t cluster, peer, route_host;
    uint64_t flags;
    uint16_t status;
    uint8_t protocol, reporter;
    uint32_t grpc_status;
};

enum istio_metric {
    ISTIO_REQUESTS,
    ISTIO_DURATION,
    ISTIO_REQUEST_BYTES,
    ISTIO_RESPONSE_BYTES,
    ISTIO_METRICS
};
enum istio_tcp { ISTIO_OPENED, ISTIO_CLOSED, ISTIO_SENT, ISTIO_RECEIVED, ISTIO_TCP };

struct series {
    uint32_t slots[ISTIO_METRICS];
};

struct observer {
    struct telemetry *telemetry;
    struct stats_set *set; /* made by the worker's thread at its first count */
    struct log_ring *ring;
    struct clock_text clock; /* of the last line of a log */
    uint32_t counters[OBSERVER_COUNTERS];
    struct map *series; /* struct series_key -> struct series; the last one is kept at hand */
    struct envoy_series envoy;
    struct udp_series udp;
    struct series_key last_key;
    struct series *last;
    struct grpc_calls *grpc;
    struct causes *causes;
};

/* Who this proxy is, from the bootstrap's node. Slices live as long as the bootstrap. */
struct own_workload {
    struct slice workload, name_space, canonical_service, canonical_revision, app, version, cluster,
        principal;
};
struct telemetry {
    struct stats_registry *registry;
    uint32_t build; /* istio_build */
    struct log_sink *sink;
    struct observer *observers;
    unsigned count;
    struct own_workload own;
};
