#include "control/translate/make.h"

#include "match/ip.h"

#include "envoy/config/accesslog/v3/accesslog.pb-c.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    hcm_message;

/* Istio's default, so that what reads its logs reads ours. */
static const char log_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const char *make_unknown_cluster(const struct mesh_settings *mesh)
{
    return mesh->registry_only ? BLACK_HOLE_CLUSTER : PASSTHROUGH_CLUSTER;
}

char *make_cluster_name(struct arena *arena, uint32_t port, const char *subset, struct slice host)
{
    return arena_format(arena, "outbound|%u|%s|%.*s", port, subset ? subset : "", SLICE_ARG(host));
}

Envoy__Config__Core__V3__ConfigSource *make_ads(struct arena *arena)
{
    Envoy__Config__Core__V3__ConfigSource *source =
        MAKE(arena, Envoy__Config__Core__V3__ConfigSource, envoy__config__core__v3__config_source);
    source->config_source_specifier_case =
        ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
    source->ads = MAKE(arena, Envoy__Config__Core__V3__AggregatedConfigSource,
                       envoy__config__core__v3__aggregated_config_source);
    source->initial_fetch_timeout = pb_duration_new(arena, 0);
    PB_SET(source, resource_api_version, ENVOY__CONFIG__CORE__V3__API_VERSION__V3);
    return source;
}

Envoy__Config__Core__V3__Address *make_address(struct arena *arena, struct slice ip, uint32_t port,
                                               struct slice network_namespace)
{
    Envoy__Config__Core__V3__SocketAddress *socket = MAKE(
        arena, Envoy__Config__Core__V3__SocketAddress, envoy__config__core__v3__socket_address);
    socket->address = arena_copy(arena, ip);
    socket->port_specifier_case =
        ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
    socket->port_value = port;
    if (network_namespace.size > 0)
        socket->network_namespace_filepath = arena_copy(arena, network_namespace);
    Envoy__Config__Core__V3__Address *address =
        MAKE(arena, Envoy__Config__Core__V3__Address, envoy__config__core__v3__address);
    address->address_case = ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS;
    address->socket_address = socket;
    return address;
}

Envoy__Config__Core__V3__Metadata *make_metadata(struct arena *arena, const char *name,
                                                 Google__Protobuf__Struct *fields)
{
    Envoy__Config__Core__V3__Metadata *metadata =
        MAKE(arena, Envoy__Config__Core__V3__Metadata, envoy__config__core__v3__metadata);
    PB_PUT(arena, metadata, filter_metadata,
           &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor,
           arena_copy_str(arena, name), fields);
    return metadata;
}

void make_config_path(struct arena *arena, Google__Protobuf__Struct *fields,
                      const struct object *object)
{
    const char *kind =
        object->kind == KIND_VIRTUAL_SERVICE ? "virtual-service" : "destination-rule";
    pb_struct_put(
        arena, fields, "config",
        pb_value_str(arena, arena_format(arena,
                                         "/apis/networking.istio.io/v1alpha3/namespaces/"
                                         "%s/%s/%s",
                                         object->name_space.data, kind, object->name.data)));
}

Envoy__Config__Core__V3__TransportSocket *make_transport(struct arena *arena, const char *name,
                                                         const ProtobufCMessage *config)
{
    Envoy__Config__Core__V3__TransportSocket *socket = MAKE(
        arena, Envoy__Config__Core__V3__TransportSocket, envoy__config__core__v3__transport_socket);
    socket->name = arena_copy_str(arena, name);
    socket->config_type_case = ENVOY__CONFIG__CORE__V3__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
    socket->typed_config = pb_any_pack(config, arena);
    return socket;
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

static Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig *make_sds(struct arena *arena,
                                                                               const char *name)
{
    Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig *sds =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig,
             envoy__extensions__transport_sockets__tls__v3__sds_secret_config);
    sds->name = arena_copy_str(arena, name);
    sds->sds_config = make_ads(arena);
    return sds;
}

static void
allow_peer(struct arena *arena,
           Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext *to,
           bool prefix, char *text)
{
    Envoy__Type__Matcher__V3__StringMatcher *matcher = MAKE(
        arena, Envoy__Type__Matcher__V3__StringMatcher, envoy__type__matcher__v3__string_matcher);
    if (prefix) {
        matcher->match_pattern_case =
            ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        matcher->prefix = text;
    } else {
        matcher->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT;
        matcher->exact = text;
    }
    Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher *name =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher,
             envoy__extensions__transport_sockets__tls__v3__subject_alt_name_matcher);
    PB_SET(name, san_type,
           ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__URI);
    name->matcher = matcher;
    PB_APPEND(arena, to, match_typed_subject_alt_names, name);
}

static Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext *
make_tls(struct arena *arena, const struct mesh_settings *mesh, const struct text_list *accounts)
{
    Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext *tls =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext,
             envoy__extensions__transport_sockets__tls__v3__common_tls_context);
    tls->tls_params = MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__TlsParameters,
                           envoy__extensions__transport_sockets__tls__v3__tls_parameters);
    PB_SET(tls->tls_params, tls_minimum_protocol_version,
           ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2);
    PB_SET(tls->tls_params, tls_maximum_protocol_version,
           ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3);
    PB_APPEND(arena, tls, tls_certificate_sds_secret_configs, make_sds(arena, "default"));

    Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext *peers =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext,
             envoy__extensions__transport_sockets__tls__v3__certificate_validation_context);
    for (size_t i = 0; accounts && i < accounts->count; i++) {
        struct slice name_space, account;
        slice_cut(slice_str(accounts->items[i]), '/', &name_space, &account);
        allow_peer(arena, peers, false,
                   arena_format(arena, "spiffe://%s/ns/%.*s/sa/%.*s", mesh->trust_domain,
                                SLICE_ARG(name_space), SLICE_ARG(account)));
    }
    if (!accounts || accounts->count == 0)
        allow_peer(arena, peers, true, arena_format(arena, "spiffe://%s/", mesh->trust_domain));

    Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext__CombinedCertificateValidationContext
        *combined = pb_new(
            arena,
            &envoy__extensions__transport_sockets__tls__v3__common_tls_context__combined_certificate_validation_context__descriptor);
    combined->default_validation_context = peers;
    combined->validation_context_sds_secret_config = make_sds(arena, "ROOTCA");
    tls->validation_context_type_case =
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT;
    tls->combined_validation_context = combined;
    return tls;
}

Envoy__Config__Core__V3__TransportSocket *
make_upstream_tls(struct arena *arena, const struct mesh_settings *mesh, const char *sni,
                  const struct text_list *accounts, bool http2)
{
    Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext *tls =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext,
             envoy__extensions__transport_sockets__tls__v3__upstream_tls_context);
    tls->sni = arena_copy_str(arena, sni);
    tls->common_tls_context = make_tls(arena, mesh, accounts);
    PB_APPEND(arena, tls->common_tls_context, alpn_protocols, arena_copy_str(arena, "istio"));
    if (http2)
        PB_APPEND(arena, tls->common_tls_context, alpn_protocols, arena_copy_str(arena, "h2"));
    return make_transport(arena, "envoy.transport_sockets.tls", &tls->base);
}

Envoy__Config__Core__V3__TransportSocket *
make_downstream_tls(struct arena *arena, const struct mesh_settings *mesh, bool http)
{
    Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext *tls =
        MAKE(arena, Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext,
             envoy__extensions__transport_sockets__tls__v3__downstream_tls_context);
    tls->require_client_certificate = pb_bool_new(arena, true);
    tls->common_tls_context = make_tls(arena, mesh, NULL);
    if (http) {
        PB_APPEND(arena, tls->common_tls_context, alpn_protocols, arena_copy_str(arena, "h2"));
        PB_APPEND(arena, tls->common_tls_context, alpn_protocols,
                  arena_copy_str(arena, "http/1.1"));
    }
    return make_transport(arena, "envoy.transport_sockets.tls", &tls->base);
}

/* --- filters ------------------------------------------------------------------------------------------------------ */

void make_http_options(struct arena *arena, Envoy__Config__Cluster__V3__Cluster *cluster,
                       bool http2)
{
    Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__ExplicitHttpConfig *http = pb_new(
        arena,
        &envoy__extensions__upstreams__http__v3__http_protocol_options__explicit_http_config__descriptor);
    if (http2) {
        http->protocol_config_case =
            ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS;
        http->http2_protocol_options = MAKE(arena, Envoy__Config__Core__V3__Http2ProtocolOptions,
                                            envoy__config__core__v3__http2_protocol_options);
    } else {
        http->protocol_config_case =
            ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS;
        http->http_protocol_options = MAKE(arena, Envoy__Config__Core__V3__Http1ProtocolOptions,
                                           envoy__config__core__v3__http1_protocol_options);
    }
    Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *options =
        MAKE(arena, Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions,
             envoy__extensions__upstreams__http__v3__http_protocol_options);
    options->upstream_protocol_options_case =
        ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
    options->explicit_http_config = http;
    PB_PUT(arena, cluster, typed_extension_protocol_options,
           &envoy__config__cluster__v3__cluster__typed_extension_protocol_options_entry__descriptor,
           arena_copy_str(arena, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
           pb_any_pack(&options->base, arena));
}

static Envoy__Config__Accesslog__V3__AccessLog *make_log(struct arena *arena, const char *path)
{
    Envoy__Config__Core__V3__DataSource *text =
        MAKE(arena, Envoy__Config__Core__V3__DataSource, envoy__config__core__v3__data_source);
    text->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    text->inline_string = arena_copy_str(arena, log_format);
    Envoy__Config__Core__V3__SubstitutionFormatString *format =
        MAKE(arena, Envoy__Config__Core__V3__SubstitutionFormatString,
             envoy__config__core__v3__substitution_format_string);
    format->format_case =
        ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE;
    format->text_format_source = text;
    Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *file =
        MAKE(arena, Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog,
             envoy__extensions__access_loggers__file__v3__file_access_log);
    file->path = arena_copy_str(arena, path);
    file->access_log_format_case =
        ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;
    file->log_format = format;
    Envoy__Config__Accesslog__V3__AccessLog *log = MAKE(
        arena, Envoy__Config__Accesslog__V3__AccessLog, envoy__config__accesslog__v3__access_log);
    log->name = arena_copy_str(arena, "envoy.access_loggers.file");
    log->config_type_case = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    log->typed_config = pb_any_pack(&file->base, arena);
    return log;
}

static Envoy__Config__Listener__V3__Filter *make_filter(struct arena *arena, const char *name,
                                                        const ProtobufCMessage *config)
{
    Envoy__Config__Listener__V3__Filter *filter =
        MAKE(arena, Envoy__Config__Listener__V3__Filter, envoy__config__listener__v3__filter);
    filter->name = arena_copy_str(arena, name);
    filter->config_type_case = ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
    filter->typed_config = pb_any_pack(config, arena);
    return filter;
}

Envoy__Config__Listener__V3__Filter *make_tcp_proxy(struct arena *arena,
                                                    const struct mesh_settings *mesh,
                                                    const char *stat_prefix, const char *cluster)
{
    Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy *proxy =
        MAKE(arena, Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy,
             envoy__extensions__filters__network__tcp_proxy__v3__tcp_proxy);
    proxy->stat_prefix = arena_copy_str(arena, stat_prefix);
    proxy->cluster_specifier_case =
        ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER;
    proxy->cluster = arena_copy_str(arena, cluster);
    if (mesh->access_log)
        PB_APPEND(arena, proxy, access_log, make_log(arena, mesh->access_log));
    return make_filter(arena, "envoy.filters.network.tcp_proxy", &proxy->base);
}

hcm_message *make_hcm(struct arena *arena, const struct mesh_settings *mesh,
                      const char *stat_prefix)
{
    hcm_message *hcm = pb_new(
        arena,
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor);
    hcm->stat_prefix = arena_copy_str(arena, stat_prefix);
    hcm->use_remote_address = pb_bool_new(arena, false);
    hcm->generate_request_id = pb_bool_new(arena, true);
    hcm->normalize_path = pb_bool_new(arena, true);
    hcm->stream_idle_timeout = pb_duration_new(arena, 0);
    Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpFilter *router = pb_new(
        arena,
        &envoy__extensions__filters__network__http_connection_manager__v3__http_filter__descriptor);
    const Envoy__Extensions__Filters__Http__Router__V3__Router *config =
        MAKE(arena, Envoy__Extensions__Filters__Http__Router__V3__Router,
             envoy__extensions__filters__http__router__v3__router);
    router->name = arena_copy_str(arena, "envoy.filters.http.router");
    router->config_type_case =
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    router->typed_config = pb_any_pack(&config->base, arena);
    PB_APPEND(arena, hcm, http_filters, router);
    if (mesh->access_log)
        PB_APPEND(arena, hcm, access_log, make_log(arena, mesh->access_log));
    return hcm;
}

Envoy__Config__Listener__V3__Filter *make_hcm_filter(struct arena *arena, const hcm_message *hcm)
{
    return make_filter(arena, "envoy.filters.network.http_connection_manager", &hcm->base);
}

/* --- endpoints ---------------------------------------------------------------------------------------------------- */

static const char *label_or(const struct service_endpoint *endpoint, const char *key,
                            const char *other)
{
    for (size_t i = 0; i < endpoint->entry->n_labels; i++) {
        if (strcmp(endpoint->entry->labels[i]->key, key) == 0)
            return endpoint->entry->labels[i]->value;
    }
    return other;
}

/* istio: {workload: "name;namespace;canonical name;canonical revision;cluster"}, from which metrics take their labels. */
static Envoy__Config__Core__V3__Metadata *endpoint_metadata(struct arena *arena,
                                                            const struct service_endpoint *endpoint)
{
    Google__Protobuf__Struct *istio = pb_struct_new(arena);
    const char *workload = label_or(endpoint, "tulle.dev/workload", endpoint->workload.data);
    const char *canonical =
        label_or(endpoint, "service.istio.io/canonical-name", label_or(endpoint, "app", workload));
    const char *revision = label_or(endpoint, "service.istio.io/canonical-revision",
                                    label_or(endpoint, "version", "latest"));
    pb_struct_put(
        arena, istio, "workload",
        pb_value_str(arena, arena_format(arena, "%s;%.*s;%s;%s;Kubernetes", workload,
                                         SLICE_ARG(endpoint->name_space), canonical, revision)));
    Envoy__Config__Core__V3__Metadata *metadata = make_metadata(arena, "istio", istio);
    if (endpoint->mtls) {
        Google__Protobuf__Struct *match = pb_struct_new(arena);
        pb_struct_put(arena, match, "tlsMode", pb_value_str(arena, "istio"));
        PB_PUT(arena, metadata, filter_metadata,
               &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor,
               arena_copy_str(arena, "envoy.transport_socket_match"), match);
    }
    return metadata;
}

Envoy__Config__Endpoint__V3__ClusterLoadAssignment *
make_assignment(struct arena *arena, const char *name, const struct endpoint_list *endpoints)
{
    Envoy__Config__Endpoint__V3__ClusterLoadAssignment *assignment =
        MAKE(arena, Envoy__Config__Endpoint__V3__ClusterLoadAssignment,
             envoy__config__endpoint__v3__cluster_load_assignment);
    assignment->cluster_name = arena_copy_str(arena, name);
    if (endpoints->count == 0)
        return assignment;
    Envoy__Config__Endpoint__V3__LocalityLbEndpoints *locality =
        MAKE(arena, Envoy__Config__Endpoint__V3__LocalityLbEndpoints,
             envoy__config__endpoint__v3__locality_lb_endpoints);
    locality->locality =
        MAKE(arena, Envoy__Config__Core__V3__Locality, envoy__config__core__v3__locality);
    uint64_t sum = 0;
    for (size_t i = 0; i < endpoints->count; i++) {
        const struct service_endpoint *from = &endpoints->items[i];
        Envoy__Config__Endpoint__V3__LbEndpoint *to =
            MAKE(arena, Envoy__Config__Endpoint__V3__LbEndpoint,
                 envoy__config__endpoint__v3__lb_endpoint);
        to->host_identifier_case =
            ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
        to->endpoint = MAKE(arena, Envoy__Config__Endpoint__V3__Endpoint,
                            envoy__config__endpoint__v3__endpoint);
        to->endpoint->address = make_address(arena, from->address, from->port, SLICE_NONE);
        to->load_balancing_weight = pb_u32_new(arena, from->weight);
        to->metadata = endpoint_metadata(arena, from);
        sum += from->weight;
        PB_APPEND(arena, locality, lb_endpoints, to);
    }
    locality->load_balancing_weight = pb_u32_new(arena, (uint32_t)MIN(sum, (uint64_t)UINT32_MAX));
    PB_APPEND(arena, assignment, endpoints, locality);
    return assignment;
}
