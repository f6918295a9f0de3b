#include "tls/engine.h"

#include "base/block.h"
#include "base/map.h"
#include "base/memory.h"
#include "tls/allocator_internal.h"
#include "tls/engine_internal.h"
#include "tls/library_internal.h"
#include "tls/session_internal.h"

#include <openssl/err.h>
#include <stdlib.h>

const char *tls_failure_name(enum tls_failure failure)
{
    static const char *const names[TLS_FAILURES] = {
        [TLS_FAILURE_NONE] = "none",
        [TLS_FAILURE_NOT_TLS] = "not_tls",
        [TLS_FAILURE_VERSION] = "version",
        [TLS_FAILURE_CIPHER] = "cipher",
        [TLS_FAILURE_NO_CERTIFICATE] = "no_certificate",
        [TLS_FAILURE_EXPIRED] = "expired",
        [TLS_FAILURE_UNKNOWN_CA] = "unknown_ca",
        [TLS_FAILURE_REVOKED] = "revoked",
        [TLS_FAILURE_BAD_CERTIFICATE] = "bad_certificate",
        [TLS_FAILURE_IDENTITY] = "identity",
        [TLS_FAILURE_REFUSED_BY_PEER] = "refused_by_peer",
        [TLS_FAILURE_TRUNCATED] = "truncated",
        [TLS_FAILURE_PROTOCOL] = "protocol",
        [TLS_FAILURE_LIMIT] = "limit",
        [TLS_FAILURE_MEMORY] = "memory",
        [TLS_FAILURE_INTERNAL] = "internal",
    };
    return failure < TLS_FAILURES ? names[failure] : "none";
}

struct tls_engine *tls_engine_create(struct memory_budget *budget)
{
    struct tls_engine *engine = mem_new(struct tls_engine);
    engine->budget = budget;
    engine->contexts = map_create();
    list_init(&engine->context_list);
    engine->identities = map_create_hostile();
    engine->own_ids = map_create();
    verifier_init(&engine->verifier);
    known_certificates_init(&engine->known);
    resume_cache_init(&engine->resume);
    object_pool_init(&engine->sessions, budget, sizeof(struct tls_session));
    object_pool_init(&engine->names, NULL, ENGINE_NAMES); /* a session has been charged */
    return engine;
}

/* The library's half comes with the first context, so that who speaks no TLS does not pay for its 300 KB. */
static void need_library(struct tls_engine *engine)
{
    if (engine->library)
        return;
    engine->library = tls_library_create();
    engine->bio_method = handshake_bio_method();
    cipher_pool_init(&engine->ciphers, engine->library);
}

static void drop_library(struct tls_engine *engine)
{
    if (!engine->library)
        return;
    cipher_pool_fini(&engine->ciphers);
    BIO_meth_free(engine->bio_method);
    tls_library_destroy(engine->library);
}

static struct slice context_key(struct tls_context *const *context)
{
    return slice_of(context, sizeof(*context));
}

static void drop_context(struct tls_engine *engine, struct engine_context *made)
{
    map_remove(engine->contexts, context_key(&made->context));
    list_remove(&made->node);
    SSL_CTX_free(made->ssl);
    context_release(made->context);
    mem_free(made);
}

/* Forms of contexts that nobody uses any more: what a rotation left behind. */
static void drop_left_contexts(struct tls_engine *engine)
{
    LIST_EACH_SAFE(node, after, &engine->context_list)
    {
        struct engine_context *made = LIST_ENTRY(node, struct engine_context, node);
        if (!context_is_used(made->context))
            drop_context(engine, made);
    }
}

void tls_engine_destroy(struct tls_engine *engine)
{
    if (!engine)
        return;
    assert(engine->counts.sessions == 0);
    object_pool_fini(&engine->sessions);
    object_pool_fini(&engine->names);
    resume_cache_fini(&engine->resume);
    verifier_fini(&engine->verifier);
    known_certificates_clear(&engine->known);
    LIST_EACH_SAFE(node, after, &engine->context_list)
    drop_context(engine, LIST_ENTRY(node, struct engine_context, node));
    map_destroy(engine->contexts);
    assert(map_count(engine->identities) == 0);
    map_destroy(engine->identities);
    struct map_iterator it = {0};
    while (map_next(engine->own_ids, &it))
        mem_free(it.value);
    map_destroy(engine->own_ids);
    drop_library(engine);
    mem_free(engine);
}

const char *engine_own_id(struct tls_engine *engine, const char *id)
{
    if (!id)
        return NULL;
    char *known = map_get(engine->own_ids, slice_str(id));
    if (!known) {
        known = str_copy(id);
        map_put(engine->own_ids, slice_str(id), known);
    }
    return known;
}

void tls_engine_turn(struct tls_engine *engine, int64_t now_s, unsigned handshake_steps)
{
    engine->now_s = now_s;
    engine->steps_left = handshake_steps;
    engine->steps_limited = handshake_steps > 0;
}

void tls_engine_trim(struct tls_engine *engine)
{
    drop_left_contexts(engine);
    verifier_trim(&engine->verifier, engine->now_s);
    known_certificates_trim(&engine->known, engine->now_s);
    resume_cache_trim(&engine->resume, engine->now_s);
    if (engine->library)
        cipher_pool_trim(&engine->ciphers);
}

bool tls_engine_has_lent(const struct tls_engine *engine)
{
    return engine->library && engine->ciphers.count > 0;
}

void tls_engine_shrink(struct tls_engine *engine)
{
    if (!engine->library)
        return;
    known_certificates_clear(&engine->known);
    object_pool_trim(&engine->sessions);
    object_pool_trim(&engine->names);
    cipher_pool_trim(&engine->ciphers); /* marks, */
    cipher_pool_trim(&engine->ciphers); /* and frees */
    tls_allocator_trim();
}

const struct tls_counts *tls_engine_counts(const struct tls_engine *engine)
{
    return &engine->counts;
}

struct engine_context *engine_context_for(struct tls_engine *engine, struct tls_context *context)
{
    struct engine_context *made = map_get(engine->contexts, context_key(&context));
    if (made)
        return made;
    need_library(engine);
    drop_left_contexts(engine); /* a new one comes where an old one went */
    owned_error ignored = {0};
    SSL_CTX *ssl = context_make(context, engine->library, &ignored);
    if (!ssl)
        return NULL;
    handshake_prepare(ssl);
    made = mem_new(struct engine_context);
    context_hold(context);
    made->context = context;
    made->ssl = ssl;
    list_push_front(&engine->context_list, &made->node);
    map_put(engine->contexts, context_key(&made->context), made);
    return made;
}

bool engine_charge(struct tls_engine *engine, size_t bytes)
{
    return !engine->budget || memory_budget_charge(engine->budget, bytes);
}

void engine_release(struct tls_engine *engine, size_t bytes)
{
    if (engine->budget)
        memory_budget_release(engine->budget, bytes);
}
