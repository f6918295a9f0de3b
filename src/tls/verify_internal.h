/*
 * verify_internal: believes or refuses a peer's certificate chain, and remembers the chains that it has believed.
 *
 * Limits come first, then the cache, then the path to a root of the peer's own trust domain. The answer says why.
 */
#pragma once

#include "base/list.h"
#include "tls/engine.h"
#include "tls/identity.h"
#include "tls/trust_internal.h"

#include <openssl/x509.h>

struct map;
struct tls_context;
struct tls_engine;

enum { VERIFIED_MAX = 1024, VERIFY_TEXT_MAX = 512 };

struct verifier {
    struct list stores;   /* struct verify_store: parsed roots of a trust set */
    struct map *verified; /* chain and policy -> struct verified */
    struct list recent;   /* struct verified, the newest first */
    size_t count;
};
void verifier_init(struct verifier *verifier);
void verifier_fini(struct verifier *verifier);
/* Drops roots that no context uses and chains that have ended. */
void verifier_trim(struct verifier *verifier, int64_t now_s);

struct verify_result {
    enum tls_failure failure;
    int alert_error; /* an X509_V_ERR_ that libssl turns into the fitting alert */
    bool was_cached;
    struct peer_identity *identity; /* a reference for the caller; NULL when it failed */
    char text[VERIFY_TEXT_MAX];     /* one sentence when it failed */
};
/* `chain` is the peer's, leaf first; context has a trust set. */
void verify_chain(struct tls_engine *engine, struct tls_context *context, STACK_OF(X509) * chain,
                  struct verify_result *result);
