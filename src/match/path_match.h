/*
 * path_match: the path of a request (canonical, without query) against a pattern.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

struct regex;
struct table_memory;

enum path_match_kind {
    PATH_MATCH_PREFIX, /* "/" matches all */
    PATH_MATCH_EXACT,
    PATH_MATCH_SEPARATED, /* "/api" matches "/api" and "/api/v1", not "/apiary" */
    PATH_MATCH_REGEX,     /* the whole path */
    PATH_MATCH_TEMPLATE,  /* uri_template "/a/{*}/b", "/a/{**}": compiled to a regex */
    PATH_MATCH_CONNECT,   /* any CONNECT request, whatever its path, and nothing else */
};
enum { PATH_MATCH_MAX_BYTES = 8192 };

struct path_match {
    enum path_match_kind kind : 8;
    bool ignore_case;
    struct slice text; /* in lower case when the case is ignored */
    const struct regex *regex;
};

/* Copies the text. */
MUST_USE bool path_match_build(struct path_match *match, enum path_match_kind kind,
                               struct slice text, bool ignore_case, struct table_memory *memory,
                               struct error *error);
bool path_match_test(const struct path_match *match, struct slice path);
