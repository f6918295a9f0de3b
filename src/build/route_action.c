#include "build/routes_internal.h"

#include "build/edits_internal.h"
#include "build/matchers_internal.h"
#include "build/tls_specs_internal.h"
#include "build/values_internal.h"

enum { ROUTE_TIMEOUT_MS = 15000, ROUTE_UPGRADES_MAX = 16 };

static struct slice lower(struct builder *b, const char *text)
{
    return table_memory_copy_lower(b->memory, slice_str(pb_str(text)));
}

static bool add_cluster(struct builder *b, const char *field, const char *text, struct name *out)
{
    if (!build_reference(b, field, text, out))
        return false;
    vector_push(&b->clusters, *out);
    return true;
}

static bool build_target(struct builder *b, const ClusterWeightMessage *message,
                         struct route_target *target)
{
    const struct header_edits *request = NULL, *response = NULL;
    if (!build_honours(b, message, "name", "weight", "request_headers_to_add",
                       "response_headers_to_add", "response_headers_to_remove",
                       "request_headers_to_remove", "host_rewrite_literal") ||
        !add_cluster(b, "name", message->name, &target->cluster) ||
        !build_edits_of(b, message, &request, &response))
        return false;
    if (request)
        target->request_edits = *request;
    if (response)
        target->response_edits = *response;
    target->host = SLICE("");
    if (message->host_rewrite_specifier_case != 0)
        target->host = build_text(b, pb_str(message->host_rewrite_literal));
    return true;
}

static bool build_split(struct builder *b, const WeightedClusterMessage *message,
                        struct route *route)
{
    if (!build_enter(b, "weighted_clusters") ||
        !build_honours(b, message, "clusters", "total_weight"))
        return false;
    size_t count = message->n_clusters;
    if (count > WEIGHTED_MAX)
        return build_fail_at(b, "clusters", "there are %zu, and the limit is %d", count,
                             WEIGHTED_MAX);
    struct route_target *targets = build_array(b, struct route_target, count);
    uint32_t *weights = arena_calloc(&b->scratch, count + 1, sizeof(*weights));
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "clusters", i) ||
            !build_target(b, message->clusters[i], &targets[i]))
            return false;
        weights[i] = pb_u32(message->clusters[i]->weight, 0);
        build_leave(b);
    }
    if (message->total_weight && message->total_weight->value == 0)
        return build_fail_at(b, "total_weight", "a total is at least 1");
    route->targets = targets;
    if (!build_ok(b, weighted_build(&route->split, weights, count, pb_u32(message->total_weight, 0),
                                    b->memory, b->error)))
        return false;
    build_leave(b);
    return true;
}

#define CLUSTER_BY(name) ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_##name

static bool build_targets(struct builder *b, const RouteActionMessage *message, struct route *route)
{
    static const uint32_t whole = 1;
    switch ((int)message->cluster_specifier_case) {
    case CLUSTER_BY(CLUSTER): {
        struct route_target *target = arena_new(&b->memory->arena, struct route_target);
        target->host = SLICE("");
        route->targets = target;
        return add_cluster(b, "cluster", message->cluster, &target->cluster) &&
               build_ok(b, weighted_build(&route->split, &whole, 1, 0, b->memory, b->error));
    }
    case CLUSTER_BY(WEIGHTED_CLUSTERS): return build_split(b, message->weighted_clusters, route);
    case CLUSTER_BY(CLUSTER_HEADER): {
        struct header_key *key = arena_new(&b->memory->arena, struct header_key);
        route->cluster_header = key;
        return build_header_key(b, "cluster_header", message->cluster_header, key);
    }
    default: return build_fail(b, "say where to: cluster, weighted_clusters or cluster_header");
    }
}

static bool is_host(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '/' || c == '?' || c == '#' || c == '@')
            return false;
    }
    return text.size > 0 && text.size <= 512;
}

#define HOST_BY(name) ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_##name

static bool build_host(struct builder *b, const RouteActionMessage *message, struct route *route)
{
    switch ((int)message->host_rewrite_specifier_case) {
    case HOST_BY(_NOT_SET): return true;
    case HOST_BY(HOST_REWRITE_LITERAL):
        route->host_how = ROUTE_HOST_LITERAL;
        route->host_literal = build_text(b, pb_str(message->host_rewrite_literal));
        return is_host(route->host_literal) ||
               build_fail_at(b, "host_rewrite_literal", "this is no host");
    case HOST_BY(AUTO_HOST_REWRITE):
        route->host_how = message->auto_host_rewrite->value ? ROUTE_HOST_AUTO : ROUTE_HOST_KEEP;
        return true;
    case HOST_BY(HOST_REWRITE_HEADER): {
        struct header_key *key = arena_new(&b->memory->arena, struct header_key);
        route->host_how = ROUTE_HOST_HEADER;
        route->host_header = key;
        return build_header_key(b, "host_rewrite_header", message->host_rewrite_header, key);
    }
    case HOST_BY(HOST_REWRITE_PATH_REGEX):
        route->host_how = ROUTE_HOST_PATH;
        return build_substitute(b, "host_rewrite_path_regex", message->host_rewrite_path_regex,
                                &route->host_regex, &route->host_literal);
    default: return build_fail(b, "this kind of host rewrite does not act here yet");
    }
}

/* What goes into a request line or Location: no blanks, no controls. */
static bool is_path_text(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= 0x20 || c == 0x7f || c == '#')
            return false;
    }
    return text.size <= PATH_MATCH_MAX_BYTES;
}

static bool build_prefix(struct builder *b, const char *text, struct route_rewrite *out)
{
    out->has_prefix = true;
    out->prefix = build_text(b, pb_str(text));
    return is_path_text(out->prefix) ||
           build_fail_at(b, "prefix_rewrite", "this is no part of a path");
}

static bool build_rewrite(struct builder *b, const char *prefix, const SubstituteMessage *regex,
                          struct route_rewrite *out)
{
    out->prefix = out->substitution = SLICE("");
    bool has_prefix = prefix && *prefix;
    if (has_prefix && regex)
        return build_fail_at(b, "regex_rewrite",
                             "prefix_rewrite and regex_rewrite exclude each other");
    if (has_prefix)
        return build_prefix(b, prefix, out);
    return !regex || build_substitute(b, "regex_rewrite", regex, &out->regex, &out->substitution);
}

static bool build_times(struct builder *b, const RouteActionMessage *message, struct route *route)
{
    const Envoy__Config__Route__V3__RouteAction__MaxStreamDuration *limits =
        message->max_stream_duration;
    route->has_idle_timeout = message->idle_timeout != NULL;
    route->has_grpc_timeout = message->max_grpc_timeout != NULL;
    if (!build_ms(b, "timeout", message->timeout, ROUTE_TIMEOUT_MS, &route->timeout_ms) ||
        !build_ms(b, "idle_timeout", message->idle_timeout, 0, &route->idle_timeout_ms) ||
        !build_ms(b, "max_grpc_timeout", message->max_grpc_timeout, 0, &route->grpc_timeout_max_ms))
        return false;
    if (!limits)
        return true;
    route->has_max_stream = limits->max_stream_duration != NULL;
    route->has_grpc_timeout = route->has_grpc_timeout || limits->grpc_timeout_header_max;
    if (!build_enter(b, "max_stream_duration") ||
        !build_honours(b, limits, "max_stream_duration", "grpc_timeout_header_max",
                       "grpc_timeout_header_offset") ||
        !build_ms(b, "max_stream_duration", limits->max_stream_duration, 0,
                  &route->max_stream_ms) ||
        !build_ms(b, "grpc_timeout_header_max", limits->grpc_timeout_header_max,
                  route->grpc_timeout_max_ms, &route->grpc_timeout_max_ms) ||
        !build_ms(b, "grpc_timeout_header_offset", limits->grpc_timeout_header_offset, 0,
                  &route->grpc_timeout_offset_ms))
        return false;
    build_leave(b);
    return true;
}

typedef Envoy__Config__Route__V3__RouteAction__UpgradeConfig UpgradeMessage;

static bool build_connect(struct builder *b, const UpgradeMessage *message,
                          struct route_upgrade *upgrade)
{
    if (!message->connect_config)
        return true;
    if (!slice_equals(upgrade->kind, SLICE("connect")))
        return build_fail_at(b, "connect_config", "this is for the upgrade_type CONNECT only");
    upgrade->ends_here = true;
    if (!build_enter(b, "connect_config") ||
        !build_honours(b, message->connect_config, "proxy_protocol_config"))
        return false;
    const ProxyHeaderMessage *header = message->connect_config->proxy_protocol_config;
    if (header &&
        !build_proxy_version(b, "proxy_protocol_config", header, &upgrade->proxy_protocol))
        return false;
    build_leave(b);
    return true;
}

static bool build_upgrades(struct builder *b, const RouteActionMessage *message,
                           struct route *route)
{
    size_t count = message->n_upgrade_configs;
    if (count > ROUTE_UPGRADES_MAX)
        return build_fail_at(b, "upgrade_configs", "there are %zu, and the limit is %d", count,
                             ROUTE_UPGRADES_MAX);
    struct route_upgrade *upgrades = build_array(b, struct route_upgrade, count);
    for (size_t i = 0; i < count; i++) {
        const UpgradeMessage *upgrade = message->upgrade_configs[i];
        if (!build_enter_at(b, "upgrade_configs", i) ||
            !build_honours(b, upgrade, "upgrade_type", "enabled", "connect_config") ||
            !build_required(b, "upgrade_type", upgrade->upgrade_type, 64))
            return false;
        upgrades[i] = (struct route_upgrade){.kind = lower(b, upgrade->upgrade_type),
                                             .enabled = pb_bool(upgrade->enabled, true)};
        if (!build_connect(b, upgrade, &upgrades[i]))
            return false;
        build_leave(b);
    }
    route->upgrades = upgrades;
    route->upgrade_count = (uint32_t)count;
    return true;
}

static bool build_missing(struct builder *b, const RouteActionMessage *message, struct route *route)
{
    static const uint16_t codes[] = {503, 404, 500};
    uint32_t code = (uint32_t)PB_GET(message, cluster_not_found_response_code, 0);
    if (code >= COUNT(codes))
        return build_fail_at(b, "cluster_not_found_response_code", "%u is no code", code);
    route->missing_cluster_status = codes[code];
    uint32_t priority = (uint32_t)PB_GET(message, priority, 0);
    if (priority > 1)
        return build_fail_at(b, "priority", "%u is no priority", priority);
    route->high_priority = priority == 1;
    return true;
}

static bool build_forward(struct table_builder *t, const RouteActionMessage *message,
                          struct route *route)
{
    struct builder *b = &t->b;
    route->action = ROUTE_FORWARD;
    if (!build_enter(b, "route") ||
        !build_honours(b, message, "cluster", "cluster_header", "weighted_clusters",
                       "prefix_rewrite", "host_rewrite_literal", "auto_host_rewrite",
                       "host_rewrite_header", "host_rewrite_path_regex", "timeout", "retry_policy",
                       "priority", "cluster_not_found_response_code", "max_grpc_timeout",
                       "idle_timeout", "upgrade_configs", "regex_rewrite", "max_stream_duration",
                       "append_x_forwarded_host") ||
        !build_targets(b, message, route) || !build_host(b, message, route) ||
        !build_rewrite(b, message->prefix_rewrite, message->regex_rewrite, &route->rewrite) ||
        !build_times(b, message, route) || !build_upgrades(b, message, route) ||
        !build_missing(b, message, route) ||
        !build_retry_policy(b, message->retry_policy, &route->retry))
        return false;
    if (!route->retry)
        route->retry = t->retry;
    route->append_forwarded_host = PB_GET(message, append_x_forwarded_host, false);
    build_leave(b);
    return true;
}

#define PATH_BY(name) ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_##name
#define SCHEME_BY(name) ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_##name

static bool build_redirect_path(struct builder *b, const RedirectMessage *message,
                                struct route_redirect *redirect)
{
    redirect->path = redirect->rewrite.prefix = redirect->rewrite.substitution = SLICE("");
    switch ((int)message->path_rewrite_specifier_case) {
    case PATH_BY(PATH_REDIRECT):
        redirect->path = build_text(b, pb_str(message->path_redirect));
        return is_path_text(redirect->path) || build_fail_at(b, "path_redirect", "this is no path");
    case PATH_BY(PREFIX_REWRITE):
        return build_prefix(b, message->prefix_rewrite, &redirect->rewrite);
    case PATH_BY(REGEX_REWRITE):
        return build_substitute(b, "regex_rewrite", message->regex_rewrite,
                                &redirect->rewrite.regex, &redirect->rewrite.substitution);
    default: return true;
    }
}

static bool build_redirect_scheme(struct builder *b, const RedirectMessage *message,
                                  struct route_redirect *redirect)
{
    redirect->scheme = SLICE("");
    if (message->scheme_rewrite_specifier_case == SCHEME_BY(HTTPS_REDIRECT))
        redirect->https = message->https_redirect;
    else if (message->scheme_rewrite_specifier_case == SCHEME_BY(SCHEME_REDIRECT))
        redirect->scheme = lower(b, message->scheme_redirect);
    for (size_t i = 0; i < redirect->scheme.size; i++) {
        char c = redirect->scheme.data[i];
        if (!((c >= 'a' && c <= 'z') ||
              (i > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))))
            return build_fail_at(b, "scheme_redirect", "this is no scheme");
    }
    return true;
}

static bool build_redirect(struct builder *b, const RedirectMessage *message, struct route *route)
{
    static const uint16_t codes[] = {301, 302, 303, 307, 308};
    struct route_redirect *redirect = arena_new(&b->memory->arena, struct route_redirect);
    route->action = ROUTE_REDIRECT;
    route->redirect = redirect;
    if (!build_enter(b, "redirect") ||
        !build_honours(b, message, "host_redirect", "path_redirect", "prefix_rewrite",
                       "regex_rewrite", "response_code", "https_redirect", "scheme_redirect",
                       "strip_query", "port_redirect") ||
        !build_redirect_path(b, message, redirect) || !build_redirect_scheme(b, message, redirect))
        return false;
    uint32_t code = (uint32_t)PB_GET(message, response_code, 0),
             port = PB_GET(message, port_redirect, 0);
    if (code >= COUNT(codes))
        return build_fail_at(b, "response_code", "%u is no code", code);
    if (port > UINT16_MAX)
        return build_fail_at(b, "port_redirect", "%u is no port", port);
    redirect->status = codes[code];
    redirect->port = (uint16_t)port;
    redirect->strip_query = PB_GET(message, strip_query, false);
    redirect->host = build_text(b, pb_str(message->host_redirect));
    if (redirect->host.size > 0 && !is_host(redirect->host))
        return build_fail_at(b, "host_redirect", "this is no host");
    build_leave(b);
    return true;
}

static bool build_response(struct table_builder *t, const DirectResponseMessage *message,
                           struct route *route)
{
    struct builder *b = &t->b;
    struct route_response *response = arena_new(&b->memory->arena, struct route_response);
    uint32_t status = PB_GET(message, status, 0);
    response->body = SLICE("");
    route->action = ROUTE_RESPOND;
    route->response = response;
    if (!build_enter(b, "direct_response") ||
        !build_honours(b, message, "status", "body", "body_format"))
        return false;
    if (status < 200 || status > 599)
        return build_fail_at(b, "status", "%u is no final status", status);
    response->status = (uint16_t)status;
    if (message->body && !build_data_source(b, "body", message->body, t->max_body, &response->body))
        return false;
    if (message->body_format) {
        struct format *format = arena_new(&b->memory->arena, struct format);
        if (!build_format(b, "body_format", message->body_format, format))
            return false;
        response->format = format;
    }
    build_leave(b);
    return true;
}

#define ACTION(name) ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_##name

bool build_route_action(struct table_builder *t, const RouteMessage *message, struct route *route)
{
    switch ((int)message->action_case) {
    case ACTION(ROUTE): return build_forward(t, message->route, route);
    case ACTION(REDIRECT): return build_redirect(&t->b, message->redirect, route);
    case ACTION(DIRECT_RESPONSE): return build_response(t, message->direct_response, route);
    case ACTION(NON_FORWARDING_ACTION): route->action = ROUTE_REFUSE; return true;
    default: return build_fail(&t->b, "say what to do: route, redirect or direct_response");
    }
}
