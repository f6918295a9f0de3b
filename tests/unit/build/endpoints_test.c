#include "test.h"

#include "build/endpoints.h"
#include "build/istio.h"
#include "build/yaml.h"

static struct arena arena;

static const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *message(const char *text)
{
    return from_yaml(&arena, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
                     text);
}

static struct endpoints *built(const char *text)
{
    struct endpoints *set = NULL;
    struct error error = {0};
    CHECK_TAKEN(endpoints_build(message(text), &here, &set, &error), &error, text);
    return set;
}

static bool is_at(const struct endpoint *endpoint, const char *expected)
{
    char text[ENDPOINT_TEXT];
    size_t size = endpoint_address_format(&endpoint->address, text);
    return strcmp(text, expected) == 0 && size == strlen(expected);
}

TEST(endpoints_of_istio)
{
    owned(endpoints) set = built(ISTIO_ENDPOINTS);
    CHECK(set->count == 3 && set->locality_count == 2 && set->priority_count == 2 &&
          set->overprovisioning == 140);
    CHECK(is_at(&set->items[0], "10.0.0.1:9080") && set->items[0].weight == 1 && !set->has_hosts);
    CHECK(slice_equals_str(set->items[0].workload, "reviews-v1;default;reviews;v1;Kubernetes"));
    CHECK(set->items[0].label_count == 1 &&
          slice_equals_str(set->items[0].labels[0].value, "istio"));
    CHECK(set->items[1].health == ENDPOINT_UNHEALTHY && set->items[1].label_count == 0);
    CHECK(set->priorities[0].count == 2 && set->priorities[0].healthy == 1 &&
          set->priorities[1].first == 2);
    CHECK(set->localities[0].weight == 3 && slice_equals_str(set->localities[1].zone, "eu-2"));
    CHECK(set->items[2].priority == 1 && set->items[2].locality == 1);
    arena_fini(&arena);
}

#define AT(address)                                                                                \
    "{endpoint: {address: {socket_address: {address: " address ", port_value: 80}}}}"

TEST(endpoints_are_sorted_by_priority)
{
    owned(endpoints) set = built("{cluster_name: c, endpoints: [{priority: 1, lb_endpoints: [" AT(
        "10.0.0.3") "]}, "
                    "{lb_endpoints: [" AT("10.0.0.1") "]}, {lb_endpoints: []}, {lb_endpoints: [" AT(
                        "'fd00::2'") "]}]}");
    CHECK(is_at(&set->items[0], "10.0.0.1:80") && is_at(&set->items[1], "[fd00::2]:80") &&
          is_at(&set->items[2], "10.0.0.3:80"));
    CHECK(set->priorities[0].count == 2 && set->priorities[0].locality_count == 3 &&
          set->priorities[1].count == 1);
    arena_fini(&arena);
}

TEST(endpoints_tell_contents_apart)
{
    owned(endpoints) a =
        built("{cluster_name: c, endpoints: [{lb_endpoints: [" AT("10.0.0.1") "]}]}");
    owned(endpoints) b =
        built("{cluster_name: c, endpoints: [{lb_endpoints: [" AT("10.0.0.1") "]}]}");
    owned(endpoints) c =
        built("{cluster_name: c, endpoints: [{lb_endpoints: [" AT("10.0.0.2") "]}]}");
    owned(endpoints) mapped =
        built("{cluster_name: c, endpoints: [{lb_endpoints: [" AT("'::ffff:10.0.0.1'") "]}]}");
    CHECK(hash128_equals(a->content, b->content) && !hash128_equals(a->content, c->content));
    CHECK(a->items[0].hash == b->items[0].hash && a->items[0].hash != c->items[0].hash);
    CHECK(a->items[0].hash == mapped->items[0].hash, "PTH-26: one host, one identity");
    arena_fini(&arena);
}

static size_t answer(void *owner, struct slice host, struct ip *out)
{
    size_t count = *(size_t *)owner;
    CHECK(slice_equals_str(host, "example.com"));
    for (size_t i = 0; i < count; i++)
        CHECK(ip_of_bytes(slice_of((uint8_t[]){10, 1, 0, (uint8_t)(i + 1)}, 4), &out[i]));
    return count;
}

TEST(endpoints_resolve_names)
{
    owned(endpoints) templates =
        built("{cluster_name: c, endpoints: [{lb_endpoints: [" AT("10.0.0.1") ", " AT(
            "Example.COM") "]}, {priority: 1, lb_endpoints: [" AT("example.com") "]}]}");
    CHECK(templates->has_hosts && is_at(&templates->items[1], "example.com:80"));
    size_t count = 2;
    owned(endpoints) two = endpoints_resolve(templates, answer, &count);
    CHECK(two->count == 5 && !two->has_hosts && is_at(&two->items[0], "10.0.0.1:80"));
    CHECK(is_at(&two->items[1], "10.1.0.1:80") && is_at(&two->items[2], "10.1.0.2:80"));
    CHECK(slice_equals_str(two->items[1].hostname, "example.com"));
    CHECK(two->priorities[1].first == 3 && two->priorities[1].count == 2);
    owned(endpoints) again = endpoints_resolve(templates, answer, &count);
    CHECK(hash128_equals(two->content, again->content));
    count = 0;
    owned(endpoints) none = endpoints_resolve(templates, answer, &count);
    CHECK(none->count == 1 && none->priorities[1].count == 0 &&
          !hash128_equals(two->content, none->content));
    arena_fini(&arena);
}

TEST(endpoints_refuse_mistakes)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "cluster_name: this is required"},
        {"{cluster_name: c, endpoints: [{priority: 16}]}",
         "endpoints[0].priority: 16 is not below 16"},
        {"{cluster_name: c, endpoints: [{priority: 1}]}", "priority 0 is missing"},
        {"{cluster_name: c, endpoints: [{priority: 0}, {priority: 2}]}", "priority 1 is missing"},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{}]}]}",
         "endpoints[0].lb_endpoints[0].endpoint: "},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {}}]}]}",
         "lb_endpoints[0].endpoint.address: "},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint_name: x}]}]}",
         "endpoint_name: this does not act"},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
         "{address: 10.0.0.1, "
         "port_value: 70000}}}}]}]}",
         "address.socket_address.port_value: 70000 is no port"},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
         "{address: 10.0.0.1, "
         "named_port: http}}}}]}]}",
         "named_port: "},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
         "{protocol: 2, address: "
         "10.0.0.1}}}}]}]}",
         "protocol: "},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "
         "x}}}}]}]}",
         "address.pipe.path: "},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: "
         "{envoy_internal_address: "
         "{server_listener_name: x}}}}]}]}",
         "only a socket_address or a pipe"},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{load_balancing_weight: 0, endpoint: "
         "{address: "
         "{socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}",
         "load_balancing_weight: 0 is not between"},
        {"{cluster_name: c, policy: {drop_overloads: [{category: x}]}}", "policy.drop_overloads: "},
        {"{cluster_name: c, policy: {overprovisioning_factor: 99}}", "overprovisioning_factor: 99"},
        {"{cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /x}}}, "
         "metadata: "
         "{filter_metadata: {envoy.transport_socket_match: {a: 1}}}}]}]}",
         "metadata: 'a' is no string"},
    };
    EACH (row, cases) {
        struct endpoints *set = NULL;
        struct error error = {0};
        bool ok = endpoints_build(message(row->text), &here, &set, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        arena_fini(&arena);
    }
}
