#include "build/udp_proxy.h"

#include "test.h"

#include "base/memory.h"

#include "build/listener.h"
#include "build/yaml.h"

static struct arena arena;

static const Envoy__Config__Listener__V3__Listener *message(const char *text)
{
    return from_yaml(&arena, &envoy__config__listener__v3__listener__descriptor, text);
}

#define TYPE "'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3."
#define LISTENER(more)                                                                             \
    "{name: l, address: {socket_address: {protocol: UDP, address: 0.0.0.0, port_value: "           \
    "53}}, " more "}"
#define FILTER(config)                                                                             \
    "listener_filters: [{name: u, typed_config: {" TYPE "UdpProxyConfig, " config "}}]"
#define ROUTE(config)                                                                              \
    "stat_prefix: s, matcher: {on_no_match: {action: {name: route, typed_config: {" TYPE           \
    "Route, " config "}}}}"

TEST(udp_proxy_of_both_ways_to_name_a_cluster)
{
    static const char *const texts[] = {LISTENER(FILTER("stat_prefix: s, cluster: up")),
                                        LISTENER(FILTER(ROUTE("cluster: up")))};
    EACH (text, texts) {
        struct listener *listener = NULL;
        struct error error = {0};
        CHECK_TAKEN(listener_build(message(*text), &here, &listener, &error), &error, *text);
        const struct udp_proxy *udp = listener->udp;
        CHECK(udp && listener->addresses[0].is_udp && listener->binds);
        CHECK(slice_equals_str(udp->cluster.text, "up") && slice_equals_str(udp->stat_prefix, "s"));
        CHECK(udp->idle_ms == 60000 && udp->upstream.gro && !listener->udp_socket.gro);
        CHECK(udp->upstream.datagram_max == 65507 && listener->udp_socket.datagram_max == 65507);
        listener_unref(listener);
    }
    arena_fini(&arena);
}

TEST(udp_proxy_options)
{
    struct listener *listener = NULL;
    struct error error = {0};
    const char *text = LISTENER(
        "transparent: true, use_original_dst: true, udp_listener_config: "
        "{downstream_socket_config: "
        "{max_rx_datagram_size: 65535, prefer_gro: true}}, " FILTER(
            "stat_prefix: s, cluster: up, idle_timeout: 0.250s, upstream_socket_config: "
            "{max_rx_datagram_size: 1, prefer_gro: false}, access_log: [{name: f, typed_config: "
            "{'@type': "
            "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "
            "/x}}]"));
    CHECK_TAKEN(listener_build(message(text), &here, &listener, &error), &error, text);
    CHECK(listener->udp->idle_ms == 250 && listener->udp->upstream.datagram_max == 1 &&
          !listener->udp->upstream.gro && listener->udp->logs.count == 1);
    CHECK(listener->udp_socket.gro && listener->udp_socket.datagram_max == 65535);
    listener_unref(listener);
    arena_fini(&arena);
}

TEST(udp_proxy_refuses_what_it_does_not_do)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {LISTENER(""), "listener_filters: a UDP listener has one"},
        {LISTENER("listener_filters: [{name: x, typed_config: {'@type': "
                  "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3."
                  "OriginalDst}}]"),
         "no filter of UDP listeners"},
        {LISTENER("listener_filters: [{name: x}]"), "typed_config: "},
        {LISTENER("filter_chains: [{}], " FILTER("stat_prefix: s, cluster: up")),
         "filter_chains: this does not act"},
        {LISTENER("tcp_backlog_size: 5, " FILTER("stat_prefix: s, cluster: up")),
         "tcp_backlog_size: "},
        {LISTENER(FILTER("cluster: up")), "stat_prefix: this is required"},
        {LISTENER(FILTER("stat_prefix: s")), "say where to"},
        {LISTENER(FILTER("stat_prefix: s, cluster: ''")), "cluster: this is required"},
        {LISTENER(FILTER("stat_prefix: s, matcher: {}")), "on_no_match.action: this is required"},
        {LISTENER(FILTER("stat_prefix: s, matcher: {on_no_match: {matcher: {}}}")),
         "on_no_match.action: "},
        {LISTENER(FILTER(ROUTE(""))), "cluster: this is required"},
        {LISTENER(FILTER("stat_prefix: s, matcher: {on_no_match: {action: {name: x, typed_config: "
                         "{'@type': type.googleapis.com/google.protobuf.Empty}}}}")),
         "no action that acts"},
        {LISTENER(FILTER("stat_prefix: s, cluster: up, idle_timeout: 0s")), "idle_timeout: "},
        {LISTENER(FILTER("stat_prefix: s, cluster: up, upstream_socket_config: "
                         "{max_rx_datagram_size: 0}")),
         "1 to 65535"},
        {LISTENER("udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: "
                  "65536}}, " FILTER("stat_prefix: s, cluster: up")),
         "udp_listener_config.downstream_socket_config.max_rx_datagram_size: "},
        {LISTENER("use_original_dst: true, " FILTER("stat_prefix: s, cluster: up")),
         "use_original_dst: "},
        {LISTENER("additional_addresses: [{address: {socket_address: {address: 10.0.0.1, "
                  "port_value: 1}}}], " FILTER("stat_prefix: s, cluster: up")),
         "additional_addresses: all are of one protocol"},
        {"{name: l, address: {socket_address: {address: 10.0.0.1, port_value: 1}}, "
         "udp_listener_config: {}, filter_chains: [{}]}",
         "udp_listener_config: this does not act"},
    };
    EACH (row, cases) {
        struct listener *listener = NULL;
        struct error error = {0};
        bool ok = listener_build(message(row->text), &here, &listener, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        arena_fini(&arena);
    }
}
