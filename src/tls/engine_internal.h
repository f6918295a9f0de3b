/* engine_internal: one worker's TLS state, for the files of this room. */
#pragma once

#include "base/list.h"
#include "base/object_pool.h"
#include "tls/context_internal.h"
#include "tls/engine.h"
#include "tls/known_certificates_internal.h"
#include "tls/record_internal.h"
#include "tls/resume_internal.h"
#include "tls/schedule_internal.h"
#include "tls/verify_internal.h"

#include <openssl/ssl.h>

struct map;

/* ALPN and server name of a session, when they are no longer. */
enum { ENGINE_NAMES = 96 };

/* libssl's form of one context here. It goes when nobody uses the context any more; other engines' forms are no use. */
struct engine_context {
    struct list node;
    struct tls_context *context;
    SSL_CTX *ssl;
};

struct tls_engine {
    OSSL_LIB_CTX *library; /* NULL, as what follows from it, before the first context */
    BIO_METHOD *bio_method;
    struct memory_budget *budget;
    struct map *contexts; /* by address, to struct engine_context */
    struct list context_list;
    struct map *identities; /* by certificate hash */
    struct map *own_ids;    /* what we are known by: text to its one copy */
    struct cipher_pool ciphers;
    struct verifier verifier;
    struct known_certificates known;
    struct resume_cache resume;
    int64_t now_s;
    unsigned steps_left;
    bool steps_limited;
    struct tls_counts counts;
    /* Slabs, because what stays of a connection would lie among what its handshake has freed, and hold those pages. */
    struct object_pool sessions;
    struct object_pool names; /* of ENGINE_NAMES bytes */
};

/* NULL when libssl fails, which it should not: the context was tried when it was made. */
struct engine_context *engine_context_for(struct tls_engine *engine, struct tls_context *context);
/* A copy that lives as long as the engine: there are as many as names of our own certificates. NULL for NULL. */
const char *engine_own_id(struct tls_engine *engine, const char *id);
MUST_USE bool engine_charge(struct tls_engine *engine, size_t bytes);
void engine_release(struct tls_engine *engine, size_t bytes);
