#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "proxy/admin/query.h"

TEST(values_are_found_by_their_whole_name)
{
    static const struct {
        const char *query, *name, *value; /* NULL: not there */
    } cases[] = {
        {"format=json", "format", "json"},
        {"usedonly&format=json", "usedonly", ""},
        {"usedonly=", "usedonly", ""},
        {"formatted=json", "format", NULL},
        {"a=b=c", "a", "b=c"},
        {"", "a", NULL},
        {"&&", "a", NULL},
    };
    EACH (c, cases) {
        struct slice value = query_value(slice_str(c->query), c->name);
        CHECK(!!value.data == !!c->value, "%s", c->query);
        CHECK(!c->value || slice_equals_str(value, c->value), "%s", c->query);
    }
}

/* The text ends where its memory ends, so that reading a byte more is seen. */
TEST(escapes_are_undone_and_halves_of_them_stay)
{
    static const struct {
        const char *text, *plain;
    } cases[] = {
        {"a%2Eb", "a.b"}, {"a+b", "a b"},     {"%41", "A"},   {"%", "%"},
        {"%4", "%4"},     {"%zz%41", "%zzA"}, {"%+f", "% f"}, {"", ""},
    };
    EACH (c, cases) {
        size_t size = strlen(c->text);
        char *text = mem_alloc(size ? size : 1), plain[16];
        memcpy(text, c->text, size);
        struct slice out;
        CHECK(query_plain(slice_of(text, size), plain, sizeof(plain), &out), "%s", c->text);
        CHECK(slice_equals_str(out, c->plain), "%s: %.*s", c->text, SLICE_ARG(out));
        mem_free(text);
    }
}

TEST(a_text_of_one_byte_more_is_refused)
{
    char plain[4];
    struct slice out;
    CHECK(query_plain(SLICE("abcd"), plain, sizeof(plain), &out));
    CHECK(query_plain(SLICE("abc%20"), plain, sizeof(plain), &out));
    CHECK(!query_plain(SLICE("abcde"), plain, sizeof(plain), &out));
}

static void write_level(struct slice room, enum log_level level, void *to)
{
    buffer_format(to, "%.*s:%s ", SLICE_ARG(room), log_level_name(level));
}

TEST(levels_are_told_all_or_none)
{
    static const struct {
        const char *query, *told; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"level=debug", ":debug "},
        {"paths=xds:debug,http:info", "xds:debug http:info "},
        {"xds=trace", "xds:trace "},
        {"paths=xds:debug,http", NULL},
        {"xds=debug&http=loud", NULL},
        {"level", NULL},
        {"level=debugdebugdebugdebug", NULL},
    };
    EACH (c, cases) {
        owned_buffer told = {0};
        bool ok = query_levels(slice_str(c->query), write_level, &told);
        CHECK(ok == !!c->told, "%s", c->query);
        CHECK(slice_equals_str(buffer_slice(&told), c->told ? c->told : ""), "%s", c->query);
    }
}
