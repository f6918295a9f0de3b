/*
 * authorize: who is asking, and what they may do.
 *
 * A caller is a token's holder (may do everything) or a process on this host, known by its uid: root and the
 * uid that runs tulled may do everything, another uid what its rules say, in the namespaces that they name.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum verb {
    VERB_GET,
    VERB_LIST,
    VERB_WATCH,
    VERB_CREATE,
    VERB_UPDATE,
    VERB_PATCH,
    VERB_DELETE,
    VERB_DELETE_COLLECTION,
    VERBS
};
const char *verb_name(enum verb verb); /* "deletecollection" */

enum caller_kind { CALLER_NOBODY, CALLER_TOKEN, CALLER_LOCAL };
struct caller {
    enum caller_kind kind;
    unsigned uid; /* CALLER_LOCAL */
};

/* This uid owns this namespace: it may do everything there. */
struct owner_rule {
    unsigned uid;
    const char *name_space;
};
struct authorizer {
    unsigned own_uid;               /* of tulled */
    const struct owner_rule *rules; /* outlive the authorizer */
    size_t rule_count;
};
/* `resource` is the plural, "virtualservices", or our own: "tokens", "leases", "proxies"; a namespace object is judged
 * by its name. An empty namespace asks for all of them. */
bool authorize(const struct authorizer *authorizer, const struct caller *caller, enum verb verb,
               struct slice resource, struct slice name_space);
