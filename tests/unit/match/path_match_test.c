#include "test.h"

#include "match/path_match.h"
#include "match/table_memory.h"

static const struct {
    enum path_match_kind kind;
    const char *pattern, *path;
    bool ignore_case, matches;
} cases[] = {
    {PATH_MATCH_PREFIX, "/", "/anything", false, true},
    {PATH_MATCH_PREFIX, "/", "", false, false},
    {PATH_MATCH_PREFIX, "/api", "/apiary", false, true},
    {PATH_MATCH_PREFIX, "/API", "/api/x", false, false},
    {PATH_MATCH_PREFIX, "/API", "/api/x", true, true},
    {PATH_MATCH_EXACT, "/api", "/api", false, true},
    {PATH_MATCH_EXACT, "/api", "/api/", false, false},
    {PATH_MATCH_EXACT, "/Api", "/aPI", true, true},
    {PATH_MATCH_SEPARATED, "/api", "/api", false, true},
    {PATH_MATCH_SEPARATED, "/api", "/api/v1", false, true},
    {PATH_MATCH_SEPARATED, "/public", "/publicx", false, false}, /* PTH-12 */
    {PATH_MATCH_SEPARATED, "/api", "/ap", false, false},
    {PATH_MATCH_REGEX, "/v[0-9]+/.*", "/v12/x", false, true},
    {PATH_MATCH_REGEX, "/v[0-9]+", "/v12/x", false, false},
    {PATH_MATCH_TEMPLATE, "/a/{*}/c", "/a/b/c", false, true},
    {PATH_MATCH_TEMPLATE, "/a/{*}/c", "/a/b/b/c", false, false},
    {PATH_MATCH_TEMPLATE, "/a/{*}/c", "/a//c", false, false},
    {PATH_MATCH_TEMPLATE, "/a/{**}", "/a/b/c", false, true},
    {PATH_MATCH_TEMPLATE, "/a/{**}", "/a/", false, true},
    {PATH_MATCH_TEMPLATE, "/a/{**}", "/b", false, false},
    {PATH_MATCH_TEMPLATE, "/a.b/{name}", "/aXb/x", false, false},
    {PATH_MATCH_TEMPLATE, "/a.b/{name=*}", "/a.b/x", false, true},
    {PATH_MATCH_TEMPLATE, "/{name=**}/end", "/x/y/end", false, true},
    {PATH_MATCH_CONNECT, "", "/x", false, false},
};

TEST(path_match_follows_its_kind)
{
    EACH (row, cases) {
        struct table_memory memory;
        struct path_match match;
        table_memory_init(&memory);
        CHECK(path_match_build(&match, row->kind, slice_str(row->pattern), row->ignore_case,
                               &memory, NULL),
              "%s", row->pattern);
        CHECK(path_match_test(&match, slice_str(row->path)) == row->matches, "%s on %s",
              row->pattern, row->path);
        table_memory_fini(&memory);
    }
}

TEST(path_match_refuses_what_cannot_match)
{
    static const struct {
        enum path_match_kind kind;
        const char *pattern;
    } bad[] = {
        {PATH_MATCH_EXACT, ""},           {PATH_MATCH_EXACT, "/a?b"},
        {PATH_MATCH_PREFIX, "/a#b"},      {PATH_MATCH_SEPARATED, "/api/"},
        {PATH_MATCH_SEPARATED, "api"},    {PATH_MATCH_SEPARATED, ""},
        {PATH_MATCH_SEPARATED, "/"},      {PATH_MATCH_REGEX, "("},
        {PATH_MATCH_TEMPLATE, "/{*"},     {PATH_MATCH_TEMPLATE, "/*"},
        {PATH_MATCH_TEMPLATE, "/a}"},     {PATH_MATCH_TEMPLATE, "/{***}"},
        {PATH_MATCH_TEMPLATE, "/{a=b*}"},
    };
    EACH (row, bad) {
        struct table_memory memory;
        struct path_match match;
        struct error error = {0};
        table_memory_init(&memory);
        CHECK(!path_match_build(&match, row->kind, slice_str(row->pattern), false, &memory, &error),
              "%s", row->pattern);
        CHECK(error.what, "%s", row->pattern);
        error_fini(&error);
        table_memory_fini(&memory);
    }
}
