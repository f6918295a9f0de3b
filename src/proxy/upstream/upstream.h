/*
 * upstream: a cluster as one worker uses it: its hosts, the choice among them, and their connections.
 *
 * Made when a worker first needs the cluster, so that a thousand clusters known cost nothing. It follows the
 * configuration: at every adoption its cluster and endpoints are looked up anew; hosts that stay keep their connections.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "io/address.h"
#include "proxy/balance/balancer.h"
#include "proxy/snapshot/resource.h"
#include "proxy/upstream/host_counters.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/pool.h"

struct cluster;
struct endpoints;
struct http_profile;
struct upstream;
struct worker;

/* One endpoint of a cluster on this worker. Counted: pools and attempts hold it beyond its set. */
struct host {
    struct balance_host balance;
    struct upstream *upstream; /* NULL once the cluster is gone */
    uint32_t references;
    bool is_removed;       /* no longer in the set: its connections end with their streams */
    struct endpoint *last; /* owned: what a removed host still says of itself, its set being gone */
    uint64_t hash;         /* of its address */
    uint64_t
        demands; /* of the transport socket that its connections have, as far as they take new streams */
    uint64_t unused_since_ms; /* ORIGINAL_DST */
    struct list node;         /* among the upstream's hosts */
    struct address address;   /* resolved; what is dialled */
    int network_namespace;    /* descriptor to dial in; -1 = our own */
    struct worker *worker;
    struct host_counters *counters; /* its own */
    struct pool pools[HTTP_POOLS];
};

struct upstream {
    struct list node; /* the worker's */
    struct worker *worker;
    const struct resource *resource; /* pinned: KIND_CLUSTER */
    const struct cluster *cluster;   /* of it */
    const struct resource
        *endpoints_resource;           /* pinned, or NULL for sets that the cluster itself holds */
    const struct endpoints *endpoints; /* NULL: none known */
    struct balance_host **hosts;       /* parallel to endpoints->items; a reference each */
    struct list all;                   /* every host, removed ones too */
    struct map *originals;             /* ORIGINAL_DST: hosts by address text */
    struct balancer *balancer;
    struct limits *limits;
    struct limits_user *sharing; /* NULL before the first connection that is counted */
    struct timer sharing_turn;   /* others wait for a connection */
    struct http_profile *profiles[HTTP_POOLS];
};

/* What stands between its next connection and the socket. */
const struct upstream_socket *host_socket(const struct host *host);
/* The cluster of that name, or NULL when the configuration has none. Valid until the next adoption. */
struct upstream *upstream_find(struct worker *worker, const struct name *cluster);
struct address upstream_address(const struct ip *ip, uint16_t port);
/* After an adoption: brings every upstream up to date. */
void upstreams_follow(struct worker *worker);
/* Every few seconds: hosts of ORIGINAL_DST that nobody used. True while some are left. */
bool upstreams_tidy(struct worker *worker);
/* The worker ends. */
void upstreams_close(struct worker *worker);

enum upstream_pick { UPSTREAM_PICKED, UPSTREAM_NO_HOST, UPSTREAM_NO_DESTINATION, UPSTREAM_SELF };
/*
 * Chooses a host; `original` is where the downstream connection was going (ORIGINAL_DST; may be NULL). One reference to
 * *out is the caller's.
 */
MUST_USE enum upstream_pick upstream_pick(struct upstream *upstream,
                                          const struct balance_avoid *avoid,
                                          const struct address *original, struct host **out);
/* The same for a session of datagrams. */
MUST_USE enum upstream_pick upstream_pick_udp(struct upstream *upstream,
                                              const struct address *original, struct host **out);
struct host *host_ref(struct host *host);
void host_unref(struct host *host);
