/*
 * query_match: a parameter of the query string against a condition.
 *
 * The first parameter of that name counts, percent-encoded as it was sent (as Envoy does). A name without "=" has an
 * empty value.
 */
#pragma once

#include "base/attributes.h"
#include "match/string_match.h"

enum { QUERY_MATCH_MAX = 32 }; /* conditions of one rule */

struct query_match {
    struct slice name;
    bool is_presence; /* only presence is asked for, or absence */
    bool present;
    struct string_match string;
};

bool query_match_test(const struct query_match *match, struct slice query);
/* The raw value of the first parameter of that name; false when there is none. */
bool query_find(struct slice query, struct slice name, struct slice *value);
