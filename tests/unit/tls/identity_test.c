#include "test.h"

#include "base/map.h"
#include "base/memory.h"
#include "tls/identity.h"
#include "tls/identity_internal.h"

TEST(spiffe_ids_are_strict)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"spiffe://cluster.local/ns/shop/sa/cart", true},
        {"spiffe://a/b", true},
        {"spiffe://1.2.3.4/x", true},
        {"spiffe://td_x-y.z/A-Z_0.9/...", true},
        {"spiffe://td/path/with/many/segments", true},
        {"", false},
        {"spiffe", false},
        {"spiffe:", false},
        {"spiffe:/td/x", false},
        {"spiffe:td", false},
        {"SPIFFE://td/x", false},
        {"Spiffe://td/x", false},
        {"http://td/x", false},
        {" spiffe://td/x", false},
        {"spiffe://", false},
        {"spiffe:///x", false},
        {"spiffe://td", false},
        {"spiffe://td/", false},
        {"spiffe://td//a", false},
        {"spiffe://td/a/", false},
        {"spiffe://td/a//b", false},
        {"spiffe://td/.", false},
        {"spiffe://td/./a", false},
        {"spiffe://td/..", false},
        {"spiffe://td/../a", false},
        {"spiffe://td/a/..", false},
        {"spiffe://td/%2e", false},
        {"spiffe://td/a b", false},
        {"spiffe://td/\xc3\xa4", false},
        {"spiffe://td/a?x", false},
        {"spiffe://td/a#y", false},
        {"spiffe://td/a?", false},
        {"spiffe://td?x", false},
        {"spiffe://TD/a", false},
        {"spiffe://td:443/a", false},
        {"spiffe://user@td/a", false},
        {"spiffe://%41/a", false},
        {"spiffe://[::1]/a", false},
        {"spiffe://td./a", false},
        {"spiffe://.td/a", false},
        {"spiffe://t d/a", false},
    };
    EACH (row, rows) {
        struct spiffe_id id;
        const char *why = NULL;
        CHECK(spiffe_id_parse(slice_str(row->text), &id, &why) == row->good, "%s", row->text);
        CHECK(row->good == (why == NULL), "%s", row->text);
        CHECK(!row->good || slice_equals_str(id.text, row->text));
    }
}

TEST(every_byte_is_a_path_byte_or_not)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[] = "spiffe://td/a?b";
        text[13] = (char)byte;
        bool good = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                    (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_' ||
                    byte == '/';
        struct spiffe_id id;
        CHECK(spiffe_id_parse(slice_of(text, 15), &id, NULL) == good, "byte %d in a path", byte);

        char domain[] = "spiffe://t?d/a";
        domain[10] = (char)byte;
        bool fits = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '.' ||
                    byte == '-' || byte == '_' || byte == '/';
        CHECK(spiffe_id_parse(slice_of(domain, 14), &id, NULL) == fits, "byte %d in a trust domain",
              byte);
    }
}

TEST(lengths_have_limits)
{
    char text[SPIFFE_ID_MAX + 1];
    struct spiffe_id id;
    memset(text, 'a', sizeof(text));
    memcpy(text, "spiffe://td/", 12);
    CHECK(spiffe_id_parse(slice_of(text, SPIFFE_ID_MAX), &id, NULL));
    CHECK(!spiffe_id_parse(slice_of(text, SPIFFE_ID_MAX + 1), &id, NULL));
    memset(text, 'a', sizeof(text));
    memcpy(text, "spiffe://", 9);
    text[9 + TRUST_DOMAIN_MAX] = '/';
    CHECK(spiffe_id_parse(slice_of(text, 9 + TRUST_DOMAIN_MAX + 2), &id, NULL));
    text[9 + TRUST_DOMAIN_MAX] = 'a';
    text[9 + TRUST_DOMAIN_MAX + 1] = '/';
    CHECK(!spiffe_id_parse(slice_of(text, 9 + TRUST_DOMAIN_MAX + 3), &id, NULL));
}

TEST(namespace_and_account_come_from_four_segments_only)
{
    struct spiffe_id id;
    CHECK(spiffe_id_parse(SLICE("spiffe://cluster.local/ns/shop/sa/cart"), &id, NULL));
    CHECK(slice_equals_str(id.trust_domain, "cluster.local") &&
          slice_equals_str(id.path, "/ns/shop/sa/cart"));
    CHECK(slice_equals_str(id.name_space, "shop") && slice_equals_str(id.account, "cart"));
    static const char *const others[] = {
        "spiffe://td/ns/shop/sa", "spiffe://td/ns/shop/sa/cart/more", "spiffe://td/sa/cart/ns/shop",
        "spiffe://td/NS/shop/sa/cart"};
    EACH (other, others) {
        CHECK(spiffe_id_parse(slice_str(*other), &id, NULL));
        CHECK(id.name_space.size == 0 && id.account.size == 0, "%s", *other);
    }
}

TEST(an_id_is_made_only_of_parts_that_stay_parts)
{
    char *made = spiffe_id_of_workload(SLICE("td"), SLICE("shop"), SLICE("cart"));
    CHECK(strcmp(made, "spiffe://td/ns/shop/sa/cart") == 0);
    mem_free(made);
    CHECK(!spiffe_id_of_workload(SLICE("td"), SLICE("a/sa/b"), SLICE("c")));
    CHECK(!spiffe_id_of_workload(SLICE("td"), SLICE("a"), SLICE("b\0c")));
    CHECK(!spiffe_id_of_workload(SLICE("td"), SLICE(".."), SLICE("b")));
    CHECK(!spiffe_id_of_workload(SLICE("td/ns/x/sa/y"), SLICE("a"), SLICE("b")));
    CHECK(!spiffe_id_of_workload(SLICE(""), SLICE("a"), SLICE("b")));
}

static bool matches(enum san_kind kind, const char *name, struct san_match match)
{
    struct san san = {kind, slice_str(name)};
    struct peer_identity identity = {.sans = &san, .san_count = 1};
    return peer_identity_matches(&identity, &match, 1);
}

TEST(names_match_as_they_should_and_no_further)
{
    static const struct {
        enum san_kind kind;
        const char *name;
        enum san_match_how how;
        int wanted_kind;
        bool ignore_case;
        const char *value;
        bool good;
    } rows[] = {
        {SAN_URI, "spiffe://td/ns/a/sa/b", SAN_MATCH_EXACT, SAN_URI, false, "spiffe://td/ns/a/sa/b",
         true},
        {SAN_URI, "spiffe://td/ns/a/sa/b", SAN_MATCH_EXACT, SAN_URI, false,
         "spiffe://td/ns/a/sa/bc", false},
        {SAN_URI, "spiffe://td/ns/a/sa/bc", SAN_MATCH_EXACT, SAN_URI, false,
         "spiffe://td/ns/a/sa/b", false},
        {SAN_URI, "spiffe://td/ns/a/sa/B", SAN_MATCH_EXACT, SAN_URI, false, "spiffe://td/ns/a/sa/b",
         false},
        {SAN_URI, "spiffe://td/ns/a/sa/B", SAN_MATCH_EXACT, SAN_URI, true, "spiffe://td/ns/a/sa/b",
         true},
        {SAN_URI, "spiffe://td/ns/a/sa/b", SAN_MATCH_PREFIX, SAN_ANY_KIND, false, "spiffe://td/",
         true},
        {SAN_URI, "spiffe://td2/ns/a/sa/b", SAN_MATCH_PREFIX, SAN_ANY_KIND, false, "spiffe://td/",
         false},
        {SAN_URI, "spiffe://td", SAN_MATCH_PREFIX, SAN_ANY_KIND, false, "spiffe://td/", false},
        {SAN_URI, "spiffe://td/x/b", SAN_MATCH_SUFFIX, SAN_URI, false, "/b", true},
        {SAN_URI, "spiffe://td/x/b", SAN_MATCH_CONTAINS, SAN_URI, false, "/x/", true},
        {SAN_URI, "spiffe://td/x/b", SAN_MATCH_CONTAINS, SAN_URI, false, "/y/", false},
        {SAN_DNS, "a.example", SAN_MATCH_EXACT, SAN_URI, false, "a.example", false},
        {SAN_DNS, "a.example", SAN_MATCH_EXACT, SAN_DNS, false, "A.EXAMPLE", true},
        {SAN_DNS, "*.example.com", SAN_MATCH_EXACT, SAN_DNS, false, "a.example.com", true},
        {SAN_DNS, "*.example.com", SAN_MATCH_EXACT, SAN_DNS, false, "a.b.example.com", false},
        {SAN_DNS, "*.example.com", SAN_MATCH_EXACT, SAN_DNS, false, "example.com", false},
        {SAN_DNS, "*.example.com", SAN_MATCH_EXACT, SAN_DNS, false, ".example.com", false},
        {SAN_DNS, "*.com", SAN_MATCH_EXACT, SAN_DNS, false, "example.com", false},
        {SAN_DNS, "*", SAN_MATCH_EXACT, SAN_DNS, false, "com", false},
        {SAN_DNS, "a*.example.com", SAN_MATCH_EXACT, SAN_DNS, false, "ab.example.com", false},
        {SAN_URI, "*.example.com", SAN_MATCH_EXACT, SAN_URI, false, "a.example.com", false},
        {SAN_IP, "10.0.0.7", SAN_MATCH_EXACT, SAN_IP, false, "10.0.0.7", true},
    };
    EACH (row, rows) {
        struct san_match match = {row->how, row->wanted_kind, row->ignore_case,
                                  slice_str(row->value)};
        CHECK(matches(row->kind, row->name, match) == row->good, "%s against %s", row->name,
              row->value);
    }
}

TEST(no_match_wanted_means_any_and_no_name_means_none)
{
    struct peer_identity nobody = {0};
    struct san_match match = {SAN_MATCH_PREFIX, SAN_ANY_KIND, false, SLICE("")};
    CHECK(peer_identity_matches(&nobody, NULL, 0) && peer_identity_matches(NULL, NULL, 0));
    CHECK(!peer_identity_matches(&nobody, &match, 1) && !peer_identity_matches(NULL, &match, 1));
}

TEST(equal_certificates_are_one_identity_while_it_lives)
{
    struct map *home = map_create_hostile();
    struct san sans[] = {{SAN_URI, SLICE("spiffe://td/ns/a/sa/b")}, {SAN_DNS, SLICE("b.example")}};
    struct peer_identity model = {
        .sans = sans, .san_count = 2, .certificate_hash = {1}, .subject = SLICE("CN=b")};
    CHECK(spiffe_id_parse(sans[0].text, &model.id, NULL));
    struct peer_identity *first = identity_intern(home, &model),
                         *second = identity_intern(home, &model);
    CHECK(first == second && first->refs == 2);
    CHECK(first->sans[0].text.data != sans[0].text.data &&
          slice_equals(first->sans[1].text, sans[1].text));
    CHECK(first->id.text.data == first->sans[0].text.data &&
          slice_equals_str(first->id.account, "b"));
    model.certificate_hash[0] = 2;
    struct peer_identity *other = identity_intern(home, &model);
    CHECK(other != first && map_count(home) == 2);
    peer_identity_unref(first);
    CHECK(map_count(home) == 2);
    peer_identity_unref(second);
    peer_identity_unref(other);
    CHECK(map_count(home) == 0);
    map_destroy(home);
}
