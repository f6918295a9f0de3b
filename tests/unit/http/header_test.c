#include "http/header.h"

#include "base/block.h"
#include "test.h"

#include <ctype.h>

static const char *const names[] = {
#define NAME(id, text) text,
    HEADER_NAMES(NAME)
#undef NAME
};

TEST(every_known_name_is_found_in_any_case)
{
    for (unsigned i = 0; i < COUNT(names); i++) {
        struct slice name = slice_str(names[i]);
        char upper[64], mixed[64];
        for (size_t at = 0; at < name.size; at++) {
            upper[at] = (char)toupper(name.data[at]);
            mixed[at] = at % 2 ? upper[at] : name.data[at];
        }
        CHECK(header_id_of(name) == i + 1, "%s", names[i]);
        CHECK(header_id_of(slice_of(upper, name.size)) == i + 1, "%s", names[i]);
        CHECK(header_id_of(slice_of(mixed, name.size)) == i + 1, "%s", names[i]);
        CHECK(slice_equals(header_id_name((enum header_id)(i + 1)), name));
    }
}

/* One byte changed in any way that is not its case must not be taken for the name. */
TEST(no_other_name_is_taken_for_a_known_one)
{
    for (unsigned i = 0; i < COUNT(names); i++) {
        size_t size = strlen(names[i]);
        char text[64];
        for (size_t at = 0; at < size; at++) {
            memcpy(text, names[i], size);
            for (unsigned byte = 0; byte < 256; byte++) {
                text[at] = (char)byte;
                bool is_same = tolower((int)byte) == names[i][at];
                enum header_id id = header_id_of(slice_of(text, size));
                CHECK((id == i + 1) == is_same, "%s, byte %zu is %02x", names[i], at, byte);
            }
        }
        memcpy(text, names[i], size);
        text[size] = 'x';
        CHECK(header_id_of(slice_of(text, size + 1)) != i + 1);
        CHECK(header_id_of(slice_of(text, size - 1)) != i + 1);
    }
    CHECK(header_id_of(SLICE("")) == HEADER_OTHER);
    CHECK(header_id_of(SLICE("x-a-name-that-is-longer-than-any-known-one-is")) == HEADER_OTHER);
}

struct bench {
    struct arena arena;
    struct headers list;
};

static void begin(struct bench *bench)
{
    *bench = (struct bench){0};
    arena_init(&bench->arena, NULL);
    CHECK(headers_add(&bench->list, &bench->arena, SLICE("Cookie"), SLICE("a")));
    CHECK(headers_add(&bench->list, &bench->arena, SLICE("x-own"), SLICE("1")));
    CHECK(headers_add_id(&bench->list, &bench->arena, HEADER_COOKIE, SLICE("b")));
    CHECK(headers_add(&bench->list, &bench->arena, SLICE("X-Own"), SLICE("2")));
}

static void check_list(const struct headers *list, const char *expected)
{
    char text[256];
    size_t at = 0;
    text[0] = '\0';
    uint64_t known[2] = {0};
    HEADERS_EACH (one, list) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s=%.*s;",
                               SLICE_ARG(header_name(one)), SLICE_ARG(header_value(one)));
        known[one->id / 64] |= (uint64_t)1 << (one->id % 64);
    }
    CHECK(strcmp(text, expected) == 0, "got %s", text);
    for (unsigned id = 1; id < HEADER_IDS; id++)
        CHECK(headers_has(list, (enum header_id)id) == (known[id / 64] >> (id % 64) & 1));
}

TEST(fields_are_found_in_order)
{
    struct bench bench;
    begin(&bench);
    check_list(&bench.list, "Cookie=a;x-own=1;cookie=b;X-Own=2;");
    struct header *cookie = headers_find(&bench.list, HEADER_COOKIE);
    CHECK(cookie == &bench.list.items[0]);
    CHECK(headers_find_next(&bench.list, cookie) == &bench.list.items[2]);
    CHECK(!headers_find_next(&bench.list, &bench.list.items[2]));
    struct header *own = headers_find_name(&bench.list, SLICE("X-OWN"));
    CHECK(own == &bench.list.items[1] && headers_find_next(&bench.list, own) == own + 2);
    CHECK(headers_find_name(&bench.list, SLICE("cOOKIE")) == cookie);
    CHECK(!headers_find(&bench.list, HEADER_DATE) && !headers_find_name(&bench.list, SLICE("y")));
    CHECK(slice_equals_str(headers_value(&bench.list, HEADER_COOKIE), "a"));
    CHECK(!headers_value(&bench.list, HEADER_DATE).data);
    arena_fini(&bench.arena);
}

TEST(set_leaves_one)
{
    struct bench bench;
    begin(&bench);
    CHECK(headers_set(&bench.list, &bench.arena, SLICE("x-oWn"), SLICE("3")));
    check_list(&bench.list, "Cookie=a;x-own=3;cookie=b;");
    CHECK(headers_set_id(&bench.list, &bench.arena, HEADER_COOKIE, SLICE("c")));
    check_list(&bench.list, "Cookie=c;x-own=3;");
    CHECK(headers_set_id(&bench.list, &bench.arena, HEADER_DATE, SLICE("now")));
    CHECK(headers_set(&bench.list, &bench.arena, SLICE("y"), SLICE("")));
    check_list(&bench.list, "Cookie=c;x-own=3;date=now;y=;");
    arena_fini(&bench.arena);
}

TEST(set_makes_a_line_of_its_own)
{
    struct bench bench;
    begin(&bench);
    bench.list.items[1].flags = HEADER_WHOLE_LINE;
    CHECK(headers_set(&bench.list, &bench.arena, SLICE("x-own"), SLICE("3")));
    CHECK(bench.list.items[1].flags == 0);
    arena_fini(&bench.arena);
}

TEST(a_line_of_ours_is_a_field_that_goes_out_whole)
{
    struct bench bench;
    begin(&bench);
    struct slice line = SLICE("x-forwarded-proto: https\r\n");
    for (int again = 0; again < 2; again++) {
        CHECK(headers_set_line(&bench.list, &bench.arena, HEADER_X_FORWARDED_PROTO, line));
        check_list(&bench.list, "Cookie=a;x-own=1;cookie=b;X-Own=2;x-forwarded-proto=https;");
    }
    headers_remove_id(&bench.list, HEADER_X_FORWARDED_PROTO);
    CHECK(headers_set_line(&bench.list, &bench.arena, HEADER_X_FORWARDED_PROTO, line));
    CHECK(bench.list.items[4].flags == HEADER_WHOLE_LINE && bench.list.items[4].name == line.data);
    arena_fini(&bench.arena);
}

TEST(remove_takes_all_of_a_name)
{
    struct bench bench;
    begin(&bench);
    CHECK(headers_remove(&bench.list, SLICE("X-OWN")) == 2);
    check_list(&bench.list, "Cookie=a;cookie=b;");
    headers_remove_at(&bench.list, &bench.list.items[0]);
    check_list(&bench.list, "cookie=b;");
    CHECK(headers_remove_id(&bench.list, HEADER_COOKIE) == 1);
    CHECK(headers_remove_id(&bench.list, HEADER_COOKIE) == 0);
    check_list(&bench.list, "");
    arena_fini(&bench.arena);
    begin(&bench);
    headers_remove_at(&bench.list, &bench.list.items[3]);
    headers_remove_at(&bench.list, &bench.list.items[0]);
    check_list(&bench.list, "x-own=1;cookie=b;");
    arena_fini(&bench.arena);
}

TEST(values_are_joined)
{
    struct bench bench;
    begin(&bench);
    CHECK(slice_equals_str(headers_joined(&bench.list, SLICE("x-own"), &bench.arena), "1,2"));
    CHECK(slice_equals_str(headers_joined(&bench.list, SLICE("cookie"), &bench.arena), "a; b"));
    CHECK(!headers_joined(&bench.list, SLICE("date"), &bench.arena).data);
    headers_remove_at(&bench.list, &bench.list.items[3]);
    struct slice alone = headers_joined(&bench.list, SLICE("x-own"), &bench.arena);
    CHECK(alone.data == bench.list.items[1].value, "one value is not copied");
    arena_fini(&bench.arena);
}

TEST(a_copy_is_edited_apart)
{
    struct bench bench;
    struct headers copy = {0};
    begin(&bench);
    CHECK(headers_copy(&copy, &bench.arena, &bench.list));
    for (int i = 0; i < 40; i++)
        CHECK(headers_add(&copy, &bench.arena, SLICE("z"), SLICE("")));
    CHECK(headers_remove(&copy, SLICE("z")) == 40);
    CHECK(headers_set_id(&copy, &bench.arena, HEADER_COOKIE, SLICE("c")));
    check_list(&copy, "Cookie=c;x-own=1;X-Own=2;");
    check_list(&bench.list, "Cookie=a;x-own=1;cookie=b;X-Own=2;");
    arena_fini(&bench.arena);
}

TEST(a_refused_arena_leaves_the_list_as_it_was)
{
    struct memory_budget budget = {.limit = 1};
    struct block_pool *pool = block_pool_create(&budget);
    struct arena arena;
    arena_init(&arena, pool);
    struct headers list = {0};
    CHECK(!headers_add(&list, &arena, SLICE("a"), SLICE("b")));
    CHECK(!headers_add_copy(&list, &arena, SLICE("a"), SLICE("b")));
    CHECK(!headers_set(&list, &arena, SLICE("date"), SLICE("b")));
    check_list(&list, "");
    arena_fini(&arena);
    block_pool_destroy(pool);
}

TEST(names_and_values_are_checked)
{
    CHECK(header_name_is_valid(SLICE("x-A_9!#$%&'*+.^`|~")));
    static const char *const bad_names[] = {"", "a b", "a:", "a\t", "\x80", "a/", "a\"", "(", "a@"};
    EACH (name, bad_names)
        CHECK(!header_name_is_valid(slice_str(*name)), "%s", *name);
    CHECK(header_value_is_valid(SLICE("")) && header_value_is_valid(SLICE("a \t b\x80")));
    static const char *const bad_values[] = {" a", "a ", "\ta", "a\rb", "a\nb", "\x7f", "\x01"};
    EACH (value, bad_values)
        CHECK(!header_value_is_valid(slice_str(*value)), "%s", *value);
    CHECK(!header_value_is_valid(slice_of("a\0b", 3)));
}
