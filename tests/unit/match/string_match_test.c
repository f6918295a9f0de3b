#include "test.h"

#include "match/string_match.h"
#include "match/table_memory.h"

static const struct {
    enum string_match_kind kind;
    const char *pattern, *value;
    bool ignore_case, matches;
} cases[] = {
    {STRING_MATCH_EXACT, "abc", "abc", false, true},
    {STRING_MATCH_EXACT, "abc", "abcd", false, false},
    {STRING_MATCH_EXACT, "abc", "ABC", false, false},
    {STRING_MATCH_EXACT, "aBc", "AbC", true, true},
    {STRING_MATCH_EXACT, "", "", false, true},
    {STRING_MATCH_EXACT, "", "a", false, false},
    {STRING_MATCH_PREFIX, "ab", "abc", false, true},
    {STRING_MATCH_PREFIX, "ab", "a", false, false},
    {STRING_MATCH_PREFIX, "AB", "abc", true, true},
    {STRING_MATCH_SUFFIX, "bc", "abc", false, true},
    {STRING_MATCH_SUFFIX, "bc", "c", false, false},
    {STRING_MATCH_SUFFIX, "BC", "aBc", true, true},
    {STRING_MATCH_CONTAINS, "bc", "abcd", false, true},
    {STRING_MATCH_CONTAINS, "bc", "b", false, false},
    {STRING_MATCH_CONTAINS, "BC", "abCd", true, true},
    {STRING_MATCH_CONTAINS, "cd", "abcd", true, true},
    {STRING_MATCH_REGEX, "a+b?", "aab", false, true},
    {STRING_MATCH_REGEX, "a+b?", "aabb", false, false},
    {STRING_MATCH_REGEX, ".*", "", false, true},
    {STRING_MATCH_REGEX, ".*", "a\nb", false, false},
    {STRING_MATCH_REGEX, ".+", "", false, false},
    {STRING_MATCH_REGEX, ".+", "x", false, true},
    {STRING_MATCH_REGEX, "spiffe://td/ns/x/.*", "spiffe://td/ns/x/sa/y", false, true},
    {STRING_MATCH_REGEX, "spiffe://td/ns/x/.*", "spiffe://td/ns/xy/sa/y", false, false},
    {STRING_MATCH_REGEX, "spiffe://td/ns/x/.*", "spiffe://td/ns/x/\n", false, false},
    {STRING_MATCH_REGEX, ".*/sa/y", "spiffe://td/ns/x/sa/y", false, true},
    {STRING_MATCH_REGEX, ".*/sa/y", "spiffe://td/ns/x/sa/yz", false, false},
    {STRING_MATCH_REGEX, "get", "GET", true, true},
    {STRING_MATCH_REGEX, "a.c", "abc", false, true},
    {STRING_MATCH_REGEX, ".*a.*", "xay", false, true},
    {STRING_MATCH_REGEX, ".*.*", "xy", false, true},
};

TEST(string_match_follows_its_kind)
{
    EACH (row, cases) {
        struct table_memory memory;
        struct string_match match;
        table_memory_init(&memory);
        CHECK(string_match_build(&match, row->kind, slice_str(row->pattern), row->ignore_case,
                                 &memory, NULL),
              "%s", row->pattern);
        CHECK(string_match_test(&match, slice_str(row->value)) == row->matches, "%s on %s",
              row->pattern, row->value);
        table_memory_fini(&memory);
    }
}

TEST(string_match_refuses_what_matches_everything_by_mistake)
{
    struct table_memory memory;
    struct string_match match;
    table_memory_init(&memory);
    CHECK(!string_match_build(&match, STRING_MATCH_PREFIX, SLICE(""), false, &memory, NULL));
    CHECK(!string_match_build(&match, STRING_MATCH_SUFFIX, SLICE(""), false, &memory, NULL));
    CHECK(!string_match_build(&match, STRING_MATCH_CONTAINS, SLICE(""), true, &memory, NULL));
    table_memory_fini(&memory);
}

TEST(string_match_has_a_limit)
{
    static char text[STRING_MATCH_MAX_BYTES + 1];
    struct table_memory memory;
    struct string_match match;
    table_memory_init(&memory);
    memset(text, 'a', sizeof(text));
    CHECK(string_match_build(&match, STRING_MATCH_EXACT, slice_of(text, sizeof(text) - 1), false,
                             &memory, NULL));
    CHECK(!string_match_build(&match, STRING_MATCH_EXACT, slice_of(text, sizeof(text)), false,
                              &memory, NULL));
    table_memory_fini(&memory);
}

/* PTH-25: an identity is compared literally, so its dots are dots. */
TEST(string_match_takes_no_dot_for_a_wildcard)
{
    struct table_memory memory;
    struct string_match match;
    table_memory_init(&memory);
    CHECK(string_match_build(&match, STRING_MATCH_EXACT, SLICE("spiffe://td/ns/ns.a/sa/x"), false,
                             &memory, NULL));
    CHECK(!string_match_test(&match, SLICE("spiffe://td/ns/nsxa/sa/x")));
    table_memory_fini(&memory);
}
