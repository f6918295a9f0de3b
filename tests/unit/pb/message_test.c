#include "test.h"

#include "base/buffer.h"
#include "pb/codec.h"
#include "pb/message.h"

#include "envoy/config/core/v3/core.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"

typedef Envoy__Config__Route__V3__VirtualHost VirtualHost;
#define VIRTUAL_HOST &envoy__config__route__v3__virtual_host__descriptor
#define ROUTE &envoy__config__route__v3__route__descriptor

static VirtualHost *sample(struct arena *arena)
{
    VirtualHost *host = pb_new(arena, VIRTUAL_HOST);
    host->name = (char *)"cart";
    PB_APPEND(arena, host, domains, (char *)"cart");
    PB_APPEND(arena, host, domains, (char *)"cart.shop");
    Envoy__Config__Route__V3__Route *route = pb_new(arena, ROUTE);
    route->name = (char *)"first";
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
    route->route = pb_new(arena, &envoy__config__route__v3__route_action__descriptor);
    route->route->cluster_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    route->route->cluster = (char *)"v1";
    route->metadata = pb_new(arena, &envoy__config__core__v3__metadata__descriptor);
    Google__Protobuf__Struct *istio = pb_struct_new(arena);
    pb_struct_put(arena, istio, "config", pb_value_str(arena, "/a"));
    PB_PUT(arena, route->metadata, filter_metadata,
           &envoy__config__core__v3__metadata__filter_metadata_entry__descriptor, (char *)"istio",
           istio);
    PB_APPEND(arena, host, routes, route);
    return host;
}

TEST(message_copy_is_equal_and_shares_nothing)
{
    struct arena arena, other;
    arena_init(&arena, NULL);
    arena_init(&other, NULL);
    VirtualHost *host = sample(&arena);
    VirtualHost *copy = pb_copy(&host->base, &other);
    struct slice before = pb_pack_to(&host->base, &other);
    arena_fini(&arena); /* what it was copied from is gone: ASan would see a shared pointer */
    CHECK(slice_equals(pb_pack_to(&copy->base, &other), before), "equal");
    PB_APPEND(&other, copy, domains, (char *)"more");
    CHECK(copy->n_domains == 3, "grows");
    arena_fini(&other);
}

TEST(message_copy_keeps_unknown_fields)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    VirtualHost *host =
        pb_decode(VIRTUAL_HOST, SLICE("\x0a\x01x\xfa\x7f\x02hi"), &arena, NULL, &error);
    VirtualHost *copy = pb_copy(&host->base, &arena);
    CHECK(copy->base.n_unknown_fields == 1 &&
              copy->base.unknown_fields != host->base.unknown_fields,
          "kept");
    CHECK(pb_equal(&host->base, &copy->base), "equal");
    arena_fini(&arena);
}

static void list_paths(const struct pb_difference *difference, void *to)
{
    static const char *const marks[] = {[PB_CHANGED] = "~", [PB_ADDED] = "+", [PB_REMOVED] = "-"};
    buffer_format(to, "%s%s;", marks[difference->change], difference->path);
}

static void check_diff(VirtualHost *a, VirtualHost *b, const char *wanted)
{
    struct buffer paths = {0};
    size_t count = pb_diff(&a->base, &b->base, list_paths, &paths);
    size_t marks = 0;
    for (size_t i = 0; i < paths.size; i++)
        marks += paths.data[i] == ';';
    CHECK(count == marks, "%zu differences in %s", count, paths.data);
    CHECK(buffer_equals(&paths, wanted), "%s", paths.data ? paths.data : "");
    buffer_fini(&paths);
}

TEST(message_diff_names_what_changed)
{
    struct arena arena;
    arena_init(&arena, NULL);
    VirtualHost *a = sample(&arena), *b = sample(&arena);
    check_diff(a, b, "");
    b->name = (char *)"other";
    b->domains[1] = (char *)"x";
    PB_APPEND(&arena, b, domains, (char *)"y");
    b->routes[0]->route->cluster = (char *)"v2";
    b->routes[0]->route->timeout = pb_duration_new(&arena, 0);
    pb_struct_put(&arena, b->routes[0]->metadata->filter_metadata[0]->value, "service",
                  pb_value_bool(&arena, true));
    PB_SET(b, include_request_attempt_count, false); /* no presence: no difference */
    check_diff(a, b,
               "~name;~domains[1];+domains[2];~routes[0].route.cluster;+routes[0].route.timeout;"
               "+routes[0].metadata.filter_metadata[\"istio\"].fields[\"service\"];");
    b = sample(&arena);
    b->routes[0]->action_case = 0;
    b->n_domains = 1;
    check_diff(a, b, "-domains[1];-routes[0].route;");
    arena_fini(&arena);
}

TEST(message_duration_counts_milliseconds_and_rounds_up)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t ms;
        bool valid;
    } cases[] = {
        {0, 0, 0, true},
        {0, 1, 1, true},
        {1, 500000000, 1500, true},
        {1, 500000001, 1501, true},
        {-1, -500000000, -1500, true},
        {315576000000, 0, 315576000000000, true},
        {315576000001, 0, 315576000001000, false},
        {INT64_MAX, 999999999, INT64_MAX, false},
        {INT64_MIN, 0, -INT64_MAX, false},
        {1, -1, 1000, false},
        {0, 1000000000, 1000, false},
    };
    EACH (c, cases) {
        Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
        duration.seconds = c->seconds;
        duration.nanos = c->nanos;
        CHECK(pb_duration_ms(&duration, 7) == c->ms, "%lld s %d ns: %lld", (long long)c->seconds,
              c->nanos, (long long)pb_duration_ms(&duration, 7));
        CHECK(pb_duration_is_valid(&duration) == c->valid, "%lld s %d ns", (long long)c->seconds,
              c->nanos);
    }
    CHECK(pb_duration_ms(NULL, 7) == 7, "absent");
}
