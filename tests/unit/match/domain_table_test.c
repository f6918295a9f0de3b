#include "test.h"

#include "match/domain_table.h"
#include "match/table_memory.h"

struct fixture {
    struct table_memory memory;
    struct domain_table table;
};

static void make(struct fixture *f, const char *const *domains, size_t count)
{
    struct domain_entry entries[64];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct domain_entry){slice_str(domains[i]), (int32_t)i};
    table_memory_init(&f->memory);
    CHECK(domain_table_build(&f->table, entries, count, &f->memory, NULL));
}

TEST(domain_table_takes_the_most_specific)
{
    static const char *const domains[] = {
        "shop.example.com", "*.example.com", "*.shop.example.com", "shop.*", "shop.example.*", "*",
        "Mixed.Case.COM",   "*-x.net",       "dotted.org."};
    static const struct {
        const char *host;
        int32_t value;
    } cases[] = {
        {"shop.example.com", 0},
        {"SHOP.Example.Com", 0},
        {"a.example.com", 1},
        {"x.y.example.com", 1},
        {"a.shop.example.com", 2},
        {"shop.net", 3},
        {"shop.example.org", 4},
        {"other.org", 5},
        {"example.com", 5},
        {"xexample.com", 5},
        {"mixed.case.com", 6},
        {"a-x.net", 7},
        {"-x.net", 5},
        {"shop.", 5},
        {"shop.example.com.", 0},
        {"a.example.com.", 1},
        {"dotted.org.", 8},
        {"dotted.org", 5},
        {".example.com", 5},
        {"", 5},
        {".", 5},
    };
    struct fixture f;
    make(&f, domains, COUNT(domains));
    EACH (row, cases) {
        CHECK(domain_table_find(&f.table, slice_str(row->host)) == row->value, "%s gives %d",
              row->host, domain_table_find(&f.table, slice_str(row->host)));
    }
    table_memory_fini(&f.memory);
}

/* PTH-20 */
TEST(domain_table_compares_bytes_and_ascii_case_only)
{
    static const char *const domains[] = {"xn--example-.com", "a[b.com", "\xc3\x84.com",
                                          "a@z`{.com"};
    struct fixture f;
    make(&f, domains, COUNT(domains));
    CHECK(domain_table_find(&f.table, SLICE("XN--EXAMPLE-.COM")) == 0);
    CHECK(domain_table_find(&f.table, SLICE("a{b.com")) == DOMAIN_NONE, "[ and { are no letters");
    CHECK(domain_table_find(&f.table, SLICE("\xc3\x84.com")) == 2);
    CHECK(domain_table_find(&f.table, SLICE("\xc3\xa4.com")) == DOMAIN_NONE);
    CHECK(domain_table_find(&f.table, SLICE("A@Z`{.COM")) == 3);
    CHECK(domain_table_find(&f.table, SLICE("a`z`{.com")) == DOMAIN_NONE);
    table_memory_fini(&f.memory);
}

TEST(domain_table_without_a_star_finds_nothing_else)
{
    static const char *const domains[] = {"a.com"};
    struct fixture f;
    make(&f, domains, 1);
    CHECK(domain_table_find(&f.table, SLICE("b.com")) == DOMAIN_NONE);
    CHECK(domain_table_find(&f.table, SLICE("")) == DOMAIN_NONE);
    make(&(struct fixture){0}, domains, 0);
    table_memory_fini(&f.memory);
}

TEST(domain_table_limits_lengths)
{
    char host[DOMAIN_MAX_BYTES + 2];
    struct table_memory memory;
    struct domain_table table;
    struct error error = {0};
    memset(host, 'a', sizeof(host));
    table_memory_init(&memory);
    struct domain_entry entry = {slice_of(host, DOMAIN_MAX_BYTES), 3};
    CHECK(domain_table_build(&table, &entry, 1, &memory, NULL));
    CHECK(domain_table_find(&table, slice_of(host, DOMAIN_MAX_BYTES)) == 3);
    host[DOMAIN_MAX_BYTES] = '.';
    CHECK(domain_table_find(&table, slice_of(host, DOMAIN_MAX_BYTES + 1)) == 3);
    CHECK(domain_table_find(&table, slice_of(host, DOMAIN_MAX_BYTES + 2)) == DOMAIN_NONE);
    entry.domain.size++;
    CHECK(!domain_table_build(&table, &entry, 1, &memory, &error));
    error_fini(&error);

    struct domain_entry many[DOMAIN_MAX_LENGTHS + 1];
    host[0] = '*';
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct domain_entry){slice_of(host, i + 2), (int32_t)i};
    CHECK(domain_table_build(&table, many, DOMAIN_MAX_LENGTHS, &memory, NULL));
    CHECK(!domain_table_build(&table, many, DOMAIN_MAX_LENGTHS + 1, &memory, NULL));
    table_memory_fini(&memory);
}

TEST(domain_table_refuses_doubles_and_stray_stars)
{
    static const char *const bad[][2] = {{"a.com", "A.com"}, {"*", "*"},   {"*.a", "*.A"},
                                         {"a.*", "a.*"},     {"a*b", "c"}, {"**", "c"},
                                         {"", "c"}};
    EACH (pair, bad) {
        struct domain_entry entries[] = {{slice_str((*pair)[0]), 0}, {slice_str((*pair)[1]), 1}};
        struct table_memory memory;
        struct domain_table table;
        table_memory_init(&memory);
        struct error error = {0};
        CHECK(!domain_table_build(&table, entries, 2, &memory, &error), "%s %s", (*pair)[0],
              (*pair)[1]);
        CHECK(error.what);
        error_fini(&error);
        table_memory_fini(&memory);
    }
    struct domain_entry same[] = {{SLICE("a.com"), 4}, {SLICE("A.com"), 4}};
    struct table_memory memory;
    struct domain_table table;
    table_memory_init(&memory);
    CHECK(!domain_table_build(&table, same, 2, &memory, NULL), "twice in one virtual host");
    table_memory_fini(&memory);
}

TEST(host_without_port_keeps_addresses_whole)
{
    static const char *const cases[][2] = {
        {"a.com:80", "a.com"},
        {"a.com", "a.com"},
        {"a.com:", "a.com"},
        {"[::1]:80", "[::1]"},
        {"[::1]", "[::1]"},
        {"::1", "::1"},
        {"fd00::1:80", "fd00::1:80"},
        {"1.2.3.4:5", "1.2.3.4"},
        {"a:b", "a:b"},
        {":80", ""},
        {"", ""},
        {"80", "80"},
    };
    EACH (pair, cases) {
        struct slice host = host_without_port(slice_str((*pair)[0]));
        CHECK(slice_equals_str(host, (*pair)[1]), "%s gives %.*s", (*pair)[0], SLICE_ARG(host));
    }
}
