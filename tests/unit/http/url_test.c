#include "http/url.h"

#include "test.h"

static const struct {
    const char *text, *host;
    uint16_t port;
    bool is_valid, is_ip6;
} authorities[] = {
    {"a", "a", 0, true, false},
    {"a.b-c_d~:80", "a.b-c_d~", 80, true, false},
    {"10.0.0.1:65535", "10.0.0.1", 65535, true, false},
    {"[::1]", "::1", 0, true, true},
    {"[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, true, true},
    {"", "", 0, false, false},
    {":80", "", 0, false, false},
    {"a:", "", 0, false, false},
    {"a:0", "", 0, false, false},
    {"a:65536", "", 0, false, false},
    {"a:+1", "", 0, false, false},
    {"a:0000080", "", 0, false, false},
    {"a:80:80", "", 0, false, false},
    {"u@a", "", 0, false, false},
    {"a b", "", 0, false, false},
    {"a%41", "", 0, false, false},
    {"a,b", "", 0, false, false},
    {".a", "", 0, false, false},
    {"[::1", "", 0, false, false},
    {"[]", "", 0, false, false},
    {"[::1]x", "", 0, false, false},
    {"[::1%25eth0]", "", 0, false, false},
    {"[1.2.3.4]", "", 0, false, false},
    {"::1", "", 0, false, false},
    {"\x80", "", 0, false, false},
};

TEST(authorities_are_taken_apart)
{
    EACH (row, authorities) {
        struct authority authority = {0};
        bool is_valid = authority_parse(slice_str(row->text), &authority);
        CHECK(is_valid == row->is_valid, "%s", row->text);
        CHECK(authority_is_valid(slice_str(row->text)) == row->is_valid, "%s", row->text);
        if (!is_valid)
            continue;
        CHECK(slice_equals_str(authority.host, row->host), "%s", row->text);
        CHECK(authority.port == row->port && authority.is_ip6 == row->is_ip6, "%s", row->text);
    }
}

/* PTH-18: one host has one form. */
static const struct {
    const char *text, *scheme, *form;
    bool strip;
} forms[] = {
    {"example.com", "http", "example.com", false},
    {"EXAMPLE.com", "http", "example.com", false},
    {"example.com.", "http", "example.com", false},
    {"Example.com.:443", "https", "example.com", false},
    {"example.com:80", "http", "example.com", false},
    {"example.com:80", "https", "example.com:80", false},
    {"example.com:8080", "http", "example.com:8080", false},
    {"eXample.com.:8080", "http", "example.com:8080", false},
    {"example.com:8080", "http", "example.com", true},
    {"[::1]:80", "http", "[::1]", false},
    {"[::1]:81", "http", "[::1]:81", false},
    {"[FE80::A]", "http", "[fe80::a]", false},
    {"[FE80::A]:81", "http", "[fe80::a]:81", false},
    {"xn--Example-.com", "http", "xn--example-.com", false},
};

TEST(hosts_are_brought_to_one_form)
{
    struct arena arena;
    arena_init(&arena, NULL);
    EACH (row, forms) {
        struct slice form =
            authority_normalise(slice_str(row->text), slice_str(row->scheme), row->strip, &arena);
        CHECK(slice_equals_str(form, row->form), "%s gave %.*s", row->text, SLICE_ARG(form));
    }
    CHECK(!authority_normalise(SLICE("a@b"), SLICE("http"), false, &arena).data);
    struct slice same = SLICE("example.com:8080");
    CHECK(authority_normalise(same, SLICE("http"), false, &arena).data == same.data);
    arena_fini(&arena);
}

static const struct {
    const char *text, *scheme, *authority, *path; /* scheme NULL: none */
} urls[] = {
    {"http://a/", "http", "a", "/"},
    {"HTTPS://a:443/x?y=http://z", "HTTPS", "a:443", "/x?y=http://z"},
    {"http://a", "http", "a", "/"},
    {"http://[::1]:80", "http", "[::1]:80", "/"},
    {"http://a?x", NULL, NULL, NULL},
    {"http://a#x", NULL, NULL, NULL},
    {"http:/a", NULL, NULL, NULL},
    {"http:", NULL, NULL, NULL},
    {"http", NULL, NULL, NULL},
    {"ftp://a/", NULL, NULL, NULL},
    {"http://u@a/", NULL, NULL, NULL},
    {"http:///", NULL, NULL, NULL},
    {"", NULL, NULL, NULL},
};

TEST(urls_are_taken_apart)
{
    EACH (row, urls) {
        struct url url = {0};
        CHECK(url_parse(slice_str(row->text), &url) == (row->scheme != NULL), "%s", row->text);
        if (!row->scheme)
            continue;
        CHECK(slice_equals_str(url.scheme, row->scheme), "%s", row->text);
        CHECK(slice_equals_str(url.authority, row->authority), "%s", row->text);
        CHECK(slice_equals_str(url.path, row->path), "%s", row->text);
    }
}

TEST(queries_are_found)
{
    CHECK(slice_equals_str(path_only(SLICE("/a?b?c")), "/a"));
    CHECK(slice_equals_str(path_query(SLICE("/a?b?c")), "b?c"));
    CHECK(!path_query(SLICE("/a")).data && path_query(SLICE("/a?")).data);
    struct slice query = SLICE("a=1&b&c=&a=2&&d=x%20y");
    CHECK(slice_equals_str(query_parameter(query, SLICE("a")), "1"));
    CHECK(query_parameter(query, SLICE("b")).data && query_parameter(query, SLICE("c")).data);
    CHECK(slice_equals_str(query_parameter(query, SLICE("d")), "x%20y"));
    CHECK(!query_parameter(query, SLICE("e")).data && !query_parameter(query, SLICE("")).size);
}

/* PTH-22: a rule on one parameter sees it however many stand before it. */
TEST(a_parameter_behind_ten_thousand_others_is_found)
{
    static char text[10001 * 4 + 8];
    size_t at = 0;
    for (int i = 0; i < 10001; i++)
        at += (size_t)sprintf(text + at, "x=1&");
    memcpy(text + at, "role=a", 6);
    CHECK(slice_equals_str(query_parameter(slice_of(text, at + 6), SLICE("role")), "a"));
}
