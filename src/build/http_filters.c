#include "build/hcms_internal.h"

#include "build/rbac_internal.h"
#include "build/values_internal.h"

#include "envoy/extensions/filters/http/cors/v3/cors.pb-c.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb-c.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb-c.h"
#include "envoy/extensions/filters/http/grpc_web/v3/grpc_web.pb-c.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "istio/filter/alpn.pb-c.h"
#include "istio/filter/peer_metadata.pb-c.h"
#include "istio/filter/stats.pb-c.h"

enum { HTTP_FILTERS_MAX = 64 };

typedef Envoy__Extensions__Filters__Http__Router__V3__Router RouterMessage;
typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBAC RbacFilterMessage;
typedef Envoy__Extensions__Filters__Http__GrpcStats__V3__FilterConfig GrpcStatsMessage;
typedef Istio__Envoy__Config__Filter__Http__Alpn__V2alpha1__FilterConfig AlpnMessage;
typedef Stats__PluginConfig StatsMessage;

/* Harmless in a router: start_child_span (no spans are made yet). */
static bool build_router(struct builder *b, const void *message, struct http_filter *filter)
{
    const RouterMessage *router = message;
    filter->kind = HTTP_FILTER_ROUTER;
    filter->router.suppress_envoy_headers = PB_GET(router, suppress_envoy_headers, false);
    return build_honours(b, router, "start_child_span", "suppress_envoy_headers");
}

static bool build_rbac_filter(struct builder *b, const void *message, struct http_filter *filter)
{
    const RbacFilterMessage *rbac = message;
    filter->kind = HTTP_FILTER_RBAC;
    filter->rbac.rules_prefix = build_text(b, pb_str(rbac->rules_stat_prefix));
    filter->rbac.shadow_prefix = build_text(b, pb_str(rbac->shadow_rules_stat_prefix));
    return build_honours(b, rbac, "rules", "shadow_rules", "shadow_rules_stat_prefix",
                         "rules_stat_prefix") &&
           build_rbac_at(b, "rules", rbac->rules, &filter->rbac.rules) &&
           build_rbac_at(b, "shadow_rules", rbac->shadow_rules, &filter->rbac.shadow);
}

static bool build_alpn(struct builder *b, const void *message, struct http_filter *filter)
{
    const AlpnMessage *alpn = message;
    struct http_filter_alpn *out = &filter->alpn;
    filter->kind = HTTP_FILTER_ALPN;
    if (!build_honours(b, alpn, "alpn_override"))
        return false;
    for (size_t i = 0; i < alpn->n_alpn_override; i++) {
        const Istio__Envoy__Config__Filter__Http__Alpn__V2alpha1__FilterConfig__AlpnOverride
            *entry = alpn->alpn_override[i];
        size_t count = entry->n_alpn_override;
        uint32_t protocol = (uint32_t)PB_GET(entry, upstream_protocol, 0);
        if (count > TLS_ALPN_MAX || protocol > 2)
            return build_fail_at(b, "alpn_override", "entry %zu is too long or for no protocol", i);
        struct slice *list = build_array(b, struct slice, count);
        uint8_t kept = 0;
        for (size_t p = 0; p < count; p++) {
            struct slice name = slice_str(entry->alpn_override[p]);
            if (name.size == 0 || name.size > TLS_ALPN_BYTES_MAX)
                return build_fail_at(b, "alpn_override", "a protocol has 1 to %d bytes",
                                     TLS_ALPN_BYTES_MAX);
            /* See tls_spec.c on istio-peer-exchange. */
            if (!slice_equals(name, SLICE("istio-peer-exchange")))
                list[kept++] = table_memory_copy(b->memory, name);
        }
        *(protocol == 0 ? &out->http10 : protocol == 1 ? &out->http11 : &out->http2) = list;
        *(protocol == 0   ? &out->http10_count
          : protocol == 1 ? &out->http11_count
                          : &out->http2_count) = kept;
    }
    return true;
}

static bool build_stats(struct builder *b, const void *message, struct http_filter *filter)
{
    const StatsMessage *stats = message;
    filter->kind = HTTP_FILTER_STATS;
    /* Harmless: what steers caches and separators of Istio's implementation. */
    return build_honours(b, stats, "debug", "max_peer_cache_size", "stat_prefix", "field_separator",
                         "value_separator", "disable_host_header_fallback",
                         "tcp_reporting_duration", "rotation_interval",
                         "graceful_deletion_interval");
}

static bool build_grpc_stats(struct builder *b, const void *message, struct http_filter *filter)
{
    const GrpcStatsMessage *stats = message;
    filter->kind = HTTP_FILTER_GRPC_STATS;
    filter->grpc_stats.by_method =
        pb_bool(stats->per_method_stat_specifier_case ? stats->stats_for_all_methods : NULL, false);
    return build_honours(b, stats, "emit_filter_state", "stats_for_all_methods",
                         "enable_upstream_stats");
}

static bool build_peer_metadata(struct builder *b, const void *message, struct http_filter *filter)
{
    const Io__Istio__Http__PeerMetadata__Config *config = message;
    filter->kind = HTTP_FILTER_PEER_METADATA;
    return build_honours(b, config, "downstream_discovery", "upstream_discovery",
                         "downstream_propagation", "upstream_propagation", "shared_with_upstream",
                         "additional_labels");
}

static bool build_grpc_web(struct builder *b, const void *message, struct http_filter *filter)
{
    const ProtobufCMessage *base = message;
    filter->kind = HTTP_FILTER_GRPC_WEB;
    return build_honours_fields(b, base, (const char *const[]){NULL});
}

/* Filters that do nothing unless a route configures them, and a route that does is refused. */
static bool build_idle(struct builder *b, const void *message, struct http_filter *filter)
{
    const ProtobufCMessage *base = message;
    filter->kind = HTTP_FILTER_KINDS;
    return build_honours_fields(b, base, (const char *const[]){NULL});
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    bool (*build)(struct builder *b, const void *message, struct http_filter *filter);
} builders[] = {
    {&envoy__extensions__filters__http__router__v3__router__descriptor, build_router},
    {&envoy__extensions__filters__http__rbac__v3__rbac__descriptor, build_rbac_filter},
    {&istio__envoy__config__filter__http__alpn__v2alpha1__filter_config__descriptor, build_alpn},
    {&stats__plugin_config__descriptor, build_stats},
    {&envoy__extensions__filters__http__grpc_stats__v3__filter_config__descriptor,
     build_grpc_stats},
    {&io__istio__http__peer_metadata__config__descriptor, build_peer_metadata},
    {&envoy__extensions__filters__http__grpc_web__v3__grpc_web__descriptor, build_grpc_web},
    {&envoy__extensions__filters__http__cors__v3__cors__descriptor, build_idle},
    {&envoy__extensions__filters__http__fault__v3__httpfault__descriptor, build_idle},
};

static bool build_filter(struct builder *b, const HttpFilterMessage *message,
                         struct http_filter *filter)
{
    if (!build_honours(b, message, "name", "typed_config", "is_optional", "disabled"))
        return false;
    if (message->config_type_case !=
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG)
        return build_fail_at(b, "typed_config", "this is required");
    ProtobufCMessage *inner = build_any(b, "typed_config", message->typed_config);
    if (!inner)
        return false;
    size_t kind = 0;
    while (kind < COUNT(builders) && builders[kind].type != inner->descriptor)
        kind++;
    if (kind == COUNT(builders))
        return build_fail(b, "this is no HTTP filter that acts here yet");
    *filter = (struct http_filter){.name = build_text(b, pb_str(message->name)),
                                   .disabled = PB_GET(message, disabled, false)};
    if (!builders[kind].build(b, inner, filter))
        return false;
    build_leave_any(b);
    return true;
}

/* An optional filter that we do not have is left out: its sender says that nothing depends on it. */
static bool is_left_out(const HttpFilterMessage *message)
{
    if (!PB_GET(message, is_optional, false) || message->config_type_case == 0)
        return false;
    if (message->config_type_case !=
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG)
        return true;
    const char *type = strrchr(pb_str(message->typed_config->type_url), '/');
    for (size_t i = 0; type && i < COUNT(builders); i++) {
        if (strcmp(type + 1, builders[i].type->name) == 0)
            return false;
    }
    return true;
}

bool build_http_filters(struct builder *b, HttpFilterMessage *const *messages, size_t count,
                        const struct http_filter **out, uint32_t *out_count)
{
    if (count > HTTP_FILTERS_MAX)
        return build_fail_at(b, "http_filters", "there are %zu, and the limit is %d", count,
                             HTTP_FILTERS_MAX);
    struct http_filter *filters = build_array(b, struct http_filter, count);
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_left_out(messages[i]))
            continue;
        struct http_filter filter;
        if (!build_enter_at(b, "http_filters", i) || !build_filter(b, messages[i], &filter))
            return false;
        bool is_last = i + 1 == count, is_router = filter.kind == HTTP_FILTER_ROUTER;
        if (is_router != is_last || (is_router && filter.disabled))
            return build_fail(b, "the router is the last filter, and only the last");
        build_leave(b);
        if (filter.kind != HTTP_FILTER_KINDS)
            filters[kept++] = filter;
    }
    if (kept == 0)
        return build_fail_at(b, "http_filters", "a router is required");
    *out = filters;
    *out_count = kept;
    return true;
}
