/*
 * limits: circuit breakers: how much of a cluster all workers together may use at once.
 *
 * One object a cluster name for the life of the process, shared by the workers and outliving configurations. A limit that is
 * CLUSTER_UNLIMITED is never counted; any other is one relaxed atomic, taken and given back.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

#include <stdatomic.h>

enum limit_kind { LIMIT_CONNECTIONS, LIMIT_PENDING, LIMIT_REQUESTS, LIMIT_RETRIES, LIMIT_KINDS };
enum { LIMIT_PRIORITIES = 2 };

struct limits {
    _Atomic uint32_t used[LIMIT_PRIORITIES][LIMIT_KINDS];
    _Atomic uint64_t overflows[LIMIT_KINDS]; /* refused */
};

struct cluster_limits_table;
struct cluster_limits_table *cluster_limits_table_create(void);
void cluster_limits_table_destroy(struct cluster_limits_table *table);
/* The object of that name, made at first use; locks, so ask once. Lives as long as the table. */
struct limits *cluster_limits_of(struct cluster_limits_table *table, struct slice name);

/* False when `most` are in use. */
MUST_USE bool limits_take(struct limits *limits, unsigned priority, enum limit_kind kind,
                          uint32_t most);
/* With the same `most` as it was taken with: what was not counted is not given back. */
void limits_give(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most);
