/*
 * authority: the keys of a trust domain's certificate authority on disk, and signing with them.
 *
 * Synchronous and for the signing child (and tests) only. In its folder (0700) are:
 *   root.pem          key and certificate of the root, 0600; opened only to make an intermediate. It may be taken
 *                     away (kept offline) and brought back when the intermediate is due.
 *   intermediate.pem  key and certificate that sign leaves, 0600
 *   roots.pem         the trust bundle: every root that peers may show, ours first, 0644
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

struct authority;

enum {
    AUTHORITY_ROOT_LIFETIME_S = 10 * 365 * 86400,
    AUTHORITY_INTERMEDIATE_LIFETIME_S = 30 * 86400,
    AUTHORITY_LEAF_LIFETIME_S = 24 * 3600,      /* when nothing else is asked for */
    AUTHORITY_LEAF_LIFETIME_MAX_S = 90 * 86400, /* and never past the intermediate */
    AUTHORITY_BACKDATE_S = 60,                  /* of notBefore, for clocks that are behind */
    AUTHORITY_DNS_NAMES_MAX = 20,
    AUTHORITY_SERIAL_BYTES = 16,
};

/* Opens the authority of that folder, or makes it when there is none at all. An intermediate that is past half its life is
   replaced. Fails rather than guess: a folder of another trust domain, a damaged file, a key that others may read. */
MUST_USE bool authority_open(const char *folder, const char *trust_domain, int64_t now_s,
                             struct authority **out, struct error *error);
/* Wipes the key. Accepts NULL. */
void authority_destroy(struct authority *authority);

/* PEM; borrowed. */
struct slice
authority_chain(const struct authority *authority); /* what follows a leaf: the intermediate */
struct slice authority_roots(const struct authority *authority); /* the trust bundle */
int64_t authority_expiry_s(const struct authority *authority);   /* of the intermediate */
int64_t authority_renew_s(const struct authority *authority);    /* when it should be opened anew */
/* A phrase when something will need a person before long: the root is away and the intermediate past half its life;
   NULL otherwise. */
const char *authority_warning(const struct authority *authority);

struct authority_order {
    struct slice request;          /* PKCS#10, PEM or DER; only its key counts */
    struct slice spiffe_id;        /* of the authenticated caller, in our trust domain */
    const struct slice *dns_names; /* for our own servers; none for workloads */
    size_t dns_count;
    int64_t lifetime_s; /* 0 or less: the default */
};
struct authority_issued {
    struct buffer der;
    uint8_t serial[AUTHORITY_SERIAL_BYTES];
    int64_t not_before_s, not_after_s;
};
/* issued->der is the caller's to free, also after a failure. */
MUST_USE bool authority_sign(const struct authority *authority, const struct authority_order *order,
                             int64_t now_s, struct authority_issued *issued, struct error *error);
OWNED(authority, authority_destroy)
