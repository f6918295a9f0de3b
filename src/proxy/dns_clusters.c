#include "proxy/dns_clusters.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "proxy/configure.h"
#include "proxy/snapshot/intake.h"

#include <string.h>

enum { RETRY_MS = 1000, REFRESH_MIN_MS = 1000 };

/* One name of one cluster. */
struct lookup {
    struct list node;
    struct followed *followed;
    char *host;
    handle ticket;
    struct timer again;
    bool is_answered;
    size_t count;
    struct ip addresses[ENDPOINT_ADDRESSES_MAX];
};

struct followed {
    struct dns_clusters *dns;
    struct name name;        /* owned text */
    struct cluster *cluster; /* a reference: the templates */
    struct list lookups;
    struct hash128 content; /* of what was published last */
    bool is_published;
};

struct dns_clusters {
    struct loop *loop;
    struct configure *configure;
    uint32_t mark;
    struct resolver *resolver; /* made when the first name is wanted */
    struct map *by_name;
};

static void ask(struct lookup *lookup);

/* --- publishing ----------------------------------------------------------------------------------------------- */

static size_t addresses_of(void *owner, struct slice host, struct ip *out)
{
    const struct followed *followed = owner;
    LIST_EACH(node, &followed->lookups)
    {
        const struct lookup *lookup = LIST_ENTRY(node, struct lookup, node);
        if (slice_equals_str(host, lookup->host)) {
            memcpy(out, lookup->addresses, lookup->count * sizeof(*out));
            return lookup->count;
        }
    }
    return 0;
}

static void publish_if_whole(struct followed *followed)
{
    LIST_EACH(node, &followed->lookups)
    if (!LIST_ENTRY(node, struct lookup, node)->is_answered)
        return;
    struct endpoints *set = endpoints_resolve(followed->cluster->endpoints, addresses_of, followed);
    if (followed->is_published && hash128_equals(set->content, followed->content)) {
        endpoints_unref(set);
        return;
    }
    followed->content = set->content;
    followed->is_published = true;
    if (intake_put_addresses(configure_intake(followed->dns->configure), &followed->name, set))
        configure_commit(followed->dns->configure);
}

static void on_again(struct timer *timer)
{
    ask(CONTAINER_OF(timer, struct lookup, again));
}

static void on_answer(void *owner, const struct resolve_answer *answer)
{
    struct lookup *lookup = owner;
    const struct cluster *cluster = lookup->followed->cluster;
    uint64_t again_ms =
        cluster->dns_respect_ttl ? (uint64_t)answer->ttl_s * 1000 : cluster->dns_refresh_ms;
    bool is_good = answer->status == RESOLVE_OK || answer->status == RESOLVE_STALE;
    lookup->ticket = 0;
    if (is_good || answer->status == RESOLVE_NO_NAME) {
        lookup->count = 0;
        for (size_t i = 0; i < answer->count && lookup->count < ENDPOINT_ADDRESSES_MAX; i++)
            lookup->count +=
                ip_of_bytes(address_ip(&answer->addresses[i]), &lookup->addresses[lookup->count]);
    } else {
        log_warning("dns", "%s of %.*s: %s", lookup->host, SLICE_ARG(cluster->name.text),
                    answer->why);
        again_ms = RETRY_MS;
    }
    lookup->is_answered = true;
    loop_timer_start(lookup->followed->dns->loop, &lookup->again,
                     MAX(again_ms, (uint64_t)REFRESH_MIN_MS), on_again);
    publish_if_whole(lookup->followed);
}

static enum resolve_family family_of(const struct cluster *cluster)
{
    switch (cluster->dns_family) {
    case DNS_V4: return RESOLVE_V4;
    case DNS_V6: return RESOLVE_V6;
    case DNS_AUTO:
    case DNS_V4_FIRST:
    case DNS_ALL: break;
    }
    return RESOLVE_ANY;
}

static void ask(struct lookup *lookup)
{
    lookup->ticket = resolver_lookup(lookup->followed->dns->resolver, slice_str(lookup->host),
                                     family_of(lookup->followed->cluster), on_answer, lookup);
}

/* --- following ------------------------------------------------------------------------------------------------ */

static void followed_destroy(struct followed *followed)
{
    struct dns_clusters *dns = followed->dns;
    LIST_EACH_SAFE(node, after, &followed->lookups)
    {
        struct lookup *lookup = LIST_ENTRY(node, struct lookup, node);
        if (lookup->ticket)
            resolver_cancel(dns->resolver, lookup->ticket);
        loop_timer_stop(dns->loop, &lookup->again);
        mem_free(lookup->host);
        mem_free(lookup);
    }
    cluster_unref(followed->cluster);
    mem_free((void *)(uintptr_t)followed->name.text.data);
    mem_free(followed);
}

static void add_lookup(struct followed *followed, struct slice host)
{
    LIST_EACH(node, &followed->lookups)
    if (slice_equals_str(host, LIST_ENTRY(node, struct lookup, node)->host))
        return;
    struct lookup *lookup = mem_new(struct lookup);
    lookup->followed = followed;
    lookup->host = slice_to_str(host);
    list_push_back(&followed->lookups, &lookup->node);
}

struct search {
    const struct name *name;
    struct cluster *found;
};

static void find_cluster(void *to, const struct intake_entry *entry)
{
    struct search *search = to;
    if (entry->resource && slice_equals(entry->name, search->name->text))
        search->found =
            entry->resource
                ->cluster; /* the warming one comes after the active one, and is the newer */
}

static void begin(struct dns_clusters *dns, const struct name *name)
{
    struct search search = {.name = name};
    intake_each(configure_intake(dns->configure), KIND_CLUSTER, find_cluster, &search);
    if (!search.found || !search.found->endpoints)
        return;
    int failure = dns->resolver
                      ? 0
                      : resolver_create(dns->loop, &(struct resolver_options){.mark = dns->mark},
                                        &dns->resolver);
    if (failure) {
        log_error("dns", "no resolver: %s", strerror(-failure));
        return;
    }
    struct followed *followed = mem_new(struct followed);
    followed->dns = dns;
    followed->name = (struct name){slice_of(slice_to_str(name->text), name->text.size), name->hash};
    followed->cluster = cluster_ref(search.found);
    list_init(&followed->lookups);
    for (uint32_t i = 0; i < search.found->endpoints->count; i++)
        if (search.found->endpoints->items[i].address.kind == ENDPOINT_HOST)
            add_lookup(followed, search.found->endpoints->items[i].address.text);
    map_put(dns->by_name, followed->name.text, followed);
    LIST_EACH(node, &followed->lookups)
    ask(LIST_ENTRY(node, struct lookup, node));
}

void dns_clusters_follow(struct dns_clusters *dns, const struct name *cluster, bool wanted)
{
    struct followed *before = map_remove(dns->by_name, cluster->text);
    if (before)
        followed_destroy(before);
    if (wanted)
        begin(dns, cluster);
}

struct dns_clusters *dns_clusters_create(struct loop *loop, uint32_t mark,
                                         struct configure *configure)
{
    struct dns_clusters *dns = mem_new(struct dns_clusters);
    *dns = (struct dns_clusters){
        .loop = loop, .mark = mark, .configure = configure, .by_name = map_create()};
    return dns;
}

void dns_clusters_destroy(struct dns_clusters *dns)
{
    if (!dns)
        return;
    struct map_iterator each = {0};
    while (map_next(dns->by_name, &each))
        followed_destroy(each.value);
    map_destroy(dns->by_name);
    resolver_destroy(dns->resolver);
    mem_free(dns);
}
