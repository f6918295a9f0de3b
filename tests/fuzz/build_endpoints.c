/* Endpoint sets: runs of priorities and localities cover every endpoint once. */
#include "build/endpoints.h"
#include "build_resource.h"

static size_t answer(void *owner, struct slice host, struct ip *out)
{
    (void)owner;
    memset(out, 7, 3 * sizeof(*out));
    return host.size % 4;
}

static void check(const struct endpoints *set)
{
    uint32_t next = 0;
    for (uint32_t p = 0; p < set->priority_count; p++) {
        if (set->priorities[p].first != next && set->priorities[p].locality_count > 0)
            abort();
        next += set->priorities[p].count;
    }
    if (next != set->count)
        abort();
    for (uint32_t i = 0; i < set->count; i++) {
        char text[ENDPOINT_TEXT];
        if (set->items[i].weight == 0 ||
            endpoint_address_format(&set->items[i].address, text) >= ENDPOINT_TEXT)
            abort();
    }
}

static void use(const struct endpoints *set)
{
    check(set);
    owned(endpoints) resolved = endpoints_resolve(set, answer, NULL);
    check(resolved);
    if (resolved->has_hosts)
        abort();
}

FUZZ_BUILD(envoy__config__endpoint__v3__cluster_load_assignment__descriptor, endpoints, use)
