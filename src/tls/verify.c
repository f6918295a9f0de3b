#include "tls/verify_internal.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/memory.h"
#include "tls/engine_internal.h"
#include "tls/identity_internal.h"
#include "tls/x509_internal.h"

#include <openssl/err.h>

/* The roots of one trust set, parsed: a store for each of its sources, made when first asked for. */
struct verify_store {
    struct list node;
    struct tls_trust *trust; /* a reference */
    X509_STORE *stores[];
};

/* A chain that was good under a policy. */
struct verified {
    struct list node;
    struct peer_identity *identity; /* a reference */
    size_t key_size;
    char key[]; /* the policy and the hash of every certificate */
};

/* What the callback of one path search needs. */
struct path_search {
    int64_t now_s;
    const struct tls_context *context;
};

void verifier_init(struct verifier *verifier)
{
    list_init(&verifier->stores);
    list_init(&verifier->recent);
    verifier->verified = map_create_hostile();
    verifier->count = 0;
}

static void free_store(struct verify_store *store)
{
    list_remove(&store->node);
    for (size_t i = 0; i < store->trust->count; i++)
        X509_STORE_free(store->stores[i]);
    tls_trust_unref(store->trust);
    mem_free(store);
}

static void forget(struct verifier *verifier, struct verified *entry)
{
    map_remove(verifier->verified, slice_of(entry->key, entry->key_size));
    list_remove(&entry->node);
    peer_identity_unref(entry->identity);
    mem_free(entry);
    verifier->count--;
}

void verifier_fini(struct verifier *verifier)
{
    LIST_EACH_SAFE(node, after, &verifier->recent)
    forget(verifier, LIST_ENTRY(node, struct verified, node));
    LIST_EACH_SAFE(node, after, &verifier->stores)
    free_store(LIST_ENTRY(node, struct verify_store, node));
    map_destroy(verifier->verified);
}

void verifier_trim(struct verifier *verifier, int64_t now_s)
{
    LIST_EACH_SAFE(node, after, &verifier->recent)
    {
        struct verified *entry = LIST_ENTRY(node, struct verified, node);
        if (entry->identity->chain_expiry_s < now_s)
            forget(verifier, entry);
    }
    LIST_EACH_SAFE(node, after, &verifier->stores)
    {
        struct verify_store *store = LIST_ENTRY(node, struct verify_store, node);
        if (atomic_load_explicit(&store->trust->refs, memory_order_relaxed) == 1)
            free_store(store);
    }
}

static struct verify_store *store_for(struct verifier *verifier, struct tls_trust *trust)
{
    LIST_EACH(node, &verifier->stores)
    {
        struct verify_store *store = LIST_ENTRY(node, struct verify_store, node);
        if (store->trust == trust)
            return store;
    }
    struct verify_store *store =
        mem_calloc(1, sizeof(*store) + trust->count * sizeof(X509_STORE *));
    store->trust = tls_trust_ref(trust);
    list_push_front(&verifier->stores, &store->node);
    return store;
}

static X509_STORE *parse_roots(const struct trust_roots *roots, OSSL_LIB_CTX *library)
{
    X509_STORE *store = X509_STORE_new();
    for (size_t i = 0; i < roots->root_count; i++) {
        X509 *root = x509_parse(library, slice_of(roots->roots[i].data, roots->roots[i].size));
        X509_STORE_add_cert(store, root);
        X509_free(root);
    }
    for (size_t i = 0; i < roots->revoked_count; i++) {
        const unsigned char *at = (const unsigned char *)roots->revoked[i].data;
        X509_CRL *list = X509_CRL_new_ex(library, NULL);
        d2i_X509_CRL(&list, &at, (long)roots->revoked[i].size);
        X509_STORE_add_crl(store, list);
        X509_CRL_free(list);
    }
    if (roots->revoked_count > 0)
        X509_STORE_set_flags(store, roots->revoked_leaf_only
                                        ? X509_V_FLAG_CRL_CHECK
                                        : X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    /* Every certificate of a bundle is an anchor, also one that is not self-signed. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
    return store;
}

static void refuse(struct verify_result *result, enum tls_failure failure, int alert_error,
                   const char *format, ...) PRINTF(4, 5);

static void refuse(struct verify_result *result, enum tls_failure failure, int alert_error,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    result->failure = failure;
    result->alert_error = alert_error;
    vsnprintf(result->text, sizeof(result->text), format, args);
    va_end(args);
}

/* A moment and how far it is from now: "2026-01-31T12:00:00Z, 3 h ago". */
static const char *moment(int64_t time_s, int64_t now_s, char *to, size_t size)
{
    char when[32];
    int64_t far = now_s > time_s ? now_s - time_s : time_s - now_s;
    const char *side = now_s > time_s ? "ago" : "from now";
    clock_format(time_s * 1000000, when);
    if (far < 120)
        snprintf(to, size, "%.19sZ, %lld s %s", when, (long long)far, side);
    else if (far < 2 * 86400)
        snprintf(to, size, "%.19sZ, %lld min %s", when, (long long)(far / 60), side);
    else
        snprintf(to, size, "%.19sZ, %lld days %s", when, (long long)(far / 86400), side);
    return to;
}

/* Times with the tolerated skew; everything else as libcrypto says. */
static int on_path_error(int ok, X509_STORE_CTX *path)
{
    if (ok)
        return ok;
    const struct path_search *search = X509_STORE_CTX_get_app_data(path);
    const X509 *certificate = X509_STORE_CTX_get_current_cert(path);
    int64_t skew = search->context->clock_skew_s;
    switch (X509_STORE_CTX_get_error(path)) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return search->context->accept_expired ||
               x509_time_s(X509_get0_notAfter(certificate)) >= search->now_s - skew;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return x509_time_s(X509_get0_notBefore(certificate)) <= search->now_s + skew;
    default: return 0;
    }
}

static enum tls_failure failure_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return TLS_FAILURE_EXPIRED;
    case X509_V_ERR_CERT_REVOKED:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE: return TLS_FAILURE_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* the root's name, but another root's key */
    case X509_V_ERR_CERT_UNTRUSTED: return TLS_FAILURE_UNKNOWN_CA;
    default: return TLS_FAILURE_BAD_CERTIFICATE;
    }
}

static void explain_path_error(X509_STORE_CTX *path, const struct path_search *search,
                               const char *who, struct verify_result *result)
{
    char when[64];
    int error = X509_STORE_CTX_get_error(path), depth = X509_STORE_CTX_get_error_depth(path);
    const X509 *certificate = X509_STORE_CTX_get_current_cert(path);
    const char *which = depth == 0 ? "certificate" : "issuer's certificate";
    enum tls_failure failure = failure_of(error);
    if (error == X509_V_ERR_CERT_HAS_EXPIRED)
        refuse(result, failure, error, "the peer's %s (%s) expired at %s", which, who,
               moment(x509_time_s(X509_get0_notAfter(certificate)), search->now_s, when,
                      sizeof(when)));
    else if (error == X509_V_ERR_CERT_NOT_YET_VALID)
        refuse(result, failure, error,
               "the peer's %s (%s) is valid only from %s: compare the clocks", which, who,
               moment(x509_time_s(X509_get0_notBefore(certificate)), search->now_s, when,
                      sizeof(when)));
    else if (failure == TLS_FAILURE_UNKNOWN_CA)
        refuse(result, failure, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
               "the peer's certificate (%s) does not lead to a root that we trust: %s", who,
               X509_verify_cert_error_string(error));
    else
        refuse(result, failure, error, "the peer's %s (%s) is refused: %s", which, who,
               X509_verify_cert_error_string(error));
}

/* The first end of all certificates on the path. */
static int64_t path_expiry_s(X509_STORE_CTX *path)
{
    int64_t expiry = INT64_MAX;
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(path);
    for (int i = 0; i < sk_X509_num(chain); i++)
        expiry = MIN(expiry, x509_time_s(X509_get0_notAfter(sk_X509_value(chain, i))));
    return expiry;
}

static bool find_path(struct tls_engine *engine, const struct tls_context *context,
                      X509_STORE *store, STACK_OF(X509) * chain, const char *who, int64_t *expiry_s,
                      struct verify_result *result)
{
    struct path_search search = {engine->now_s, context};
    X509_STORE_CTX *path = X509_STORE_CTX_new_ex(engine->library, NULL);
    if (!path || !X509_STORE_CTX_init(path, store, sk_X509_value(chain, 0), chain))
        abort();
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(path);
    X509_VERIFY_PARAM_set_time(param, engine->now_s);
    X509_VERIFY_PARAM_set_depth(param, TLS_CHAIN_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    X509_STORE_CTX_set_purpose(path, context->role == TLS_SERVER ? X509_PURPOSE_SSL_CLIENT
                                                                 : X509_PURPOSE_SSL_SERVER);
    X509_STORE_CTX_set_app_data(path, &search);
    X509_STORE_CTX_set_verify_cb(path, on_path_error);
    bool good = X509_verify_cert(path) == 1;
    if (good)
        *expiry_s = path_expiry_s(path);
    else
        explain_path_error(path, &search, who, result);
    X509_STORE_CTX_free(path);
    ERR_clear_error();
    return good;
}

/* What X.509-SVID asks of a leaf; NULL when it is met. */
static const char *svid_refusal(X509 *leaf)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    if (flags & EXFLAG_CA)
        return "it is a certificate authority";
    if (flags & EXFLAG_KUSAGE) {
        uint32_t usage = X509_get_key_usage(leaf);
        if (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN))
            return "its key may sign certificates";
        if (!(usage & KU_DIGITAL_SIGNATURE))
            return "its key may not sign";
    }
    uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
    if ((flags & EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(leaf) & both) != both)
        return "it is not for servers and clients alike";
    return NULL;
}

/* Cheap checks before anything is verified; the leaf's names are read. */
static bool look_over(STACK_OF(X509) * chain, struct x509_names *names,
                      struct verify_result *result)
{
    const char *why = NULL;
    if (sk_X509_num(chain) > TLS_CHAIN_MAX) {
        refuse(result, TLS_FAILURE_LIMIT, X509_V_ERR_CERT_CHAIN_TOO_LONG,
               "the peer's chain has %d certificates, more than %d", sk_X509_num(chain),
               TLS_CHAIN_MAX);
        return false;
    }
    for (int i = 0; i < sk_X509_num(chain); i++) {
        why = x509_key_refusal(sk_X509_value(chain, i));
        if (why) {
            refuse(result, TLS_FAILURE_BAD_CERTIFICATE, X509_V_ERR_CA_KEY_TOO_SMALL,
                   "certificate %d of the peer's chain is refused: %s", i + 1, why);
            return false;
        }
    }
    if (!x509_names_read(sk_X509_value(chain, 0), names, &why)) {
        refuse(result, TLS_FAILURE_BAD_CERTIFICATE, X509_V_ERR_UNSPECIFIED,
               "the peer's certificate is refused: %s", why);
        return false;
    }
    if (names->id.text.size > 0 && (why = svid_refusal(sk_X509_value(chain, 0)))) {
        refuse(result, TLS_FAILURE_BAD_CERTIFICATE, X509_V_ERR_INVALID_PURPOSE,
               "the certificate of %.*s is no workload's: %s", SLICE_ARG(names->id.text), why);
        return false;
    }
    return true;
}

static X509_STORE *choose_roots(struct tls_engine *engine, struct tls_trust *trust,
                                const struct x509_names *names, struct verify_result *result)
{
    size_t index = trust_index_for(trust, names->id.trust_domain);
    if (index == SIZE_MAX) {
        if (names->id.text.size > 0)
            refuse(result, TLS_FAILURE_UNKNOWN_CA, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                   "the peer is %.*s, and there are no roots for the trust domain %.*s",
                   SLICE_ARG(names->id.text), SLICE_ARG(names->id.trust_domain));
        else
            refuse(result, TLS_FAILURE_BAD_CERTIFICATE,
                   X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                   "the peer's certificate has no SPIFFE ID");
        return NULL;
    }
    struct verify_store *store = store_for(&engine->verifier, trust);
    if (!store->stores[index])
        store->stores[index] = parse_roots(&trust->domains[index], engine->library);
    return store->stores[index];
}

static struct peer_identity *identify(struct tls_engine *engine, X509 *leaf,
                                      struct x509_names *names, int64_t expiry_s)
{
    char subject[512];
    struct peer_identity model = {
        .san_count = (uint32_t)names->count,
        .id = names->id,
        .subject = slice_of(subject,
                            x509_name_text(X509_get_subject_name(leaf), subject, sizeof(subject))),
        .sans = names->sans,
        .not_after_s = x509_time_s(X509_get0_notAfter(leaf)),
        .chain_expiry_s = expiry_s,
    };
    x509_hash(leaf, model.certificate_hash);
    struct peer_identity *identity = identity_intern(engine->identities, &model);
    /* The same leaf may have come with another path before. */
    identity->chain_expiry_s = MIN(identity->chain_expiry_s, expiry_s);
    return identity;
}

static void remember(struct verifier *verifier, struct slice key, struct peer_identity *identity)
{
    while (verifier->count >= VERIFIED_MAX)
        forget(verifier, LIST_ENTRY(verifier->recent.prev, struct verified, node));
    struct verified *entry = mem_calloc(1, sizeof(*entry) + key.size);
    entry->identity = peer_identity_ref(identity);
    entry->key_size = key.size;
    memcpy(entry->key, key.data, key.size);
    list_push_front(&verifier->recent, &entry->node);
    map_put(verifier->verified, key, entry);
    verifier->count++;
}

static void verify_anew(struct tls_engine *engine, struct tls_context *context,
                        STACK_OF(X509) * chain, struct slice key, struct verify_result *result)
{
    struct x509_names names = {0};
    int64_t expiry_s = 0;
    X509_STORE *roots;
    if (look_over(chain, &names, result) &&
        (roots = choose_roots(engine, context->trust, &names, result))) {
        char who[256];
        struct peer_identity shown = {
            .id = names.id, .sans = names.sans, .san_count = (uint32_t)names.count};
        struct slice text = identity_names_text(&shown, who, sizeof(who) - 1);
        char *label = str_copy_n(text.data, MIN(text.size, (size_t)200));
        if (find_path(engine, context, roots, chain, label, &expiry_s, result)) {
            result->identity = identify(engine, sk_X509_value(chain, 0), &names, expiry_s);
            remember(&engine->verifier, key, result->identity);
        }
        mem_free(label);
    }
    x509_names_fini(&names);
}

static size_t cache_key(const struct tls_context *context, STACK_OF(X509) * chain, uint8_t *key)
{
    size_t size = sizeof(context->policy);
    memcpy(key, &context->policy, size);
    for (int i = 0; i < sk_X509_num(chain) && i < TLS_CHAIN_MAX;
         i++, size += CERTIFICATE_HASH_BYTES)
        x509_hash(sk_X509_value(chain, i), key + size);
    return size;
}

void verify_chain(struct tls_engine *engine, struct tls_context *context, STACK_OF(X509) * chain,
                  struct verify_result *result)
{
    uint8_t key[sizeof(struct hash128) + TLS_CHAIN_MAX * CERTIFICATE_HASH_BYTES];
    *result = (struct verify_result){.failure = TLS_FAILURE_NONE};
    struct slice name = slice_of(key, cache_key(context, chain, key));
    struct verified *known =
        sk_X509_num(chain) <= TLS_CHAIN_MAX ? map_get(engine->verifier.verified, name) : NULL;
    if (known && (known->identity->chain_expiry_s >= engine->now_s || context->accept_expired)) {
        list_remove(&known->node);
        list_push_front(&engine->verifier.recent, &known->node);
        result->was_cached = true;
        result->identity = peer_identity_ref(known->identity);
        return;
    }
    if (known)
        forget(&engine->verifier, known);
    verify_anew(engine, context, chain, name, result);
}
