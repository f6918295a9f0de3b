#include "build/udp_proxy.h"

#include "build/access_logs_internal.h"
#include "build/udp_internal.h"
#include "build/values_internal.h"

typedef Envoy__Extensions__Filters__Udp__UdpProxy__V3__Route UdpRouteMessage;
typedef Xds__Type__Matcher__V3__Matcher MatcherMessage;

bool build_udp_socket(struct builder *b, const char *field, const UdpSocketMessage *message,
                      bool gro, struct udp_socket_options *out)
{
    *out = (struct udp_socket_options){UDP_DATAGRAM_MAX, gro};
    if (!message)
        return true;
    if (!build_enter(b, field) || !build_honours(b, message, "max_rx_datagram_size", "prefer_gro"))
        return false;
    if (message->max_rx_datagram_size) {
        uint64_t most = message->max_rx_datagram_size->value;
        if (most == 0 || most > UINT16_MAX)
            return build_fail_at(b, "max_rx_datagram_size", "a datagram has 1 to 65535 bytes");
        out->datagram_max = (uint32_t)most;
    }
    out->gro = pb_bool(message->prefer_gro, gro);
    build_leave(b);
    return true;
}

/* The matcher's only part that acts is what holds where nothing matches: one cluster for all. */
static bool build_matcher(struct builder *b, const MatcherMessage *matcher, struct name *cluster)
{
    if (!build_enter(b, "matcher") || !build_honours(b, matcher, "on_no_match"))
        return false;
    if (!matcher->on_no_match || matcher->on_no_match->on_match_case !=
                                     XDS__TYPE__MATCHER__V3__MATCHER__ON_MATCH__ON_MATCH_ACTION)
        return build_fail_at(b, "on_no_match.action", "this is required");
    if (!build_enter(b, "on_no_match") || !build_honours(b, matcher->on_no_match, "action") ||
        !build_enter(b, "action") ||
        !build_honours(b, matcher->on_no_match->action, "name", "typed_config"))
        return false;
    const ProtobufCMessage *inner =
        build_any(b, "typed_config", matcher->on_no_match->action->typed_config);
    if (!inner)
        return false;
    if (inner->descriptor != &envoy__extensions__filters__udp__udp_proxy__v3__route__descriptor)
        return build_fail(b, "this is no action that acts here yet");
    const UdpRouteMessage *route = (const UdpRouteMessage *)inner;
    if (!build_honours(b, route, "cluster") ||
        !build_reference(b, "cluster", route->cluster, cluster))
        return false;
    build_leave_any(b);
    build_leave(b);
    build_leave(b);
    build_leave(b);
    return true;
}

#define BY(name)                                                                                   \
    ENVOY__EXTENSIONS__FILTERS__UDP__UDP_PROXY__V3__UDP_PROXY_CONFIG__ROUTE_SPECIFIER_##name

static bool build_target(struct builder *b, const UdpProxyMessage *message, struct name *cluster)
{
    switch ((int)message->route_specifier_case) {
    case BY(CLUSTER): return build_reference(b, "cluster", message->cluster, cluster);
    case BY(MATCHER): return build_matcher(b, message->matcher, cluster);
    default: return build_fail(b, "say where to: matcher or cluster");
    }
}

bool build_udp_proxy(struct builder *b, const UdpProxyMessage *message,
                     const struct udp_proxy **out)
{
    struct udp_proxy *proxy = arena_new(&b->memory->arena, struct udp_proxy);
    *out = proxy;
    if (!build_honours(b, message, "stat_prefix", "cluster", "matcher", "idle_timeout",
                       "upstream_socket_config", "access_log") ||
        !build_required(b, "stat_prefix", message->stat_prefix, NAME_MAX_BYTES) ||
        !build_target(b, message, &proxy->cluster) ||
        !build_ms(b, "idle_timeout", message->idle_timeout, UDP_IDLE_MS, &proxy->idle_ms) ||
        !build_udp_socket(b, "upstream_socket_config", message->upstream_socket_config, true,
                          &proxy->upstream) ||
        !build_access_logs(b, "access_log", message->access_log, message->n_access_log,
                           &proxy->logs))
        return false;
    if (proxy->idle_ms == 0)
        return build_fail_at(b, "idle_timeout", "a session has no other end: at least 1 ms");
    proxy->stat_prefix = build_text(b, message->stat_prefix);
    return true;
}
