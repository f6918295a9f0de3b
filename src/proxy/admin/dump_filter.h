/*
 * dump_filter: what /config_dump?resource=&mask=&name_regex= leaves of a config dump, as Envoy's does. Pure.
 *
 * resource=static_clusters gives the elements of that list instead of whole dumps; mask keeps the fields that it names (of the
 * elements with a resource, else of the dumps to which all of it applies); name_regex keeps what has such a name as a whole.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "pb/document.h"

struct regex;

enum { DUMP_MASK_MAX = 64 }; /* paths */

struct dump_query {
    struct slice resource, mask; /* empty: not asked for */
    const struct regex *names;   /* NULL: all */
    bool include_eds;
};
struct dump_refusal {
    unsigned status;
    const char *text; /* in the arena */
};
/* configs is a list of dumps; *out is another one, which shares with it. False with the refusal filled. */
MUST_USE bool dump_filter(const struct value *configs, const struct dump_query *query,
                          struct arena *arena, struct value **out, struct dump_refusal *refusal);
