/*
 * random_choice: any host, as likely as its weight says, in constant time (Vose's alias method).
 */
#pragma once

#include "base/attributes.h"
#include "base/random.h"

struct balance_host;

struct random_slot {
    uint32_t keep;  /* of 2^32: stay with this slot's own host */
    uint32_t other; /* else this one */
};
struct random_choice {
    struct balance_host *const *hosts; /* borrowed */
    uint32_t count;
    struct random_slot *slots; /* NULL: equal weights */
};

/* count > 0. */
void random_choice_init(struct random_choice *choice, struct balance_host *const *hosts,
                        uint32_t count);
void random_choice_fini(struct random_choice *choice);
struct balance_host *random_choice_pick(const struct random_choice *choice, struct random *random);
