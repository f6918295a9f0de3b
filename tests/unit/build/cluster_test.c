#include "test.h"

#include "build/cluster.h"
#include "build/istio.h"
#include "build/yaml.h"
#include "pb/codec.h"
#include "pb/message.h"

static struct arena arena;

static const Envoy__Config__Cluster__V3__Cluster *message(const char *text)
{
    return from_yaml(&arena, &envoy__config__cluster__v3__cluster__descriptor, text);
}

static struct cluster *built(const char *text)
{
    struct cluster *cluster = NULL;
    struct error error = {0};
    CHECK_TAKEN(cluster_build(message(text), &here, &cluster, &error), &error, text);
    return cluster;
}

TEST(cluster_of_istio)
{
    owned(cluster) c = built(ISTIO_CLUSTER);
    CHECK(slice_equals_str(c->name.text, "outbound|9080|v1|reviews.default.svc.cluster.local"));
    CHECK(slice_ends_with(c->stat_name, SLICE(";")));
    CHECK(c->kind == CLUSTER_EDS && c->policy == CLUSTER_LEAST_REQUEST && c->http == CLUSTER_HTTP1);
    CHECK(name_equals(&c->endpoints_name, &c->name) && c->endpoints_wait_ms == 0);
    CHECK(c->connect_timeout_ms == 10000 && c->choices == 2 && c->panic_percent == 50);
    CHECK(c->limits[0].connections == CLUSTER_UNLIMITED &&
          c->limits[0].retries == CLUSTER_UNLIMITED);
    CHECK(c->limits[1].connections == 1024 && c->limits[1].retries == 3);
    CHECK(slice_equals_str(c->istio_host, "reviews.default.svc.cluster.local"));
    CHECK(slice_equals_str(c->istio_name, "reviews") &&
          slice_equals_str(c->istio_namespace, "default"));
    CHECK(slice_equals_str(c->istio_subset, "v1") &&
          slice_starts_with(c->istio_config, SLICE("/apis/")));

    CHECK(c->match_count == 2 && c->matches[0].socket.tls && !c->matches[1].socket.tls);
    const struct tls_spec *tls = c->matches[0].socket.tls;
    CHECK(slice_equals_str(tls->server_name,
                           "outbound_.9080_.v1_.reviews.default.svc.cluster.local"));
    CHECK(tls->alpn_count == 1 && slice_equals_str(tls->alpn[0], "istio"),
          "without istio-peer-exchange");
    CHECK(tls->expected_count == 1 && tls->expected[0].how == SAN_MATCH_EXACT);
    CHECK(slice_equals_str(tls->expected[0].value, "spiffe://cluster.local/ns/default/sa/reviews"));
    CHECK(slice_equals_str(tls->certificate.text, "default") &&
          slice_equals_str(tls->trust.text, "ROOTCA"));
    CHECK(tls->min_version == TLS_1_2 && tls->max_version == TLS_1_3 && !tls->accept_untrusted);
    CHECK(c->secrets.count == 2);

    struct endpoint_label istio = {SLICE("tlsMode"), SLICE("istio")},
                          other = {SLICE("tlsMode"), SLICE("x")};
    struct endpoint meshed = {.labels = &istio, .label_count = 1}, plain = {0},
                    odd = {.labels = &other, .label_count = 1};
    CHECK(cluster_socket(c, &meshed) == &c->matches[0].socket);
    CHECK(cluster_socket(c, &plain) == &c->matches[1].socket);
    CHECK(cluster_socket(c, &odd) == &c->matches[1].socket);
    arena_fini(&arena);
}

TEST(cluster_of_istio_without_endpoints)
{
    owned(cluster) c = built(ISTIO_PASSTHROUGH);
    CHECK(c->kind == CLUSTER_ORIGINAL_DST && c->policy == CLUSTER_PROVIDED);
    CHECK(c->http == CLUSTER_HTTP_DOWNSTREAM && c->options.idle_timeout_ms == 300000);
    CHECK(c->http2.max_streams == 1000, "no more than we can serve");
    CHECK(!c->socket.tls && c->secrets.count == 0);
    owned(cluster) inbound = built(ISTIO_INBOUND_CLUSTER);
    char text[IP_TEXT];
    ip_format(&inbound->bind_v4, text);
    CHECK(strcmp(text, "127.0.0.6") == 0 && ip_is_any(&inbound->bind_v6));
    CHECK(inbound->idle_endpoint_ms == 60000);
    owned(cluster) hole = built("{name: BlackHoleCluster, type: STATIC, connectTimeout: 10s}");
    CHECK(hole->kind == CLUSTER_STATIC && hole->endpoints->count == 0);
    CHECK(slice_starts_with(hole->endpoints_name.text, SLICE("cluster/BlackHoleCluster/")));
    arena_fini(&arena);
}

#define ADDRESSES(address)                                                                         \
    "load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: "         \
    "{socket_address: {address: " address ", port_value: 80}}}}]}]}"

TEST(cluster_that_spells_out_its_endpoints)
{
    owned(cluster) fixed = built("{name: c, " ADDRESSES("10.0.0.1") "}");
    CHECK(fixed->kind == CLUSTER_STATIC && fixed->policy == CLUSTER_ROUND_ROBIN &&
          fixed->endpoints->count == 1);
    CHECK(fixed->connect_timeout_ms == 5000 && fixed->limits[0].connections == 1024);
    owned(cluster) dns =
        built("{name: c, type: STRICT_DNS, dns_refresh_rate: 60s, respect_dns_ttl: true, "
              "dns_lookup_family: V4_ONLY, dns_jitter: 0.1s, " ADDRESSES("example.com") "}");
    CHECK(dns->kind == CLUSTER_STRICT_DNS && dns->endpoints->has_hosts &&
          dns->dns_refresh_ms == 60000);
    CHECK(dns->dns_respect_ttl && dns->dns_family == DNS_V4);
    CHECK(!slice_equals(dns->endpoints_name.text, fixed->endpoints_name.text));
    arena_fini(&arena);
}

TEST(cluster_contexts_are_shared_where_they_can_be)
{
    owned(cluster) a = built(ISTIO_CLUSTER);
    owned(cluster) b = built(
        "name: b\ntype: STATIC\ntransport_socket: " ISTIO_UPSTREAM_TLS("other", "spiffe://x/y"));
    CHECK(name_equals(&a->matches[0].socket.tls->context, &b->socket.tls->context),
          "server name, names and ALPN belong to sessions");
    owned(cluster) c = built(
        "{name: c, transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {}}}}");
    CHECK(c->socket.tls->accept_untrusted &&
          !name_equals(&c->socket.tls->context, &b->socket.tls->context));
    arena_fini(&arena);
}

TEST(cluster_limits_and_policies)
{
    owned(cluster) c = built(
        "{name: c, lb_policy: RANDOM, common_lb_config: {healthy_panic_threshold: {value: 0}, "
        "locality_weighted_lb_config: {}}, circuit_breakers: {thresholds: [{priority: HIGH, "
        "max_connections: 7, "
        "retry_budget: {budget_percent: {value: 25}}}, {max_requests: 9, max_connections: 0}, "
        "{max_requests: 99}]}, "
        "upstream_connection_options: {tcp_keepalive: {keepalive_time: 30}}, "
        "transport_socket: {name: p, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, "
        "config: {version: V2}, "
        "transport_socket: {name: r, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}");
    CHECK(c->policy == CLUSTER_RANDOM && c->locality_weighted && c->panic_percent == 0);
    CHECK(c->limits[1].connections == 7 && c->limits[1].retry_budget_percent == 25);
    CHECK(c->limits[0].requests == 9 && c->limits[0].connections == 0,
          "the first of a priority holds");
    CHECK(c->keepalive.on && c->keepalive.time_s == 30);
    CHECK(c->socket.proxy_protocol == 2 && !c->socket.tls);
    arena_fini(&arena);
}

TEST(cluster_refuses_what_it_does_not_do)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "name: this is required"},
        {"{name: c, type: LOGICAL_DNS}", "type: "},
        {"{name: c, type: EDS}", "eds_cluster_config: an EDS cluster needs this"},
        {"{name: c, eds_cluster_config: {eds_config: {ads: {}}}}", "only EDS clusters"},
        {"{name: c, type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: /x}}}}",
         "eds_cluster_config.eds_config.path_config_source: this does not act here yet"},
        {"{name: c, type: EDS, eds_cluster_config: {}}", "eds_config: this is required"},
        {"{name: c, lb_policy: RING_HASH}", "lb_policy: "},
        {"{name: c, lb_policy: CLUSTER_PROVIDED}", "belong together"},
        {"{name: c, type: ORIGINAL_DST}", "belong together"},
        {"{name: c, connect_timeout: 0s}", "connect_timeout: "},
        {"{name: c, connect_timeout: -1s}", "connect_timeout: a duration must not be negative"},
        {"{name: c, connect_timeout: 5000000s}", "49 days"},
        {"{name: c, type: STRICT_DNS}", "load_assignment: "},
        {"{name: c, " ADDRESSES("example.com") "}", "resolves no names"},
        {"{name: c, " ADDRESSES("'exa mple'") "}",
         "load_assignment: endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address"},
        {"{name: c, circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: "
         "101}}}]}}",
         "circuit_breakers.thresholds[0].retry_budget.budget_percent: "},
        {"{name: c, common_lb_config: {healthy_panic_threshold: {value: 'NaN'}}}",
         "common_lb_config"},
        {"{name: c, upstream_bind_config: {source_address: {address: 10.0.0.1, port_value: 7}}}",
         "source_address: "},
        {"{name: c, typed_extension_protocol_options: {x: {'@type': "
         "type.googleapis.com/google.protobuf.Empty}}}",
         "'x' does not act"},
        {"{name: c, typed_extension_protocol_options: "
         "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: "
         "{'@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions}}}",
         "typed_extension_protocol_options<HttpProtocolOptions>: say which protocol"},
        {"{name: c, transport_socket: {name: x, typed_config: {'@type': type.googleapis.com/"
         "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}}",
         "a cluster's transport is"},
        {"{name: c, transport_socket: {name: x}}", "transport_socket.typed_config: "},
        {"{name: c, transport_socket_matches: [{name: a, match: {x: 1}}]}",
         "transport_socket_matches[0].match: "},
        {"{name: c, filters: [{name: foo}]}", "filters: 'foo'"},
        {"{name: c, upstream_connection_options: {tcp_keepalive: {keepalive_probes: 1000}}}",
         "keepalive_probes"},
        {"{name: c, least_request_lb_config: {choice_count: 1}}", "choice_count"},
        {"{name: c, least_request_lb_config: {active_request_bias: {default_value: 2}}}",
         "active_request_bias: this does not act"},
        {"{name: c, circuit_breakers: {thresholds: [{max_connection_pools: 3}]}}",
         "max_connection_pools: this does not act"},
        {"{name: c, original_dst_lb_config: {use_http_header: true}}",
         "use_http_header: this does not act"},
        {"{name: c, upstream_bind_config: {source_address: {address: 10.0.0.1, port_value: 0}, "
         "freebind: true}}",
         "freebind: this does not act"},
        {"{name: c, typed_extension_protocol_options: "
         "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
         "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
         "explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: "
         "{auto_sni: true, auto_san_validation: true}}}}",
         "upstream_http_protocol_options.auto_sni: this does not act"},
        {"{name: c, typed_extension_protocol_options: "
         "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
         "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
         "explicit_http_config: {http2_protocol_options: {hpack_table_size: 8192}}}}}",
         "hpack_table_size: only 4096"},
        {"{name: c, transport_socket: {name: x, typed_config: {'@type': type.googleapis.com/"
         "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, auto_host_sni: true}}}",
         "auto_host_sni: this does not act"},
        {"{name: c, round_robin_lb_config: {slow_start_config: {}}}", "slow_start_config"},
    };
    EACH (row, cases) {
        struct cluster *cluster = NULL;
        struct error error = {0};
        bool ok = cluster_build(message(row->text), &here, &cluster, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        arena_fini(&arena);
    }
}

/* protobuf-c leaves the key of a map entry NULL when the bytes have none. */
TEST(cluster_bears_with_a_map_entry_without_a_key)
{
    static const char bytes[] = "\x0a\x01"
                                "c\xca\x01\x02\x0a\x00"; /* metadata {filter_metadata {}} */
    struct error error = {0};
    const void *decoded = pb_decode(&envoy__config__cluster__v3__cluster__descriptor,
                                    slice_of(bytes, sizeof(bytes) - 1), &arena, NULL, &error);
    CHECK(decoded, "%s", error.what);
    struct cluster *cluster = NULL;
    CHECK_TAKEN(cluster_build(decoded, &here, &cluster, &error), &error, "no key");
    CHECK(cluster->istio_host.size == 0);
    cluster_unref(cluster);
    arena_fini(&arena);
}

/* What our messages do not describe arrives as unknown fields: see unserved.c. */
TEST(cluster_refuses_unknown_fields_that_matter_and_counts_others)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says; /* NULL: taken */
    } cases[] = {
        {"\x0a\x01"
         "c\x42\x00",
         5, "health_checks: this does not act"}, /* 8 */
        {"\x0a\x01"
         "c\x9a\x01\x00",
         6, "outlier_detection"}, /* 19 */
        {"\x0a\x01"
         "c\xc2\x3e\x01x",
         7, NULL}, /* 1000 */
    };
    EACH (row, cases) {
        struct cluster *cluster = NULL;
        struct error error = {0};
        const void *decoded = pb_decode(&envoy__config__cluster__v3__cluster__descriptor,
                                        slice_of(row->bytes, row->size), &arena, NULL, &error);
        CHECK(decoded, "%s", error.what);
        bool ok = cluster_build(decoded, &here, &cluster, &error);
        if (row->says) {
            CHECK_REFUSED(ok, &error, row->says, "unknown field");
        } else {
            CHECK(ok, "%s", error.what);
            cluster_unref(cluster);
        }
        arena_fini(&arena);
    }
}
