#include "test.h"

#include "base/memory.h"
#include "match/regex.h"

static struct regex *compiled(const char *pattern, bool ignore_case)
{
    struct regex *regex = NULL;
    CHECK(regex_compile(slice_str(pattern), ignore_case, &regex, NULL), "%s", pattern);
    return regex;
}

static const struct {
    const char *pattern, *text;
    bool ignore_case, whole, part;
} matches[] = {
    {"/api/v[0-9]+", "/api/v12", false, true, true},
    {"/api/v[0-9]+", "/api/v12/x", false, false, true},
    {"/API", "/api", false, false, false},
    {"/API", "/api", true, true, true},
    {".*", "", false, true, true},
    {"", "", false, true, true},
    {"a.c",
     "a\xff"
     "c",
     false, true, true},
    {"a.c", "a\nc", false, false, false},
};

TEST(regex_matches_the_whole_text_or_a_part)
{
    EACH (row, matches) {
        struct regex *regex = compiled(row->pattern, row->ignore_case);
        CHECK(regex_matches(regex, slice_str(row->text)) == row->whole, "%s on %s", row->pattern,
              row->text);
        CHECK(regex_finds(regex, slice_str(row->text)) == row->part, "%s in %s", row->pattern,
              row->text);
        regex_destroy(regex);
    }
}

/* CFG-18 */
TEST(regex_refuses_what_would_cost_too_much)
{
    static const char *const patterns[] = {"(",
                                           "[a",
                                           "a{1000}{1000}",
                                           "(((a{100}){100}){100})",
                                           "\\",
                                           "(?P<n",
                                           "((a{1,100}){1,100}){1,50}"};
    EACH (pattern, patterns) {
        struct regex *regex = NULL;
        owned_error error = {0};
        CHECK(!regex_compile(slice_str(*pattern), false, &regex, &error), "%s", *pattern);
        CHECK(error.what, "%s has a reason", *pattern);
    }
    char long_pattern[REGEX_MAX_BYTES + 2];
    memset(long_pattern, 'a', sizeof(long_pattern));
    struct regex *regex = NULL;
    CHECK(regex_compile(slice_of(long_pattern, REGEX_MAX_BYTES), false, &regex, NULL));
    regex_destroy(regex);
    CHECK(!regex_compile(slice_of(long_pattern, REGEX_MAX_BYTES + 1), false, &regex, NULL));
}

TEST(regex_stays_linear_where_backtracking_explodes)
{
    static const char *const patterns[] = {"(a+)+$", "(.*)*x", "(a|aa)+b", "(a*)*b"};
    size_t size = 200000;
    char *text = mem_alloc(size);
    memset(text, 'a', size);
    text[size - 1] = '!';
    EACH (pattern, patterns) {
        struct regex *regex = compiled(*pattern, false);
        CHECK(!regex_matches(regex, slice_of(text, size)), "%s", *pattern);
        regex_destroy(regex);
    }
    mem_free(text);
}

static const struct {
    const char *pattern, *text, *substitution, *result;
} replacements[] = {
    {"^/service/([^/]+)(/.*)$", "/service/foo/v1/api", "\\2/instance/\\1", "/v1/api/instance/foo"},
    {"one", "/xxx/one/yyy/one/zzz", "two", "/xxx/two/yyy/two/zzz"},
    {"^(.*?)one(.*)$", "/xxx/one/yyy/one/zzz", "\\1two\\2", "/xxx/two/yyy/one/zzz"},
    {"(?i)/xxx/", "/aaa/XxX/bbb", "/yyy/", "/aaa/yyy/bbb"},
    {"x*", "abc", "-", "-a-b-c-"},
    {"b*", "abc", "-", "-a-c-"},
    {"(a)|(b)", "ab", "<\\1\\2>", "<a><b>"},
    {"a", "bbb", "x", "bbb"},
    {"/", "/a", "\\\\", "\\a"},
    {"", "", "x", "x"},
};

TEST(regex_replaces_every_match)
{
    EACH (row, replacements) {
        struct regex *regex = compiled(row->pattern, false);
        char out[256];
        size_t size = 0;
        CHECK(regex_check_substitution(regex, slice_str(row->substitution), NULL), "%s",
              row->substitution);
        CHECK(regex_replace(regex, slice_str(row->text), slice_str(row->substitution), out,
                            sizeof(out), &size),
              "%s", row->pattern);
        CHECK(slice_equals_str(slice_of(out, size), row->result), "%s on %s gives %.*s",
              row->pattern, row->text, (int)size, out);
        regex_destroy(regex);
    }
}

/* CFG-19 */
TEST(regex_bounds_what_a_substitution_writes)
{
    struct regex *regex = compiled("(a)(b)?", false);
    CHECK(!regex_check_substitution(regex, SLICE("\\3"), NULL), "there is no third group");
    CHECK(!regex_check_substitution(regex, SLICE("x\\"), NULL), "an escape of nothing");
    CHECK(!regex_check_substitution(regex, SLICE("\\n"), NULL));
    CHECK(regex_check_substitution(regex, SLICE("\\0\\1\\2\\\\"), NULL));

    char out[8];
    size_t size = 0;
    CHECK(regex_replace(regex, SLICE("a"), SLICE("\\1\\2!"), out, sizeof(out), &size));
    CHECK(slice_equals(slice_of(out, size), SLICE("a!")), "an empty group writes nothing");
    CHECK(regex_replace(regex, SLICE("aaaa"), SLICE("xx"), out, sizeof(out), &size));
    CHECK(!regex_replace(regex, SLICE("aaaa"), SLICE("xxx"), out, sizeof(out), &size));
    CHECK(!regex_replace(regex, SLICE("aaaac"), SLICE("xx"), out, sizeof(out), &size));

    char many[REGEX_MAX_REPLACEMENTS + 2], room[512];
    memset(many, 'a', sizeof(many));
    CHECK(regex_replace(regex, slice_of(many, REGEX_MAX_REPLACEMENTS), SLICE("b"), room,
                        sizeof(room), &size));
    CHECK(!regex_replace(regex, slice_of(many, REGEX_MAX_REPLACEMENTS + 1), SLICE("b"), room,
                         sizeof(room), &size));
    regex_destroy(regex);
}
