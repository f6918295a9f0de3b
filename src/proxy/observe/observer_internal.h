/* An observer's insides, for telemetry, which makes it. */
#pragma once

#include "base/clock.h"
#include "base/map.h"
#include "proxy/observe/envoy_series.h"
#include "proxy/observe/istio_series.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/udp_series.h"
#include "stats/registry.h"

enum observer_counter { DETECTION_TIME, SERVER_FIRST, LOG_DROPPED, OBSERVER_COUNTERS };

struct observer {
    struct telemetry *telemetry;
    struct stats_set *set; /* made by the worker's thread at its first count */
    struct log_ring *ring;
    struct clock_text clock; /* of the last line of a log */
    uint32_t counters[OBSERVER_COUNTERS];
    struct envoy_series envoy;
    struct udp_series udp;
    struct istio_series *istio;
    struct grpc_calls *grpc;
    struct causes *causes;
};

struct telemetry {
    struct stats_registry *registry;
    uint32_t build; /* istio_build */
    struct log_sink *sink;
    struct cluster_state *clusters;
    struct observer *observers;
    unsigned count;
    struct own_workload own;
};
