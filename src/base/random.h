/*
 * random: fast and seedable for choices (xoshiro256**), the kernel's for secrets.
 */
#pragma once

#include "base/attributes.h"

struct random {
    uint64_t state[4];
};
/* Equal seeds give equal sequences: simulation prints its seed. */
void random_seed(struct random *random, uint64_t seed);
void random_seed_from_kernel(struct random *random);
uint64_t random_u64(struct random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* Cryptographically strong; aborts when the kernel has none. */
void random_secret(void *bytes, size_t size);
/* A version 4 UUID as 36 characters and a NUL, from the fast generator. */
void random_uuid(struct random *random, char text[37]);
