#include "http/url.h"

#include "base/block.h"
#include "test.h"

#include <time.h>

static const struct {
    const char *id, *path, *base, *merged; /* NULL: malformed; "": an escaped slash; "=": as base */
} rows[] = {
    {"plain", "/a/b", "/a/b", "="},
    {"root", "/", "/", "="},
    {"query", "/a?b/../%zz#", "/a?b/../%zz#", "="},
    {"PTH-01", "//admin", "//admin", "/admin"},
    {"PTH-01 dots", "/x//..//admin", "/x//admin", "/admin"},
    {"PTH-02", "/x/../admin", "/admin", "="},
    {"PTH-02 one", "/./admin", "/admin", "="},
    {"PTH-02 above", "/../../admin", "/admin", "="},
    {"PTH-02 end", "/..", "/", "="},
    {"PTH-02 end of two", "/a/b/..", "/a/", "="},
    {"PTH-02 names with dots", "/.a/..b/c./...", "/.a/..b/c./...", "="},
    {"PTH-03", "/x/%2e%2e/admin", "/admin", "="},
    {"PTH-03 mixed", "/%2E./admin", "/admin", "="},
    {"PTH-04", "/x%2fadmin", "", "="},
    {"PTH-04 upper", "/admin%2Fx", "", "="},
    {"PTH-05", "/x\\..\\admin", "/admin", "="},
    {"PTH-05 escaped", "/x%5c..%5cadmin", "", "="},
    {"PTH-05 first", "\\admin", "/admin", "="},
    {"PTH-06 NUL", "/admin%00", NULL, "="},
    {"PTH-06 LF", "/admin%0a", NULL, "="},
    {"PTH-06 CRLF", "/admin%0d%0aX:", NULL, "="},
    {"PTH-06 DEL", "/admin%7f", NULL, "="},
    {"PTH-07", "/%252fadmin", "/%252fadmin", "="},
    {"PTH-07 in parts", "/%25%32%66", "/%252f", "="},
    {"PTH-09", "/admin;a=b/x", "/admin;a=b/x", "="},
    {"PTH-10", "/%41dmin", "/Admin", "="},
    {"PTH-11 slash", "/admin/", "/admin/", "="},
    {"PTH-11 dot", "/admin/.", "/admin/", "="},
    {"PTH-11 blank", "/admin%20", "/admin%20", "="},
    {"PTH-12", "/public/../admin", "/admin", "="},
    {"PTH-13", "/%zz", NULL, "="},
    {"PTH-13 short", "/%2", NULL, "="},
    {"PTH-13 alone", "/%", NULL, "="},
    {"PTH-14", "/public#/../admin", NULL, "="},
    {"PTH-15", "/public?/../../admin", "/public?/../../admin", "="},
    {"PTH-17", "http://x/admin", NULL, "="},
    {"empty", "", NULL, "="},
    {"query only", "?x", NULL, "="},
    {"escapes become upper case", "/a%c3%a4%2a", "/a%C3%A4%2A", "="},
    {"unreserved", "/%7e%2d%5F%30", "/~-_0", "="},
    {"*", "*", "*", "="},
};

static void check(const char *id, const char *path, const struct path_rules *rules,
                  const char *expected)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct slice out = SLICE_NONE;
    enum path_status status = path_normalise(slice_str(path), rules, &arena, &out);
    if (!expected)
        CHECK(status == PATH_MALFORMED, "%s: %.*s", id, SLICE_ARG(out));
    else if (!*expected)
        CHECK(status == PATH_ESCAPED_SLASH, "%s: %.*s", id, SLICE_ARG(out));
    else
        CHECK(status == PATH_OK && slice_equals_str(out, expected), "%s: %.*s", id, SLICE_ARG(out));
    /* One form only: what came out stays as it is. */
    struct slice again = SLICE_NONE;
    if (status == PATH_OK) {
        CHECK(path_normalise(out, rules, &arena, &again) == PATH_OK, "%s", id);
        CHECK(slice_equals(out, again), "%s: then %.*s", id, SLICE_ARG(again));
    }
    arena_fini(&arena);
}

TEST(paths_are_brought_to_one_form)
{
    EACH (row, rows) {
        const char *merged = row->merged && strcmp(row->merged, "=") == 0 ? row->base : row->merged;
        check(row->id, row->path, &path_rules_base, row->base);
        check(row->id, row->path, &path_rules_merge_slashes, merged);
    }
}

TEST(escaped_slashes_are_kept_or_decoded_on_request)
{
    struct path_rules keep = path_rules_base;
    keep.escaped_slashes = ESCAPED_SLASH_KEEP;
    check("keep", "/a%2fb/..", &keep, "/");
    check("keep", "/a%2fb%5cc", &keep, "/a%2Fb%5Cc");
    check("decode", "/a%2f%2E./b%5C/c", &path_rules_decode_and_merge_slashes, "/b/c");
    check("none", "/a/../%2f//%zz", &path_rules_none, "/a/../%2f//%zz");
}

/* PTH-21: linear, so twice the input takes about twice the time; a quadratic way would take minutes here. */
TEST(a_megabyte_of_dots_takes_linear_time)
{
    enum { SIZE = 3 * 400000 };
    static char path[SIZE + 1];
    static const char *const pieces[] = {"../", "a/..", "./.", "%2e", "\\.."};
    EACH (piece, pieces) {
        size_t size = strlen(*piece);
        path[0] = '/';
        for (size_t at = 1; at + size <= SIZE; at += size)
            memcpy(path + at, *piece, size);
        struct arena arena;
        arena_init(&arena, NULL);
        struct slice out;
        clock_t start = clock();
        enum path_status status = path_normalise(slice_of(path, 1 + (SIZE - 1) / size * size),
                                                 &path_rules_merge_slashes, &arena, &out);
        CHECK(status == PATH_OK, "%s", *piece);
        CHECK(clock() - start < CLOCKS_PER_SEC, "%s took too long", *piece);
        arena_fini(&arena);
    }
}

TEST(a_path_without_memory_is_refused)
{
    struct memory_budget budget = {.limit = 1};
    struct block_pool *pool = block_pool_create(&budget);
    struct arena arena;
    arena_init(&arena, pool);
    struct slice out;
    CHECK(path_normalise(SLICE("/a/.."), &path_rules_base, &arena, &out) == PATH_NO_MEMORY);
    for (int status = PATH_OK; status <= PATH_NO_MEMORY; status++)
        CHECK(strlen(path_status_text((enum path_status)status)) > 0);
    arena_fini(&arena);
    block_pool_destroy(pool);
}
