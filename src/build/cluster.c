#include "build/cluster.h"

#include "base/memory.h"
#include "build/matchers_internal.h"
#include "build/tls_specs_internal.h"
#include "build/values_internal.h"

#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

enum {
    CLUSTER_CONNECT_MS = 5000,
    CLUSTER_BUFFER = 1 << 20,
    CLUSTER_DNS_REFRESH_MS = 5000,
    CLUSTER_CLEANUP_MS = 5000,
    CLUSTER_CHOICES_MAX = 16,
};

struct cluster *cluster_ref(struct cluster *cluster)
{
    counted_take(&cluster->counted);
    return cluster;
}

void cluster_unref(struct cluster *cluster)
{
    if (!cluster || !counted_drop(&cluster->counted))
        return;
    endpoints_unref(cluster->endpoints);
    tls_spec_list_fini(&cluster->specs);
    table_memory_fini(&cluster->memory);
    mem_free(cluster);
}

static bool build_kind(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    uint32_t type = message->cluster_discovery_type_case ? (uint32_t)message->type : 0;
    switch (type) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC:
        cluster->kind = CLUSTER_STATIC;
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__EDS:
        cluster->kind = CLUSTER_EDS;
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS:
        cluster->kind = CLUSTER_STRICT_DNS;
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST:
        cluster->kind = CLUSTER_ORIGINAL_DST;
        break;
    default:
        return build_fail_at(b, "type", "a cluster is STATIC, EDS, STRICT_DNS or ORIGINAL_DST");
    }
    bool is_eds = cluster->kind == CLUSTER_EDS;
    if (is_eds != (message->eds_cluster_config != NULL))
        return build_fail_at(b, "eds_cluster_config",
                             is_eds ? "an EDS cluster needs this" : "only EDS clusters have this");
    if (message->load_assignment && (is_eds || cluster->kind == CLUSTER_ORIGINAL_DST))
        return build_fail_at(b, "load_assignment", "only STATIC and STRICT_DNS clusters have this");
    return true;
}

/* Endpoints that do not come by EDS stand under a name that no server can use. It changes with what is spelled out, so that a
 * changed cluster never works with the endpoints of the old one. */
static void name_own_endpoints(struct builder *b, struct cluster *cluster)
{
    char hex[33];
    hash128_hex(cluster->endpoints->content, hex);
    const char *name = arena_format(&b->scratch, "cluster/%s/%s", cluster->name.text.data, hex);
    cluster->endpoints_name = build_name(b, slice_str(name));
}

static bool check_assignment(struct builder *b, const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->endpoints->count; i++) {
        if (cluster->endpoints->items[i].address.kind == ENDPOINT_HOST &&
            cluster->kind == CLUSTER_STATIC)
            return build_fail_at(b, "load_assignment",
                                 "'%s' is no address, and a STATIC cluster resolves no names",
                                 cluster->endpoints->items[i].address.text.data);
    }
    return true;
}

static bool build_endpoints(struct builder *b, const ClusterMessage *message,
                            struct cluster *cluster)
{
    if (cluster->kind == CLUSTER_EDS) {
        const char *service = message->eds_cluster_config->service_name;
        if (!build_enter(b, "eds_cluster_config") ||
            !build_honours(b, message->eds_cluster_config, "eds_config", "service_name") ||
            !build_source(b, "eds_config", message->eds_cluster_config->eds_config, false,
                          &cluster->endpoints_wait_ms))
            return false;
        cluster->endpoints_name = cluster->name;
        if (service && *service &&
            !build_reference(b, "service_name", service, &cluster->endpoints_name))
            return false;
        build_leave(b);
        return true;
    }
    if (!message->load_assignment) {
        if (cluster->kind == CLUSTER_STRICT_DNS)
            return build_fail_at(b, "load_assignment",
                                 "a STRICT_DNS cluster needs names to resolve");
        cluster->endpoints = endpoints_create_empty(cluster->name.text);
    } else if (!build_ok_at(b, "load_assignment",
                            endpoints_build(message->load_assignment, b->options,
                                            &cluster->endpoints, b->error)) ||
               !check_assignment(b, cluster)) {
        return false;
    }
    name_own_endpoints(b, cluster);
    return true;
}

static bool
build_least_request(struct builder *b,
                    const Envoy__Config__Cluster__V3__Cluster__LeastRequestLbConfig *message,
                    struct cluster *cluster)
{
    if (!message)
        return true;
    if (!build_enter(b, "least_request_lb_config") || !build_honours(b, message, "choice_count") ||
        !build_u32(b, "choice_count", message->choice_count, 2, 2, UINT32_MAX, &cluster->choices))
        return false;
    cluster->choices = MIN(cluster->choices, (uint32_t)CLUSTER_CHOICES_MAX);
    build_leave(b);
    return true;
}

static bool build_original(struct builder *b,
                           const Envoy__Config__Cluster__V3__Cluster__OriginalDstLbConfig *message,
                           struct cluster *cluster)
{
    if (!message)
        return true;
    uint32_t port;
    if (!build_enter(b, "original_dst_lb_config") ||
        !build_honours(b, message, "upstream_port_override") ||
        !build_u32(b, "upstream_port_override", message->upstream_port_override, 0, 0, 65535,
                   &port))
        return false;
    cluster->port_override = (uint16_t)port;
    build_leave(b);
    return true;
}

#define LB(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__##name
#define LB_CONFIG(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_##name

static bool build_policy(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    cluster->choices = 2;
    switch ((int)PB_GET(message, lb_policy, 0)) {
    case LB(ROUND_ROBIN): cluster->policy = CLUSTER_ROUND_ROBIN; break;
    case LB(LEAST_REQUEST): cluster->policy = CLUSTER_LEAST_REQUEST; break;
    case LB(RANDOM): cluster->policy = CLUSTER_RANDOM; break;
    case LB(CLUSTER_PROVIDED): cluster->policy = CLUSTER_PROVIDED; break;
    default:
        return build_fail_at(
            b, "lb_policy", "only ROUND_ROBIN, LEAST_REQUEST, RANDOM and CLUSTER_PROVIDED act yet");
    }
    if ((cluster->policy == CLUSTER_PROVIDED) != (cluster->kind == CLUSTER_ORIGINAL_DST))
        return build_fail_at(b, "lb_policy", "CLUSTER_PROVIDED and ORIGINAL_DST belong together");
    switch ((int)message->lb_config_case) {
    case LB_CONFIG(LEAST_REQUEST_LB_CONFIG):
        return build_least_request(b, message->least_request_lb_config, cluster);
    case LB_CONFIG(ORIGINAL_DST_LB_CONFIG):
        return build_original(b, message->original_dst_lb_config, cluster);
    case LB_CONFIG(ROUND_ROBIN_LB_CONFIG):
        return !message->round_robin_lb_config->slow_start_config ||
               build_fail_at(b, "round_robin_lb_config.slow_start_config",
                             "this does not act here yet");
    default: return true;
    }
}

static bool build_common_lb(struct builder *b, const ClusterMessage *message,
                            struct cluster *cluster)
{
    cluster->panic_percent = 50;
    if (!message->common_lb_config)
        return true;
    if (!build_enter(b, "common_lb_config") ||
        !build_honours(b, message->common_lb_config, "healthy_panic_threshold",
                       "locality_weighted_lb_config") ||
        !build_percent(b, "healthy_panic_threshold",
                       message->common_lb_config->healthy_panic_threshold, 50,
                       &cluster->panic_percent))
        return false;
    cluster->locality_weighted = message->common_lb_config->locality_config_specifier_case != 0;
    build_leave(b);
    return true;
}

static bool build_bind(struct builder *b, const Envoy__Config__Core__V3__BindConfig *message,
                       struct cluster *cluster)
{
    if (!message)
        return true;
    if (!build_enter(b, "upstream_bind_config") ||
        !build_honours(b, message, "source_address", "extra_source_addresses"))
        return false;
    for (size_t i = 0; i <= message->n_extra_source_addresses; i++) {
        const SocketAddressMessage *source =
            i == 0 ? message->source_address : message->extra_source_addresses[i - 1]->address;
        struct endpoint_address address;
        if (!source && i == 0)
            continue;
        if (!source)
            return build_fail_at(b, "extra_source_addresses", "an address is missing");
        if (!build_socket_address(b, i == 0 ? "source_address" : "extra_source_addresses", source,
                                  false, &address))
            return false;
        if (address.port != 0)
            return build_fail_at(b, "source_address",
                                 "a source port would allow one connection at a time");
        *(ip_is_v4(&address.ip) ? &cluster->bind_v4 : &cluster->bind_v6) = address.ip;
    }
    build_leave(b);
    return true;
}

static bool build_dns(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    static const enum dns_family families[] = {DNS_AUTO, DNS_V4, DNS_V6, DNS_V4_FIRST, DNS_ALL};
    uint32_t family = (uint32_t)PB_GET(message, dns_lookup_family, 0);
    if (family >= COUNT(families))
        return build_fail_at(b, "dns_lookup_family", "%u is no family", family);
    cluster->dns_family = families[family];
    cluster->dns_respect_ttl = PB_GET(message, respect_dns_ttl, false);
    return build_ms32(b, "dns_refresh_rate", message->dns_refresh_rate, CLUSTER_DNS_REFRESH_MS,
                      &cluster->dns_refresh_ms) &&
           build_ms32(b, "cleanup_interval", message->cleanup_interval, CLUSTER_CLEANUP_MS,
                      &cluster->idle_endpoint_ms);
}

typedef Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds__RetryBudget RetryBudgetMessage;

static bool build_retry_budget(struct builder *b, const RetryBudgetMessage *message,
                               struct cluster_limits *limits)
{
    limits->retry_budget_percent = -1;
    if (!message)
        return true;
    if (!build_enter(b, "retry_budget") ||
        !build_honours(b, message, "budget_percent", "min_retry_concurrency") ||
        !build_percent(b, "budget_percent", message->budget_percent, 20,
                       &limits->retry_budget_percent) ||
        !build_u32(b, "min_retry_concurrency", message->min_retry_concurrency, 3, 0, UINT32_MAX,
                   &limits->retry_budget_minimum))
        return false;
    build_leave(b);
    return true;
}

static bool build_thresholds(struct builder *b, const ThresholdsMessage *message,
                             struct cluster_limits *limits)
{
    return build_u32(b, "max_connections", message->max_connections, 1024, 0, UINT32_MAX,
                     &limits->connections) &&
           build_u32(b, "max_pending_requests", message->max_pending_requests, 1024, 0, UINT32_MAX,
                     &limits->pending_requests) &&
           build_u32(b, "max_requests", message->max_requests, 1024, 0, UINT32_MAX,
                     &limits->requests) &&
           build_u32(b, "max_retries", message->max_retries, 3, 0, UINT32_MAX, &limits->retries) &&
           build_retry_budget(b, message->retry_budget, limits);
}

static bool build_limits(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    static const struct cluster_limits defaults = {.connections = 1024,
                                                   .pending_requests = 1024,
                                                   .requests = 1024,
                                                   .retries = 3,
                                                   .retry_budget_percent = -1};
    bool seen[2] = {false, false};
    cluster->limits[0] = cluster->limits[1] = defaults;
    for (size_t i = 0; message->circuit_breakers && i < message->circuit_breakers->n_thresholds;
         i++) {
        const ThresholdsMessage *thresholds = message->circuit_breakers->thresholds[i];
        uint32_t priority = (uint32_t)PB_GET(thresholds, priority, 0);
        if (!build_enter_at(b, "circuit_breakers.thresholds", i) ||
            !build_honours(b, thresholds, "priority", "max_connections", "max_pending_requests",
                           "max_requests", "max_retries", "track_remaining", "retry_budget"))
            return false;
        if (priority > 1)
            return build_fail_at(b, "priority", "%u is no priority", priority);
        if (!seen[priority] && !build_thresholds(b, thresholds, &cluster->limits[priority]))
            return false;
        seen[priority] = true; /* the first of a priority holds */
        build_leave(b);
    }
    return !message->circuit_breakers || build_honours(b, message->circuit_breakers, "thresholds");
}

static bool build_match(struct builder *b,
                        const Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch *message,
                        struct upstream_socket_match *out)
{
    out->name = build_text(b, pb_str(message->name));
    return build_honours(b, message, "name", "match", "transport_socket") &&
           build_labels(b, "match", message->match, &out->labels, &out->label_count) &&
           build_upstream_socket(b, "transport_socket", message->transport_socket, &out->socket);
}

static bool build_sockets(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    size_t count = message->n_transport_socket_matches;
    if (count > CLUSTER_MATCHES_MAX)
        return build_fail_at(b, "transport_socket_matches", "there are %zu, and the limit is %d",
                             count, CLUSTER_MATCHES_MAX);
    struct upstream_socket_match *matches = build_array(b, struct upstream_socket_match, count);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "transport_socket_matches", i) ||
            !build_match(b, message->transport_socket_matches[i], &matches[i]))
            return false;
        build_leave(b);
    }
    cluster->matches = matches;
    cluster->match_count = (uint32_t)count;
    return build_upstream_socket(b, "transport_socket", message->transport_socket,
                                 &cluster->socket);
}

typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions UpstreamHttpMessage;
#define UPSTREAM(name)                                                                             \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_##name
#define EXPLICIT(name)                                                                             \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_##name

static bool build_both(struct builder *b, const char *field, enum cluster_http http,
                       const Http1OptionsMessage *http1, const Http2OptionsMessage *http2,
                       struct cluster *cluster)
{
    cluster->http = http;
    if (!build_enter(b, field) ||
        !build_http1_options(b, "http_protocol_options", http1, &cluster->http1) ||
        !build_http2_options(b, "http2_protocol_options", http2, &cluster->http2))
        return false;
    build_leave(b);
    return true;
}

static bool build_protocol(struct builder *b, const UpstreamHttpMessage *message,
                           struct cluster *cluster)
{
    switch ((int)message->upstream_protocol_options_case) {
    case UPSTREAM(EXPLICIT_HTTP_CONFIG):
        switch ((int)message->explicit_http_config->protocol_config_case) {
        case EXPLICIT(HTTP_PROTOCOL_OPTIONS):
            return build_both(b, "explicit_http_config", CLUSTER_HTTP1,
                              message->explicit_http_config->http_protocol_options, NULL, cluster);
        case EXPLICIT(HTTP2_PROTOCOL_OPTIONS):
            return build_both(b, "explicit_http_config", CLUSTER_HTTP2, NULL,
                              message->explicit_http_config->http2_protocol_options, cluster);
        default:
            return build_fail_at(b, "explicit_http_config", "only HTTP/1 and HTTP/2 can be had");
        }
    case UPSTREAM(USE_DOWNSTREAM_PROTOCOL_CONFIG):
        return build_both(b, "use_downstream_protocol_config", CLUSTER_HTTP_DOWNSTREAM,
                          message->use_downstream_protocol_config->http_protocol_options,
                          message->use_downstream_protocol_config->http2_protocol_options, cluster);
    case UPSTREAM(AUTO_CONFIG):
        return build_both(b, "auto_config", CLUSTER_HTTP_AUTO,
                          message->auto_config->http_protocol_options,
                          message->auto_config->http2_protocol_options, cluster);
    default:
        return build_fail(b, "say which protocol: explicit_http_config, "
                             "use_downstream_protocol_config or auto_config");
    }
}

static bool build_upstream_http(struct builder *b, const UpstreamHttpMessage *message,
                                struct cluster *cluster)
{
    const Envoy__Config__Core__V3__UpstreamHttpProtocolOptions *names =
        message->upstream_http_protocol_options;
    /* Names that are taken from a request would need a pool for each. Without them a server is not verified: no guess here. */
    if (names && (!build_enter(b, "upstream_http_protocol_options") ||
                  !build_honours_fields(b, &names->base, (const char *const[]){NULL})))
        return false;
    if (names)
        build_leave(b);
    return build_honours(b, message, "common_http_protocol_options",
                         "upstream_http_protocol_options", "explicit_http_config",
                         "use_downstream_protocol_config", "auto_config") &&
           build_http_options(b, "common_http_protocol_options",
                              message->common_http_protocol_options, &cluster->options) &&
           build_protocol(b, message, cluster);
}

static bool build_extensions(struct builder *b, const ClusterMessage *message,
                             struct cluster *cluster)
{
    bool ignored = build_http_options(b, "", NULL, &cluster->options) &&
                   build_http1_options(b, "", NULL, &cluster->http1) &&
                   build_http2_options(b, "", NULL, &cluster->http2);
    (void)ignored;
    for (size_t i = 0; i < message->n_typed_extension_protocol_options; i++) {
        const char *key = pb_str(message->typed_extension_protocol_options[i]->key);
        if (strcmp(key, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions") != 0)
            return build_fail_at(b, "typed_extension_protocol_options",
                                 "'%.100s' does not act here yet", key);
        ProtobufCMessage *inner = build_any(b, "typed_extension_protocol_options",
                                            message->typed_extension_protocol_options[i]->value);
        if (!inner)
            return false;
        if (inner->descriptor !=
            &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor)
            return build_fail(b, "these are no HttpProtocolOptions");
        if (!build_upstream_http(b, (const UpstreamHttpMessage *)inner, cluster))
            return false;
        build_leave_any(b);
    }
    return true;
}

/* Istio's peer metadata over TCP needs an ALPN that we do not offer (tls_spec.c), so the filter is idle. */
static bool check_filters(struct builder *b, const ClusterMessage *message)
{
    for (size_t i = 0; i < message->n_filters; i++) {
        const char *name = pb_str(message->filters[i]->name);
        if (strcmp(name, "istio.metadata_exchange") != 0 &&
            strcmp(name, "envoy.filters.network.upstream.metadata_exchange") != 0)
            return build_fail_at(b, "filters", "'%.100s' does not act here yet", name);
    }
    return true;
}

static void build_metadata(struct builder *b, const ClusterMessage *message,
                           struct cluster *cluster)
{
    const MetadataMessage *metadata = message->metadata;
    cluster->istio_config = build_metadata_text(b, metadata, "istio", "config");
    cluster->istio_subset = build_metadata_text(b, metadata, "istio", "subset");
    cluster->alpn_override_off =
        slice_equals(build_metadata_text(b, metadata, "istio", "alpn_override"), SLICE("false"));
    cluster->istio_host = cluster->istio_name = cluster->istio_namespace = SLICE("");
    for (size_t i = 0; metadata && i < metadata->n_filter_metadata; i++) {
        if (strcmp(pb_str(metadata->filter_metadata[i]->key), "istio") != 0)
            continue;
        const ValueMessage *services =
            pb_struct_get(metadata->filter_metadata[i]->value, "services");
        if (!services || services->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ||
            services->list_value->n_values == 0 ||
            services->list_value->values[0]->kind_case !=
                GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
            continue;
        const StructMessage *first = services->list_value->values[0]->struct_value;
        cluster->istio_host = build_text(b, pb_str(pb_struct_get_str(first, "host")));
        cluster->istio_name = build_text(b, pb_str(pb_struct_get_str(first, "name")));
        cluster->istio_namespace = build_text(b, pb_str(pb_struct_get_str(first, "namespace")));
    }
}

static bool build(struct builder *b, const ClusterMessage *message, struct cluster *cluster)
{
    /* Harmless: lrs_server (load reports are not asked for by anybody we know), wait_for_warm_on_init (we always wait) and
     * typed_dns_resolver_config (every resolver is c-ares); dns_jitter (each name is asked for at a time of its own). */
    if (!build_honours(b, message, "name", "type", "eds_cluster_config", "connect_timeout",
                       "per_connection_buffer_limit_bytes", "lb_policy", "circuit_breakers",
                       "dns_refresh_rate", "dns_lookup_family", "cleanup_interval",
                       "upstream_bind_config", "transport_socket", "metadata", "common_lb_config",
                       "alt_stat_name", "upstream_connection_options", "load_assignment",
                       "original_dst_lb_config", "least_request_lb_config", "round_robin_lb_config",
                       "typed_extension_protocol_options", "respect_dns_ttl", "filters",
                       "lrs_server", "transport_socket_matches", "wait_for_warm_on_init",
                       "typed_dns_resolver_config", "dns_jitter") ||
        !build_reference(b, "name", message->name, &cluster->name) ||
        !build_kind(b, message, cluster) ||
        !build_ms32(b, "connect_timeout", message->connect_timeout, CLUSTER_CONNECT_MS,
                    &cluster->connect_timeout_ms) ||
        !build_u32(b, "per_connection_buffer_limit_bytes",
                   message->per_connection_buffer_limit_bytes, CLUSTER_BUFFER, 0, UINT32_MAX,
                   &cluster->buffer_limit) ||
        !build_endpoints(b, message, cluster) || !build_policy(b, message, cluster) ||
        !build_common_lb(b, message, cluster) ||
        !build_bind(b, message->upstream_bind_config, cluster) || !build_dns(b, message, cluster) ||
        !build_limits(b, message, cluster) || !build_sockets(b, message, cluster) ||
        !build_extensions(b, message, cluster) || !check_filters(b, message))
        return false;
    if (cluster->connect_timeout_ms == 0)
        return build_fail_at(b, "connect_timeout", "a timeout of 0 would never connect");
    if (message->upstream_connection_options &&
        !build_keepalive(b, "upstream_connection_options.tcp_keepalive",
                         message->upstream_connection_options->tcp_keepalive, &cluster->keepalive))
        return false;
    const char *stat_name = pb_str(message->alt_stat_name);
    cluster->stat_name = *stat_name ? build_text(b, stat_name) : cluster->name.text;
    build_metadata(b, message, cluster);
    cluster->secrets = build_keep_names(b, &b->secrets);
    return true;
}

bool cluster_build(const ClusterMessage *message, const struct build_options *options,
                   struct cluster **out, struct error *error)
{
    owned(cluster) cluster = mem_new(struct cluster);
    struct builder b;
    counted_init(&cluster->counted);
    table_memory_init(&cluster->memory);
    builder_init(&b, &cluster->memory, options, error);
    bool ok = build(&b, message, cluster);
    cluster->specs = build_keep_specs(&b);
    builder_fini(&b);
    if (!ok) {
        error_at(error, "cluster %s", pb_str(message->name));
        return false;
    }
    *out = give(cluster);
    return true;
}

static bool has_label(const struct endpoint *endpoint, const struct endpoint_label *wanted)
{
    for (uint32_t i = 0; i < endpoint->label_count; i++) {
        if (slice_equals(endpoint->labels[i].key, wanted->key))
            return slice_equals(endpoint->labels[i].value, wanted->value);
    }
    return false;
}

const struct upstream_socket *cluster_socket(const struct cluster *cluster,
                                             const struct endpoint *endpoint)
{
    for (uint32_t m = 0; m < cluster->match_count; m++) {
        const struct upstream_socket_match *match = &cluster->matches[m];
        uint32_t held = 0;
        while (held < match->label_count && has_label(endpoint, &match->labels[held]))
            held++;
        if (held == match->label_count)
            return &match->socket;
    }
    return &cluster->socket;
}
