#include "test.h"

#include "match/fake_request.h"
#include "match/table_memory.h"

TEST(header_key_knows_what_is_no_header)
{
    static const struct {
        const char *name;
        enum header_source source;
        const char *key; /* NULL: refused */
    } cases[] = {
        {"X-Foo", HEADER_KEY_FIELD, "x-foo"},   {":method", HEADER_KEY_METHOD, ":method"},
        {":Path", HEADER_KEY_PATH, ":path"},    {":authority", HEADER_KEY_AUTHORITY, ":authority"},
        {"Host", HEADER_KEY_AUTHORITY, "host"}, {":scheme", HEADER_KEY_SCHEME, ":scheme"},
        {":status", HEADER_KEY_FIELD, NULL},    {"", HEADER_KEY_FIELD, NULL},
        {"a b", HEADER_KEY_FIELD, NULL},        {"a:b", HEADER_KEY_FIELD, NULL},
        {"a\r\nb", HEADER_KEY_FIELD, NULL},     {"\xc3\xa4", HEADER_KEY_FIELD, NULL},
    };
    EACH (row, cases) {
        struct table_memory memory;
        struct header_key key;
        table_memory_init(&memory);
        bool built = header_key_build(&key, slice_str(row->name), &memory);
        CHECK(built == (row->key != NULL), "%s", row->name);
        if (built)
            CHECK(key.source == row->source && slice_equals_str(key.name, row->key), "%s",
                  row->name);
        table_memory_fini(&memory);
    }
    static char name[HEADER_NAME_MAX + 1];
    struct table_memory memory;
    struct header_key key;
    memset(name, 'n', sizeof(name));
    table_memory_init(&memory);
    CHECK(header_key_build(&key, slice_of(name, HEADER_NAME_MAX), &memory));
    CHECK(!header_key_build(&key, slice_of(name, HEADER_NAME_MAX + 1), &memory));
    table_memory_fini(&memory);
}

TEST(request_answers_for_pseudo_headers)
{
    static const struct fake_field fields[] = {{"x-a", "1"}, {"x-lost", "<lost>"}, {0}};
    struct match_request request = fake_request("/p?q=1", fields);
    bool lost = false;
    request.lost = &lost;
    static const struct {
        const char *name, *value;
    } cases[] = {{":method", "GET"},
                 {":path", "/p?q=1"},
                 {":authority", "shop.example.com"},
                 {"host", "shop.example.com"},
                 {":scheme", "http"},
                 {"x-a", "1"},
                 {"x-b", NULL}};
    struct table_memory memory;
    struct header_key key;
    struct slice value;
    table_memory_init(&memory);
    EACH (row, cases) {
        CHECK(header_key_build(&key, slice_str(row->name), &memory));
        enum header_lookup lookup = match_request_header(&request, &key, &value);
        CHECK(lookup == (row->value ? HEADER_LOOKUP_FOUND : HEADER_LOOKUP_ABSENT), "%s", row->name);
        CHECK(!row->value || slice_equals_str(value, row->value), "%s", row->name);
    }
    CHECK(!lost);
    CHECK(header_key_build(&key, SLICE("x-lost"), &memory));
    CHECK(match_request_header(&request, &key, &value) == HEADER_LOOKUP_LOST);
    CHECK(lost);
    table_memory_fini(&memory);
}
