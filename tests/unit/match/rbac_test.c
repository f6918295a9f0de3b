#include "test.h"

#include "match/fake_request.h"
#include "match/rbac.h"
#include "match/table_memory.h"

static struct table_memory memory;

static struct predicate predicate_of(const struct predicate_node *node)
{
    struct predicate predicate;
    CHECK(predicate_build(&predicate, node, &memory, NULL));
    return predicate;
}

static struct predicate predicate_test_of(const struct rbac_test *test)
{
    return predicate_of(&(struct predicate_node){.kind = PREDICATE_TEST, .test = test});
}

static struct rbac_test path_test(const char *prefix)
{
    struct rbac_test test = {.kind = RBAC_TEST_PATH};
    CHECK(string_match_build(&test.string, STRING_MATCH_PREFIX, slice_str(prefix), false, &memory,
                             NULL));
    return test;
}

static bool allows(enum rbac_action action, const struct rbac_test *test, const char *path)
{
    struct rbac_policy policy = {SLICE("p"), predicate_test_of(test),
                                 predicate_of(&(struct predicate_node){.kind = PREDICATE_ALWAYS})};
    struct rbac rbac = {action, &policy, 1};
    struct match_connection connection = {0};
    struct match_request request = fake_request(path, NULL);
    request.connection = &connection;
    return rbac_judge(&rbac, &request).allowed;
}

/* PTH-09 */
TEST(rbac_sees_paths_with_and_without_parameters)
{
    table_memory_init(&memory);
    struct rbac_test admin = path_test("/admin"), public_path = path_test("/public/");
    CHECK(!allows(RBAC_DENY, &admin, "/admin"));
    CHECK(!allows(RBAC_DENY, &admin, "/admin;a=b"));
    CHECK(!allows(RBAC_DENY, &admin, "/admin/;/x"));
    CHECK(allows(RBAC_DENY, &admin, "/adm;in/x"), "it is /adm/x or what it says");
    CHECK(!allows(RBAC_DENY, &admin, "/x/..;/admin"), "PTH-09: then its dots are resolved");
    CHECK(!allows(RBAC_DENY, &admin, "/;/admin") && !allows(RBAC_DENY, &admin, "/x/..;a/.;/admin"));
    CHECK(allows(RBAC_DENY, &admin, "/x/...;/admin"));
    CHECK(!allows(RBAC_ALLOW, &public_path, "/public/..;/admin"));
    struct rbac_test nested = path_test("/x/admin");
    CHECK(!allows(RBAC_DENY, &nested, "/x;v=1/admin"), "without parameters it is /x/admin");
    CHECK(allows(RBAC_ALLOW, &public_path, "/public/x"));
    CHECK(allows(RBAC_ALLOW, &public_path, "/public/x;v=1"));
    CHECK(!allows(RBAC_ALLOW, &public_path, "/public;x/y"),
          "only without parameters it is /public/y");
    CHECK(!allows(RBAC_ALLOW, &public_path, "/other"));

    static char long_path[20000];
    memset(long_path, 'a', sizeof(long_path) - 1);
    memcpy(long_path, "/public/;", 9);
    CHECK(!allows(RBAC_ALLOW, &public_path, long_path), "too long to be looked at twice");
    CHECK(!allows(RBAC_DENY, &admin, long_path));
    table_memory_fini(&memory);
}

TEST(rbac_judges_by_action)
{
    static const struct {
        enum rbac_action action;
        size_t policies;
        bool matches, allowed;
    } cases[] = {
        {RBAC_ALLOW, 0, false, false}, {RBAC_ALLOW, 1, false, false}, {RBAC_ALLOW, 1, true, true},
        {RBAC_DENY, 0, false, true},   {RBAC_DENY, 1, false, true},   {RBAC_DENY, 1, true, false},
        {RBAC_LOG, 0, false, true},    {RBAC_LOG, 1, true, true},
    };
    table_memory_init(&memory);
    struct match_connection connection = {0};
    struct match_request request = fake_request("/", NULL);
    request.connection = &connection;
    EACH (row, cases) {
        struct predicate outcome = predicate_of(
            &(struct predicate_node){.kind = row->matches ? PREDICATE_ALWAYS : PREDICATE_NEVER});
        struct rbac_policy policy = {
            SLICE("the-policy"), outcome,
            predicate_of(&(struct predicate_node){.kind = PREDICATE_ALWAYS})};
        struct rbac rbac = {row->action, &policy, row->policies};
        struct rbac_verdict verdict = rbac_judge(&rbac, &request);
        CHECK(verdict.allowed == row->allowed, "row %zu", (size_t)(row - cases));
        CHECK(slice_equals_str(verdict.policy, row->matches && row->policies ? "the-policy" : ""));
    }
    table_memory_fini(&memory);
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    CHECK(ip_parse(slice_str(text), &ip));
    return ip;
}

TEST(rbac_tests_the_connection)
{
    static const struct slice principals[] = {SLICE("spiffe://td/ns/shop/sa/cart"), SLICE("other")};
    struct match_connection connection = {
        .source = ip_of("10.1.2.3"),
        .remote = ip_of("192.168.0.9"),
        .destination = ip_of("10.9.9.9"),
        .destination_port = 8080,
        .server_name = SLICE("shop.example.com"),
        .principals = principals,
        .principal_count = 2,
    };
    table_memory_init(&memory);
    struct rbac_test tests[10] = {
        {.kind = RBAC_TEST_PORTS, .first_port = 8080, .end_port = 8081},
        {.kind = RBAC_TEST_PORTS, .first_port = 8081, .end_port = 9000},
        {.kind = RBAC_TEST_SOURCE},
        {.kind = RBAC_TEST_REMOTE},
        {.kind = RBAC_TEST_DESTINATION},
        {.kind = RBAC_TEST_PRINCIPAL},
        {.kind = RBAC_TEST_SERVER_NAME},
        {.kind = RBAC_TEST_AUTHENTICATED},
        {.kind = RBAC_TEST_PATH},
        {.kind = RBAC_TEST_HEADER, .header = {.kind = HEADER_MATCH_PRESENT}},
    };
    static const bool holds[] = {true, false, true, false, true, true, true, true, false, false};
    CHECK(ip_prefix_parse(SLICE("10.1.0.0/16"), &tests[2].prefix));
    CHECK(ip_prefix_parse(SLICE("10.1.0.0/16"), &tests[3].prefix));
    CHECK(ip_prefix_parse(SLICE("10.9.9.9"), &tests[4].prefix));
    CHECK(string_match_build(&tests[5].string, STRING_MATCH_SUFFIX, SLICE("/sa/cart"), false,
                             &memory, NULL));
    CHECK(string_match_build(&tests[6].string, STRING_MATCH_EXACT, SLICE("shop.example.com"), false,
                             &memory, NULL));
    CHECK(string_match_build(&tests[8].string, STRING_MATCH_ANY, SLICE(""), false, &memory, NULL));
    CHECK(header_key_build(&tests[9].header.key, SLICE("x-a"), &memory));
    struct match_request request = {.connection = &connection}; /* TCP: no head */
    for (size_t i = 0; i < COUNT(tests); i++) {
        struct rbac_policy policy = {
            SLICE("p"), predicate_test_of(&tests[i]),
            predicate_of(&(struct predicate_node){.kind = PREDICATE_ALWAYS})};
        struct rbac rbac = {RBAC_ALLOW, &policy, 1};
        CHECK(rbac_judge(&rbac, &request).allowed == holds[i], "test %zu", i);
    }
    connection.principal_count = 0;
    struct rbac_policy policy = {SLICE("p"), predicate_test_of(&tests[7]),
                                 predicate_of(&(struct predicate_node){.kind = PREDICATE_ALWAYS})};
    CHECK(!rbac_judge(&(struct rbac){RBAC_ALLOW, &policy, 1}, &request).allowed,
          "plaintext has no principal");
    table_memory_fini(&memory);
}

TEST(rbac_refuses_when_a_header_was_lost)
{
    static const struct fake_field fields[] = {{"x-lost", "<lost>"}, {0}};
    static const enum rbac_action actions[] = {RBAC_ALLOW, RBAC_DENY, RBAC_LOG};
    table_memory_init(&memory);
    struct rbac_test test = {.kind = RBAC_TEST_HEADER,
                             .header = {.kind = HEADER_MATCH_PRESENT, .present = true}};
    CHECK(header_key_build(&test.header.key, SLICE("x-lost"), &memory));
    struct rbac_policy policy = {SLICE("p"), predicate_test_of(&test),
                                 predicate_of(&(struct predicate_node){.kind = PREDICATE_ALWAYS})};
    EACH (action, actions) {
        bool lost = false;
        struct match_connection connection = {0};
        struct match_request request = fake_request("/", fields);
        request.connection = &connection;
        request.lost = &lost;
        CHECK(!rbac_judge(&(struct rbac){*action, &policy, 1}, &request).allowed);
        CHECK(lost);
    }
    table_memory_fini(&memory);
}
