#include "build/hcm.h"

#include "build/access_logs_internal.h"
#include "build/hcms_internal.h"
#include "build/route_table.h"
#include "build/values_internal.h"

enum {
    HCM_STREAM_IDLE_MS = 300000,
    HCM_DELAYED_CLOSE_MS = 1000,
    HCM_HEAD_KB = 60,
    HCM_HEAD_KB_MAX = 8192,
    HCM_UPGRADES_MAX = 16,
};

#define ROUTES_BY(name)                                                                            \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_##name

static bool build_routes(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    switch ((int)message->route_specifier_case) {
    case ROUTES_BY(ROUTE_CONFIG):
        if (!build_ok_at(
                b, "route_config",
                route_table_build(message->route_config, b->options, &hcm->routes, b->error)))
            return false;
        vector_push(&b->tables, hcm->routes);
        return true;
    case ROUTES_BY(RDS):
        if (!build_enter(b, "rds") ||
            !build_honours(b, message->rds, "config_source", "route_config_name") ||
            !build_reference(b, "route_config_name", message->rds->route_config_name,
                             &hcm->route_name) ||
            !build_source(b, "config_source", message->rds->config_source, false,
                          &hcm->route_wait_ms))
            return false;
        build_collect(&b->routes, &hcm->route_name);
        build_leave(b);
        return true;
    default: return build_fail(b, "say where routes are: rds or route_config");
    }
}

static bool build_choices(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    static const enum hcm_slashes slashes[] = {HCM_SLASHES_KEEP, HCM_SLASHES_KEEP,
                                               HCM_SLASHES_REFUSE, HCM_SLASHES_REDIRECT,
                                               HCM_SLASHES_FORWARD};
    uint32_t codec = (uint32_t)PB_GET(message, codec_type, 0);
    uint32_t cert = (uint32_t)PB_GET(message, forward_client_cert_details, 0);
    uint32_t server = (uint32_t)PB_GET(message, server_header_transformation, 0);
    uint32_t slash = (uint32_t)PB_GET(message, path_with_escaped_slashes_action, 0);
    if (codec > HCM_CODEC_HTTP2)
        return build_fail_at(b, "codec_type", "only AUTO, HTTP1 and HTTP2 can be had");
    if (cert > HCM_CERT_ALWAYS_FORWARD)
        return build_fail_at(b, "forward_client_cert_details", "%u is no choice", cert);
    if (server > HCM_SERVER_PASS)
        return build_fail_at(b, "server_header_transformation", "%u is no choice", server);
    if (slash >= COUNT(slashes))
        return build_fail_at(b, "path_with_escaped_slashes_action", "%u is no choice", slash);
    hcm->codec = (enum hcm_codec)codec;
    hcm->client_cert = (enum hcm_client_cert)cert;
    hcm->server_header = (enum hcm_server_header)server;
    hcm->slashes = slashes[slash];
    return true;
}

static bool build_flags(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    hcm->use_remote_address = pb_bool(message->use_remote_address, false);
    hcm->skip_xff_append = PB_GET(message, skip_xff_append, false);
    hcm->generate_request_id = pb_bool(message->generate_request_id, true);
    hcm->preserve_request_id = PB_GET(message, preserve_external_request_id, false);
    hcm->request_id_in_response = PB_GET(message, always_set_request_id_in_response, false);
    hcm->proxy_100_continue = PB_GET(message, proxy_100_continue, false);
    hcm->normalize_path = pb_bool(message->normalize_path, false);
    hcm->merge_slashes = PB_GET(message, merge_slashes, false);
    hcm->strip_matching_port = PB_GET(message, strip_matching_host_port, false);
    hcm->strip_any_port = message->strip_port_mode_case != 0 && message->strip_any_host_port;
    hcm->strip_trailing_dot = PB_GET(message, strip_trailing_host_dot, false);
    hcm->stat_prefix = build_text(b, pb_str(message->stat_prefix));
    hcm->server_name = build_text(b, pb_str(message->server_name));
    if (hcm->strip_any_port && hcm->strip_matching_port)
        return build_fail_at(b, "strip_any_host_port", "strip_matching_host_port excludes this");
    if (!hcm->use_remote_address && message->internal_address_config)
        return build_fail_at(b, "internal_address_config", "this needs use_remote_address");
    return true;
}

static void build_cert_details(const HcmMessage *message, struct hcm *hcm)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__SetCurrentClientCertDetails
        *details = message->set_current_client_cert_details;
    if (!details)
        return;
    hcm->cert_subject = pb_bool(details->subject, false);
    hcm->cert_dns = PB_GET(details, dns, false);
    hcm->cert_uri = PB_GET(details, uri, false);
    hcm->cert_chain = PB_GET(details, chain, false);
}

static bool check_cert_details(struct builder *b, const HcmMessage *message)
{
    return !message->set_current_client_cert_details ||
           !PB_GET(message->set_current_client_cert_details, cert, false) ||
           build_fail_at(b, "set_current_client_cert_details.cert", "this does not act here yet");
}

static bool check_scheme(struct builder *b, const HcmMessage *message)
{
    const Envoy__Config__Core__V3__SchemeHeaderTransformation *scheme =
        message->scheme_header_transformation;
    /* Harmless: match_upstream. What the client said goes on, and "http" where it said nothing; servers look at TLS itself. */
    return !scheme || scheme->transformation_case == 0 ||
           build_fail_at(b, "scheme_header_transformation.scheme_to_overwrite",
                         "this does not act here yet");
}

static bool build_times(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    return build_ms(b, "stream_idle_timeout", message->stream_idle_timeout, HCM_STREAM_IDLE_MS,
                    &hcm->stream_idle_ms) &&
           build_ms(b, "request_timeout", message->request_timeout, 0, &hcm->request_ms) &&
           build_ms(b, "request_headers_timeout", message->request_headers_timeout, 0,
                    &hcm->request_headers_ms) &&
           build_ms(b, "delayed_close_timeout", message->delayed_close_timeout,
                    HCM_DELAYED_CLOSE_MS, &hcm->delayed_close_ms) &&
           build_ms(b, "drain_timeout", message->drain_timeout, 0, &hcm->drain_ms) &&
           build_ms(b, "stream_flush_timeout", message->stream_flush_timeout, hcm->stream_idle_ms,
                    &hcm->flush_ms) &&
           build_u32(b, "max_request_headers_kb", message->max_request_headers_kb, HCM_HEAD_KB, 1,
                     HCM_HEAD_KB_MAX, &hcm->max_head_kb);
}

/* RFC 1918, RFC 4193 and loopback count as ours unless the configuration says otherwise, as in Envoy. */
static bool build_internal(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    static const char *const usual[] = {"10.0.0.0/8",  "172.16.0.0/12", "192.168.0.0/16",
                                        "127.0.0.0/8", "fd00::/8",      "::1/128"};
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__InternalAddressConfig
        *config = message->internal_address_config;
    size_t count = config ? config->n_cidr_ranges : COUNT(usual);
    struct cidr_entry *entries = arena_calloc(&b->scratch, count + 1, sizeof(*entries));
    for (size_t i = 0; i < count; i++) {
        if (!config ? !ip_prefix_parse(slice_str(usual[i]), &entries[i].prefix)
                    : !build_cidr(b, "internal_address_config.cidr_ranges", i,
                                  config->cidr_ranges[i], &entries[i].prefix))
            return false;
    }
    cidr_set_build(&hcm->internal, entries, count, b->memory);
    hcm->internal_unix = config && PB_GET(config, unix_sockets, false);
    return true;
}

static bool build_upgrades(struct builder *b, const HcmMessage *message, struct hcm *hcm)
{
    size_t count = message->n_upgrade_configs;
    if (count > HCM_UPGRADES_MAX)
        return build_fail_at(b, "upgrade_configs", "there are %zu, and the limit is %d", count,
                             HCM_UPGRADES_MAX);
    struct hcm_upgrade *upgrades = build_array(b, struct hcm_upgrade, count);
    for (size_t i = 0; i < count; i++) {
        const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__UpgradeConfig
            *upgrade = message->upgrade_configs[i];
        if (!build_enter_at(b, "upgrade_configs", i) ||
            !build_honours(b, upgrade, "upgrade_type", "enabled") ||
            !build_required(b, "upgrade_type", upgrade->upgrade_type, 64))
            return false;
        upgrades[i].kind = table_memory_copy_lower(b->memory, slice_str(upgrade->upgrade_type));
        upgrades[i].enabled = pb_bool(upgrade->enabled, true);
        build_leave(b);
    }
    hcm->upgrades = upgrades;
    hcm->upgrade_count = (uint32_t)count;
    return true;
}

static bool check_request_id(struct builder *b, const HcmMessage *message)
{
    if (!message->request_id_extension || !message->request_id_extension->typed_config)
        return true;
    const char *type = strrchr(pb_str(message->request_id_extension->typed_config->type_url), '/');
    return (type &&
            strcmp(type + 1, "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig") == 0) ||
           build_fail_at(b, "request_id_extension", "only UuidRequestIdConfig acts yet");
}

static bool note_grpc_stats(struct hcm *hcm)
{
    for (uint32_t i = 0; i < hcm->filter_count; i++) {
        const struct http_filter *filter = &hcm->filters[i];
        if (filter->kind == HTTP_FILTER_GRPC_STATS && !filter->disabled)
            hcm->grpc_stats =
                filter->grpc_stats.by_method ? HCM_GRPC_STATS_BY_METHOD : HCM_GRPC_STATS_BY_CLUSTER;
    }
    return true;
}

bool build_hcm(struct builder *b, const HcmMessage *message, const struct hcm **out)
{
    struct hcm *hcm = arena_new(&b->memory->arena, struct hcm);
    *out = hcm;
    if (!build_honours(
            b, message, "codec_type", "stat_prefix", "rds", "route_config", "http_filters",
            "http_protocol_options", "http2_protocol_options", "server_name", "drain_timeout",
            "access_log", "use_remote_address", "generate_request_id",
            "forward_client_cert_details", "set_current_client_cert_details", "proxy_100_continue",
            "skip_xff_append", "upgrade_configs", "stream_idle_timeout", "internal_address_config",
            "delayed_close_timeout", "request_timeout", "max_request_headers_kb", "normalize_path",
            "preserve_external_request_id", "merge_slashes", "server_header_transformation",
            "common_http_protocol_options", "request_id_extension",
            "always_set_request_id_in_response", "strip_matching_host_port",
            "stream_error_on_invalid_http_message", "request_headers_timeout",
            "strip_any_host_port", "path_with_escaped_slashes_action", "strip_trailing_host_dot",
            "scheme_header_transformation", "stream_flush_timeout"))
        return false;
    build_cert_details(message, hcm);
    return check_cert_details(b, message) && build_choices(b, message, hcm) &&
           build_flags(b, message, hcm) && check_scheme(b, message) &&
           build_times(b, message, hcm) && build_internal(b, message, hcm) &&
           build_upgrades(b, message, hcm) && check_request_id(b, message) &&
           build_routes(b, message, hcm) &&
           build_http_filters(b, message->http_filters, message->n_http_filters, &hcm->filters,
                              &hcm->filter_count) &&
           note_grpc_stats(hcm) &&
           build_http_options(b, "common_http_protocol_options",
                              message->common_http_protocol_options, &hcm->options) &&
           build_http1_options(b, "http_protocol_options", message->http_protocol_options,
                               &hcm->http1) &&
           build_http2_options(b, "http2_protocol_options", message->http2_protocol_options,
                               &hcm->http2) &&
           build_access_logs(b, "access_log", message->access_log, message->n_access_log,
                             &hcm->logs);
}
