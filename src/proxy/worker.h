/*
 * worker: one thread of the data plane: its loop, its view of the configuration, and all that lives on it.
 *
 * A connection stays on the worker that accepted it. Nothing on the request path locks: configuration is read through
 * `reader` (proxy/snapshot/publisher.h) and kept beyond a turn by pins, counters are the worker's own.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "base/map.h"
#include "io/loop.h"
#include "proxy/snapshot/publisher.h"

struct cluster_limits_table;
struct dialer;
struct helper_pool;
struct host_counters_table;
struct interfaces;
struct observer;
struct sockmap;
struct tls_engine;
struct udp_plane;
struct upstream;

/* What all workers share; set before they start, outlives them. */
struct worker_shared {
    struct memory_budget *budget;
    struct helper_pool *helpers;
    struct cluster_limits_table *limits;
    struct host_counters_table *host_counters;
    struct sockmap *sockmap;  /* the short cut to applications; NULL: none */
    uint32_t upstream_mark;   /* SO_MARK of upstream sockets, 0 = none */
    uint32_t max_connections; /* downstream, of all workers; 0 = no limit */
    _Atomic uint32_t open;    /* of them */
    _Atomic bool is_draining; /* responses say Connection: close, GOAWAY goes out */
};

struct worker {
    unsigned index;
    struct loop *loop;
    struct reader *reader;
    struct tls_engine *engine;
    struct interfaces *interfaces; /* what is local, by this worker's own watch */
    struct dialer *dialer;
    struct worker_shared *shared;
    struct observer *observer;

    struct map *acceptors;     /* by address text: struct binding of listen/ */
    struct list downstreams;   /* struct downstream */
    struct list tunnels;       /* struct tunnel */
    struct list arrivals;      /* struct arrival: no filter chain yet */
    struct list upstreams;     /* struct upstream */
    struct list profiles;      /* struct http_profile, of all its HTTP connections */
    struct udp_plane *udp;     /* NULL: no datagrams are served */
    struct upstream **by_slot; /* the same, by the slot of their cluster's resource */
    size_t slots;
    uint64_t
        *server_first;   /* a bit a port: servers there speak first (proxy/listen/server_first.h) */
    _Atomic size_t open; /* downstreams, tunnels, arrivals and UDP sessions; others may read it */

    struct timer housekeeping; /* TLS entries and ciphers, idle ORIGINAL_DST hosts, open tunnels */
    uint64_t tunnels_told_ms;
    struct task drain_walk; /* connections whose filter chain changed, in slices */
    struct list drain_left; /* downstreams that the walk has still to look at */
};

/* On the thread that will run the loop, or before it runs. 0 or a negative errno. */
MUST_USE int worker_create(unsigned index, struct loop *loop, struct publisher *publisher,
                           struct worker_shared *shared, struct observer *observer,
                           struct worker **out);
/* Worker's thread. Stops accepting; connections end with their last stream. */
void worker_drain(struct worker *worker);
/* Worker's thread, before its loop ends: closes everything at once. What was closed is reaped in the turn's end. */
void worker_close(struct worker *worker);
/* Main thread, after its loop has ended and before that is destroyed. */
void worker_destroy(struct worker *worker, struct publisher *publisher);

/* Something was made that needs tidying from time to time. */
void worker_keep_house(struct worker *worker);
static inline void worker_count_open(struct worker *worker, bool opened)
{
    size_t open = atomic_load_explicit(&worker->open, memory_order_relaxed);
    atomic_store_explicit(&worker->open, opened ? open + 1 : open - 1, memory_order_relaxed);
    if (opened)
        worker_keep_house(worker);
    atomic_fetch_add_explicit(&worker->shared->open, opened ? 1 : UINT32_MAX, memory_order_relaxed);
}
/* No connection is taken any more. Workers that look at once may pass the limit by one each. */
static inline bool worker_is_full(const struct worker *worker)
{
    const struct worker_shared *shared = worker->shared;
    return shared->max_connections &&
           atomic_load_explicit(&shared->open, memory_order_relaxed) >= shared->max_connections;
}
static inline size_t worker_open(const struct worker *worker)
{
    return atomic_load_explicit(&worker->open, memory_order_relaxed);
}
/* The configuration in force now; not NULL once the worker accepts. */
static inline const struct snapshot *worker_snapshot(const struct worker *worker)
{
    return worker->reader->snapshot;
}
