/*
 * balancer: which endpoint of a cluster gets the next request, on one worker.
 *
 * Works over an immutable set of endpoints and the worker's own host objects for them; makes no decision that needs another
 * thread. Priority first, by how much of each is healthy (over-provisioning as Envoy has it), then locality where it is
 * weighted, then the policy. In a priority whose healthy share is below the cluster's panic threshold all hosts count.
 * Picks are O(1), and O(log n) for weighted round robin; a change of health costs O(n) at the next pick.
 */
#pragma once

#include "base/attributes.h"
#include "base/random.h"

struct cluster;
struct endpoint;
struct endpoints;

enum balance_health {
    BALANCE_HEALTHY,
    BALANCE_DEGRADED,
    BALANCE_EXCLUDED, /* unhealthy, ejected or draining */
};

/* Embedded in the worker's object for an endpoint, which outlives sets: the owner counts requests in and out. */
struct balance_host {
    const struct endpoint *endpoint; /* of the newest set */
    uint32_t active;            /* requests (or connections, for TCP) under way on this worker */
    enum balance_health health; /* change it with balancer_set_health */
};
/* From what EDS says. */
enum balance_health balance_health_of(const struct endpoint *endpoint);

struct balancer;

/* hosts[i] stands for set->items[i]. Everything must outlive the balancer; `random` is the worker's. */
struct balancer *balancer_create(const struct cluster *cluster, const struct endpoints *set,
                                 struct balance_host *const *hosts, struct random *random);
void balancer_destroy(struct balancer *balancer);
OWNED(balancer, balancer_destroy)

void balancer_set_health(struct balancer *balancer, struct balance_host *host,
                         enum balance_health health);

/* What a retry wants to avoid. NULL = nothing. */
struct balance_avoid {
    struct balance_host *const *hosts; /* tried before */
    uint32_t host_count;
    uint32_t attempts;   /* picks, at most, to find another one; then any */
    uint32_t priorities; /* a bit for each priority to leave out, if another has healthy hosts */
};
/* NULL when there is no host that may be used. */
struct balance_host *balancer_pick(struct balancer *balancer, const struct balance_avoid *avoid);

/* For /clusters and tests: the share of priority p in 0..100, and whether it is in panic. */
uint32_t balancer_priority_load(struct balancer *balancer, uint32_t priority, bool *panic);
