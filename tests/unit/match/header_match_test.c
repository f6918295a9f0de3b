#include "test.h"

#include "match/fake_request.h"
#include "match/header_match.h"
#include "match/table_memory.h"

static const struct fake_field fields[] = {
    {"x-user", "alice"}, {"x-number", "42"}, {"x-empty", ""}, {"x-lost", "<lost>"}, {0}};

static const struct {
    const char *name;
    enum header_match_kind kind;
    const char *exact; /* or "first-end" */
    bool present, invert, missing_is_empty, holds;
} cases[] = {
    {"x-user", HEADER_MATCH_STRING, "alice", false, false, false, true},
    {"x-user", HEADER_MATCH_STRING, "bob", false, false, false, false},
    {"x-user", HEADER_MATCH_STRING, "bob", false, true, false, true},
    {"X-User", HEADER_MATCH_STRING, "alice", false, true, false, false},
    {"x-none", HEADER_MATCH_STRING, "bob", false, false, false, false},
    {"x-none", HEADER_MATCH_STRING, "bob", false, true, false, false},
    {"x-none", HEADER_MATCH_STRING, "bob", false, true, true, true},
    {"x-none", HEADER_MATCH_STRING, "", false, false, true, true},
    {"x-empty", HEADER_MATCH_STRING, "", false, false, false, true},
    {"x-user", HEADER_MATCH_PRESENT, NULL, true, false, false, true},
    {"x-none", HEADER_MATCH_PRESENT, NULL, true, false, false, false},
    {"x-none", HEADER_MATCH_PRESENT, NULL, true, true, false, true},
    {"x-none", HEADER_MATCH_PRESENT, NULL, false, false, false, true},
    {"x-user", HEADER_MATCH_PRESENT, NULL, false, false, false, false},
    {"x-empty", HEADER_MATCH_PRESENT, NULL, true, false, false, true},
    {"x-number", HEADER_MATCH_RANGE, "40-43", false, false, false, true},
    {"x-number", HEADER_MATCH_RANGE, "40-42", false, false, false, false},
    {"x-number", HEADER_MATCH_RANGE, "42-43", false, false, false, true},
    {"x-number", HEADER_MATCH_RANGE, "0-10", false, true, false, true},
    {"x-user", HEADER_MATCH_RANGE, "0-10", false, false, false, false},
    {"x-none", HEADER_MATCH_RANGE, "0-10", false, false, true, false},
    {":method", HEADER_MATCH_STRING, "GET", false, false, false, true},
    {":authority", HEADER_MATCH_STRING, "shop.example.com", false, false, false, true},
    {"x-lost", HEADER_MATCH_STRING, "x", false, true, true, false},
    {"x-lost", HEADER_MATCH_PRESENT, NULL, false, true, false, false},
};

TEST(header_match_follows_its_condition)
{
    struct match_request request = fake_request("/", fields);
    EACH (row, cases) {
        struct table_memory memory;
        struct header_match match = {.kind = row->kind,
                                     .present = row->present,
                                     .invert = row->invert,
                                     .missing_is_empty = row->missing_is_empty};
        table_memory_init(&memory);
        CHECK(header_key_build(&match.key, slice_str(row->name), &memory));
        if (row->kind == HEADER_MATCH_STRING)
            CHECK(string_match_build(&match.string, STRING_MATCH_EXACT, slice_str(row->exact),
                                     false, &memory, NULL));
        if (row->kind == HEADER_MATCH_RANGE)
            sscanf(row->exact, "%ld-%ld", &match.first, &match.end);
        CHECK(header_match_test(&match, &request) == row->holds, "row %zu, %s",
              (size_t)(row - cases), row->name);
        table_memory_fini(&memory);
    }
    CHECK(header_match_all(NULL, 0, &request), "no condition holds");
}

/* HDR-08: no value hides behind another. */
TEST(header_match_values_judges_each)
{
    char many[2 * HEADER_VALUES_MAX + 8] = "user";
    for (int i = 0; i < HEADER_VALUES_MAX; i++)
        strcat(many, ",u");
    const struct fake_field roles[] = {
        {"x-two", "user, admin"}, {"x-one", "user"}, {"x-many", many}, {0}};
    const struct {
        const char *name, *exact;
        bool invert, any, holds;
    } rows[] = {
        {"x-two", "admin", false, true, true},  {"x-two", "user", false, true, true},
        {"x-two", "user", false, false, false}, {"x-two", "user, admin", false, false, true},
        {"x-two", "admin", true, false, false}, {"x-two", "other", true, false, true},
        {"x-one", "user", false, false, true},  {"x-one", "user", false, true, true},
        {"x-one", "admin", false, true, false}, {"x-none", "admin", false, true, false},
        {"x-many", "admin", false, true, true}, {"x-many", "admin", true, false, false},
    };
    struct match_request request = fake_request("/", roles);
    EACH (row, rows) {
        struct table_memory memory;
        struct header_match match = {.kind = HEADER_MATCH_STRING, .invert = row->invert};
        table_memory_init(&memory);
        CHECK(header_key_build(&match.key, slice_str(row->name), &memory));
        CHECK(string_match_build(&match.string, STRING_MATCH_EXACT, slice_str(row->exact), false,
                                 &memory, NULL));
        CHECK(header_match_values(&match, &request, row->any) == row->holds, "%s %s any %d",
              row->name, row->exact, row->any);
        table_memory_fini(&memory);
    }
}
