/*
 * route_list: the first rule of a virtual host that a request fulfils. One truth for proxies and for `tulle why`.
 *
 * Order is kept, always. Runs of rules with exact paths are found by hash instead of one by one.
 */
#pragma once

#include "base/attributes.h"
#include "match/header_match.h"
#include "match/path_match.h"
#include "match/query_match.h"
#include "match/request.h"

enum { ROUTE_NONE = -1, ROUTE_LIST_MAX = 1 << 16 };

struct fraction {
    uint32_t numerator, denominator; /* denominator 0: always */
};
/* True in that share of random numbers. */
bool fraction_holds(struct fraction fraction, uint64_t random);

struct route_rule {
    struct path_match path;
    const struct header_match *headers;
    const struct query_match *queries;
    uint16_t header_count, query_count;
    bool grpc_only;
    struct fraction fraction;
};

struct route_step;
struct route_list {
    const struct route_rule *rules;
    const struct route_step *steps;
    uint32_t count, step_count;
};

/* The rules stay where they are and must live as long as the list; they belong to the same memory. */
void route_list_build(struct route_list *list, const struct route_rule *rules, size_t count,
                      struct table_memory *memory);
/* The rule's index, or ROUTE_NONE. */
int32_t route_list_find(const struct route_list *list, const struct match_request *request);

/* Why a rule does not match, for people: the first condition that fails. */
enum route_miss {
    ROUTE_HIT,
    ROUTE_MISS_PATH,
    ROUTE_MISS_HEADER,
    ROUTE_MISS_QUERY,
    ROUTE_MISS_GRPC,
    ROUTE_MISS_FRACTION,
};
/* `which` tells the failing header or query; may be NULL. */
enum route_miss route_rule_test(const struct route_rule *rule, const struct match_request *request,
                                size_t *which);
