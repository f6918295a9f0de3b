#include "proxy/observe/cluster_state.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/upstream/limits.h"
#include "stats/counter.h"
#include "stats/registry.h"

enum figure {
    MEMBERS,
    HEALTHY,
    DEGRADED,
    CHANGES,
    CX_OVERFLOW,
    RQ_ACTIVE_OVERFLOW,
    RQ_PENDING_OVERFLOW,
    RQ_RETRY_OVERFLOW,
    FIGURES,
};
static const struct stats_metric metrics[FIGURES] = {
    [MEMBERS] = {"envoy_cluster_membership_total", "cluster.%.membership_total", "endpoints",
                 STATS_GAUGE, STATS_PLAIN},
    [HEALTHY] = {"envoy_cluster_membership_healthy", "cluster.%.membership_healthy",
                 "healthy endpoints", STATS_GAUGE, STATS_PLAIN},
    [DEGRADED] = {"envoy_cluster_membership_degraded", "cluster.%.membership_degraded",
                  "degraded endpoints", STATS_GAUGE, STATS_PLAIN},
    [CHANGES] = {"envoy_cluster_membership_change", "cluster.%.membership_change",
                 "times that endpoints came or went", STATS_COUNTER, STATS_PLAIN},
    [CX_OVERFLOW] = {"envoy_cluster_upstream_cx_overflow", "cluster.%.upstream_cx_overflow",
                     "connections that the circuit breaker refused", STATS_COUNTER, STATS_PLAIN},
    [RQ_ACTIVE_OVERFLOW] = {"envoy_cluster_upstream_rq_active_overflow",
                            "cluster.%.upstream_rq_active_overflow",
                            "requests refused because so many were under way", STATS_COUNTER,
                            STATS_PLAIN},
    [RQ_PENDING_OVERFLOW] = {"envoy_cluster_upstream_rq_pending_overflow",
                             "cluster.%.upstream_rq_pending_overflow",
                             "requests refused because so many waited for a connection",
                             STATS_COUNTER, STATS_PLAIN},
    [RQ_RETRY_OVERFLOW] = {"envoy_cluster_upstream_rq_retry_overflow",
                           "cluster.%.upstream_rq_retry_overflow",
                           "failures not tried again because so many retries were under way",
                           STATS_COUNTER, STATS_PLAIN},
};

struct row {
    uint32_t slots[FIGURES];
    struct hash128 content; /* of the set seen last */
    uint64_t members;       /* a sum over who is in it */
};

struct cluster_state {
    struct stats_registry *registry;
    struct stats_set *set;
    struct cluster_limits_table *limits;
    struct map *rows;                /* by name of the cluster */
    const struct snapshot *snapshot; /* during a follow */
};

static struct row *make_row(struct cluster_state *state, struct slice name,
                            const struct cluster *cluster)
{
    static const struct stats_label label = {"envoy_cluster_name", false};
    struct row *row = mem_new(struct row);
    struct stats_labels *labels =
        stats_labels_hold(state->registry, &label, &cluster->stat_name, 1);
    stats_resolve_all(state->registry, metrics, FIGURES, labels, row->slots);
    stats_labels_release(state->registry, labels);
    map_put(state->rows, name, row);
    return row;
}

static void show_members(struct cluster_state *state, struct row *row, const struct endpoints *set)
{
    uint64_t members = 0, healthy = 0, degraded = 0;
    for (uint32_t i = 0; set && i < set->count; i++)
        members += set->items[i].hash;
    for (uint32_t i = 0; set && i < set->priority_count; i++) {
        healthy += set->priorities[i].healthy;
        degraded += set->priorities[i].degraded;
    }
    gauge_set(state->set, row->slots[MEMBERS], set ? set->count : 0);
    gauge_set(state->set, row->slots[HEALTHY], (int64_t)healthy);
    gauge_set(state->set, row->slots[DEGRADED], (int64_t)degraded);
    counter_add(state->set, row->slots[CHANGES], members != row->members);
    row->members = members;
    row->content = set ? set->content : (struct hash128){0, 0};
}

/* The workers add to them while we look: what is shown is what there was. */
static void show_overflows(struct cluster_state *state, const struct row *row,
                           const struct limits *limits)
{
    static const enum limit_kind kinds[] = {LIMIT_CONNECTIONS, LIMIT_REQUESTS, LIMIT_PENDING,
                                            LIMIT_RETRIES};
    static const enum figure figures[] = {CX_OVERFLOW, RQ_ACTIVE_OVERFLOW, RQ_PENDING_OVERFLOW,
                                          RQ_RETRY_OVERFLOW};
    for (size_t i = 0; i < COUNT(kinds); i++)
        gauge_set(state->set, row->slots[figures[i]], (int64_t)limits->overflows[kinds[i]]);
}

static void look(void *to, struct slice text, const struct limits *limits)
{
    struct cluster_state *state = to;
    struct name name = name_of(text);
    const struct resource *resource = snapshot_cluster(state->snapshot, &name);
    struct row *row = map_get(state->rows, text);
    if (!row && !resource)
        return;
    if (!row)
        row = make_row(state, text, resource->cluster);
    const struct endpoints *set =
        resource ? snapshot_endpoints(state->snapshot, resource->cluster) : NULL;
    if (!set || !hash128_equals(set->content, row->content))
        show_members(state, row, set);
    show_overflows(state, row, limits);
}

void cluster_state_follow(struct cluster_state *state, const struct snapshot *snapshot)
{
    state->snapshot = snapshot;
    if (snapshot)
        cluster_limits_each(state->limits, look, state);
    state->snapshot = NULL;
}

struct cluster_state *cluster_state_create(struct stats_registry *registry,
                                           struct cluster_limits_table *limits)
{
    struct cluster_state *state = mem_new(struct cluster_state);
    *state = (struct cluster_state){.registry = registry,
                                    .set = stats_set_create(registry),
                                    .limits = limits,
                                    .rows = map_create()};
    return state;
}

void cluster_state_destroy(struct cluster_state *state)
{
    struct map_iterator each = {0};
    if (!state)
        return;
    while (map_next(state->rows, &each)) {
        stats_release_all(state->registry, ((struct row *)each.value)->slots, FIGURES);
        mem_free(each.value);
    }
    map_destroy(state->rows);
    stats_set_destroy(state->set);
    mem_free(state);
}
