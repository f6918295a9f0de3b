/*
 * hash: XXH3 for our own data (64 and 128 bits, stable across runs), SipHash-1-3 where keys are hostile.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct hash128 {
    uint64_t low, high;
};
uint64_t hash64(struct slice bytes, uint64_t seed);
struct hash128 hash128(struct slice bytes);
static inline bool hash128_equals(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}
/* 32 hexadecimal digits and a NUL. */
void hash128_hex(struct hash128 hash, char text[33]);
/* SipHash-1-3 under a key of the caller's. */
uint64_t hash_keyed(struct slice bytes, const uint64_t key[2]);
/* The same with a secret that is drawn once a process. */
uint64_t hash_hostile(struct slice bytes);
