/*
 * sockets: the listening sockets, which main owns, and the workers' acceptors and UDP listeners on them.
 *
 * Keyed by address. A listener that changes under the same address is an update in place: its sockets stay. When an address
 * goes, its sockets first leave the group that the kernel spreads connections over, every worker empties its queue and
 * lets go, and only then they are closed. So no client is refused by a change. The sessions of a UDP address that goes
 * end with it; while the process drains they go on.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct buffer;
struct listener;
struct loop;
struct resource;
struct snapshot;
struct sockets;
struct worker;

/* Main thread. The workers must outlive it. */
struct sockets *sockets_create(struct loop *main_loop, struct worker **workers,
                               unsigned worker_count);
/* Workers have let go of everything (worker_close). */
void sockets_destroy(struct sockets *sockets);
/*
 * After a snapshot was published: binds what is new, lets go of what is gone. Failures are logged, kept for sockets_problem
 * and tried again at the next call.
 */
void sockets_follow(struct sockets *sockets, const struct snapshot *snapshot);
/* Stops listening everywhere; for draining. */
void sockets_drain(struct sockets *sockets);
/* What could not be bound, or NULL. Borrowed until the next call. */
const char *sockets_problem(const struct sockets *sockets);

/* Who has an address of a listener that the snapshot has no more; NULL: nobody. */
const struct resource *sockets_heir(const struct snapshot *snapshot, const struct listener *gone);
/* Worker's thread: lets go of all acceptors, and of UDP sockets with their sessions. */
void acceptors_close(struct worker *worker);
/* The same while draining: UDP sockets serve on until their last session has gone. */
void acceptors_drain(struct worker *worker);
