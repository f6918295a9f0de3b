#include "test.h"

#include "base/random.h"
#include "match/fake_request.h"
#include "match/route_list.h"
#include "match/table_memory.h"

static struct route_rule rule_of(enum path_match_kind kind, const char *path,
                                 struct table_memory *memory)
{
    struct route_rule rule = {0};
    CHECK(path_match_build(&rule.path, kind, slice_str(path), false, memory, NULL), "%s", path);
    return rule;
}

TEST(route_list_takes_the_first_rule)
{
    struct table_memory memory;
    table_memory_init(&memory);
    struct route_rule rules[] = {
        rule_of(PATH_MATCH_EXACT, "/a", &memory),
        rule_of(PATH_MATCH_PREFIX, "/a", &memory),
        rule_of(PATH_MATCH_EXACT, "/a/b", &memory), /* never reached */
        rule_of(PATH_MATCH_REGEX, "/b+", &memory),
    };
    struct route_list list;
    route_list_build(&list, rules, COUNT(rules), &memory);
    static const struct {
        const char *target;
        int32_t rule;
    } cases[] = {{"/a", 0},   {"/a?x=1", 0},      {"/a/b", 1},
                 {"/bbb", 3}, {"/c", ROUTE_NONE}, {"*", ROUTE_NONE}};
    EACH (row, cases) {
        struct match_request request = fake_request(row->target, NULL);
        CHECK(route_list_find(&list, &request) == row->rule, "%s", row->target);
    }
    table_memory_fini(&memory);
}

TEST(route_list_without_rules_finds_none)
{
    struct table_memory memory;
    struct route_list list;
    table_memory_init(&memory);
    route_list_build(&list, NULL, 0, &memory);
    struct match_request request = fake_request("/", NULL);
    CHECK(route_list_find(&list, &request) == ROUTE_NONE);
    table_memory_fini(&memory);
}

TEST(route_list_gives_connect_to_its_own_rules)
{
    struct table_memory memory;
    table_memory_init(&memory);
    struct route_rule rules[] = {rule_of(PATH_MATCH_PREFIX, "/", &memory),
                                 rule_of(PATH_MATCH_CONNECT, "", &memory)};
    struct route_list list;
    route_list_build(&list, rules, COUNT(rules), &memory);
    struct match_request request = fake_request("/x", NULL);
    CHECK(route_list_find(&list, &request) == 0);
    request.is_connect = true;
    CHECK(route_list_find(&list, &request) == 1);
    route_list_build(&list, rules, 1, &memory);
    CHECK(route_list_find(&list, &request) == ROUTE_NONE);
    table_memory_fini(&memory);
}

TEST(route_list_says_what_misses)
{
    static const struct fake_field fields[] = {{"x-user", "alice"}, {0}};
    struct table_memory memory;
    table_memory_init(&memory);
    struct header_match headers[2] = {{.kind = HEADER_MATCH_STRING},
                                      {.kind = HEADER_MATCH_PRESENT, .present = true}};
    CHECK(header_key_build(&headers[0].key, SLICE("x-user"), &memory));
    CHECK(header_key_build(&headers[1].key, SLICE("x-other"), &memory));
    CHECK(string_match_build(&headers[0].string, STRING_MATCH_EXACT, SLICE("alice"), false, &memory,
                             NULL));
    struct query_match query = {.name = SLICE("v"), .is_presence = true, .present = true};
    struct route_rule rule = rule_of(PATH_MATCH_PREFIX, "/a", &memory);
    size_t which = 99;

    struct match_request request = fake_request("/b", fields);
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_MISS_PATH);
    request = fake_request("/a", fields);
    CHECK(route_rule_test(&rule, &request, NULL) == ROUTE_HIT);
    rule.headers = headers;
    rule.header_count = 2;
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_MISS_HEADER && which == 1);
    rule.header_count = 1;
    rule.queries = &query;
    rule.query_count = 1;
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_MISS_QUERY && which == 0);
    request = fake_request("/a?v", fields);
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_HIT);
    rule.fraction = (struct fraction){0, 100};
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_MISS_FRACTION);
    rule.grpc_only = true;
    CHECK(route_rule_test(&rule, &request, &which) == ROUTE_MISS_GRPC);
    table_memory_fini(&memory);
}

TEST(fraction_holds_in_its_share)
{
    struct random random;
    random_seed(&random, 11);
    static const struct fraction cases[] = {
        {0, 100}, {25, 100}, {100, 100}, {1, 10000}, {999999, 1000000}};
    EACH (row, cases) {
        int hits = 0;
        const int draws = 100000;
        for (int i = 0; i < draws; i++)
            hits += fraction_holds(*row, random_u64(&random));
        double share = (double)row->numerator / row->denominator, seen = (double)hits / draws;
        CHECK(seen > share - 0.006 && seen < share + 0.006, "%u of %u: %f", row->numerator,
              row->denominator, seen);
        CHECK(row->numerator > 0 || hits == 0);
        CHECK(row->numerator < row->denominator || hits == draws);
    }
    CHECK(fraction_holds((struct fraction){0, 0}, 5), "none configured");
}

static int32_t find_slowly(const struct route_list *list, const struct match_request *request)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (route_rule_test(&list->rules[i], request, NULL) == ROUTE_HIT)
            return (int32_t)i;
    }
    return ROUTE_NONE;
}

TEST(route_list_keeps_the_order_however_it_finds)
{
    static const char *const paths[] = {"/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", "/j"};
    static const struct fake_field with[] = {{"x-a", "1"}, {0}}, without[] = {{0}};
    struct random random;
    random_seed(&random, 5);
    for (int round = 0; round < 300; round++) {
        struct table_memory memory;
        table_memory_init(&memory);
        struct header_match header = {.kind = HEADER_MATCH_PRESENT, .present = true};
        CHECK(header_key_build(&header.key, SLICE("x-a"), &memory));
        struct route_rule rules[40];
        size_t count = random_below(&random, COUNT(rules) + 1);
        for (size_t i = 0; i < count; i++) {
            bool exact = random_below(&random, 12) > 0;
            rules[i] = rule_of(exact ? PATH_MATCH_EXACT : PATH_MATCH_PREFIX,
                               paths[random_below(&random, COUNT(paths))], &memory);
            if (random_below(&random, 2)) {
                rules[i].headers = &header;
                rules[i].header_count = 1;
            }
        }
        struct route_list list;
        route_list_build(&list, rules, count, &memory);
        EACH (path, paths) {
            struct match_request request =
                fake_request(*path, random_below(&random, 2) ? with : without);
            CHECK(route_list_find(&list, &request) == find_slowly(&list, &request), "round %d, %s",
                  round, *path);
        }
        table_memory_fini(&memory);
    }
}
