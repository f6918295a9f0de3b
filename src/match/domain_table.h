/*
 * domain_table: which virtual host a Host names, and which filter chain a server name chooses.
 *
 * Exact names come first, then the longest suffix wildcard ("*.shop.example", which needs at least one byte in place of the
 * star), then the longest prefix wildcard ("shop.*"), then "*". Case is ignored, and so is a trailing dot of the host that
 * no domain spells out. Look-ups cost one hash per distinct wildcard length.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

struct table_memory;

enum { DOMAIN_NONE = -1, DOMAIN_MAX_BYTES = 255, DOMAIN_MAX_LENGTHS = 64 };

struct domain_entry {
    struct slice domain;
    int32_t value; /* >= 0 */
};

struct domain_slot;
struct domain_names; /* a hash table of names */
struct domain_table {
    const struct domain_names *exact, *suffixes, *prefixes; /* NULL when empty */
    const uint8_t *suffix_lengths, *prefix_lengths;         /* longest first */
    uint8_t suffix_length_count, prefix_length_count;
    int32_t any; /* the value of "*", or DOMAIN_NONE */
};

/* A domain that occurs twice is an error, except with the same value. Copies the names. */
MUST_USE bool domain_table_build(struct domain_table *table, const struct domain_entry *entries,
                                 size_t count, struct table_memory *memory, struct error *error);
/* The value, or DOMAIN_NONE. */
int32_t domain_table_find(const struct domain_table *table, struct slice host);
/* Without ":8080"; an IPv6 literal keeps its brackets. */
struct slice host_without_port(struct slice host);
