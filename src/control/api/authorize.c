#include "control/api/authorize.h"

const char *verb_name(enum verb verb)
{
    switch (verb) {
    case VERB_GET: return "get";
    case VERB_LIST: return "list";
    case VERB_WATCH: return "watch";
    case VERB_CREATE: return "create";
    case VERB_UPDATE: return "update";
    case VERB_PATCH: return "patch";
    case VERB_DELETE: return "delete";
    case VERB_DELETE_COLLECTION: return "deletecollection";
    case VERBS: break;
    }
    return "";
}

static bool owns(const struct authorizer *authorizer, unsigned uid, struct slice name_space,
                 bool any)
{
    for (size_t i = 0; i < authorizer->rule_count; i++) {
        const struct owner_rule *rule = &authorizer->rules[i];
        if (rule->uid == uid && (any || slice_equals_str(name_space, rule->name_space)))
            return true;
    }
    return false;
}

bool authorize(const struct authorizer *authorizer, const struct caller *caller, enum verb verb,
               struct slice resource, struct slice name_space)
{
    bool reads = verb == VERB_GET || verb == VERB_LIST || verb == VERB_WATCH;
    switch (caller->kind) {
    case CALLER_NOBODY: return false;
    case CALLER_TOKEN: return true;
    case CALLER_LOCAL: break;
    }
    if (caller->uid == 0 || caller->uid == authorizer->own_uid)
        return true;
    /* A namespace's owner may look at it, but neither make nor delete it. */
    if (slice_equals_str(resource, "namespaces") && !reads)
        return false;
    /* A lease lies in no namespace; whoever owns one may hold leases. */
    bool any = slice_equals_str(resource, "leases");
    return (any || name_space.size > 0) && owns(authorizer, caller->uid, name_space, any);
}
