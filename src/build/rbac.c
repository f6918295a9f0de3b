#include "build/rbac_internal.h"

#include "build/matchers_internal.h"
#include "build/values_internal.h"

#include <stdlib.h>

enum { RBAC_POLICIES_MAX = 10000 };

#define PERMISSION(name) ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_##name
#define PRINCIPAL(name) ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_##name

static struct rbac_test *add_test(struct builder *b, enum rbac_test_kind kind,
                                  struct predicate_node *node)
{
    struct rbac_test *test = arena_new(&b->memory->arena, struct rbac_test);
    test->kind = kind;
    *node = (struct predicate_node){.kind = PREDICATE_TEST, .test = test};
    return test;
}

static bool add_header(struct builder *b, const HeaderMatcherMessage *message,
                       struct predicate_node *node)
{
    struct rbac_test *test = add_test(b, RBAC_TEST_HEADER, node);
    if (!build_enter(b, "header") || !build_header_match(b, message, &test->header))
        return false;
    build_leave(b);
    return true;
}

static bool add_prefix(struct builder *b, const char *field, enum rbac_test_kind kind,
                       const CidrRangeMessage *message, struct predicate_node *node)
{
    struct ip ip;
    struct rbac_test *test = add_test(b, kind, node);
    if (!ip_parse(slice_str(pb_str(message->address_prefix)), &ip) ||
        !ip_prefix_make(&ip, pb_u32(message->prefix_len, 0), &test->prefix))
        return build_fail_at(b, field, "'%.64s/%u' is no range of addresses",
                             pb_str(message->address_prefix), pb_u32(message->prefix_len, 0));
    return true;
}

static bool add_ports(struct builder *b, const char *field, int64_t first, int64_t end,
                      struct predicate_node *node)
{
    if (first < 0 || end > 65536 || first >= end)
        return build_fail_at(b, field, "%ld to %ld is no range of ports", first, end);
    struct rbac_test *test = add_test(b, RBAC_TEST_PORTS, node);
    test->first_port = (uint32_t)first;
    test->end_port = (uint32_t)end;
    return true;
}

static bool add_path(struct builder *b, const Envoy__Type__Matcher__V3__PathMatcher *message,
                     struct predicate_node *node)
{
    struct rbac_test *test = add_test(b, RBAC_TEST_PATH, node);
    if (!message->rule_case)
        return build_fail_at(b, "url_path", "say which path");
    return build_string_match(b, "url_path", message->path, &test->string);
}

static bool add_children(struct builder *b, const char *field, enum predicate_kind kind,
                         size_t count, struct predicate_node *node,
                         struct predicate_node **children)
{
    if (count == 0)
        return build_fail_at(b, field, "the list is empty");
    *children = arena_calloc(&b->scratch, count, sizeof(**children));
    *node = (struct predicate_node){.kind = kind, .children = *children, .child_count = count};
    return true;
}

static bool build_permission(struct builder *b, const PermissionMessage *message,
                             struct predicate_node *node);

/* The depth of messages bounds these recursions: pb/guard.h and BUILD_MAX_DEPTH. */
static bool build_permissions(struct builder *b, const char *field, enum predicate_kind kind,
                              PermissionMessage *const *messages, size_t count,
                              struct predicate_node *node)
{
    struct predicate_node *children;
    if (!add_children(b, field, kind, count, node, &children))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, field, i) || !build_permission(b, messages[i], &children[i]))
            return false;
        build_leave(b);
    }
    return true;
}

static bool build_permission(struct builder *b, const PermissionMessage *message,
                             struct predicate_node *node)
{
    if (!build_honours(b, message, "and_rules", "or_rules", "any", "header", "destination_ip",
                       "destination_port", "not_rule", "requested_server_name", "url_path",
                       "destination_port_range"))
        return false;
    switch ((int)message->rule_case) {
    case PERMISSION(ANY):
        node->kind = PREDICATE_ALWAYS;
        return message->any || build_fail_at(b, "any", "this can only be true");
    case PERMISSION(AND_RULES):
        return build_permissions(b, "and_rules.rules", PREDICATE_AND, message->and_rules->rules,
                                 message->and_rules->n_rules, node);
    case PERMISSION(OR_RULES):
        return build_permissions(b, "or_rules.rules", PREDICATE_OR, message->or_rules->rules,
                                 message->or_rules->n_rules, node);
    case PERMISSION(NOT_RULE):
        return build_permissions(b, "not_rule", PREDICATE_NOT, &message->not_rule, 1, node);
    case PERMISSION(HEADER): return add_header(b, message->header, node);
    case PERMISSION(URL_PATH): return add_path(b, message->url_path, node);
    case PERMISSION(DESTINATION_IP):
        return add_prefix(b, "destination_ip", RBAC_TEST_DESTINATION, message->destination_ip,
                          node);
    case PERMISSION(DESTINATION_PORT):
        return add_ports(b, "destination_port", message->destination_port,
                         (int64_t)message->destination_port + 1, node);
    case PERMISSION(DESTINATION_PORT_RANGE):
        return add_ports(b, "destination_port_range",
                         PB_GET(message->destination_port_range, start, 0),
                         PB_GET(message->destination_port_range, end, 0), node);
    case PERMISSION(REQUESTED_SERVER_NAME):
        return build_string_match(b, "requested_server_name", message->requested_server_name,
                                  &add_test(b, RBAC_TEST_SERVER_NAME, node)->string);
    default: return build_fail(b, "this kind of permission does not act here yet");
    }
}

static bool build_principal(struct builder *b, const PrincipalMessage *message,
                            struct predicate_node *node);

static bool build_principals(struct builder *b, const char *field, enum predicate_kind kind,
                             PrincipalMessage *const *messages, size_t count,
                             struct predicate_node *node)
{
    struct predicate_node *children;
    if (!add_children(b, field, kind, count, node, &children))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, field, i) || !build_principal(b, messages[i], &children[i]))
            return false;
        build_leave(b);
    }
    return true;
}

static bool add_authenticated(struct builder *b,
                              const Envoy__Config__Rbac__V3__Principal__Authenticated *message,
                              struct predicate_node *node)
{
    if (!message->principal_name) {
        add_test(b, RBAC_TEST_AUTHENTICATED, node);
        return true;
    }
    return build_string_match(b, "authenticated.principal_name", message->principal_name,
                              &add_test(b, RBAC_TEST_PRINCIPAL, node)->string);
}

/* Istio's newer way to say authenticated: the peer's SPIFFE ID under this key. */
static bool add_filter_state(struct builder *b,
                             const Envoy__Type__Matcher__V3__FilterStateMatcher *message,
                             struct predicate_node *node)
{
    if (strcmp(pb_str(message->key), "io.istio.peer_principal") != 0 || !message->matcher_case)
        return build_fail_at(b, "filter_state", "only io.istio.peer_principal can be matched");
    return build_string_match(b, "filter_state.string_match", message->string_match,
                              &add_test(b, RBAC_TEST_PRINCIPAL, node)->string);
}

static bool build_principal(struct builder *b, const PrincipalMessage *message,
                            struct predicate_node *node)
{
    if (!build_honours(b, message, "and_ids", "or_ids", "any", "authenticated", "source_ip",
                       "header", "not_id", "url_path", "direct_remote_ip", "remote_ip",
                       "filter_state"))
        return false;
    switch ((int)message->identifier_case) {
    case PRINCIPAL(ANY):
        node->kind = PREDICATE_ALWAYS;
        return message->any || build_fail_at(b, "any", "this can only be true");
    case PRINCIPAL(AND_IDS):
        return build_principals(b, "and_ids.ids", PREDICATE_AND, message->and_ids->ids,
                                message->and_ids->n_ids, node);
    case PRINCIPAL(OR_IDS):
        return build_principals(b, "or_ids.ids", PREDICATE_OR, message->or_ids->ids,
                                message->or_ids->n_ids, node);
    case PRINCIPAL(NOT_ID):
        return build_principals(b, "not_id", PREDICATE_NOT, &message->not_id, 1, node);
    case PRINCIPAL(AUTHENTICATED): return add_authenticated(b, message->authenticated, node);
    case PRINCIPAL(FILTER_STATE): return add_filter_state(b, message->filter_state, node);
    case PRINCIPAL(HEADER): return add_header(b, message->header, node);
    case PRINCIPAL(URL_PATH): return add_path(b, message->url_path, node);
    case PRINCIPAL(SOURCE_IP):
        return add_prefix(b, "source_ip", RBAC_TEST_REMOTE, message->source_ip, node);
    case PRINCIPAL(DIRECT_REMOTE_IP):
        return add_prefix(b, "direct_remote_ip", RBAC_TEST_SOURCE, message->direct_remote_ip, node);
    case PRINCIPAL(REMOTE_IP):
        return add_prefix(b, "remote_ip", RBAC_TEST_REMOTE, message->remote_ip, node);
    default: return build_fail(b, "this kind of principal does not act here yet");
    }
}

/* One value is enough to deny, and each not does the opposite. The trees are no deeper than predicate_build allows. */
static void choose_values(const struct predicate_node *node, bool any)
{
    if (node->kind == PREDICATE_TEST)
        ((struct rbac_test *)(uintptr_t)node->test)->any_value = any;
    for (size_t i = 0; i < node->child_count; i++)
        choose_values(&node->children[i], node->kind == PREDICATE_NOT ? !any : any);
}

static bool build_policy(struct builder *b, const Envoy__Config__Rbac__V3__Policy *message,
                         bool denies, struct rbac_policy *policy)
{
    struct predicate_node permission, principal;
    if (!message)
        return build_fail(b, "the policy is missing");
    bool ok = build_honours(b, message, "permissions", "principals") &&
              build_permissions(b, "permissions", PREDICATE_OR, message->permissions,
                                message->n_permissions, &permission) &&
              build_principals(b, "principals", PREDICATE_OR, message->principals,
                               message->n_principals, &principal) &&
              build_ok(b, predicate_build(&policy->permission, &permission, b->memory, b->error)) &&
              build_ok(b, predicate_build(&policy->principal, &principal, b->memory, b->error));
    if (ok) {
        choose_values(&permission, denies);
        choose_values(&principal, denies);
    }
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return slice_compare(((const struct rbac_policy *)a)->name,
                         ((const struct rbac_policy *)b)->name);
}

bool build_rbac(struct builder *b, const RbacMessage *message, const struct rbac **out)
{
    static const enum rbac_action actions[] = {RBAC_ALLOW, RBAC_DENY, RBAC_LOG};
    uint32_t action = (uint32_t)PB_GET(message, action, 0);
    if (!build_honours(b, message, "action", "policies"))
        return false;
    if (action >= COUNT(actions))
        return build_fail_at(b, "action", "%u is no action", action);
    if (message->n_policies > RBAC_POLICIES_MAX)
        return build_fail_at(b, "policies", "there are %zu, and the limit is %d",
                             message->n_policies, RBAC_POLICIES_MAX);
    struct rbac_policy *policies = build_array(b, struct rbac_policy, message->n_policies);
    for (size_t i = 0; i < message->n_policies; i++) {
        policies[i].name = build_text(b, pb_str(message->policies[i]->key));
        if (!build_enter(b, "policies") || !build_enter(b, policies[i].name.data) ||
            !build_policy(b, message->policies[i]->value, actions[action] != RBAC_ALLOW,
                          &policies[i]))
            return false;
        build_leave(b);
        build_leave(b);
    }
    if (message->n_policies > 0)
        qsort(policies, message->n_policies, sizeof(*policies), by_name);
    struct rbac *rbac = arena_new(&b->memory->arena, struct rbac);
    *rbac = (struct rbac){actions[action], policies, message->n_policies};
    *out = rbac;
    return true;
}

bool build_rbac_at(struct builder *b, const char *field, const RbacMessage *message,
                   const struct rbac **out)
{
    if (!message)
        return true;
    if (!build_enter(b, field) || !build_rbac(b, message, out))
        return false;
    build_leave(b);
    return true;
}
