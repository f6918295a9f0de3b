#include "build/tcp_proxy.h"

#include "build/access_logs_internal.h"
#include "build/format.h"
#include "build/hcms_internal.h"
#include "build/values_internal.h"

enum { TCP_IDLE_MS = 3600 * 1000, TCP_ATTEMPTS_MAX = 100 };

typedef Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__WeightedCluster SplitMessage;

static bool build_split(struct builder *b, const SplitMessage *message, struct tcp_proxy *proxy)
{
    size_t count = message->n_clusters;
    if (!build_enter(b, "weighted_clusters") || !build_honours(b, message, "clusters"))
        return false;
    if (count > WEIGHTED_MAX)
        return build_fail_at(b, "clusters", "there are %zu, and the limit is %d", count,
                             WEIGHTED_MAX);
    struct tcp_target *targets = build_array(b, struct tcp_target, count);
    uint32_t *weights = arena_calloc(&b->scratch, count + 1, sizeof(*weights));
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "clusters", i) ||
            !build_honours(b, message->clusters[i], "name", "weight") ||
            !build_reference(b, "name", message->clusters[i]->name, &targets[i].cluster))
            return false;
        weights[i] = PB_GET(message->clusters[i], weight, 0);
        if (weights[i] == 0)
            return build_fail_at(b, "weight", "a weight is at least 1");
        build_leave(b);
    }
    proxy->targets = targets;
    if (!build_ok(b, weighted_build(&proxy->split, weights, count, 0, b->memory, b->error)))
        return false;
    build_leave(b);
    return true;
}

#define CLUSTER_BY(name)                                                                           \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_##name

static bool build_targets(struct builder *b, const TcpProxyMessage *message,
                          struct tcp_proxy *proxy)
{
    static const uint32_t whole = 1;
    switch ((int)message->cluster_specifier_case) {
    case CLUSTER_BY(CLUSTER): {
        struct tcp_target *target = arena_new(&b->memory->arena, struct tcp_target);
        proxy->targets = target;
        return build_reference(b, "cluster", message->cluster, &target->cluster) &&
               build_ok(b, weighted_build(&proxy->split, &whole, 1, 0, b->memory, b->error));
    }
    case CLUSTER_BY(WEIGHTED_CLUSTERS): return build_split(b, message->weighted_clusters, proxy);
    default: return build_fail(b, "say where to: cluster or weighted_clusters");
    }
}

typedef Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__TunnelingConfig
    TunnelingMessage;

static bool build_tunneling(struct builder *b, const TunnelingMessage *message,
                            struct tcp_proxy *proxy)
{
    if (!message)
        return true;
    if (!build_enter(b, "tunneling_config") || !build_honours(b, message, "hostname") ||
        !build_required(b, "hostname", message->hostname, NAME_MAX_BYTES))
        return false;
    struct format *format = arena_new(&b->memory->arena, struct format);
    if (!build_ok_at(b, "hostname",
                     format_build_text(format, slice_str(message->hostname), b->options, b->memory,
                                       b->error)))
        return false;
    proxy->tunnel_to = format;
    build_leave(b);
    return true;
}

bool build_tcp_proxy(struct builder *b, const TcpProxyMessage *message,
                     const struct tcp_proxy **out)
{
    struct tcp_proxy *proxy = arena_new(&b->memory->arena, struct tcp_proxy);
    *out = proxy;
    proxy->stat_prefix = build_text(b, pb_str(message->stat_prefix));
    return build_honours(b, message, "stat_prefix", "cluster", "weighted_clusters", "access_log",
                         "max_connect_attempts", "idle_timeout", "tunneling_config",
                         "max_downstream_connection_duration") &&
           build_targets(b, message, proxy) &&
           build_tunneling(b, message->tunneling_config, proxy) &&
           build_ms(b, "idle_timeout", message->idle_timeout, TCP_IDLE_MS, &proxy->idle_ms) &&
           build_ms(b, "max_downstream_connection_duration",
                    message->max_downstream_connection_duration, 0, &proxy->max_connection_ms) &&
           build_u32(b, "max_connect_attempts", message->max_connect_attempts, 1, 1,
                     TCP_ATTEMPTS_MAX, &proxy->connect_attempts) &&
           build_access_logs(b, "access_log", message->access_log, message->n_access_log,
                             &proxy->logs);
}
