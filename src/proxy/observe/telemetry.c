#include "proxy/observe/telemetry.h"

#include "base/memory.h"
#include "build/bootstrap.h"
#include "pb/message.h"
#include "proxy/observe/causes.h"
#include "proxy/observe/cluster_state.h"
#include "proxy/observe/grpc_calls.h"
#include "proxy/observe/observer_internal.h"
#include "proxy/process_state.h"
#include "stats/counter.h"

static const struct stats_metric observer_metrics[OBSERVER_COUNTERS] = {
    [DETECTION_TIME] = {"tulle_listener_detection_milliseconds", "listener.detection_ms",
                        "time until it was known what a connection speaks", STATS_HISTOGRAM,
                        STATS_MICROSECONDS},
    [SERVER_FIRST] = {"tulle_listener_server_first_total", "listener.server_first",
                      "connections whose server spoke first", STATS_COUNTER, 0},
    [LOG_DROPPED] = {"tulle_access_log_dropped_total", "access_log.dropped",
                     "access log lines dropped because nobody took them in time", STATS_COUNTER, 0},
};

static struct slice metadata(const struct bootstrap *bootstrap, const char *key,
                             struct slice otherwise)
{
    const char *text = pb_struct_get_str(bootstrap->node->metadata, key);
    return text ? slice_str(text) : otherwise;
}

static struct slice label(const struct bootstrap *bootstrap, const char *key,
                          struct slice otherwise)
{
    const Google__Protobuf__Value *labels = pb_struct_get(bootstrap->node->metadata, "LABELS");
    bool is_struct = labels && labels->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    const char *text = is_struct ? pb_struct_get_str(labels->struct_value, key) : NULL;
    return text ? slice_str(text) : otherwise;
}

static void know_ourselves(struct own_workload *own, const struct bootstrap *bootstrap)
{
    const struct slice unknown = SLICE("unknown");
    own->workload = metadata(bootstrap, "WORKLOAD_NAME", unknown);
    own->name_space = metadata(bootstrap, "NAMESPACE", unknown);
    own->app = label(bootstrap, "app", unknown);
    own->version = label(bootstrap, "version", unknown);
    own->canonical_service =
        label(bootstrap, "service.istio.io/canonical-name", label(bootstrap, "app", own->workload));
    own->canonical_revision = label(bootstrap, "service.istio.io/canonical-revision",
                                    label(bootstrap, "version", SLICE("latest")));
    own->cluster = metadata(bootstrap, "CLUSTER_ID", SLICE("Kubernetes"));
}

struct telemetry *telemetry_create(const struct process *process)
{
    struct telemetry *telemetry = mem_new(struct telemetry);
    static const struct stats_metric build = {"istio_build", "istio_build.%.%", "what runs",
                                              STATS_GAUGE, STATS_PLAIN};
    static const struct stats_label names[] = {{"component", false}, {"tag", false}};
    const struct slice values[] = {SLICE("proxy"), SLICE(TULLE_VERSION)};
    telemetry->registry = stats_registry_create(0);
    telemetry->sink = log_sink_create();
    telemetry->clusters = cluster_state_create(telemetry->registry, process->shared.limits);
    telemetry->count = 256;
    telemetry->observers = mem_calloc(telemetry->count, sizeof(*telemetry->observers));
    know_ourselves(&telemetry->own, process->bootstrap);
    struct stats_labels *labels = stats_labels_hold(telemetry->registry, names, values, 2);
    telemetry->build = stats_resolve(telemetry->registry, &build, labels);
    stats_labels_release(telemetry->registry, labels);
    return telemetry;
}

struct observer *telemetry_observer(struct telemetry *telemetry, unsigned worker)
{
    struct observer *observer = &telemetry->observers[worker];
    observer->telemetry = telemetry;
    observer->set = stats_set_create(telemetry->registry);
    if (worker == 0)
        gauge_add(observer->set, telemetry->build, 1);
    observer->ring = log_sink_add_ring(telemetry->sink);
    observer->istio = istio_series_create(telemetry->registry, &telemetry->own);
    envoy_series_init(&observer->envoy, telemetry->registry);
    udp_series_init(&observer->udp, telemetry->registry);
    observer->grpc = grpc_calls_create();
    observer->causes = causes_create();
    stats_resolve_all(telemetry->registry, observer_metrics, OBSERVER_COUNTERS, NULL,
                      observer->counters);
    return observer;
}

static void observer_fini(struct observer *observer)
{
    struct stats_registry *registry = observer->telemetry->registry;
    stats_release_all(registry, observer->counters, OBSERVER_COUNTERS);
    istio_series_destroy(observer->istio);
    envoy_series_fini(&observer->envoy);
    udp_series_fini(&observer->udp);
    grpc_calls_destroy(observer->grpc, registry);
    causes_destroy(observer->causes, registry);
    stats_set_destroy(observer->set);
}

void telemetry_destroy(struct telemetry *telemetry)
{
    if (!telemetry)
        return;
    for (unsigned i = 0; i < telemetry->count; i++)
        if (telemetry->observers[i].telemetry)
            observer_fini(&telemetry->observers[i]);
    log_sink_destroy(telemetry->sink);
    cluster_state_destroy(telemetry->clusters);
    stats_registry_destroy(telemetry->registry);
    mem_free(telemetry->observers);
    mem_free(telemetry);
}

void telemetry_follow(struct telemetry *telemetry, const struct snapshot *snapshot)
{
    cluster_state_follow(telemetry->clusters, snapshot);
}

void telemetry_reopen(struct telemetry *telemetry)
{
    log_sink_reopen(telemetry->sink);
}

struct stats_registry *telemetry_registry(struct telemetry *telemetry)
{
    return telemetry->registry;
}
