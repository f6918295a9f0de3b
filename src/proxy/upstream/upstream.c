#include "proxy/upstream/upstream.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "net/dialer.h"
#include "proxy/http_profile.h"
#include "proxy/upstream/sharing.h"
#include "proxy/worker.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ORIGINAL_DST: hosts at most, a cluster and worker. */
enum { ORIGINALS_MAX = 16384 };

/* --- hosts ---------------------------------------------------------------------------------------------------- */

struct address upstream_address(const struct ip *ip, uint16_t port)
{
    struct slice bytes = ip_bytes(ip);
    const uint8_t *b = (const uint8_t *)bytes.data;
    if (bytes.size == 16)
        return address_v6(b, port);
    return address_v4((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3],
                      port);
}

static bool address_of(const struct endpoint_address *from, struct address *to)
{
    switch (from->kind) {
    case ENDPOINT_IP: *to = upstream_address(&from->ip, from->port); return true;
    case ENDPOINT_PIPE: {
        owned_str text = str_format("unix:%.*s", SLICE_ARG(from->text));
        return address_parse(slice_str(text), to);
    }
    case ENDPOINT_HOST: break; /* resolved before it comes here */
    }
    return false;
}

static struct host *host_create(struct upstream *upstream, const struct address *address,
                                uint64_t hash)
{
    struct host *host = mem_new(struct host);
    host->worker = upstream->worker;
    host->hash = hash;
    host->counters = host_counters_create(upstream->worker->shared->host_counters,
                                          upstream->cluster->name.hash, hash);
    host->upstream = upstream;
    host->references = 1;
    host->address = *address;
    host->network_namespace = -1;
    for (int i = 0; i < HTTP_POOLS; i++)
        pool_init(&host->pools[i]);
    list_push_back(&upstream->all, &host->node);
    return host;
}

static struct host *host_of_endpoint(struct upstream *upstream, const struct endpoint *endpoint)
{
    struct address address = {0};
    (void)address_of(&endpoint->address,
                     &address); /* an unset address fails when it is dialled, with its reason */
    struct host *host = host_create(upstream, &address, endpoint->hash);
    if (endpoint->address.network_namespace.size > 0)
        host->network_namespace =
            open(endpoint->address.network_namespace.data, O_RDONLY | O_CLOEXEC);
    return host;
}

struct host *host_ref(struct host *host)
{
    host->references++;
    return host;
}

/* The set that its endpoint lies in goes as soon as every worker has left it; logs still ask who served them. */
static void keep_endpoint(struct host *host)
{
    const struct endpoint *endpoint = host->balance.endpoint;
    if (!endpoint)
        return;
    host->last = mem_new(struct endpoint);
    host->last->hash = endpoint->hash;
    host->last->workload = slice_of(slice_to_str(endpoint->workload), endpoint->workload.size);
    host->balance.endpoint = host->last;
}

static void drop_endpoint(struct host *host)
{
    if (host->last)
        mem_free((void *)(uintptr_t)host->last->workload.data);
    mem_free(host->last);
}

void host_unref(struct host *host)
{
    if (!host || --host->references > 0)
        return;
    list_remove(&host->node);
    drop_endpoint(host);
    host_counters_destroy(host->worker->shared->host_counters, host->counters);
    if (host->network_namespace >= 0)
        close(host->network_namespace);
    mem_free(host);
}

/* The host leaves its set: what is under way ends, nothing new begins. */
static void host_remove(struct host *host)
{
    host->is_removed = true;
    keep_endpoint(host);
    for (int i = 0; i < HTTP_POOLS; i++)
        pool_retire(&host->pools[i]);
    host_unref(host);
}

/* --- the set of hosts ----------------------------------------------------------------------------------------- */

static struct slice hash_key(const uint64_t *hash)
{
    return slice_of(hash, sizeof(*hash));
}

static struct map *hosts_by_hash(const struct upstream *upstream)
{
    struct map *known = map_create();
    for (size_t i = 0; upstream->hosts && i < upstream->endpoints->count; i++) {
        struct host *host = CONTAINER_OF(upstream->hosts[i], struct host, balance);
        map_put(known, hash_key(&host->hash), host);
    }
    return known;
}

const struct upstream_socket *host_socket(const struct host *host)
{
    static const struct endpoint no_endpoint;
    const struct endpoint *endpoint = host->balance.endpoint;
    return cluster_socket(host->upstream->cluster, endpoint ? endpoint : &no_endpoint);
}

/* Another transport socket holds from now on: what was connected by the old one ends with its streams. */
static void follow_demands(struct host *host)
{
    uint64_t demands = host_socket(host)->demands;
    if (demands == host->demands)
        return;
    host->demands = demands;
    for (int i = 0; i < HTTP_POOLS; i++)
        pool_renew(&host->pools[i]);
}

/*
 * Hosts of the old set that the new one has too are taken over; the others leave, last of all: whoever waited for one
 * chooses again at once, among the new.
 */
static void replace_hosts(struct upstream *upstream, const struct endpoints *next)
{
    struct map *known = hosts_by_hash(upstream);
    struct balance_host **hosts =
        next && next->count ? mem_calloc(next->count, sizeof(*hosts)) : NULL;
    for (uint32_t i = 0; next && i < next->count; i++) {
        const struct endpoint *endpoint = &next->items[i];
        struct host *host = map_remove(known, hash_key(&endpoint->hash));
        if (!host)
            host = host_of_endpoint(upstream, endpoint);
        host->balance.endpoint = endpoint;
        host->balance.health = balance_health_of(endpoint);
        follow_demands(host);
        hosts[i] = &host->balance;
    }
    balancer_destroy(upstream->balancer);
    upstream->balancer = NULL;
    mem_free(upstream->hosts);
    upstream->hosts = hosts;
    upstream->endpoints = next;
    if (next && next->count)
        upstream->balancer =
            balancer_create(upstream->cluster, next, hosts, loop_random(upstream->worker->loop));
    struct map_iterator gone = {0};
    while (map_next(known, &gone))
        host_remove(gone.value);
    map_destroy(known);
}

static void follow_endpoints(struct upstream *upstream, bool is_new_cluster)
{
    struct worker *worker = upstream->worker;
    const struct endpoints *set = snapshot_endpoints(worker_snapshot(worker), upstream->cluster);
    if (set == upstream->endpoints && !is_new_cluster)
        return;
    const struct resource *resource =
        snapshot_find(worker_snapshot(worker), KIND_ENDPOINTS, &upstream->cluster->endpoints_name);
    if (resource && resource->endpoints != set)
        resource = NULL; /* a set that the cluster itself holds */
    if (resource)
        reader_pin(worker->reader, resource);
    replace_hosts(upstream, set);
    if (upstream->endpoints_resource)
        reader_unpin(worker->reader, upstream->endpoints_resource);
    upstream->endpoints_resource = resource;
}

static void follow_original_demands(const struct upstream *upstream)
{
    struct map_iterator each = {0};
    while (upstream->originals && map_next(upstream->originals, &each))
        follow_demands(each.value);
}

/* --- upstreams ------------------------------------------------------------------------------------------------ */

static void set_slot(struct worker *worker, uint32_t slot, struct upstream *upstream)
{
    if (slot >= worker->slots) {
        size_t slots = MAX((size_t)slot + 1, worker->slots * 2);
        worker->by_slot = mem_realloc(worker->by_slot, slots * sizeof(*worker->by_slot));
        memset(worker->by_slot + worker->slots, 0,
               (slots - worker->slots) * sizeof(*worker->by_slot));
        worker->slots = slots;
    }
    worker->by_slot[slot] = upstream;
}

static void make_profiles(struct upstream *upstream)
{
    static const enum http_choice choices[HTTP_POOLS] = {HTTP_ONLY_1, HTTP_ONLY_2, HTTP_CHOOSE};
    for (int i = 0; i < HTTP_POOLS; i++) {
        struct http_profile *before = upstream->profiles[i];
        upstream->profiles[i] =
            http_profile_of_cluster(&upstream->worker->profiles, upstream->cluster, choices[i]);
        http_profile_unref(before);
    }
}

static void take_cluster(struct upstream *upstream, const struct resource *resource)
{
    struct worker *worker = upstream->worker;
    const struct resource *before = upstream->resource;
    reader_pin(worker->reader, resource);
    upstream->resource = resource;
    upstream->cluster = resource->cluster;
    set_slot(worker, resource->slot, upstream);
    make_profiles(upstream);
    sharing_follow(upstream);
    follow_endpoints(upstream, true);
    follow_original_demands(upstream);
    if (before) {
        if (before->slot != resource->slot)
            set_slot(worker, before->slot, NULL);
        reader_unpin(worker->reader, before);
    }
}

static struct upstream *upstream_create(struct worker *worker, const struct resource *resource)
{
    struct upstream *upstream = mem_new(struct upstream);
    upstream->worker = worker;
    list_init(&upstream->all);
    upstream->limits = cluster_limits_of(worker->shared->limits, resource->name.text);
    list_push_back(&worker->upstreams, &upstream->node);
    take_cluster(upstream, resource);
    worker_keep_house(worker);
    return upstream;
}

struct upstream *upstream_find(struct worker *worker, const struct name *cluster)
{
    const struct resource *resource = snapshot_cluster(worker_snapshot(worker), cluster);
    if (UNLIKELY(!resource))
        return NULL;
    if (LIKELY(resource->slot < worker->slots)) {
        struct upstream *upstream = worker->by_slot[resource->slot];
        if (LIKELY(upstream && upstream->resource == resource))
            return upstream;
    }
    return upstream_create(worker, resource);
}

static void remove_originals(struct upstream *upstream)
{
    struct map_iterator each = {0};
    while (upstream->originals && map_next(upstream->originals, &each))
        host_remove(each.value);
    map_destroy(upstream->originals);
    upstream->originals = NULL;
}

/* A removed host lives by its connections alone: it is held while the last of them closes. */
static void close_pools(struct upstream *upstream)
{
    struct list *all = &upstream->all;
    for (struct list *node = all->next, *after; node != all; node = after) {
        struct host *host = host_ref(LIST_ENTRY(node, struct host, node));
        for (int i = 0; i < HTTP_POOLS; i++)
            pool_close(&host->pools[i]);
        after = node->next;
        host_unref(host);
    }
}

/* The cluster is gone from the configuration. Hosts that still have streams live on by their references. */
static void upstream_destroy(struct upstream *upstream, bool at_once)
{
    struct worker *worker = upstream->worker;
    if (at_once)
        close_pools(upstream);
    remove_originals(upstream);
    replace_hosts(upstream, NULL);
    sharing_end(upstream);
    LIST_EACH_SAFE(node, after, &upstream->all)
    {
        LIST_ENTRY(node, struct host, node)->upstream = NULL;
        list_remove(node);
    }
    for (int i = 0; i < HTTP_POOLS; i++)
        http_profile_unref(upstream->profiles[i]);
    if (upstream->endpoints_resource)
        reader_unpin(worker->reader, upstream->endpoints_resource);
    set_slot(worker, upstream->resource->slot, NULL);
    reader_unpin(worker->reader, upstream->resource);
    list_remove(&upstream->node);
    mem_free(upstream);
}

void upstreams_follow(struct worker *worker)
{
    LIST_EACH_SAFE(node, after, &worker->upstreams)
    {
        struct upstream *upstream = LIST_ENTRY(node, struct upstream, node);
        const struct resource *resource =
            snapshot_cluster(worker_snapshot(worker), &upstream->cluster->name);
        if (!resource)
            upstream_destroy(upstream, false);
        else if (resource != upstream->resource)
            take_cluster(upstream, resource);
        else
            follow_endpoints(upstream, false);
    }
}

void upstreams_close(struct worker *worker)
{
    LIST_EACH_SAFE(node, after, &worker->upstreams)
    upstream_destroy(LIST_ENTRY(node, struct upstream, node), true);
    mem_free(worker->by_slot);
    worker->by_slot = NULL;
    worker->slots = 0;
}

/* --- choosing ------------------------------------------------------------------------------------------------- */

static struct address destination_of(const struct upstream *upstream,
                                     const struct address *original)
{
    struct address to = address_unmap(original);
    if (upstream->cluster->port_override)
        address_set_port(&to, upstream->cluster->port_override);
    return to;
}

static enum upstream_pick pick_original(struct upstream *upstream, const struct address *original,
                                        struct host **out)
{
    if (!original || !address_is_ip(original))
        return UPSTREAM_NO_DESTINATION;
    struct address to = destination_of(upstream, original);
    char text[ADDRESS_TEXT];
    struct slice key = slice_of(text, address_format(&to, text));
    if (!upstream->originals)
        upstream->originals = map_create_hostile();
    struct host *host = map_get(upstream->originals, key);
    if (!host) {
        if (map_count(upstream->originals) >= ORIGINALS_MAX)
            return UPSTREAM_NO_HOST;
        host = host_create(upstream, &to, 0);
        host->demands = host_socket(host)->demands;
        map_put(upstream->originals, key, host);
    }
    host->unused_since_ms = loop_now_ms(upstream->worker->loop);
    *out = host_ref(host);
    return UPSTREAM_PICKED;
}

enum upstream_pick upstream_pick(struct upstream *upstream, const struct balance_avoid *avoid,
                                 const struct address *original, struct host **out)
{
    if (upstream->cluster->kind == CLUSTER_ORIGINAL_DST) {
        struct address to = original ? destination_of(upstream, original) : (struct address){0};
        return dialer_is_own(upstream->worker->dialer, &to)
                   ? UPSTREAM_SELF
                   : pick_original(upstream, original, out);
    }
    struct balance_host *picked =
        upstream->balancer ? balancer_pick(upstream->balancer, avoid) : NULL;
    if (UNLIKELY(!picked))
        return UPSTREAM_NO_HOST;
    *out = host_ref(CONTAINER_OF(picked, struct host, balance));
    return UPSTREAM_PICKED;
}

enum upstream_pick upstream_pick_udp(struct upstream *upstream, const struct address *original,
                                     struct host **out)
{
    struct host *host;
    enum upstream_pick picked = upstream->cluster->kind == CLUSTER_ORIGINAL_DST
                                    ? pick_original(upstream, original, &host)
                                    : upstream_pick(upstream, NULL, NULL, &host);
    if (picked != UPSTREAM_PICKED)
        return picked;
    if (dialer_is_own_udp(upstream->worker->dialer, &host->address, host->network_namespace >= 0)) {
        host_unref(host);
        return UPSTREAM_SELF;
    }
    *out = host;
    return UPSTREAM_PICKED;
}

static bool is_unused(const struct host *host, uint32_t idle_ms, uint64_t now_ms)
{
    for (int i = 0; i < HTTP_POOLS; i++)
        if (host->pools[i].connections || !list_is_empty(&host->pools[i].waiting))
            return false;
    return host->references == 1 && host->unused_since_ms + idle_ms <= now_ms;
}

bool upstreams_tidy(struct worker *worker)
{
    bool more = false;
    uint64_t now_ms = loop_now_ms(worker->loop);
    LIST_EACH(node, &worker->upstreams)
    {
        struct upstream *upstream = LIST_ENTRY(node, struct upstream, node);
        struct map_iterator each = {0};
        while (upstream->originals && map_next(upstream->originals, &each)) {
            struct host *host = each.value;
            if (!is_unused(host, upstream->cluster->idle_endpoint_ms, now_ms)) {
                more = true;
                continue;
            }
            map_remove(upstream->originals, each.key);
            host_unref(host);
        }
    }
    return more;
}
