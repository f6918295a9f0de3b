/*
 * context: what one side of TLS connections presents, trusts and allows; immutable, shared between threads.
 *
 * Built on the main thread from a secret, a trust set and parameters; every mistake is found here and told with
 * its remedy. Each worker's engine makes its own library objects from it at first use. SNI, ALPN and the peer's
 * expected names belong to the session.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"

struct tls_context;
struct tls_ticket_keys;
struct tls_trust;

enum tls_role { TLS_CLIENT, TLS_SERVER };
enum tls_version { TLS_VERSION_NONE = 0, TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };
/* What a server asks of its clients. A client always asks for the server's certificate. */
enum tls_peer_certificate { TLS_PEER_NOT_ASKED, TLS_PEER_OPTIONAL, TLS_PEER_REQUIRED };

enum {
    TLS_CERTIFICATES_MAX = 4,       /* of a context: one a kind of key */
    TLS_CHAIN_MAX = 10,             /* certificates in one chain, ours or a peer's */
    TLS_CHAIN_BYTES_MAX = 64 << 10, /* of a certificate message */
    TLS_ALPN_MAX = 16,              /* protocols */
    TLS_ALPN_BYTES_MAX = 255,       /* of a protocol */
    TLS_CLOCK_SKEW_MAX_S = 60,
};

struct tls_certificate {
    struct slice chain; /* leaf first; PEM or a single DER certificate */
    struct slice key;   /* PKCS#8, SEC 1 or PKCS#1, PEM or DER, not encrypted */
};

struct tls_context_spec {
    enum tls_role role;
    const char *name; /* for messages: "secret default"; borrowed for the call */
    const struct tls_certificate *certificates; /* a server needs one at least */
    size_t certificate_count;
    struct tls_trust *
        trust; /* NULL: the peer's certificate, if any, is accepted unverified and gives no identity */
    enum tls_peer_certificate peer_certificate; /* servers */
    enum tls_version min_version, max_version;  /* TLS_VERSION_NONE: 1.3 only .. 1.3 */
    const char *ciphers; /* TLS 1.2, OpenSSL names joined by ':'; NULL: the ECDHE AEAD suites */
    const struct slice *alpn; /* in order of preference; a session may replace them */
    size_t alpn_count;
    struct tls_ticket_keys *ticket_keys; /* servers: NULL = no resumption */
    bool resume;                         /* clients: keep and use tickets */
    bool accept_expired;                 /* Envoy's allow_expired_certificate */
    uint32_t clock_skew_s; /* tolerated on notBefore and notAfter, at most TLS_CLOCK_SKEW_MAX_S */
};

/* Copies what it needs and takes references of its own. `now_s` decides whether our own certificate has expired
   (an error for a leaf that is past its end). The caller owns one reference to *out. */
MUST_USE bool tls_context_create(const struct tls_context_spec *spec, int64_t now_s,
                                 struct tls_context **out, struct error *error);
/* Atomic; the last reference wipes and frees memory only and may be dropped on any thread. unref accepts NULL. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);
enum tls_role tls_context_role(const struct tls_context *context);
/* When our own chain expires (its earliest end), Unix seconds; INT64_MAX without a certificate. */
int64_t tls_context_expiry_s(const struct tls_context *context);
/* Of everything that decides whether a peer is accepted: verified chains and tickets are bound to it. */
struct hash128 tls_context_policy(const struct tls_context *context);
OWNED(tls_context, tls_context_unref)

/* The secrets that seal resumption tickets: random, renewed by themselves every 6 h, the last two accepted.
   Shared between threads; one set serves all contexts of a process, since a ticket is bound to the policy and to the
   certificates that it was given under: none outlives a rotation of the secret. */
struct tls_ticket_keys *tls_ticket_keys_create(void);
struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *keys);
void tls_ticket_keys_unref(struct tls_ticket_keys *keys);
OWNED(tls_ticket_keys, tls_ticket_keys_unref)
