/*
 * trust: sets of root certificates, by trust domain, immutable and shared between threads.
 *
 * A peer that shows a SPIFFE ID is judged by the roots of its own trust domain and no other (bundles are never
 * merged). Roots without a domain vouch for peers whose domain has no roots of its own, and for peers without a
 * SPIFFE ID: plain web PKI, and Envoy's `trusted_ca`.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"

enum { TRUST_ROOTS_MAX = 1000, TRUST_DOMAINS_MAX = 100, TRUST_BYTES_MAX = 4 << 20 };

struct tls_trust;

struct trust_source {
    struct slice trust_domain; /* empty: vouches for every domain that has no source of its own */
    struct slice roots;        /* PEM (any number of certificates) or one DER certificate */
    struct slice
        revoked; /* PEM or DER certificate revocation lists; empty = revocation is not checked */
    bool revoked_leaf_only; /* look only at the leaf, not at intermediates */
};

/* Copies what it needs. The caller owns one reference to *out. */
MUST_USE bool tls_trust_create(const struct trust_source *sources, size_t count,
                               struct tls_trust **out, struct error *error);
/* The operating system's roots (/etc/ssl/certs/ca-certificates.crt), without a trust domain. */
MUST_USE bool tls_trust_create_system(struct tls_trust **out, struct error *error);
/* Atomic; the last reference frees memory only and may be dropped on any thread. unref accepts NULL. */
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
void tls_trust_unref(struct tls_trust *trust);
/* Of the content: equal sets have equal generations, on every host and after a restart. */
struct hash128 tls_trust_generation(const struct tls_trust *trust);
OWNED(tls_trust, tls_trust_unref)
