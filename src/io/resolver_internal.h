/*
 * resolver_internal: questions to name servers, without memory of earlier answers (c-ares).
 */
#pragma once

#include "base/vector.h"
#include "io/resolver.h"

struct dns;

struct dns_answer {
    enum resolve_status status; /* OK, NO_NAME or FAILED */
    const char *why;            /* static */
    const struct address *addresses;
    size_t count;
    unsigned ttl_s;
};
typedef void dns_on_answer(void *owner, const struct dns_answer *answer);

MUST_USE int dns_create(struct loop *loop, const struct resolver_options *options,
                        struct dns **out);
/* Questions under way are not answered any more. Accepts NULL. */
void dns_destroy(struct dns *dns);
/* The answer always comes from the loop. */
void dns_ask(struct dns *dns, const char *name, int family, dns_on_answer *on_answer, void *owner);
