#include "control/translate/produce.h"

#include "base/map.h"
#include "base/memory.h"
#include "control/model/host.h"
#include "control/translate/dry.h"
#include "control/translate/fallbacks.h"

#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h"

typedef Envoy__Config__Route__V3__Route route_message;
typedef Envoy__Config__Route__V3__RouteAction route_action;
typedef Envoy__Config__Route__V3__VirtualHost virtual_host;
typedef Istio__Networking__V1alpha3__HTTPRoute http_rule;
typedef Istio__Networking__V1alpha3__StringMatch string_match;
typedef Istio__Networking__V1alpha3__Headers__HeaderOperations header_operations;

/* --- matches ------------------------------------------------------------------------------------------------------- */

static Envoy__Type__Matcher__V3__RegexMatcher *make_regex(struct arena *arena, const char *regex)
{
    Envoy__Type__Matcher__V3__RegexMatcher *matcher = MAKE(
        arena, Envoy__Type__Matcher__V3__RegexMatcher, envoy__type__matcher__v3__regex_matcher);
    matcher->regex = arena_copy_str(arena, regex);
    return matcher;
}

static void match_path(struct arena *arena, Envoy__Config__Route__V3__RouteMatch *to,
                       const string_match *uri)
{
    switch (uri ? uri->match_type_case : 0) {
    case ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_EXACT:
        to->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH;
        to->path = arena_copy_str(arena, uri->exact);
        return;
    case ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_REGEX:
        to->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX;
        to->safe_regex = make_regex(arena, uri->regex);
        return;
    case ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_PREFIX:
        to->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
        to->prefix = arena_copy_str(arena, uri->prefix);
        return;
    default:
        to->path_specifier_case = ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
        to->prefix = arena_copy_str(arena, "/");
    }
}

static void match_header(struct arena *arena, Envoy__Config__Route__V3__RouteMatch *to,
                         const char *name, const string_match *match)
{
    Envoy__Config__Route__V3__HeaderMatcher *header = MAKE(
        arena, Envoy__Config__Route__V3__HeaderMatcher, envoy__config__route__v3__header_matcher);
    header->name = arena_copy_str(arena, name);
    PB_APPEND(arena, to, headers, header);
    int how = match ? (int)match->match_type_case : 0;
    bool any = how == ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_REGEX &&
               strcmp(match->regex, "*") == 0;
    if (how == 0 || any) {
        header->header_match_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
        header->present_match = true;
        return;
    }
    Envoy__Type__Matcher__V3__StringMatcher *text = MAKE(
        arena, Envoy__Type__Matcher__V3__StringMatcher, envoy__type__matcher__v3__string_matcher);
    if (how == ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_EXACT) {
        text->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT;
        text->exact = arena_copy_str(arena, match->exact);
    } else if (how == ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_PREFIX) {
        text->match_pattern_case = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        text->prefix = arena_copy_str(arena, match->prefix);
    } else {
        text->match_pattern_case =
            ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
        text->safe_regex = make_regex(arena, match->regex);
    }
    header->header_match_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    header->string_match = text;
}

static Envoy__Config__Route__V3__RouteMatch *
make_match(struct arena *arena, const Istio__Networking__V1alpha3__HTTPMatchRequest *from)
{
    Envoy__Config__Route__V3__RouteMatch *match =
        MAKE(arena, Envoy__Config__Route__V3__RouteMatch, envoy__config__route__v3__route_match);
    match_path(arena, match, from ? from->uri : NULL);
    for (size_t i = 0; from && i < from->n_headers; i++)
        match_header(arena, match, from->headers[i]->key, from->headers[i]->value);
    return match;
}

/* Every later rule is out of reach. */
static bool matches_everything(const Istio__Networking__V1alpha3__HTTPMatchRequest *match)
{
    bool root = !match || !match->uri || match->uri->match_type_case == 0 ||
                (match->uri->match_type_case ==
                     ISTIO__NETWORKING__V1ALPHA3__STRING_MATCH__MATCH_TYPE_PREFIX &&
                 strcmp(match->uri->prefix, "/") == 0);
    return root && (!match || match->n_headers == 0);
}

/* --- headers ------------------------------------------------------------------------------------------------------- */

static Envoy__Config__Core__V3__HeaderValueOption *make_header(struct arena *arena, const char *key,
                                                               const char *value, bool replace)
{
    Envoy__Config__Core__V3__HeaderValueOption *option =
        MAKE(arena, Envoy__Config__Core__V3__HeaderValueOption,
             envoy__config__core__v3__header_value_option);
    option->header =
        MAKE(arena, Envoy__Config__Core__V3__HeaderValue, envoy__config__core__v3__header_value);
    option->header->key = arena_copy_str(arena, key);
    option->header->value = arena_copy_str(arena, value ? value : "");
    PB_SET(
        option, append_action,
        replace
            ? ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD
            : ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD);
    return option;
}

static bool is_host(const char *key)
{
    return slice_equals_nocase(slice_str(key), SLICE("host")) || strcmp(key, ":authority") == 0;
}

static const header_operations *
request_operations(const Istio__Networking__V1alpha3__Headers *headers)
{
    return headers ? headers->request : NULL;
}

static const header_operations *
response_operations(const Istio__Networking__V1alpha3__Headers *headers)
{
    return headers ? headers->response : NULL;
}

/* The host to send, which is a rewrite rather than a header; NULL = as it came. */
static const char *host_of(const header_operations *request)
{
    for (size_t i = 0; request && i < request->n_set; i++) {
        if (is_host(request->set[i]->key))
            return request->set[i]->value;
    }
    return NULL;
}

/* Route and ClusterWeight have the same four lists. */
#define PUT_HEADERS(arena, to, headers)                                                            \
    do {                                                                                           \
        const header_operations *put_request = request_operations(headers);                        \
        const header_operations *put_response = response_operations(headers);                      \
        for (size_t h = 0; put_request && h < put_request->n_set; h++) {                           \
            if (!is_host(put_request->set[h]->key))                                                \
                PB_APPEND((arena), (to), request_headers_to_add,                                   \
                          make_header((arena), put_request->set[h]->key,                           \
                                      put_request->set[h]->value, true));                          \
        }                                                                                          \
        for (size_t h = 0; put_request && h < put_request->n_add; h++)                             \
            PB_APPEND((arena), (to), request_headers_to_add,                                       \
                      make_header((arena), put_request->add[h]->key, put_request->add[h]->value,   \
                                  false));                                                         \
        for (size_t h = 0; put_request && h < put_request->n_remove; h++)                          \
            PB_APPEND((arena), (to), request_headers_to_remove,                                    \
                      arena_copy_str((arena), put_request->remove[h]));                            \
        for (size_t h = 0; put_response && h < put_response->n_set; h++)                           \
            PB_APPEND((arena), (to), response_headers_to_add,                                      \
                      make_header((arena), put_response->set[h]->key, put_response->set[h]->value, \
                                  true));                                                          \
        for (size_t h = 0; put_response && h < put_response->n_add; h++)                           \
            PB_APPEND((arena), (to), response_headers_to_add,                                      \
                      make_header((arena), put_response->add[h]->key, put_response->add[h]->value, \
                                  false));                                                         \
        for (size_t h = 0; put_response && h < put_response->n_remove; h++)                        \
            PB_APPEND((arena), (to), response_headers_to_remove,                                   \
                      arena_copy_str((arena), put_response->remove[h]));                           \
    } while (0)

/* --- actions ------------------------------------------------------------------------------------------------------- */

static Envoy__Config__Route__V3__RetryPolicy *make_retries(struct arena *arena)
{
    Envoy__Config__Route__V3__RetryPolicy *policy =
        MAKE(arena, Envoy__Config__Route__V3__RetryPolicy, envoy__config__route__v3__retry_policy);
    policy->retry_on = arena_copy_str(
        arena, "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes");
    policy->num_retries = pb_u32_new(arena, 2);
    PB_SET(policy, host_selection_retry_max_attempts, 5);
    const Envoy__Extensions__Retry__Host__PreviousHosts__V3__PreviousHostsPredicate *config = pb_new(
        arena,
        &envoy__extensions__retry__host__previous_hosts__v3__previous_hosts_predicate__descriptor);
    Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *predicate =
        MAKE(arena, Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate,
             envoy__config__route__v3__retry_policy__retry_host_predicate);
    predicate->name = arena_copy_str(arena, "envoy.retry_host_predicates.previous_hosts");
    predicate->config_type_case =
        ENVOY__CONFIG__ROUTE__V3__RETRY_POLICY__RETRY_HOST_PREDICATE__CONFIG_TYPE_TYPED_CONFIG;
    predicate->typed_config = pb_any_pack(&config->base, arena);
    PB_APPEND(arena, policy, retry_host_predicate, predicate);
    return policy;
}

static route_action *make_forward(struct arena *arena, int64_t timeout_ms)
{
    route_action *action =
        MAKE(arena, Envoy__Config__Route__V3__RouteAction, envoy__config__route__v3__route_action);
    action->timeout = pb_duration_new(arena, timeout_ms);
    action->max_stream_duration =
        MAKE(arena, Envoy__Config__Route__V3__RouteAction__MaxStreamDuration,
             envoy__config__route__v3__route_action__max_stream_duration);
    action->max_stream_duration->max_stream_duration = pb_duration_new(arena, timeout_ms);
    if (timeout_ms == 0)
        action->max_stream_duration = NULL;
    action->retry_policy = make_retries(arena);
    return action;
}

/* The cluster of a destination: its port, or the service's only one, or the one that the request came to. */
static char *destination_cluster(struct production *p, const struct object *rule,
                                 const Istio__Networking__V1alpha3__Destination *destination,
                                 uint32_t request_port)
{
    struct slice host = host_resolve(slice_str(destination ? pb_str(destination->host) : ""),
                                     rule->name_space, p->arena);
    uint32_t port = request_port;
    if (destination && destination->port && destination->port->has_number) {
        port = destination->port->number;
    } else {
        const struct service *service =
            p->registry ? registry_service(p->registry, p->reader, host) : NULL;
        if (service && service->port_count == 1)
            port = service->ports[0].number;
    }
    return make_cluster_name(p->arena, port, destination ? destination->subset : NULL, host);
}

static void add_weight(struct production *p, route_action *action, char *cluster,
                       const Istio__Networking__V1alpha3__HTTPRouteDestination *from)
{
    Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *weight =
        MAKE(p->arena, Envoy__Config__Route__V3__WeightedCluster__ClusterWeight,
             envoy__config__route__v3__weighted_cluster__cluster_weight);
    weight->name = cluster;
    weight->weight = pb_u32_new(p->arena, (uint32_t)from->weight);
    PUT_HEADERS(p->arena, weight, from->headers);
    const char *host = host_of(request_operations(from->headers));
    if (host) {
        weight->host_rewrite_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
        weight->host_rewrite_literal = arena_copy_str(p->arena, host);
    }
    PB_APPEND(p->arena, action->weighted_clusters, clusters, weight);
}

static void rewrite_host(struct arena *arena, route_action *action, const char *host)
{
    if (!host || !*host)
        return;
    action->host_rewrite_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
    action->host_rewrite_literal = arena_copy_str(arena, host);
}

static void make_route_action(struct production *p, route_message *route,
                              const struct object *object, const http_rule *rule, uint32_t port)
{
    route_action *action = make_forward(p->arena, pb_duration_ms(rule->timeout, 0));
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
    route->route = action;
    if (rule->n_route == 1) {
        action->cluster_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
        action->cluster = destination_cluster(p, object, rule->route[0]->destination, port);
        PUT_HEADERS(p->arena, route, rule->route[0]->headers);
        rewrite_host(p->arena, action, host_of(request_operations(rule->route[0]->headers)));
    } else {
        action->cluster_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
        action->weighted_clusters = MAKE(p->arena, Envoy__Config__Route__V3__WeightedCluster,
                                         envoy__config__route__v3__weighted_cluster);
        for (size_t i = 0; i < rule->n_route; i++) {
            if (rule->route[i]->has_weight && rule->route[i]->weight > 0)
                add_weight(p, action,
                           destination_cluster(p, object, rule->route[i]->destination, port),
                           rule->route[i]);
        }
    }
    rewrite_host(p->arena, action, host_of(request_operations(rule->headers)));
    if (rule->rewrite && rule->rewrite->uri && *rule->rewrite->uri)
        action->prefix_rewrite = arena_copy_str(p->arena, rule->rewrite->uri);
    if (rule->rewrite)
        rewrite_host(p->arena, action, rule->rewrite->authority);
}

static int redirect_code(uint32_t code)
{
    switch (code) {
    case 302: return ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__FOUND;
    case 303: return ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__SEE_OTHER;
    case 307:
        return ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__TEMPORARY_REDIRECT;
    case 308:
        return ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__PERMANENT_REDIRECT;
    default:
        return ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__MOVED_PERMANENTLY;
    }
}

static void make_redirect(struct production *p, route_message *route,
                          const Istio__Networking__V1alpha3__HTTPRedirect *from)
{
    Envoy__Config__Route__V3__RedirectAction *to =
        MAKE(p->arena, Envoy__Config__Route__V3__RedirectAction,
             envoy__config__route__v3__redirect_action);
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT;
    route->redirect = to;
    if (from->uri && *from->uri) {
        to->path_rewrite_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT;
        to->path_redirect = arena_copy_str(p->arena, from->uri);
    }
    if (from->authority && *from->authority)
        to->host_redirect = arena_copy_str(p->arena, from->authority);
    if (from->scheme && *from->scheme) {
        to->scheme_rewrite_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT;
        to->scheme_redirect = arena_copy_str(p->arena, from->scheme);
    }
    if (from->redirect_port_case == ISTIO__NETWORKING__V1ALPHA3__HTTPREDIRECT__REDIRECT_PORT_PORT)
        PB_SET(to, port_redirect, from->port);
    PB_SET(to, response_code,
           (Envoy__Config__Route__V3__RedirectAction__RedirectResponseCode)redirect_code(
               PB_GET(from, redirect_code, 301)));
}

static void make_answer(struct production *p, route_message *route,
                        const Istio__Networking__V1alpha3__HTTPDirectResponse *from)
{
    Envoy__Config__Route__V3__DirectResponseAction *to =
        MAKE(p->arena, Envoy__Config__Route__V3__DirectResponseAction,
             envoy__config__route__v3__direct_response_action);
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE;
    route->direct_response = to;
    PB_SET(to, status, PB_GET(from, status, 200));
    if (!from->body || from->body->specifier_case == 0)
        return;
    to->body =
        MAKE(p->arena, Envoy__Config__Core__V3__DataSource, envoy__config__core__v3__data_source);
    if (from->body->specifier_case == ISTIO__NETWORKING__V1ALPHA3__HTTPBODY__SPECIFIER_STRING) {
        to->body->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
        to->body->inline_string = arena_copy_str(p->arena, from->body->string);
    } else {
        to->body->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
        to->body->inline_bytes = from->body->bytes;
    }
}

/* --- virtual hosts -------------------------------------------------------------------------------------------------- */

static route_message *make_route(struct production *p, const struct object *object,
                                 const http_rule *rule,
                                 const Istio__Networking__V1alpha3__HTTPMatchRequest *match,
                                 const struct service *service, uint32_t port)
{
    route_message *route =
        MAKE(p->arena, Envoy__Config__Route__V3__Route, envoy__config__route__v3__route);
    const char *name = pb_str(rule->name);
    const char *extra = match ? pb_str(match->name) : "";
    if (*name || *extra)
        route->name = arena_format(p->arena, "%s%s%s", name, *name && *extra ? "." : "", extra);
    route->match = make_match(p->arena, match);
    PUT_HEADERS(p->arena, route, rule->headers);
    if (rule->redirect)
        make_redirect(p, route, rule->redirect);
    else if (rule->direct_response)
        make_answer(p, route, rule->direct_response);
    else
        make_route_action(p, route, object, rule, port);
    Google__Protobuf__Struct *istio = pb_struct_new(p->arena);
    make_config_path(p->arena, istio, object);
    route->metadata = make_metadata(p->arena, "istio", istio);
    route->decorator =
        MAKE(p->arena, Envoy__Config__Route__V3__Decorator, envoy__config__route__v3__decorator);
    route->decorator->operation =
        arena_format(p->arena, "%.*s:%u/*", SLICE_ARG(service->host), port);
    return route;
}

/* Does anything get traffic by this rule? */
static bool has_action(const http_rule *rule)
{
    for (size_t i = 0; i < rule->n_route; i++) {
        if (rule->n_route == 1 || (rule->route[i]->has_weight && rule->route[i]->weight > 0))
            return true;
    }
    return rule->redirect || rule->direct_response;
}

static void add_rules(struct production *p, virtual_host *host, const struct object *object,
                      const struct service *service, uint32_t port)
{
    const Istio__Networking__V1alpha3__VirtualService *spec = object->virtual_service->spec;
    for (size_t i = 0; i < spec->n_http; i++) {
        const http_rule *rule = spec->http[i];
        if (!has_action(rule) || !object_rule_acts(object, i))
            continue;
        for (size_t m = 0; m < MAX(rule->n_match, (size_t)1); m++) {
            const Istio__Networking__V1alpha3__HTTPMatchRequest *match =
                rule->n_match > 0 ? rule->match[m] : NULL;
            PB_APPEND(p->arena, host, routes, make_route(p, object, rule, match, service, port));
            if (matches_everything(match))
                return;
        }
    }
}

static void add_default(struct production *p, virtual_host *host, const struct service *service,
                        uint32_t port)
{
    route_message *route =
        MAKE(p->arena, Envoy__Config__Route__V3__Route, envoy__config__route__v3__route);
    route->name = arena_copy_str(p->arena, "default");
    route->match = make_match(p->arena, NULL);
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
    route->route = make_forward(p->arena, 0);
    route->route->cluster_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    route->route->cluster = make_cluster_name(p->arena, port, NULL, service->host);
    route->decorator =
        MAKE(p->arena, Envoy__Config__Route__V3__Decorator, envoy__config__route__v3__decorator);
    route->decorator->operation =
        arena_format(p->arena, "%.*s:%u/*", SLICE_ARG(service->host), port);
    PB_APPEND(p->arena, host, routes, route);
}

static bool names_host(struct production *p, const struct object *rules, struct slice host)
{
    const Istio__Networking__V1alpha3__VirtualService *spec = rules->virtual_service->spec;
    for (size_t i = 0; spec && i < spec->n_hosts; i++) {
        struct slice name = host_resolve(slice_str(spec->hosts[i]), rules->name_space, p->arena);
        bool is_wildcard = name.size > 0 && name.data[0] == '*';
        if (slice_equals(name, host) || (is_wildcard && slice_ends_with(host, slice_from(name, 1))))
            return true;
    }
    return false;
}

static void drop_routes(virtual_host *host)
{
    host->routes = NULL;
    host->n_routes = 0;
}

/* The rules as they were before the version that proxies would refuse. */
static bool add_fallback(struct production *p, virtual_host *host, const struct object *rules,
                         const struct service *service, uint32_t port)
{
    const struct object *good = fallbacks_of(p->fallbacks, p->reader, rules);
    owned_error ignored = {0};
    if (!good || !names_host(p, good, service->host))
        return false;
    add_rules(p, host, good, service, port);
    return host->n_routes > 0 && dry_accepts_host(host, &ignored);
}

/* Rules that no proxy would take do not go out: the last good ones stay, or none act. One bad object so stops no other in its
 * table. */
static void check_rules(struct production *p, virtual_host *host, const struct object *rules,
                        const struct service *service, uint32_t port)
{
    owned_error error = {0};
    if (dry_accepts_host(host, &error))
        return;
    owned_str reason = error_text(&error, true);
    p->refuse(p->to, rules, reason);
    drop_routes(host);
    if (add_fallback(p, host, rules, service, port))
        return;
    drop_routes(host);
    add_default(p, host, service, port);
}

bool produce_accepts(const struct object *virtual_service, struct error *error)
{
    static const struct service anything = {.host = {"service.invalid", 15}};
    struct arena arena = {0};
    struct production p = {.arena = &arena};
    virtual_host *host =
        MAKE(&arena, Envoy__Config__Route__V3__VirtualHost, envoy__config__route__v3__virtual_host);
    host->name = arena_copy(&arena, anything.host);
    if (virtual_service->virtual_service->spec)
        add_rules(&p, host, virtual_service, &anything, 80);
    bool accepts = dry_accepts_host(host, error);
    arena_fini(&arena);
    return accepts;
}

/* The virtual host of a service's port for clients in a namespace, without domains. */
static virtual_host *make_virtual_host(struct production *p, const struct service *service,
                                       const struct service_port *port)
{
    virtual_host *host = MAKE(p->arena, Envoy__Config__Route__V3__VirtualHost,
                              envoy__config__route__v3__virtual_host);
    host->name = arena_format(p->arena, "%.*s:%u", SLICE_ARG(service->host), port->number);
    PB_SET(host, include_request_attempt_count, true);
    const struct object *rules = model_virtual_service(p->model, p->reader, service->host);
    if (rules && rules->virtual_service->spec && rules->virtual_service->spec->n_http > 0)
        add_rules(p, host, rules, service, port->number);
    else
        add_default(p, host, service, port->number);
    if (rules)
        check_rules(p, host, rules, service, port->number);
    return host;
}

/* --- route tables --------------------------------------------------------------------------------------------------- */

/* A domain may stand in a table once; whoever comes first has it. */
static void add_domain(struct production *p, struct map *taken, virtual_host *host, char *domain)
{
    if (map_get(taken, slice_str(domain)))
        return;
    map_put(taken, slice_str(domain), host);
    PB_APPEND(p->arena, host, domains, domain);
}

static void add_aliases(struct production *p, struct map *taken, virtual_host *host,
                        const struct service *service, struct slice client_name_space)
{
    if (service->from_kubernetes) {
        struct slice name = service->name, space = service->name_space;
        if (slice_equals(space, client_name_space))
            add_domain(p, taken, host, arena_copy(p->arena, name));
        add_domain(p, taken, host,
                   arena_format(p->arena, "%.*s.%.*s", SLICE_ARG(name), SLICE_ARG(space)));
        add_domain(p, taken, host,
                   arena_format(p->arena, "%.*s.%.*s.svc", SLICE_ARG(name), SLICE_ARG(space)));
    }
    if (service->address.size > 0)
        add_domain(p, taken, host, arena_copy(p->arena, service->address));
}

static virtual_host *make_catch_all(struct production *p)
{
    virtual_host *host = MAKE(p->arena, Envoy__Config__Route__V3__VirtualHost,
                              envoy__config__route__v3__virtual_host);
    host->name = arena_copy_str(p->arena, p->mesh->registry_only ? "block_all" : "allow_any");
    PB_APPEND(p->arena, host, domains, arena_copy_str(p->arena, "*"));
    PB_SET(host, include_request_attempt_count, true);
    route_message *route =
        MAKE(p->arena, Envoy__Config__Route__V3__Route, envoy__config__route__v3__route);
    route->name = arena_copy_str(p->arena, host->name);
    route->match = make_match(p->arena, NULL);
    if (p->mesh->registry_only) {
        route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE;
        route->direct_response = MAKE(p->arena, Envoy__Config__Route__V3__DirectResponseAction,
                                      envoy__config__route__v3__direct_response_action);
        PB_SET(route->direct_response, status, 502);
    } else {
        route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
        route->route = MAKE(p->arena, Envoy__Config__Route__V3__RouteAction,
                            envoy__config__route__v3__route_action);
        route->route->cluster_specifier_case =
            ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
        route->route->cluster = arena_copy_str(p->arena, PASSTHROUGH_CLUSTER);
        route->route->timeout = pb_duration_new(p->arena, 0);
    }
    PB_APPEND(p->arena, host, routes, route);
    return host;
}

static Envoy__Config__Route__V3__RouteConfiguration *make_table(struct production *p, char *name)
{
    Envoy__Config__Route__V3__RouteConfiguration *table =
        MAKE(p->arena, Envoy__Config__Route__V3__RouteConfiguration,
             envoy__config__route__v3__route_configuration);
    table->name = name;
    table->validate_clusters = pb_bool_new(p->arena, false);
    table->max_direct_response_body_size_bytes = pb_u32_new(p->arena, 1048576);
    PB_SET(table, ignore_port_in_host_matching, true);
    return table;
}

static bool is_routed(const struct service *service, uint32_t number, bool sniffed)
{
    const struct service_port *port = service_port(service, number);
    return port &&
           (sniffed ? port->protocol == PROTOCOL_UNKNOWN : protocol_is_http(port->protocol));
}

static void emit_table(struct production *p, char *name, const struct service_list *services,
                       uint32_t port, struct slice client_name_space)
{
    Envoy__Config__Route__V3__RouteConfiguration *table = make_table(p, name);
    struct map *taken = map_create();
    /* Full names first, so that no short name of one takes the full name of another. */
    for (size_t i = 0; i < services->count; i++) {
        const struct service *service = services->items[i];
        virtual_host *host = make_virtual_host(p, service, service_port(service, port));
        add_domain(p, taken, host, arena_copy(p->arena, service->host));
        if (service->host.data[0] != '*')
            add_domain(p, taken, host, arena_format(p->arena, "%.*s.", SLICE_ARG(service->host)));
        PB_APPEND(p->arena, table, virtual_hosts, host);
    }
    for (size_t i = 0; i < services->count; i++)
        add_aliases(p, taken, table->virtual_hosts[i], services->items[i], client_name_space);
    map_destroy(taken);
    PB_APPEND(p->arena, table, virtual_hosts, make_catch_all(p));
    p->origin = NULL;
    p->emit(p->to, RESOURCE_ROUTE, name, &table->base);
}

void produce_routes(struct production *p, uint32_t port, struct slice client_name_space)
{
    struct service_list all = registry_services_on_port(p->registry, p->reader, port, p->arena);
    struct service_list http = {.items =
                                    arena_calloc(p->arena, all.count + 1, sizeof(all.items[0]))};
    for (size_t i = 0; i < all.count; i++) {
        if (is_routed(all.items[i], port, false))
            http.items[http.count++] = all.items[i];
        if (is_routed(all.items[i], port, true))
            emit_table(p, arena_format(p->arena, "%.*s:%u", SLICE_ARG(all.items[i]->host), port),
                       &(struct service_list){&all.items[i], 1}, port, client_name_space);
    }
    if (http.count > 0)
        emit_table(p, arena_format(p->arena, "%u", port), &http, port, client_name_space);
}

void produce_grpc(struct production *p, struct slice host, struct slice client_name_space)
{
    const struct service *service = registry_service(p->registry, p->reader, host);
    for (size_t i = 0; service && i < service->port_count; i++) {
        const struct service_port *port = &service->ports[i];
        if (!protocol_is_http(port->protocol) && port->protocol != PROTOCOL_UNKNOWN)
            continue;
        char *table_name = make_cluster_name(p->arena, port->number, NULL, host);
        Envoy__Config__Route__V3__RouteConfiguration *table = make_table(p, table_name);
        virtual_host *virtual = make_virtual_host(p, service, port);
        PB_APPEND(p->arena, virtual, domains, arena_copy_str(p->arena, "*"));
        PB_APPEND(p->arena, table, virtual_hosts, virtual);
        p->emit(p->to, RESOURCE_ROUTE, table_name, &table->base);

        Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *hcm =
            make_hcm(p->arena, &(struct mesh_settings){0}, table_name);
        hcm->route_specifier_case =
            ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS;
        hcm->rds =
            MAKE(p->arena, Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__Rds,
                 envoy__extensions__filters__network__http_connection_manager__v3__rds);
        hcm->rds->config_source = make_ads(p->arena);
        hcm->rds->route_config_name = table_name;
        Envoy__Config__Listener__V3__ApiListener *api =
            MAKE(p->arena, Envoy__Config__Listener__V3__ApiListener,
                 envoy__config__listener__v3__api_listener);
        api->api_listener = pb_any_pack(&hcm->base, p->arena);
        /* One for each name under which a client may ask. */
        const char *names[] = {
            service->host.data, service->name.data,
            arena_format(p->arena, "%s.%s", service->name.data, service->name_space.data),
            arena_format(p->arena, "%s.%s.svc", service->name.data, service->name_space.data)};
        for (size_t n = 0; n < (service->from_kubernetes ? COUNT(names) : 1); n++) {
            if (n == 1 && !slice_equals(service->name_space, client_name_space))
                continue;
            Envoy__Config__Listener__V3__Listener *listener =
                MAKE(p->arena, Envoy__Config__Listener__V3__Listener,
                     envoy__config__listener__v3__listener);
            listener->name = arena_format(p->arena, "%s:%u", names[n], port->number);
            listener->api_listener = api;
            p->emit(p->to, RESOURCE_LISTENER, listener->name, &listener->base);
        }
    }
}
