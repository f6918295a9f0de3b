/*
 * cidr_set: the value of the longest prefix that holds an address.
 *
 * Prefixes are flattened into disjoint ranges in order, so a look-up is one binary search, however they nest.
 * IPv4 prefixes are prefixes of the mapped form; 0.0.0.0/0 holds IPv4 only and ::/0 holds both.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "match/ip.h"

struct table_memory;

enum { CIDR_NONE = -1, CIDR_MAX = 1 << 20 };

struct cidr_entry {
    struct ip_prefix prefix;
    int32_t value; /* >= 0 */
};

struct cidr_range;
struct cidr_set {
    const struct cidr_range *ranges;
    uint32_t count;
};

/* Of entries with the same prefix the first wins. */
void cidr_set_build(struct cidr_set *set, const struct cidr_entry *entries, size_t count,
                    struct table_memory *memory);
/* CIDR_NONE when no prefix holds it. */
int32_t cidr_set_find(const struct cidr_set *set, const struct ip *ip);
