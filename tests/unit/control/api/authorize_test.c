#include "control/api/authorize.h"

#include "test.h"

TEST(callers_may_do_what_their_kind_and_rules_say)
{
    static const struct owner_rule rules[] = {{1001, "shop"}, {1002, "bank"}};
    struct authorizer authorizer = {.own_uid = 500, .rules = rules, .rule_count = 2};
    static const struct {
        enum caller_kind kind;
        unsigned uid;
        enum verb verb;
        const char *resource, *name_space;
        bool expected;
    } rows[] = {
        {CALLER_NOBODY, 0, VERB_GET, "services", "shop", false},
        {CALLER_TOKEN, 0, VERB_DELETE, "namespaces", "shop", true},
        {CALLER_LOCAL, 0, VERB_DELETE, "services", "", true},
        {CALLER_LOCAL, 500, VERB_CREATE, "tokens", "bank", true},
        {CALLER_LOCAL, 1001, VERB_CREATE, "tokens", "shop", true},
        {CALLER_LOCAL, 1001, VERB_CREATE, "tokens", "bank", false},
        {CALLER_LOCAL, 1001, VERB_LIST, "services", "", false},
        {CALLER_LOCAL, 1001, VERB_LIST, "services", "sho", false},
        {CALLER_LOCAL, 1001, VERB_WATCH, "services", "shop", true},
        {CALLER_LOCAL, 1001, VERB_GET, "namespaces", "shop", true},
        {CALLER_LOCAL, 1001, VERB_DELETE, "namespaces", "shop", false},
        {CALLER_LOCAL, 1001, VERB_CREATE, "leases", "", true},
        {CALLER_LOCAL, 1003, VERB_CREATE, "leases", "", false},
        {CALLER_LOCAL, 1003, VERB_GET, "services", "shop", false},
    };
    EACH (r, rows) {
        struct caller caller = {r->kind, r->uid};
        CHECK(authorize(&authorizer, &caller, r->verb, slice_str(r->resource),
                        slice_str(r->name_space)) == r->expected,
              "uid %u, %s %s in \"%s\"", r->uid, verb_name(r->verb), r->resource, r->name_space);
    }
}
