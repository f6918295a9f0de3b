#include "tls/trust.h"

#include "base/memory.h"
#include "base/vector.h"
#include "tls/identity.h"
#include "tls/key_pair.h"
#include "tls/library_internal.h"
#include "tls/pem_internal.h"
#include "tls/trust_internal.h"
#include "tls/x509_internal.h"

static const char system_roots[] = "/etc/ssl/certs/ca-certificates.crt";

static void add_der(struct der **list, size_t *count, size_t *capacity, struct slice bytes)
{
    if (*count == *capacity)
        *list = vector_grow(*list, capacity, sizeof(**list));
    (*list)[(*count)++] = (struct der){str_copy_n(bytes.data, bytes.size), bytes.size};
}

static const char *of_domain(const struct trust_roots *roots)
{
    return roots->domain ? roots->domain : "no trust domain";
}

static bool add_root(struct trust_roots *roots, struct slice der, struct error *error)
{
    X509 *certificate = x509_parse(tls_library_shared(), der);
    const char *refusal = certificate ? x509_key_refusal(certificate) : "it is malformed";
    X509_free(certificate);
    if (refusal) {
        error_set(error, NULL, "root certificate %zu of %s cannot be used: %s",
                  roots->root_count + 1, of_domain(roots), refusal);
        error_fix(error, "put only X.509 certificates with P-256, P-384, P-521, Ed25519 or RSA "
                         "keys into the bundle");
        return false;
    }
    add_der(&roots->roots, &roots->root_count, &roots->root_capacity, der);
    return true;
}

static bool add_revoked(struct trust_roots *roots, struct slice der, struct error *error)
{
    const unsigned char *at = (const unsigned char *)der.data;
    X509_CRL *list = d2i_X509_CRL(NULL, &at, (long)der.size);
    bool good = list && at == (const unsigned char *)der.data + der.size;
    X509_CRL_free(list);
    if (!good) {
        error_set(error, NULL, "revocation list %zu of %s is malformed: %s",
                  roots->revoked_count + 1, of_domain(roots), x509_library_error());
        return false;
    }
    add_der(&roots->revoked, &roots->revoked_count, &roots->revoked_capacity, der);
    return true;
}

typedef bool add_fn(struct trust_roots *roots, struct slice der, struct error *error);

/* Every block with this label; a text that is DER is one block. */
static bool read_blocks(struct trust_roots *roots, struct slice text, const char *label,
                        add_fn *add, struct error *error)
{
    if (pem_looks_like_der(text))
        return add(roots, text, error);
    struct pem_block block = {0};
    size_t cursor = 0, count = 0;
    enum pem_next next = PEM_END;
    bool good = true;
    while (good && (next = pem_next(text, &cursor, TRUST_BYTES_MAX, &block, error)) == PEM_BLOCK) {
        if (strcmp(block.label, label) != 0)
            continue; /* a key or a comment beside the roots does no harm */
        if (++count > TRUST_ROOTS_MAX)
            good = error_set(error, NULL, "there are more than %d certificates", TRUST_ROOTS_MAX);
        else
            good = add(roots, buffer_slice(&block.der), error);
    }
    pem_block_fini(&block);
    if (good && next != PEM_BAD && count == 0) {
        error_set(error, NULL, "there is no %s in PEM or DER", label);
        error_fix(error, "give the text that begins with -----BEGIN %s-----", label);
        return false;
    }
    return good && next != PEM_BAD;
}

static bool read_source(struct trust_roots *roots, const struct trust_source *source,
                        struct error *error)
{
    if (source->trust_domain.size > 0) {
        if (!trust_domain_is_valid(source->trust_domain))
            return error_set(
                error, NULL,
                "a trust domain is not one: lower-case letters, digits, '.', '-' and '_'");
        roots->domain = slice_to_str(source->trust_domain);
    }
    roots->revoked_leaf_only = source->revoked_leaf_only;
    if (source->roots.size > TRUST_BYTES_MAX || source->revoked.size > TRUST_BYTES_MAX)
        return error_set(error, NULL, "the bundle of %s is larger than %d bytes", of_domain(roots),
                         TRUST_BYTES_MAX);
    if (!read_blocks(roots, source->roots, "CERTIFICATE", add_root, error)) {
        error_prefix(error, "the trust bundle of %s", of_domain(roots));
        return false;
    }
    if (source->revoked.size > 0 &&
        !read_blocks(roots, source->revoked, "X509 CRL", add_revoked, error)) {
        error_prefix(error, "the revocation lists of %s", of_domain(roots));
        return false;
    }
    return true;
}

static void put_u64(struct buffer *to, uint64_t value)
{
    buffer_append(to, &value, sizeof(value));
}

static void put_list(struct buffer *to, const struct der *list, size_t count)
{
    put_u64(to, count);
    for (size_t i = 0; i < count; i++) {
        put_u64(to, list[i].size);
        buffer_append(to, list[i].data, list[i].size);
    }
}

/* Of the content in the order given, every part with its length in front. */
static struct hash128 generation_of(const struct tls_trust *trust)
{
    owned_buffer all = {0};
    for (size_t i = 0; i < trust->count; i++) {
        const struct trust_roots *roots = &trust->domains[i];
        struct slice domain = slice_str(roots->domain);
        put_u64(&all, domain.size);
        buffer_append_slice(&all, domain);
        put_list(&all, roots->roots, roots->root_count);
        put_list(&all, roots->revoked, roots->revoked_count);
        put_u64(&all, roots->revoked_leaf_only);
    }
    uint8_t digest[32];
    sha256(buffer_slice(&all), digest);
    struct hash128 generation;
    memcpy(&generation, digest, sizeof(generation));
    return generation;
}

static bool is_named_twice(const struct tls_trust *trust, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (slice_equals(slice_str(trust->domains[i].domain),
                         slice_str(trust->domains[index].domain)))
            return true;
    }
    return false;
}

bool tls_trust_create(const struct trust_source *sources, size_t count, struct tls_trust **out,
                      struct error *error)
{
    if (count == 0 || count > TRUST_DOMAINS_MAX)
        return error_set(error, NULL, "a trust set has 1 to %d sources, not %zu", TRUST_DOMAINS_MAX,
                         count);
    owned(tls_trust) trust = mem_new(struct tls_trust);
    atomic_init(&trust->refs, 1);
    trust->domains = mem_calloc(count, sizeof(*trust->domains));
    for (; trust->count < count; trust->count++) {
        /* Counted first, so that what was read is freed when reading fails. */
        size_t index = trust->count;
        if (!read_source(&trust->domains[index], &sources[index], error)) {
            trust->count++;
            return false;
        }
        if (is_named_twice(trust, index)) {
            trust->count++;
            return error_set(error, NULL, "%s has two sources: bundles are never merged",
                             of_domain(&trust->domains[index]));
        }
    }
    trust->generation = generation_of(trust);
    *out = give(trust);
    return true;
}

bool tls_trust_create_system(struct tls_trust **out, struct error *error)
{
    owned_buffer text = {0};
    int failed = buffer_read_file(&text, system_roots, TRUST_BYTES_MAX);
    if (failed) {
        error_set(error, NULL, "the system's root certificates cannot be read: %s",
                  strerror(-failed));
        error_at(error, "%s", system_roots);
        error_fix(error, "install the package ca-certificates, or name a trust bundle");
        return false;
    }
    struct trust_source source = {.roots = buffer_slice(&text)};
    return tls_trust_create(&source, 1, out, error);
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
    atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
    return trust;
}

static void free_list(struct der *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mem_free(list[i].data);
    mem_free(list);
}

void tls_trust_unref(struct tls_trust *trust)
{
    if (!trust || atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < trust->count; i++) {
        mem_free(trust->domains[i].domain);
        free_list(trust->domains[i].roots, trust->domains[i].root_count);
        free_list(trust->domains[i].revoked, trust->domains[i].revoked_count);
    }
    mem_free(trust->domains);
    mem_free(trust);
}

struct hash128 tls_trust_generation(const struct tls_trust *trust)
{
    return trust->generation;
}

size_t trust_index_for(const struct tls_trust *trust, struct slice domain)
{
    size_t without = SIZE_MAX;
    for (size_t i = 0; i < trust->count; i++) {
        if (!trust->domains[i].domain)
            without = i;
        else if (domain.size > 0 && slice_equals_str(domain, trust->domains[i].domain))
            return i;
    }
    return without;
}
