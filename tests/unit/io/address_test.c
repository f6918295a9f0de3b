#include "io/address.h"

#include "test.h"

static const struct {
    const char *text, *written;
} good[] = {
    {"10.0.0.1:80", "10.0.0.1:80"},
    {"0.0.0.0:0", "0.0.0.0:0"},
    {"255.255.255.255:65535", "255.255.255.255:65535"},
    {"[::1]:443", "[::1]:443"},
    {"[FD00:0::1]:1", "[fd00::1]:1"},
    {"[::ffff:10.1.2.3]:8080", "10.1.2.3:8080"},
    {"unix:/run/x.sock", "unix:/run/x.sock"},
    {"unix:@name", "unix:@name"},
};

static const char *const bad[] = {
    "",
    ":",
    ":80",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:65536",
    "10.0.0.1:-1",
    "10.0.0.1: 80",
    "10.0.0:80",
    "10.0.0.256:80",
    "[10.0.0.1]:80",
    "::1:80",
    "[::1]",
    "[::1:80",
    "[::g]:80",
    "localhost:80",
    "unix:",
    "unix:@",
};

TEST(address_reads_and_writes)
{
    EACH (row, good) {
        struct address address;
        char text[ADDRESS_TEXT];
        CHECK(address_parse(slice_str(row->text), &address), "%s", row->text);
        size_t size = address_format(&address, text);
        CHECK(strcmp(text, row->written) == 0 && size == strlen(text), "%s: %s", row->text, text);
    }
    EACH (row, bad) {
        struct address address;
        CHECK(!address_parse(slice_str(*row), &address), "%s", *row);
    }
}

TEST(address_bounds_unix_paths)
{
    char text[200];
    struct address address;
    memset(text, 'p', sizeof(text));
    memcpy(text, "unix:/", 6);
    CHECK(address_parse(slice_of(text, 5 + 107), &address), "the longest path");
    CHECK(!address_parse(slice_of(text, 5 + 108), &address), "one byte more");
    char written[ADDRESS_TEXT];
    CHECK(address_parse(slice_of(text, 5 + 107), &address), "-");
    CHECK(address_format(&address, written) == 5 + 107, "written whole");
    CHECK(!address_parse(slice_of("unix:/a\0b", 9), &address), "no NUL inside");
}

TEST(address_ip_takes_no_port)
{
    struct address address;
    char text[ADDRESS_TEXT];
    CHECK(address_parse_ip(SLICE("10.0.0.9"), 15006, &address), "-");
    address_format(&address, text);
    CHECK(strcmp(text, "10.0.0.9:15006") == 0, "%s", text);
    CHECK(address_parse_ip(SLICE("::"), 1, &address) && address_is_wildcard(&address), "-");
    CHECK(address_parse_ip(SLICE("[::]"), 1, &address), "-");
    CHECK(!address_parse_ip(SLICE("10.0.0.9:1"), 1, &address), "-");
    CHECK(!address_parse_ip(SLICE(""), 1, &address), "-");
}

static struct address parse(const char *text)
{
    struct address address;
    CHECK(address_parse(slice_str(text), &address), "%s", text);
    return address;
}

TEST(address_knows_one_host_by_both_spellings)
{
    struct address v4 = parse("10.1.2.3:80"), mapped = parse("[::ffff:10.1.2.3]:80"),
                   other = parse("10.1.2.3:81"), v6 = parse("[fd00::1]:80");
    CHECK(address_equals(&v4, &mapped) && address_hash(&v4) == address_hash(&mapped), "-");
    CHECK(!address_equals(&v4, &other) && address_equals_ip(&v4, &other), "-");
    CHECK(!address_equals_ip(&v4, &v6), "-");
    CHECK(address_is_v4(&mapped) && !address_is_v4(&v6), "-");
    struct address unmapped = address_unmap(&mapped);
    CHECK(unmapped.any.sa_family == AF_INET && address_port(&unmapped) == 80, "-");
    address_set_port(&unmapped, 81);
    CHECK(address_equals(&unmapped, &other), "-");
}

TEST(address_tells_loopback_and_wildcard)
{
    static const struct {
        const char *text;
        bool is_loopback, is_wildcard;
    } rows[] = {
        {"127.0.0.1:1", true, false},
        {"127.255.3.4:1", true, false},
        {"[::1]:1", true, false},
        {"[::ffff:127.0.0.1]:1", true, false},
        {"0.0.0.0:1", false, true},
        {"[::]:1", false, true},
        {"[::ffff:0.0.0.0]:1", false, true},
        {"10.0.0.1:1", false, false},
        {"[::2]:1", false, false},
        {"unix:/x", false, false},
    };
    EACH (row, rows) {
        struct address address = parse(row->text);
        CHECK(address_is_loopback(&address) == row->is_loopback, "%s", row->text);
        CHECK(address_is_wildcard(&address) == row->is_wildcard, "%s", row->text);
    }
}

TEST(address_from_the_kernel_is_checked)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct address address = address_from((struct sockaddr *)&v4, sizeof(v4));
    CHECK(address_is_ip(&address), "-");
    address = address_from((struct sockaddr *)&v4, sizeof(v4) - 1);
    CHECK(!address_is_set(&address), "too short");
    v4.sin_family = AF_PACKET;
    address = address_from((struct sockaddr *)&v4, sizeof(v4));
    CHECK(!address_is_set(&address), "unknown family");
    char text[ADDRESS_TEXT];
    address_format(&address, text);
    CHECK(strcmp(text, "-") == 0, "%s", text);
}

static const struct {
    const char *cidr, *ip, *written;
    bool contains;
} prefixes[] = {
    {"10.0.0.0/8", "10.255.0.1:1", "10.0.0.0/8", true},
    {"10.0.0.0/8", "11.0.0.1:1", "10.0.0.0/8", false},
    {"10.1.2.3/8", "10.9.9.9:1", "10.0.0.0/8", true},
    {"10.0.0.0/8", "[::ffff:10.0.0.1]:1", "10.0.0.0/8", true},
    {"::ffff:10.0.0.0/104", "10.0.0.1:1", "10.0.0.0/8", true},
    {"192.168.1.128/25", "192.168.1.127:1", "192.168.1.128/25", false},
    {"192.168.1.128/25", "192.168.1.128:1", "192.168.1.128/25", true},
    {"1.2.3.4", "1.2.3.4:1", "1.2.3.4/32", true},
    {"1.2.3.4", "1.2.3.5:1", "1.2.3.4/32", false},
    {"0.0.0.0/0", "200.0.0.1:1", "0.0.0.0/0", true},
    {"0.0.0.0/0", "[fd00::1]:1", "0.0.0.0/0", false},
    {"::/0", "[fd00::1]:1", "::/0", true},
    {"::/0", "10.0.0.1:1", "::/0", false},
    {"fd00:1::/33", "[fd00:1:7fff::1]:1", "fd00:1::/33", true},
    {"fd00:1::/33", "[fd00:1:8000::1]:1", "fd00:1::/33", false},
    {"fd00::1", "[fd00::1]:1", "fd00::1/128", true},
};

TEST(cidr_holds_what_lies_in_the_prefix)
{
    EACH (row, prefixes) {
        struct cidr cidr;
        char text[ADDRESS_TEXT];
        struct address address = parse(row->ip);
        CHECK(cidr_parse(slice_str(row->cidr), &cidr), "%s", row->cidr);
        CHECK(cidr_contains(&cidr, &address) == row->contains, "%s in %s", row->ip, row->cidr);
        cidr_format(&cidr, text);
        CHECK(strcmp(text, row->written) == 0, "%s: %s", row->cidr, text);
    }
    static const char *const wrong[] = {
        "",    "/8",        "10.0.0.0/33",        "10.0.0.0/",  "::/129", "10.0.0.0/8/8",
        "x/8", "unix:/x/8", "::ffff:10.0.0.0/95", "10.0.0.0/-1"};
    EACH (row, wrong) {
        struct cidr cidr;
        CHECK(!cidr_parse(slice_str(*row), &cidr), "%s", *row);
    }
}

TEST(address_survives_packing)
{
    static const char *const texts[] = {"10.1.2.3:80", "[fd00::1]:443", "[::ffff:10.0.0.1]:1",
                                        "unix:/run/some.sock", "unix:@abstract"};
    EACH (text, texts) {
        struct address address, back;
        CHECK(address_parse(slice_str(*text), &address), "%s", *text);
        struct address_packed packed = address_pack(&address);
        CHECK(address_packed_is_set(&packed), "%s", *text);
        back = address_unpack(&packed);
        CHECK(back.size == address.size && memcmp(&back, &address, address.size) == 0, "%s", *text);
        address_packed_fini(&packed);
        CHECK(!address_packed_is_set(&packed), "%s", *text);
    }
    struct address none = {0}, scoped = address_v6("\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 9);
    scoped.v6.sin6_scope_id = 3;
    struct address_packed packed = address_pack(&none);
    CHECK(!address_packed_is_set(&packed) && address_unpack(&packed).size == 0);
    packed = address_pack(&scoped);
    CHECK(address_unpack(&packed).v6.sin6_scope_id == 3, "a link-local address says which link");
    CHECK(sizeof(packed) == 24);
}
