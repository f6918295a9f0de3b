#include "test.h"

#include "base/buffer.h"
#include "match/query_match.h"
#include "match/table_memory.h"

static const struct {
    const char *query, *name, *exact; /* exact NULL: presence */
    bool present, holds;
} cases[] = {
    {"a=1&b=2", "b", "2", false, true},
    {"a=1&b=2", "b", "1", false, false},
    {"a=1&a=2", "a", "1", false, true},
    {"a=1&a=2", "a", "2", false, false},
    {"a", "a", "", false, true},
    {"a=", "a", "", false, true},
    {"a=b=c", "a", "b=c", false, true},
    {"ab=1", "a", "1", false, false},
    {"a=%20", "a", "%20", false, true},
    {"A=1", "a", "1", false, false},
    {"a=1", "a", NULL, true, true},
    {"a=1", "b", NULL, true, false},
    {"a=1", "b", NULL, false, true},
    {"a=1", "a", NULL, false, false},
    {"", "a", "1", false, false},
    {"&&a=1&", "a", "1", false, true},
    {"a=1?b=2", "a", "1?b=2", false, true},
};

TEST(query_match_takes_the_first_parameter_of_a_name)
{
    EACH (row, cases) {
        struct table_memory memory;
        table_memory_init(&memory);
        struct query_match match = {
            .name = slice_str(row->name), .is_presence = !row->exact, .present = row->present};
        if (row->exact)
            CHECK(string_match_build(&match.string, STRING_MATCH_EXACT, slice_str(row->exact),
                                     false, &memory, NULL));
        CHECK(query_match_test(&match, slice_str(row->query)) == row->holds, "%s %s", row->query,
              row->name);
        table_memory_fini(&memory);
    }
}

/* PTH-22 */
TEST(query_match_sees_the_last_of_ten_thousand_parameters)
{
    owned_buffer query = {0};
    for (int i = 0; i < 10000; i++)
        buffer_format(&query, "p%d=x&", i);
    buffer_append_str(&query, "wanted=yes");
    struct slice value;
    CHECK(query_find(buffer_slice(&query), SLICE("wanted"), &value));
    CHECK(slice_equals(value, SLICE("yes")));
    CHECK(!query_find(buffer_slice(&query), SLICE("absent"), &value));
}
