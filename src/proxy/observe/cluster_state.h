/*
 * cluster_state: what a cluster is as a whole, under Envoy's names: its members, and how often a circuit breaker refused.
 *
 * Main thread. Only clusters that some worker has used have series, so that a proxy which is told of thousands and calls
 * three pays for three.
 */
#pragma once

#include "base/attributes.h"

struct cluster_limits_table;
struct cluster_state;
struct snapshot;
struct stats_registry;

/* Both must outlive it. */
struct cluster_state *cluster_state_create(struct stats_registry *registry,
                                           struct cluster_limits_table *limits);
/* Accepts NULL. */
void cluster_state_destroy(struct cluster_state *state);
/* After each publication, and before somebody looks. The snapshot may be NULL: nothing is known yet. */
void cluster_state_follow(struct cluster_state *state, const struct snapshot *snapshot);
