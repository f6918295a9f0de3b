#include "match/rbac.h"

#include <string.h>

enum { RBAC_PATH_MAX = 16384 };

/* The request as one evaluation sees it. */
struct rbac_view {
    const struct match_request *request;
    struct slice path;
};

static bool any_principal(const struct string_match *match,
                          const struct match_connection *connection)
{
    for (size_t i = 0; i < connection->principal_count; i++) {
        if (string_match_test(match, connection->principals[i]))
            return true;
    }
    return false;
}

static bool test_holds(const void *rule, const void *input)
{
    const struct rbac_test *test = rule;
    const struct rbac_view *view = input;
    const struct match_connection *connection = view->request->connection;
    bool is_http = view->request->header != NULL;
    switch (test->kind) {
    case RBAC_TEST_HEADER:
        return is_http && header_match_values(&test->header, view->request, test->any_value);
    case RBAC_TEST_PATH: return is_http && string_match_test(&test->string, view->path);
    case RBAC_TEST_PATH_MATCH: return is_http && path_match_test(&test->path, view->path);
    case RBAC_TEST_PORTS:
        return connection->destination_port >= test->first_port &&
               connection->destination_port < test->end_port;
    case RBAC_TEST_DESTINATION: return ip_prefix_holds(&test->prefix, &connection->destination);
    case RBAC_TEST_SOURCE: return ip_prefix_holds(&test->prefix, &connection->source);
    case RBAC_TEST_REMOTE: return ip_prefix_holds(&test->prefix, &connection->remote);
    case RBAC_TEST_SERVER_NAME: return string_match_test(&test->string, connection->server_name);
    case RBAC_TEST_PRINCIPAL: return any_principal(&test->string, connection);
    case RBAC_TEST_AUTHENTICATED: return connection->principal_count > 0;
    }
    return false;
}

static bool policy_matches(const struct rbac_policy *policy, const struct rbac_view *view)
{
    return predicate_holds(&policy->permission, test_holds, view) &&
           predicate_holds(&policy->principal, test_holds, view);
}

/*
 * "/a;x=1/b;y" to "/a/b", and "/a/..;/b" to "/b": servers that drop parameters resolve dots afterwards. At most one
 * byte longer than the path: it begins with a slash.
 */
static size_t without_parameters(struct slice path, char *out)
{
    size_t size = 0;
    for (size_t at = 0, end; at <= path.size; at = end + 1) {
        end = at;
        while (end < path.size && path.data[end] != '/')
            end++;
        struct slice segment = slice_of(path.data + at, end - at);
        segment = slice_first(segment, slice_find_byte(segment, ';'));
        bool is_up = slice_equals(segment, SLICE(".."));
        bool is_name = segment.size > 0 && !is_up && !slice_equals(segment, SLICE("."));
        while (is_up && size > 0 && out[--size] != '/')
            ;
        if (is_name || end == path.size)
            out[size++] = '/';
        if (is_name) {
            memcpy(out + size, segment.data, segment.size);
            size += segment.size;
        }
    }
    return size;
}

static const struct rbac_policy *matching_policy(const struct rbac *rbac,
                                                 const struct rbac_view *plain,
                                                 const struct rbac_view *stripped)
{
    for (size_t i = 0; i < rbac->policy_count; i++) {
        const struct rbac_policy *policy = &rbac->policies[i];
        bool matches = policy_matches(policy, plain);
        if (stripped && matches == (rbac->action == RBAC_ALLOW))
            matches = policy_matches(policy, stripped);
        if (matches)
            return policy;
    }
    return NULL;
}

struct rbac_verdict rbac_judge(const struct rbac *rbac, const struct match_request *request)
{
    char stripped_path[RBAC_PATH_MAX + 1];
    bool lost = false;
    struct match_request watched = *request;
    watched.lost = &lost;
    struct rbac_view plain = {&watched, request->path}, stripped = plain;

    bool has_parameters =
        request->header && slice_find_byte(request->path, ';') != request->path.size;
    if (has_parameters) {
        if (request->path.size > RBAC_PATH_MAX)
            return (struct rbac_verdict){.allowed = rbac->action == RBAC_LOG};
        size_t size = without_parameters(request->path, stripped_path);
        stripped.path = slice_of(stripped_path, size);
    }
    const struct rbac_policy *policy =
        matching_policy(rbac, &plain, has_parameters ? &stripped : NULL);
    if (lost && request->lost)
        *request->lost = true;

    struct rbac_verdict verdict = {.policy = policy ? policy->name : SLICE("")};
    switch (rbac->action) {
    case RBAC_ALLOW: verdict.allowed = policy != NULL; break;
    case RBAC_DENY: verdict.allowed = policy == NULL; break;
    case RBAC_LOG: verdict.allowed = true; break;
    }
    if (lost)
        verdict.allowed = false;
    return verdict;
}
