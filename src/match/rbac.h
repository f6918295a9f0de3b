/*
 * rbac: may this request, or this connection, pass? Policies of permissions and principals.
 *
 * ALLOW: passes when some policy matches (no policy: nothing passes). DENY: passes when none matches. LOG: always passes.
 * A test on something that the connection does not have (no certificate, no HTTP) does not hold.
 *
 * Paths are tested as ALLOW and DENY need it where they hold path parameters ("/a;x=1"): a policy of DENY matches when the path
 * with or without them does, one of ALLOW only when both do.
 */
#pragma once

#include "base/attributes.h"
#include "match/cidr_set.h"
#include "match/header_match.h"
#include "match/path_match.h"
#include "match/predicate.h"
#include "match/request.h"
#include "match/string_match.h"

enum rbac_action { RBAC_ALLOW, RBAC_DENY, RBAC_LOG };

enum rbac_test_kind {
    RBAC_TEST_HEADER,
    RBAC_TEST_PATH,        /* string match on the path */
    RBAC_TEST_PATH_MATCH,  /* template */
    RBAC_TEST_PORTS,       /* destination port in [first, end) */
    RBAC_TEST_DESTINATION, /* address in a prefix */
    RBAC_TEST_SOURCE,
    RBAC_TEST_REMOTE,
    RBAC_TEST_SERVER_NAME,
    RBAC_TEST_PRINCIPAL,     /* any name of the peer */
    RBAC_TEST_AUTHENTICATED, /* has a verified certificate */
};
struct rbac_test {
    enum rbac_test_kind kind : 8;
    bool any_value; /* HEADER: one value is enough, for what denies; see header_match_values */
    uint32_t first_port, end_port;
    union {
        struct header_match header;
        struct string_match string;
        struct path_match path;
        struct ip_prefix prefix;
    };
};

struct rbac_policy {
    struct slice name;
    struct predicate permission, principal; /* over struct rbac_test */
};
struct rbac {
    enum rbac_action action;
    const struct rbac_policy *policies; /* in order of name */
    size_t policy_count;
};

struct rbac_verdict {
    bool allowed;
    struct slice policy; /* the policy that matched; empty when none did */
};

/* On TCP, request->header is NULL and only request->connection counts. A lost header refuses. */
struct rbac_verdict rbac_judge(const struct rbac *rbac, const struct match_request *request);
