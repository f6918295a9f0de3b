/*
 * sharing: a cluster's limit of connections among the workers.
 *
 * Connections stay with the worker that opened them. At the limit, one whose requests have no connection at all to their host
 * stands in line (proxy/upstream/limits.h); the others give up a connection each, an idle one at once, and where all are busy one
 * that closes with its streams after SHARING_TURN_MS. So the limit holds, and nobody waits for longer than the others' turns.
 */
#pragma once

#include "base/attributes.h"

#include <stdbool.h>
#include <stdint.h>

struct upstream;

/* How long a worker keeps its busy connections while others wait for one. */
enum { SHARING_TURN_MS = 20 };

/* A connection to dial now; when false, pool_dial_granted is called as soon as one is given up. */
MUST_USE bool sharing_take(struct upstream *upstream, uint32_t most);
/* The cluster's configuration is another. */
void sharing_follow(struct upstream *upstream);
/* The upstream ends. */
void sharing_end(struct upstream *upstream);
