/* Route tables, and requests through those that can be built. */
#include "build/route_table.h"
#include "build_resource.h"
#include "match/regex.h"

static enum header_lookup header(const struct match_request *request, const struct header_key *key,
                                 struct slice *value)
{
    (void)request;
    *value = SLICE("value");
    return key->name.size % 3 == 0   ? HEADER_LOOKUP_FOUND
           : key->name.size % 3 == 1 ? HEADER_LOOKUP_ABSENT
                                     : HEADER_LOOKUP_LOST;
}

static void use(const struct route_table *table)
{
    static const struct slice hosts[] = {{"reviews", 7}, {"a.example.com:80", 16}, {"", 0}},
                              paths[] = {{"/", 1}, {"/api/v1", 7}, {"*", 1}};
    for (unsigned i = 0; i < 36; i++) {
        bool lost = false;
        struct match_request request = {.method = SLICE("GET"),
                                        .scheme = SLICE("http"),
                                        .authority = hosts[i % 3],
                                        .path = paths[i / 3 % 3],
                                        .target = paths[i / 3 % 3],
                                        .query = i & 1 ? SLICE("a=1&b") : SLICE_NONE,
                                        .header = header,
                                        .random = i * 0x0123456789abcdefu,
                                        .is_grpc = i & 2,
                                        .is_connect = i > 30,
                                        .lost = &lost};
        const struct route *route = route_table_find(table, &request);
        if (!route)
            continue;
        if (route->action == ROUTE_FORWARD && route->targets &&
            !name_is_set(&route_target_pick(route, request.random)->cluster))
            abort();
        char out[256];
        size_t size;
        if (route->rewrite.regex &&
            regex_replace(route->rewrite.regex, request.path, route->rewrite.substitution, out,
                          sizeof(out), &size) &&
            size > sizeof(out))
            abort();
    }
}

FUZZ_BUILD(envoy__config__route__v3__route_configuration__descriptor, route_table, use)
