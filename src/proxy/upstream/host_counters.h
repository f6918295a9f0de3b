/*
 * host_counters: what happened on each endpoint of each cluster, for /clusters.
 *
 * Each worker's host has its own counters, of which it is the only writer; a reader adds up those of all workers. They go
 * with their host, as in Envoy: an endpoint that comes back begins at zero.
 */
#pragma once

#include "base/attributes.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum host_counter {
    HOST_CX_ACTIVE,
    HOST_CX_CONNECT_FAIL,
    HOST_CX_TOTAL,
    HOST_RQ_ACTIVE,
    HOST_RQ_ERROR,
    HOST_RQ_SUCCESS,
    HOST_RQ_TIMEOUT,
    HOST_RQ_TOTAL,
    HOST_COUNTERS
};

struct host_counters {
    struct host_counters *next; /* of the same endpoint, another worker's */
    uint64_t cluster, endpoint; /* hashes of the cluster's name and of the address */
    _Atomic uint64_t values[HOST_COUNTERS];
};

struct host_counters_table;
struct host_counters_table *host_counters_table_create(void);
/* All counters must have been dropped. */
void host_counters_table_destroy(struct host_counters_table *table);

/* Any thread; locks, so once a host. */
struct host_counters *host_counters_create(struct host_counters_table *table, uint64_t cluster,
                                           uint64_t endpoint);
/* Accepts NULL. */
void host_counters_destroy(struct host_counters_table *table, struct host_counters *counters);

/* The writer's. */
static inline void host_count(struct host_counters *counters, enum host_counter which, int64_t n)
{
    _Atomic uint64_t *value = &counters->values[which];
    uint64_t now = atomic_load_explicit(value, memory_order_relaxed) + (uint64_t)n;
    atomic_store_explicit(value, now, memory_order_relaxed);
}
/* The sums over all workers; zeros when the endpoint is not in use. */
void host_counters_sum(struct host_counters_table *table, uint64_t cluster, uint64_t endpoint,
                       uint64_t sums[HOST_COUNTERS]);
