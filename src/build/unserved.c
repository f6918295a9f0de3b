#include "build/unserved_internal.h"

#include <string.h>

/* In these every unknown field counts: they narrow matches or guard connections, so there is no harmless one. */
static const char *const guarded[] = {
    "envoy.config.route.v3.RouteMatch",
    "envoy.config.route.v3.HeaderMatcher",
    "envoy.config.route.v3.QueryParameterMatcher",
    "envoy.type.matcher.v3.StringMatcher",
    "envoy.type.matcher.v3.PathMatcher",
    "envoy.config.listener.v3.FilterChainMatch",
    "envoy.config.listener.v3.ListenerFilterChainMatchPredicate",
    "envoy.config.rbac.v3.RBAC",
    "envoy.config.rbac.v3.Policy",
    "envoy.config.rbac.v3.Permission",
    "envoy.config.rbac.v3.Principal",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
    "envoy.config.accesslog.v3.AccessLogFilter",
};

#define TABLE "envoy.config.route.v3.RouteConfiguration"
#define HOST "envoy.config.route.v3.VirtualHost"
#define ROUTE "envoy.config.route.v3.Route"
#define ACTION "envoy.config.route.v3.RouteAction"
#define TARGET "envoy.config.route.v3.WeightedCluster.ClusterWeight"
#define SPLIT "envoy.config.route.v3.WeightedCluster"
#define RETRY "envoy.config.route.v3.RetryPolicy"
#define LISTENER "envoy.config.listener.v3.Listener"
#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define LB "envoy.config.cluster.v3.Cluster.CommonLbConfig"
#define BREAKERS "envoy.config.cluster.v3.CircuitBreakers"
#define ENDPOINTS "envoy.config.endpoint.v3.ClusterLoadAssignment"
#define LOCALITY "envoy.config.endpoint.v3.LocalityLbEndpoints"
#define HCM "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#define TCP "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
#define TUNNELING TCP ".TunnelingConfig"
#define UDP "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"
#define UDP_LISTENER "envoy.config.listener.v3.UdpListenerConfig"
#define MATCHER "xds.type.matcher.v3.Matcher"
#define UPSTREAM_HTTP "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#define DOWNSTREAM_TLS "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

static const struct {
    const char *type;
    uint32_t number;
    const char *name;
} rows[] = {
    {TABLE, 9, "vhds"},
    {TABLE, 12, "cluster_specifier_plugins"},
    {TABLE, 13, "request_mirror_policies"},
    {TABLE, 15, "ignore_path_parameters_in_path_matching"},
    {TABLE, 16, "typed_per_filter_config"},
    {TABLE, 18, "vhost_header"},
    {HOST, 6, "rate_limits"},
    {HOST, 15, "typed_per_filter_config"},
    {HOST, 17, "hedge_policy"},
    {HOST, 20, "retry_policy_typed_config"},
    {HOST, 21, "matcher"},
    {HOST, 22, "request_mirror_policies"},
    {HOST, 25, "request_body_buffer_limit"},
    {ROUTE, 13, "typed_per_filter_config"},
    {ROUTE, 17, "filter_action"},
    {ROUTE, 20, "request_body_buffer_limit"},
    {ACTION, 4, "metadata_match"},
    {ACTION, 13, "rate_limits"},
    {ACTION, 15, "hash_policy"},
    {ACTION, 27, "hedge_policy"},
    {ACTION, 30, "request_mirror_policies"},
    {ACTION, 33, "retry_policy_typed_config"},
    {ACTION, 34, "internal_redirect_policy"},
    {ACTION, 37, "cluster_specifier_plugin"},
    {ACTION, 39, "inline_cluster_specifier_plugin"},
    {ACTION, 40, "early_data_policy"},
    {ACTION, 41, "path_rewrite_policy"},
    {ACTION, 44, "host_rewrite"},
    {ACTION, 45, "path_rewrite"},
    {SPLIT, 4, "header_name"},
    {SPLIT, 5, "use_hash_policy"},
    {TARGET, 10, "typed_per_filter_config"},
    {TARGET, 12, "cluster_header"},
    {RETRY, 11, "rate_limited_retry_back_off"},
    {RETRY, 12, "retry_options_predicates"},
    {LISTENER, 27, "internal_listener"},
    {LISTENER, 30, "enable_mptcp"},
    {LISTENER, 32, "filter_chain_matcher"},
    {LISTENER, 36, "fcds_config"},
    {CLUSTER, 8, "health_checks"},
    {CLUSTER, 19, "outlier_detection"},
    {CLUSTER, 22, "lb_subset_config"},
    {CLUSTER, 23, "ring_hash_lb_config"},
    {CLUSTER, 38, "cluster_type"},
    {CLUSTER, 41, "load_balancing_policy"},
    {CLUSTER, 48, "upstream_config"},
    {CLUSTER, 50, "preconnect_policy"},
    {CLUSTER, 51, "connection_pool_per_downstream_connection"},
    {CLUSTER, 52, "maglev_lb_config"},
    {CLUSTER, 59, "transport_socket_matcher"},
    {CLUSTER, 62, "queuing_policies"},
    {LB, 2, "zone_aware_lb_config"},
    {LB, 5, "ignore_new_hosts_until_first_hc"},
    {LB, 7, "consistent_hashing_lb_config"},
    {LB, 8, "override_host_status"},
    {BREAKERS, 2, "per_host_thresholds"},
    {ENDPOINTS, 5, "named_endpoints"},
    {LOCALITY, 8, "leds_cluster_locality_config"},
    {HCM, 31, "scoped_routes"},
    {HCM, 43, "path_normalization_options"},
    {HCM, 44, "http3_protocol_options"},
    {HCM, 46, "original_ip_detection_extensions"},
    {HCM, 50, "typed_header_validation_config"},
    {HCM, 52, "early_header_mutation_extensions"},
    {HCM, 60, "forward_client_cert_matcher"},
    {HCM, 61, "forward_proto_config"},
    {TCP, 11, "hash_policy"},
    {TCP, 14, "on_demand"},
    {TCP, 21, "upstream_connect_mode"},
    {TUNNELING, 2, "use_post"},
    {TUNNELING, 3, "headers_to_add"},
    {TUNNELING, 4, "propagate_response_headers"},
    {TUNNELING, 5, "post_path"},
    {TUNNELING, 6, "propagate_response_trailers"},
    {TUNNELING, 7, "request_id_extension"},
    {TUNNELING, 8, "request_id_header"},
    {TUNNELING, 9, "request_id_metadata_key"},
    {TUNNELING, 10, "formatters"},
    {UDP, 4, "use_original_src_ip"},
    {UDP, 5, "hash_policies"},
    {UDP, 7, "use_per_packet_load_balancing"},
    {UDP, 10, "proxy_access_log"},
    {UDP, 11, "session_filters"},
    {UDP, 12, "tunneling_config"},
    {UDP, 13, "access_log_options"},
    {UDP_LISTENER, 7, "quic_options"},
    {UDP_LISTENER, 8, "udp_packet_packet_writer_config"},
    {MATCHER, 1, "matcher_list"},
    {MATCHER, 2, "matcher_tree"},
    {UPSTREAM_HTTP, 6, "http_filters"},
    {UPSTREAM_HTTP, 7, "header_validation_config"},
    {UPSTREAM_HTTP, 8, "outlier_detection"},
    {UPSTREAM_HTTP, 9, "request_mirror_policies"},
    {UPSTREAM_HTTP, 10, "hash_policy"},
    {UPSTREAM_HTTP, 11, "retry_policy"},
    {DOWNSTREAM_TLS, 8, "ocsp_staple_policy"},
};

const char *unserved_field(const char *type, uint32_t number)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].number == number && strcmp(rows[i].type, type) == 0)
            return rows[i].name;
    }
    for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]); i++) {
        if (strcmp(guarded[i], type) == 0)
            return "(a field that this version does not know)";
    }
    return NULL;
}
