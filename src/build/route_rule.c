#include "build/routes_internal.h"

#include "build/matchers_internal.h"
#include "build/values_internal.h"

#define PATH(name) ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_##name

static bool build_path(struct builder *b, const RouteMatchMessage *message, struct path_match *out)
{
    bool ignore_case = !pb_bool(message->case_sensitive, true);
    enum path_match_kind kind;
    const char *field, *text = "";
    switch ((int)message->path_specifier_case) {
    case PATH(PREFIX):
        kind = PATH_MATCH_PREFIX;
        field = "prefix";
        text = message->prefix;
        break;
    case PATH(PATH):
        kind = PATH_MATCH_EXACT;
        field = "path";
        text = message->path;
        break;
    case PATH(PATH_SEPARATED_PREFIX):
        kind = PATH_MATCH_SEPARATED;
        field = "path_separated_prefix";
        text = message->path_separated_prefix;
        break;
    case PATH(SAFE_REGEX):
        kind = PATH_MATCH_REGEX;
        field = "safe_regex";
        text = message->safe_regex->regex;
        ignore_case = false; /* a regex says itself what case means */
        break;
    case PATH(CONNECT_MATCHER):
        kind = PATH_MATCH_CONNECT;
        field = "connect_matcher";
        break;
    default:
        return build_fail(b, "say which path: prefix, path, path_separated_prefix or safe_regex");
    }
    return build_ok_at(
        b, field,
        path_match_build(out, kind, slice_str(pb_str(text)), ignore_case, b->memory, b->error));
}

bool build_route_rule(struct builder *b, const RouteMatchMessage *message, struct route_rule *rule)
{
    if (!message)
        return build_fail_at(b, "match", "this is required");
    if (!build_enter(b, "match") ||
        !build_honours(b, message, "prefix", "path", "safe_regex", "connect_matcher",
                       "path_separated_prefix", "case_sensitive", "headers", "query_parameters",
                       "grpc", "runtime_fraction") ||
        !build_path(b, message, &rule->path) ||
        !build_header_matches(b, "headers", message->headers, message->n_headers, &rule->headers) ||
        !build_query_matches(b, "query_parameters", message->query_parameters,
                             message->n_query_parameters, &rule->queries) ||
        !build_fraction(b, "runtime_fraction", message->runtime_fraction, &rule->fraction))
        return false;
    rule->header_count = (uint16_t)message->n_headers;
    rule->query_count = (uint16_t)message->n_query_parameters;
    rule->grpc_only = message->grpc != NULL;
    build_leave(b);
    return true;
}
