/* context_internal: what the engine reads of a context and of ticket keys. */
#pragma once

#include "tls/context.h"
#include "tls/trust_internal.h"

#include <openssl/types.h>
#include <stdatomic.h>

struct context_certificate {
    struct der *chain;
    size_t chain_count, chain_capacity;
    struct der key; /* PKCS#8 */
};

struct tls_context {
    _Atomic uint32_t refs; /* of who uses it; with the last one go its contents */
    _Atomic uint32_t
        holds; /* of its memory: one as long as it is used, and one of each engine that has a form of it */
    enum tls_role role;
    enum tls_peer_certificate peer_certificate;
    enum tls_version min_version, max_version;
    struct context_certificate certificates[TLS_CERTIFICATES_MAX];
    size_t certificate_count;
    char *own_id; /* the first certificate's SPIFFE ID or other URI; NULL: it has none */
    struct tls_trust *trust;
    char *ciphers;
    struct der alpn; /* as on the wire */
    struct tls_ticket_keys *ticket_keys;
    bool resume;
    bool accept_expired;
    uint32_t clock_skew_s;
    int64_t expiry_s;
    struct hash128 policy;
    struct hash128
        own; /* of the leaves: a client's ticket stands for the certificate that it has shown */
};

/* Keeps its address from being another's; what is in it may go meanwhile. */
void context_hold(struct tls_context *context);
void context_release(struct tls_context *context);
/* Somebody refers to it, apart from such holds. */
static inline bool context_is_used(const struct tls_context *context)
{
    return atomic_load_explicit(&context->refs, memory_order_acquire) > 0;
}

/* libssl's form of it, in this library context; NULL with an error when a part cannot be used. */
SSL_CTX *context_make(const struct tls_context *context, OSSL_LIB_CTX *library,
                      struct error *error);
/* Length-prefixed names in *wire; false when one is empty or too long, or there are too many. */
MUST_USE bool context_alpn_wire(const struct slice *names, size_t count, struct der *wire);

enum { TICKET_NAME = 16, TICKET_KEY = 32 };
struct ticket_key {
    uint8_t name[TICKET_NAME];
    uint8_t cipher[TICKET_KEY];
    uint8_t mac[TICKET_KEY];
};
/* The key to seal with at this time. */
struct ticket_key ticket_keys_current(struct tls_ticket_keys *keys, int64_t now_s);
/* The key of that name, when it is still accepted. */
MUST_USE bool ticket_keys_find(struct tls_ticket_keys *keys, int64_t now_s,
                               const uint8_t name[TICKET_NAME], struct ticket_key *key);
