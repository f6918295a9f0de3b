/*
 * round_robin: hosts in turn, each as often as its weight says.
 *
 * Equal weights go around in a circle, from a random start so that workers do not march in step. Other weights are served
 * earliest deadline first, which spreads a heavy host's turns evenly.
 */
#pragma once

#include "base/attributes.h"
#include "base/random.h"

struct balance_host;

struct round_robin_entry {
    double deadline;
    uint32_t index;
};
struct round_robin {
    struct balance_host *const *hosts; /* borrowed */
    uint32_t count;
    uint32_t next;                  /* equal weights */
    struct round_robin_entry *heap; /* NULL: equal weights */
};

/* count > 0. */
void round_robin_init(struct round_robin *robin, struct balance_host *const *hosts, uint32_t count,
                      struct random *random);
void round_robin_fini(struct round_robin *robin);
struct balance_host *round_robin_pick(struct round_robin *robin);
