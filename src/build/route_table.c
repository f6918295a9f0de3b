#include "build/route_table.h"

#include "base/memory.h"
#include "build/edits_internal.h"
#include "build/matchers_internal.h"
#include "build/routes_internal.h"
#include "build/values_internal.h"

void route_table_unref(struct route_table *table)
{
    if (!table || !counted_drop(&table->counted))
        return;
    table_memory_fini(&table->memory);
    mem_free(table);
}

static bool edits_of(struct builder *b, const struct edit_messages *messages,
                     const struct header_edits **out)
{
    *out = NULL;
    if (messages->add_count + messages->remove_count == 0)
        return true;
    struct header_edits *edits = arena_new(&b->memory->arena, struct header_edits);
    *out = edits;
    return build_header_edits(b, messages, edits);
}

bool build_edit_pair(struct builder *b, HeaderValueOptionMessage *const *request_add,
                     size_t request_add_count, char *const *request_remove,
                     size_t request_remove_count, HeaderValueOptionMessage *const *response_add,
                     size_t response_add_count, char *const *response_remove,
                     size_t response_remove_count, const struct header_edits **request,
                     const struct header_edits **response)
{
    const struct edit_messages requests = {
        "request_headers_to_add", "request_headers_to_remove", request_add, request_add_count,
        request_remove,           request_remove_count};
    const struct edit_messages responses = {
        "response_headers_to_add", "response_headers_to_remove", response_add, response_add_count,
        response_remove,           response_remove_count};
    return edits_of(b, &requests, request) && edits_of(b, &responses, response);
}

/* The levels that edit, in the order in which they are applied. */
static void order_edits(const struct header_edits *route, const struct header_edits *host,
                        const struct header_edits *table, bool table_first,
                        const struct header_edits *out[ROUTE_EDIT_LEVELS])
{
    const struct header_edits *levels[ROUTE_EDIT_LEVELS] = {route, host, table};
    size_t count = 0;
    for (size_t i = 0; i < ROUTE_EDIT_LEVELS; i++) {
        const struct header_edits *level = levels[table_first ? ROUTE_EDIT_LEVELS - 1 - i : i];
        if (level)
            out[count++] = level;
    }
}

static bool build_route(struct table_builder *t, const RouteMessage *message,
                        const struct virtual_host *host, struct route_rule *rule,
                        struct route *route)
{
    struct builder *b = &t->b;
    const struct header_edits *request = NULL, *response = NULL;
    *route = (struct route){
        .host = host, .rule = rule, .missing_cluster_status = 503, .host_literal = SLICE("")};
    if (!build_honours(b, message, "match", "route", "redirect", "direct_response",
                       "non_forwarding_action", "metadata", "decorator", "request_headers_to_add",
                       "response_headers_to_add", "response_headers_to_remove",
                       "request_headers_to_remove", "name") ||
        !build_route_rule(b, message->match, rule) || !build_route_action(t, message, route) ||
        !build_edits_of(b, message, &request, &response))
        return false;
    order_edits(request, t->host_request_edits, t->request_edits, t->table_edits_first,
                route->request_edits);
    order_edits(response, t->host_response_edits, t->response_edits, t->table_edits_first,
                route->response_edits);
    route->edits_before_target = t->table_edits_first;
    route->name = build_text(b, pb_str(message->name));
    route->operation =
        build_text(b, message->decorator ? pb_str(message->decorator->operation) : "");
    route->istio_config = build_metadata_text(b, message->metadata, "istio", "config");
    return true;
}

static bool build_routes(struct table_builder *t, const VirtualHostMessage *message,
                         struct virtual_host *host)
{
    struct builder *b = &t->b;
    size_t count = message->n_routes;
    if (count > ROUTE_LIST_MAX)
        return build_fail_at(b, "routes", "there are %zu, and the limit is %d", count,
                             ROUTE_LIST_MAX);
    struct route_rule *rules = build_array(b, struct route_rule, count);
    struct route *routes = build_array(b, struct route, count);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "routes", i) ||
            !build_route(t, message->routes[i], host, &rules[i], &routes[i]))
            return false;
        build_leave(b);
    }
    host->routes = routes;
    route_list_build(&host->rules, rules, count, b->memory);
    return true;
}

static bool build_host(struct table_builder *t, const VirtualHostMessage *message,
                       struct virtual_host *host)
{
    struct builder *b = &t->b;
    uint32_t tls = (uint32_t)PB_GET(message, require_tls, 0);
    if (!build_honours(b, message, "name", "domains", "routes", "require_tls",
                       "request_headers_to_add", "response_headers_to_add",
                       "response_headers_to_remove", "request_headers_to_remove",
                       "include_request_attempt_count", "retry_policy",
                       "include_attempt_count_in_response", "metadata") ||
        !build_required(b, "name", message->name, NAME_MAX_BYTES))
        return false;
    if (message->n_domains == 0)
        return build_fail_at(b, "domains", "this is required");
    if (tls > 2)
        return build_fail_at(b, "require_tls", "%u is no requirement", tls);
    if (tls == 1)
        return build_fail_at(b, "require_tls", "EXTERNAL_ONLY does not act here yet; ALL does");
    host->name = build_text(b, message->name);
    host->requires_tls = tls == 2;
    host->attempt_count_to_upstream = PB_GET(message, include_request_attempt_count, false);
    host->attempt_count_to_downstream = PB_GET(message, include_attempt_count_in_response, false);
    return build_retry_policy(b, message->retry_policy, &t->retry) &&
           build_edits_of(b, message, &t->host_request_edits, &t->host_response_edits) &&
           build_routes(t, message, host);
}

static bool build_hosts(struct table_builder *t, const RouteTableMessage *message)
{
    struct builder *b = &t->b;
    size_t count = message->n_virtual_hosts;
    if (count > ROUTE_HOSTS_MAX)
        return build_fail_at(b, "virtual_hosts", "there are %zu, and the limit is %d", count,
                             ROUTE_HOSTS_MAX);
    struct virtual_host *hosts = build_array(b, struct virtual_host, count);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "virtual_hosts", i) ||
            !build_host(t, message->virtual_hosts[i], &hosts[i]))
            return false;
        build_leave(b);
    }
    t->table->hosts = hosts;
    t->table->host_count = (uint32_t)count;
    return true;
}

static bool build_domains(struct table_builder *t, const RouteTableMessage *message)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < message->n_virtual_hosts; i++)
        count += message->virtual_hosts[i]->n_domains;
    struct domain_entry *entries = arena_calloc(&t->b.scratch, count + 1, sizeof(*entries));
    for (size_t i = 0; i < message->n_virtual_hosts; i++) {
        const VirtualHostMessage *host = message->virtual_hosts[i];
        for (size_t d = 0; d < host->n_domains; d++)
            entries[at++] = (struct domain_entry){slice_str(host->domains[d]), (int32_t)i};
    }
    return build_ok_at(
        &t->b, "virtual_hosts",
        domain_table_build(&t->table->domains, entries, count, t->b.memory, t->b.error));
}

static bool build(struct table_builder *t, const RouteTableMessage *message)
{
    struct builder *b = &t->b;
    if (!build_honours(b, message, "name", "virtual_hosts", "response_headers_to_add",
                       "response_headers_to_remove", "request_headers_to_add", "validate_clusters",
                       "request_headers_to_remove", "most_specific_header_mutations_wins",
                       "max_direct_response_body_size_bytes", "ignore_port_in_host_matching",
                       "metadata") ||
        !build_u32(b, "max_direct_response_body_size_bytes",
                   message->max_direct_response_body_size_bytes, 4096, 0, UINT32_MAX, &t->max_body))
        return false;
    t->max_body = MIN(t->max_body, (uint32_t)ROUTE_BODY_MAX);
    t->table_edits_first = PB_GET(message, most_specific_header_mutations_wins, false);
    t->table->name = build_name(b, slice_str(pb_str(message->name)));
    if (message->validate_clusters)
        t->table->validate = pb_bool(message->validate_clusters, false) ? ROUTE_CLUSTERS_CHECKED
                                                                        : ROUTE_CLUSTERS_ANY;
    t->table->ignore_port = PB_GET(message, ignore_port_in_host_matching, false);
    if (!build_edits_of(b, message, &t->request_edits, &t->response_edits) ||
        !build_hosts(t, message) || !build_domains(t, message))
        return false;
    t->table->clusters = build_keep_unique(b, b->clusters.items, b->clusters.count);
    return true;
}

bool route_table_build(const RouteTableMessage *message, const struct build_options *options,
                       struct route_table **out, struct error *error)
{
    owned(route_table) table = mem_new(struct route_table);
    struct table_builder t = {.table = table};
    counted_init(&table->counted);
    table_memory_init(&table->memory);
    builder_init(&t.b, &table->memory, options, error);
    bool ok = build(&t, message);
    builder_fini(&t.b);
    if (!ok) {
        error_at(error, "route %s", pb_str(message->name));
        return false;
    }
    *out = give(table);
    return true;
}

const struct virtual_host *route_table_host(const struct route_table *table, struct slice authority)
{
    if (table->ignore_port)
        authority = host_without_port(authority);
    int32_t index = domain_table_find(&table->domains, authority);
    return index == DOMAIN_NONE ? NULL : &table->hosts[index];
}

const struct route *route_table_find(const struct route_table *table,
                                     const struct match_request *request)
{
    const struct virtual_host *host = route_table_host(table, request->authority);
    if (!host)
        return NULL;
    int32_t index = route_list_find(&host->rules, request);
    return index == ROUTE_NONE ? NULL : &host->routes[index];
}
