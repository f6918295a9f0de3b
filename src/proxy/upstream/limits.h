/*
 * limits: circuit breakers: how much of a cluster all workers together may use at once.
 *
 * One object a cluster name for the life of the process, shared by the workers and outliving configurations. A limit that is
 * CLUSTER_UNLIMITED is never counted; any other is one relaxed atomic, taken and given back.
 *
 * Connections stay with the worker that opened them, so theirs is shared by asking: a worker that is refused one stands in
 * line, everyone else who uses the cluster is told, and a connection that is given back goes to the head of the line.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "base/slice.h"
#include "io/loop.h"

#include <pthread.h>
#include <stdatomic.h>

enum limit_kind { LIMIT_CONNECTIONS, LIMIT_PENDING, LIMIT_REQUESTS, LIMIT_RETRIES, LIMIT_KINDS };
enum { LIMIT_PRIORITIES = 2 };

struct limits {
    _Atomic uint32_t used[LIMIT_PRIORITIES][LIMIT_KINDS];
    _Atomic uint64_t overflows[LIMIT_KINDS]; /* refused */
    _Atomic uint32_t waiting;                /* how long the line is */
    pthread_mutex_t lock;                    /* of what follows, and of the users */
    struct list users;                       /* struct limits_user, by joined */
    struct list line;                        /* the same, by in_line; who waits longest first */
};

struct cluster_limits_table;
struct cluster_limits_table *cluster_limits_table_create(void);
void cluster_limits_table_destroy(struct cluster_limits_table *table);
/* The object of that name, made at first use; locks, so ask once. Lives as long as the table. */
struct limits *cluster_limits_of(struct cluster_limits_table *table, struct slice name);

/* Every name that was asked for so far, under the table's lock. */
void cluster_limits_each(struct cluster_limits_table *table,
                         void (*visit)(void *to, struct slice name, const struct limits *limits),
                         void *to);

/* False when `most` are in use. Not for connections. */
MUST_USE bool limits_take(struct limits *limits, unsigned priority, enum limit_kind kind,
                          uint32_t most);
/* With the same `most` as it was taken with: what was not counted is not given back. */
void limits_give(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most);

/* --- connections, of priority 0 -------------------------------------------------------------------------------- */

/* A worker that uses the cluster. */
struct limits_user;
/*
 * on_news comes from `loop`, on whose thread all calls with a user are made: connections were granted, or others wait for
 * one. Until limits_leave, which gives back what was granted and not fetched.
 */
struct limits_user *limits_join(struct limits *limits, struct loop *loop,
                                void (*on_news)(void *owner), void *owner);
void limits_leave(struct limits_user *user);
/* False when `most` are in use, or others wait for one. */
MUST_USE bool limits_take_connection(struct limits *limits, uint32_t most);
/* The same; when false, the user stands in line now, and the others are told. */
MUST_USE bool limits_take_or_wait(struct limits_user *user, uint32_t most);
/* How many the line brought since this was last asked: the caller's now, as if taken. */
uint32_t limits_fetch(struct limits_user *user);
/* The limit may be another now: who stands in line tries again. */
void limits_retry(struct limits_user *user, uint32_t most);
/* With the same `most` as it was taken with. */
void limits_give_connection(struct limits *limits, uint32_t most);
/* How many users stand in line. */
static inline uint32_t limits_waiting(const struct limits *limits)
{
    return atomic_load_explicit(&limits->waiting, memory_order_relaxed);
}
