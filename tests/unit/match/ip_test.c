#include "test.h"

#include "match/ip.h"

static const struct {
    const char *text, *canonical; /* NULL: refused */
    bool v4, loopback, any;
} addresses[] = {
    {"10.0.0.1", "10.0.0.1", true, false, false},
    {"::ffff:10.0.0.1", "10.0.0.1", true, false, false},
    {"127.3.2.1", "127.3.2.1", true, true, false},
    {"::1", "::1", false, true, false},
    {"::", "::", false, false, true},
    {"0.0.0.0", "0.0.0.0", true, false, true},
    {"FD00:0::0:1", "fd00::1", false, false, false},
    {"010.0.0.1", NULL, false, false, false},
    {"10.0.0", NULL, false, false, false},
    {"10.0.0.1:80", NULL, false, false, false},
    {"fe80::1%eth0", NULL, false, false, false},
    {"[::1]", NULL, false, false, false},
    {"", NULL, false, false, false},
    {"10.0.0.256", NULL, false, false, false},
    {"1.2.3.4 ", NULL, false, false, false},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, false, false, false},
};

/* PTH-26 */
TEST(ip_gives_one_host_one_identity)
{
    EACH (row, addresses) {
        struct ip ip;
        char text[IP_TEXT];
        CHECK(ip_parse(slice_str(row->text), &ip) == (row->canonical != NULL), "%s", row->text);
        if (!row->canonical)
            continue;
        size_t size = ip_format(&ip, text);
        CHECK(strcmp(text, row->canonical) == 0 && size == strlen(text), "%s is %s", row->text,
              text);
        CHECK(ip_is_v4(&ip) == row->v4 && ip_is_loopback(&ip) == row->loopback &&
                  ip_is_any(&ip) == row->any,
              "%s", row->text);
        struct ip again;
        CHECK(ip_of_bytes(ip_bytes(&ip), &again) && ip_equals(&ip, &again), "%s", row->text);
    }
    struct ip ip;
    CHECK(!ip_of_bytes(SLICE("12345"), &ip));
    CHECK(!ip_parse(slice_of("10.0.0.1\0x", 10), &ip));
}

static const struct {
    const char *prefix, *ip;
    bool valid, holds;
} prefixes[] = {
    {"10.0.0.0/8", "10.255.1.2", true, true},
    {"10.1.2.3/8", "10.9.9.9", true, true},
    {"10.0.0.0/8", "11.0.0.0", true, false},
    {"10.0.0.0/8", "::ffff:10.0.0.1", true, true},
    {"10.0.0.1", "10.0.0.1", true, true},
    {"10.0.0.1", "10.0.0.2", true, false},
    {"0.0.0.0/0", "1.2.3.4", true, true},
    {"0.0.0.0/0", "fd00::1", true, false},
    {"::/0", "fd00::1", true, true},
    {"::/0", "1.2.3.4", true, true},
    {"fd00::/7", "fc00::1", true, true},
    {"fd00::1/128", "fd00::1", true, true},
    {"10.0.0.128/25", "10.0.0.127", true, false},
    {"10.0.0.0/33", NULL, false, false},
    {"fd00::/129", NULL, false, false},
    {"10.0.0.0/", NULL, false, false},
    {"10.0.0.0/-1", NULL, false, false},
    {"10.0.0.0/8/8", NULL, false, false},
    {"/8", NULL, false, false},
};

TEST(ip_prefix_holds_what_it_covers)
{
    EACH (row, prefixes) {
        struct ip_prefix prefix;
        struct ip ip;
        CHECK(ip_prefix_parse(slice_str(row->prefix), &prefix) == row->valid, "%s", row->prefix);
        if (!row->ip)
            continue;
        CHECK(ip_parse(slice_str(row->ip), &ip));
        CHECK(ip_prefix_holds(&prefix, &ip) == row->holds, "%s in %s", row->ip, row->prefix);
    }
}
