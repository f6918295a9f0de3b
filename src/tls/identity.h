/*
 * identity: who a peer is, once its certificate has been believed.
 *
 * A SPIFFE ID is parsed strictly (lower-case scheme and trust domain, no port, query, escape or dot segment).
 * A peer_identity is made by the TLS engine of one worker, shared by that worker's connections and streams,
 * and interned by certificate: equal certificates give the same pointer while one of them lives.
 * References are not atomic.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum {
    SPIFFE_ID_MAX = 2048,
    TRUST_DOMAIN_MAX = 255,
    CERTIFICATE_HASH_BYTES = 32,
    PEER_SANS_MAX = 100
};

/* Slices point into `text`. */
struct spiffe_id {
    struct slice text;         /* spiffe://cluster.local/ns/shop/sa/cart; empty = no SPIFFE ID */
    struct slice trust_domain; /* cluster.local */
    struct slice path;         /* /ns/shop/sa/cart */
    struct slice name_space;   /* shop; empty unless the path is /ns/NAMESPACE/sa/ACCOUNT */
    struct slice account;      /* cart; likewise */
};

/* False leaves a phrase ("the trust domain holds an upper-case letter") in *why, which may be NULL. */
MUST_USE bool spiffe_id_parse(struct slice text, struct spiffe_id *id, const char **why);
MUST_USE bool trust_domain_is_valid(struct slice text);
/* spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT on the heap; NULL when a part cannot stand there. */
MUST_USE char *spiffe_id_of_workload(struct slice trust_domain, struct slice name_space,
                                     struct slice account);

enum san_kind { SAN_URI, SAN_DNS, SAN_IP, SAN_EMAIL, SAN_KINDS };

struct san {
    enum san_kind kind;
    struct slice text; /* an address is written out, "10.0.0.7" */
};

struct peer_identity {
    uint32_t refs;
    uint32_t san_count;
    struct spiffe_id
        id; /* id.text is empty for a certificate without a SPIFFE ID, such as a web server's */
    struct slice subject; /* RFC 2253 text, possibly empty */
    struct san *sans;
    int64_t not_after_s;    /* when the leaf expires, Unix seconds */
    int64_t chain_expiry_s; /* when the first certificate of its chain expires */
    uint8_t certificate_hash[CERTIFICATE_HASH_BYTES]; /* SHA-256 of the leaf's DER */
};

static inline struct peer_identity *peer_identity_ref(struct peer_identity *identity)
{
    identity->refs++;
    return identity;
}
/* Accepts NULL. The last reference frees it, so it must be gone before its engine. */
void peer_identity_unref(struct peer_identity *identity);

/* What a peer must show: one of several. Exact DNS values honour a certificate's leftmost wildcard label. */
enum san_match_how { SAN_MATCH_EXACT, SAN_MATCH_PREFIX, SAN_MATCH_SUFFIX, SAN_MATCH_CONTAINS };
enum { SAN_ANY_KIND = SAN_KINDS };
struct san_match {
    enum san_match_how how;
    int kind; /* enum san_kind or SAN_ANY_KIND */
    bool ignore_case;
    struct slice value;
};
/* True when any of the peer's names fulfils any of the matches, or when there are no matches. */
MUST_USE bool peer_identity_matches(const struct peer_identity *identity,
                                    const struct san_match *matches, size_t count);
