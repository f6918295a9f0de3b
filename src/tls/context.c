#include "tls/context.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/vector.h"
#include "tls/certificate.h"
#include "tls/context_internal.h"
#include "tls/key_pair_internal.h"
#include "tls/library_internal.h"
#include "tls/x509_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

/* The suites of TLS 1.2 that our record layer carries, as OpenSSL names them. */
static const char *const aead_suites[] = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
};
enum { DEFAULT_SUITES = 6 }; /* of them: those with forward secrecy */

static bool read_chain(struct context_certificate *to, struct slice text, struct error *error)
{
    struct buffer der = {0};
    size_t cursor = 0, total = 0;
    owned_error inner = {0};
    while (certificate_next(text, &cursor, &der, &inner) && to->chain_count <= TLS_CHAIN_MAX) {
        if (to->chain_count == to->chain_capacity)
            to->chain = vector_grow(to->chain, &to->chain_capacity, sizeof(*to->chain));
        to->chain[to->chain_count++] = (struct der){str_copy_n(der.data, der.size), der.size};
        total += der.size;
    }
    buffer_fini(&der);
    if (error_is_set(&inner)) {
        error_move(error, &inner);
        error_prefix(error, "the certificate chain");
        return false;
    }
    if (to->chain_count == 0) {
        error_set(error, NULL, "the certificate chain holds no certificate in PEM or DER");
        error_fix(error, "give PEM text with the leaf certificate first");
        return false;
    }
    if (to->chain_count > TLS_CHAIN_MAX || total > TLS_CHAIN_BYTES_MAX)
        return error_set(error, NULL,
                         "the certificate chain has more than %d certificates or %d bytes",
                         TLS_CHAIN_MAX, TLS_CHAIN_BYTES_MAX);
    return true;
}

static bool check_time(X509 *leaf, const struct tls_context *context, int64_t now_s,
                       struct error *error)
{
    int64_t end_s = x509_time_s(X509_get0_notAfter(leaf));
    if (end_s >= now_s - context->clock_skew_s || context->accept_expired)
        return true;
    char when[32];
    clock_format(end_s * 1000000, when);
    error_set(error, NULL, "the certificate has expired on %.19sZ", when);
    error_why(error, "no peer would accept it");
    error_fix(error, "renew it, or check this machine's clock");
    return false;
}

/* Which certificate of the chain the key belongs to; SIZE_MAX: none. */
static size_t find_owner(const struct context_certificate *certificate, EVP_PKEY *key)
{
    for (size_t i = 0; i < certificate->chain_count; i++) {
        struct der *der = &certificate->chain[i];
        X509 *one = x509_parse(tls_library_shared(), slice_of(der->data, der->size));
        bool owns = one && X509_check_private_key(one, key) == 1;
        X509_free(one);
        ERR_clear_error();
        if (owns)
            return i;
    }
    return SIZE_MAX;
}

static bool check_owner(const struct context_certificate *certificate, EVP_PKEY *key,
                        struct error *error)
{
    size_t owner = find_owner(certificate, key);
    if (owner == 0)
        return true;
    if (owner == SIZE_MAX) {
        error_set(error, NULL, "the private key does not belong to the certificate");
        error_fix(error, "give the key that the certificate was requested with");
    } else {
        error_set(error, NULL,
                  "the private key belongs to certificate %zu of the chain, not to the first",
                  owner + 1);
        error_fix(error, "put the leaf first, then the intermediates in order");
    }
    return false;
}

static bool check_chain(struct tls_context *context, const struct context_certificate *certificate,
                        int64_t now_s, struct error *error)
{
    for (size_t i = 0; i < certificate->chain_count; i++) {
        struct der *der = &certificate->chain[i];
        X509 *one = x509_parse(tls_library_shared(), slice_of(der->data, der->size));
        const char *refusal = one ? x509_key_refusal(one) : "it is malformed";
        bool good = !refusal && (i > 0 || check_time(one, context, now_s, error));
        if (good)
            context->expiry_s = MIN(context->expiry_s, x509_time_s(X509_get0_notAfter(one)));
        X509_free(one);
        if (refusal)
            return error_set(error, NULL, "certificate %zu of the chain cannot be used: %s", i + 1,
                             refusal);
        if (!good)
            return false;
    }
    return true;
}

static bool read_certificate(struct tls_context *context, struct context_certificate *to,
                             const struct tls_certificate *from, int64_t now_s, struct error *error)
{
    owned(key_pair) key = NULL;
    if (!read_chain(to, from->chain, error) || !check_chain(context, to, now_s, error) ||
        !key_pair_parse(from->key, &key, error) || !check_owner(to, key->key, error))
        return false;
    struct buffer der = {0};
    buffer_reserve(&der, KEY_BYTES_MAX);
    key_pair_write_der(key, &der);
    to->key = (struct der){str_copy_n(der.data, der.size), der.size};
    key_buffer_fini(&der);
    return true;
}

/* What peers know us by; a certificate without a URI, or with names that we cannot read, has no such name. */
static char *read_own_id(const struct context_certificate *certificate)
{
    const struct der *der = &certificate->chain[0];
    X509 *leaf = x509_parse(tls_library_shared(), slice_of(der->data, der->size));
    struct x509_names names = {0};
    const char *why;
    char *id = NULL;
    bool is_read = leaf && x509_names_list(leaf, &names, &why);
    for (size_t i = 0; is_read && i < names.count && !id; i++)
        id = names.sans[i].kind == SAN_URI ? slice_to_str(names.sans[i].text) : NULL;
    x509_names_fini(&names);
    X509_free(leaf);
    ERR_clear_error();
    return id;
}

static bool read_certificates(struct tls_context *context, const struct tls_context_spec *spec,
                              int64_t now_s, struct error *error)
{
    context->expiry_s = INT64_MAX;
    if (spec->certificate_count > TLS_CERTIFICATES_MAX)
        return error_set(error, NULL, "there are more than %d certificates", TLS_CERTIFICATES_MAX);
    if (spec->certificate_count == 0 && spec->role == TLS_SERVER) {
        error_set(error, NULL, "a TLS server needs a certificate and its key");
        error_fix(error, "name a secret that holds both");
        return false;
    }
    for (size_t i = 0; i < spec->certificate_count; i++) {
        context->certificate_count++; /* first, so that a half-read one is freed */
        if (!read_certificate(context, &context->certificates[i], &spec->certificates[i], now_s,
                              error))
            return false;
    }
    if (spec->certificate_count > 0)
        context->own_id = read_own_id(&context->certificates[0]);
    return true;
}

static bool is_aead_suite(struct slice name)
{
    for (size_t i = 0; i < COUNT(aead_suites); i++) {
        if (slice_equals_str(name, aead_suites[i]))
            return true;
    }
    return false;
}

/* Envoy groups equal suites as [A|B]; the order stands for itself here. Suites without AEAD are left out. */
static bool read_ciphers(struct tls_context *context, const char *ciphers, struct error *error)
{
    owned_buffer list = {0};
    if (!ciphers) {
        for (size_t i = 0; i < DEFAULT_SUITES; i++)
            buffer_format(&list, "%s%s", i > 0 ? ":" : "", aead_suites[i]);
        context->ciphers = buffer_take(&list);
        return true;
    }
    for (const char *at = ciphers; *at;) {
        size_t size = strcspn(at, ":|[], ");
        if (is_aead_suite(slice_of(at, size)))
            buffer_format(&list, "%s%.*s", list.size > 0 ? ":" : "", (int)size, at);
        at += size;
        at += strspn(at, ":|[], ");
    }
    if (list.size == 0) {
        error_set(error, NULL, "none of the TLS 1.2 cipher suites \"%.200s\" is supported",
                  ciphers);
        error_fix(error, "use AES-GCM or ChaCha20-Poly1305 suites, such as %s", aead_suites[0]);
        return false;
    }
    context->ciphers = buffer_take(&list);
    return true;
}

bool context_alpn_wire(const struct slice *names, size_t count, struct der *wire)
{
    owned_buffer bytes = {0};
    if (count > TLS_ALPN_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (names[i].size == 0 || names[i].size > TLS_ALPN_BYTES_MAX)
            return false;
        buffer_append_byte(&bytes, (char)(uint8_t)names[i].size);
        buffer_append_slice(&bytes, names[i]);
    }
    wire->size = bytes.size;
    wire->data = count > 0 ? buffer_take(&bytes) : NULL;
    return true;
}

static bool read_versions(struct tls_context *context, const struct tls_context_spec *spec,
                          struct error *error)
{
    context->min_version = spec->min_version ? spec->min_version : TLS_1_3;
    context->max_version = spec->max_version ? spec->max_version : TLS_1_3;
    if (context->min_version > context->max_version)
        return error_set(error, NULL, "the lowest TLS version is above the highest");
    return true;
}

/* A chain or a ticket that was accepted under one policy says nothing under another. */
static struct hash128 policy_of(const struct tls_context *context)
{
    struct {
        struct hash128 trust;
        uint64_t role, peer_certificate, accept_expired, clock_skew_s, min_version, verifies;
    } all = {
        .trust = context->trust ? context->trust->generation : (struct hash128){0, 0},
        .role = context->role,
        .peer_certificate = context->peer_certificate,
        .accept_expired = context->accept_expired,
        .clock_skew_s = context->clock_skew_s,
        .min_version = context->min_version,
        .verifies = context->trust != NULL,
    };
    uint8_t digest[32];
    struct hash128 policy;
    sha256(slice_of(&all, sizeof(all)), digest);
    memcpy(&policy, digest, sizeof(policy));
    return policy;
}

static struct hash128 own_of(const struct tls_context *context)
{
    owned_buffer all = {0};
    uint8_t digest[32];
    struct hash128 own;
    for (size_t i = 0; i < context->certificate_count; i++) {
        const struct der *leaf = &context->certificates[i].chain[0];
        buffer_append(&all, &leaf->size, sizeof(leaf->size));
        buffer_append(&all, leaf->data, leaf->size);
    }
    sha256(buffer_slice(&all), digest);
    memcpy(&own, digest, sizeof(own));
    return own;
}

static bool fill(struct tls_context *context, const struct tls_context_spec *spec, int64_t now_s,
                 struct error *error)
{
    context->role = spec->role;
    context->peer_certificate = spec->peer_certificate;
    context->resume = spec->resume;
    context->accept_expired = spec->accept_expired;
    context->clock_skew_s = spec->clock_skew_s;
    context->trust = spec->trust ? tls_trust_ref(spec->trust) : NULL;
    context->ticket_keys = spec->ticket_keys ? tls_ticket_keys_ref(spec->ticket_keys) : NULL;
    if (spec->clock_skew_s > TLS_CLOCK_SKEW_MAX_S)
        return error_set(error, NULL, "a clock skew of %u s is more than %d s", spec->clock_skew_s,
                         TLS_CLOCK_SKEW_MAX_S);
    if (spec->role == TLS_SERVER && spec->peer_certificate == TLS_PEER_REQUIRED && !spec->trust) {
        error_set(
            error, NULL,
            "client certificates are required, but there is no trust bundle to judge them by");
        error_fix(error, "add a validation context with trusted roots");
        return false;
    }
    if (!context_alpn_wire(spec->alpn, spec->alpn_count, &context->alpn))
        return error_set(error, NULL,
                         "the ALPN list has an empty or overlong name, or more than %d",
                         TLS_ALPN_MAX);
    return read_versions(context, spec, error) && read_ciphers(context, spec->ciphers, error) &&
           read_certificates(context, spec, now_s, error);
}

bool tls_context_create(const struct tls_context_spec *spec, int64_t now_s,
                        struct tls_context **out, struct error *error)
{
    owned(tls_context) context = mem_new(struct tls_context);
    atomic_init(&context->refs, 1);
    atomic_init(&context->holds, 1);
    bool good = fill(context, spec, now_s, error);
    if (good) {
        /* What the library refuses, it refuses here, and not on a worker. */
        SSL_CTX *trial = context_make(context, tls_library_shared(), error);
        good = trial != NULL;
        SSL_CTX_free(trial);
    }
    if (!good) {
        if (spec->name)
            error_prefix(error, "%s", spec->name);
        return false;
    }
    context->policy = policy_of(context);
    context->own = own_of(context);
    *out = give(context);
    return true;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < context->certificate_count; i++) {
        struct context_certificate *certificate = &context->certificates[i];
        for (size_t c = 0; c < certificate->chain_count; c++)
            mem_free(certificate->chain[c].data);
        mem_free(certificate->chain);
        mem_free_secret(certificate->key.data, certificate->key.size);
    }
    mem_free(context->own_id);
    mem_free(context->ciphers);
    mem_free(context->alpn.data);
    tls_trust_unref(context->trust);
    tls_ticket_keys_unref(context->ticket_keys);
    context_release(context);
}

void context_hold(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->holds, 1, memory_order_relaxed);
}

void context_release(struct tls_context *context)
{
    if (atomic_fetch_sub_explicit(&context->holds, 1, memory_order_acq_rel) == 1)
        mem_free(context);
}

enum tls_role tls_context_role(const struct tls_context *context)
{
    return context->role;
}

int64_t tls_context_expiry_s(const struct tls_context *context)
{
    return context->expiry_s;
}

struct hash128 tls_context_policy(const struct tls_context *context)
{
    return context->policy;
}
