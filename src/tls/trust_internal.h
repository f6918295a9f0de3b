/* trust_internal: what the engine reads of a trust set. */
#pragma once

#include "tls/trust.h"

#include <stdatomic.h>

struct der {
    char *data;
    size_t size;
};

/* The roots of one trust domain, or of none. */
struct trust_roots {
    char *domain; /* NULL: of none */
    struct der *roots;
    size_t root_count, root_capacity;
    struct der *revoked;
    size_t revoked_count, revoked_capacity;
    bool revoked_leaf_only;
};

struct tls_trust {
    _Atomic uint32_t refs;
    struct hash128 generation;
    struct trust_roots *domains;
    size_t count;
};

/* The index of the roots that judge a peer of this domain (empty: one without a SPIFFE ID); SIZE_MAX: nobody does. */
size_t trust_index_for(const struct tls_trust *trust, struct slice domain);
