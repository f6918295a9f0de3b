/*
 * string_match: one value against one pattern, as envoy.type.matcher.v3.StringMatcher means it.
 *
 * Ignoring case is for ASCII. An empty exact pattern matches the empty value; an empty prefix, suffix or
 * infix is refused, since it matches everything and is nearly always a mistake.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

struct regex;
struct table_memory;

enum string_match_kind {
    STRING_MATCH_EXACT,
    STRING_MATCH_PREFIX,
    STRING_MATCH_SUFFIX,
    STRING_MATCH_CONTAINS,
    STRING_MATCH_REGEX, /* the whole value */
    STRING_MATCH_ANY,   /* what ".*" becomes */
    STRING_MATCH_SOME,  /* any value but the empty one: what ".+" becomes */
};
enum { STRING_MATCH_MAX_BYTES = 8192 };

struct string_match {
    enum string_match_kind kind : 8;
    bool ignore_case;
    bool one_line;     /* made of a regex, whose "." stops at a newline */
    struct slice text; /* in lower case when the case is ignored */
    const struct regex *regex;
};

/* Copies the text. A regex is limited by regex.h, other texts by STRING_MATCH_MAX_BYTES. */
MUST_USE bool string_match_build(struct string_match *match, enum string_match_kind kind,
                                 struct slice text, bool ignore_case, struct table_memory *memory,
                                 struct error *error);
bool string_match_test(const struct string_match *match, struct slice value);
