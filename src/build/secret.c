#include "build/secret.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/edits_internal.h"
#include "build/tls_specs_internal.h"
#include "build/values_internal.h"
#include "tls/key_pair.h"

static struct secret *create(enum secret_kind kind)
{
    struct secret *secret = mem_new(struct secret);
    counted_init(&secret->counted);
    table_memory_init(&secret->memory);
    secret->kind = kind;
    secret->not_after_s = INT64_MAX;
    return secret;
}

static void wipe(struct slice bytes)
{
    if (bytes.size > 0)
        secret_wipe((void *)(uintptr_t)bytes.data, bytes.size);
}

void secret_unref(struct secret *secret)
{
    if (!secret || !counted_drop(&secret->counted))
        return;
    wipe(secret->certificate.key);
    wipe(secret->generic);
    tls_trust_unref(secret->trust);
    table_memory_fini(&secret->memory);
    mem_free(secret);
}

struct files {
    VECTOR(const char *) paths;
};

static void note_file(struct builder *b, struct files *files, const DataSourceMessage *source)
{
    if (source &&
        source->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME)
        vector_push(&files->paths, arena_copy_str(&b->memory->arena, source->filename));
}

static void keep_files(struct builder *b, struct files *files, struct secret *secret)
{
    const char **kept = build_array(b, const char *, files->paths.count);
    for (size_t i = 0; i < files->paths.count; i++)
        kept[i] = files->paths.items[i];
    secret->files = kept;
    secret->file_count = files->paths.count;
    vector_fini(&files->paths);
}

static struct hash128 hash_parts(struct slice first, struct slice second)
{
    struct hash128 parts[2] = {hash128(first), hash128(second)};
    return hash128(slice_of(parts, sizeof(parts)));
}

/* The TLS room judges chain and key, and whether they belong together, by making a context of them. */
static bool try_certificate(struct secret *secret, const struct build_options *options,
                            struct error *error)
{
    if (!options->here && secret->certificate.chain.size == 0)
        return true; /* files of another host */
    struct tls_context_spec spec = {.role = TLS_SERVER,
                                    .name = "certificate",
                                    .certificates = &secret->certificate,
                                    .certificate_count = 1};
    owned(tls_context) context = NULL;
    if (!tls_context_create(&spec, options->now_s, &context, error))
        return false;
    secret->not_after_s = tls_context_expiry_s(context);
    return true;
}

static bool fill_certificate(struct builder *b, const CertificateMessage *message,
                             struct secret *secret, struct files *files)
{
    if (!build_honours(b, message, "certificate_chain", "private_key", "watched_directory"))
        return false;
    if (!message->certificate_chain)
        return build_fail_at(b, "certificate_chain", "this is required");
    if (!message->private_key)
        return build_fail_at(b, "private_key", "this is required");
    note_file(b, files, message->certificate_chain);
    note_file(b, files, message->private_key);
    if (!build_data_source(b, "certificate_chain", message->certificate_chain, SECRET_MAX_BYTES,
                           &secret->certificate.chain) ||
        !build_data_source(b, "private_key", message->private_key, SECRET_MAX_BYTES,
                           &secret->certificate.key))
        return false;
    secret->content = hash_parts(secret->certificate.chain, secret->certificate.key);
    return build_ok(b, try_certificate(secret, b->options, b->error));
}

static bool build_san(struct builder *b, const StringMatcherMessage *message, int kind,
                      struct san_match *out)
{
    if (!build_honours(b, message, "exact", "prefix", "suffix", "contains", "ignore_case"))
        return false;
    *out = (struct san_match){.kind = kind, .ignore_case = PB_GET(message, ignore_case, false)};
    const char *text = NULL;
    switch ((int)message->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        out->how = SAN_MATCH_EXACT;
        text = message->exact;
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        out->how = SAN_MATCH_PREFIX;
        text = message->prefix;
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        out->how = SAN_MATCH_SUFFIX;
        text = message->suffix;
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        out->how = SAN_MATCH_CONTAINS;
        text = message->contains;
        break;
    default: return build_fail(b, "a name is matched by exact, prefix, suffix or contains");
    }
    if (!text || !*text)
        return build_fail(b, "an empty name matches nothing or everything");
    out->value = build_text(b, text);
    return true;
}

static bool
build_typed_san(struct builder *b,
                const Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher *message,
                struct san_match *out)
{
    static const int kinds[] = {-1, SAN_EMAIL, SAN_DNS, SAN_URI, SAN_IP, -1};
    uint32_t type = (uint32_t)PB_GET(message, san_type, 0);
    if (type >= COUNT(kinds) || kinds[type] < 0)
        return build_fail_at(b, "san_type", "say DNS, URI, IP_ADDRESS or EMAIL");
    if (!message->matcher)
        return build_fail_at(b, "matcher", "this is required");
    if (!build_enter(b, "matcher") || !build_san(b, message->matcher, kinds[type], out))
        return false;
    build_leave(b);
    return true;
}

static bool build_sans(struct builder *b, const ValidationMessage *message, struct secret *secret)
{
    size_t plain = message->n_match_subject_alt_names,
           typed = message->n_match_typed_subject_alt_names;
    if (plain + typed > TLS_SPEC_SANS_MAX)
        return build_fail_at(b, "match_typed_subject_alt_names",
                             "there are %zu, and the limit is %d", plain + typed,
                             TLS_SPEC_SANS_MAX);
    struct san_match *matches = build_array(b, struct san_match, plain + typed);
    for (size_t i = 0; i < plain; i++) {
        if (!build_enter_at(b, "match_subject_alt_names", i) ||
            !build_san(b, message->match_subject_alt_names[i], SAN_ANY_KIND, &matches[i]))
            return false;
        build_leave(b);
    }
    for (size_t i = 0; i < typed; i++) {
        if (!build_enter_at(b, "match_typed_subject_alt_names", i) ||
            !build_typed_san(b, message->match_typed_subject_alt_names[i], &matches[plain + i]))
            return false;
        build_leave(b);
    }
    secret->expected = matches;
    secret->expected_count = plain + typed;
    return true;
}

static bool make_trust(struct builder *b, const ValidationMessage *message, struct slice roots,
                       struct slice revoked, struct secret *secret)
{
    struct trust_source source = {.roots = roots, .revoked = revoked};
    if (message->system_root_certs && message->trusted_ca)
        return build_fail_at(b, "system_root_certs",
                             "trusted_ca and system_root_certs exclude each other");
    if (message->system_root_certs)
        return build_ok_at(b, "system_root_certs",
                           !b->options->here || tls_trust_create_system(&secret->trust, b->error));
    if (!message->trusted_ca || (!b->options->here && roots.size == 0))
        return true;
    return build_ok_at(b, "trusted_ca", tls_trust_create(&source, 1, &secret->trust, b->error));
}

static bool fill_trust(struct builder *b, const ValidationMessage *message, struct secret *secret,
                       struct files *files)
{
    struct slice roots = SLICE(""), revoked = SLICE("");
    if (!build_honours(b, message, "trusted_ca", "crl", "allow_expired_certificate",
                       "match_subject_alt_names", "trust_chain_verification", "watched_directory",
                       "match_typed_subject_alt_names", "system_root_certs"))
        return false;
    note_file(b, files, message->trusted_ca);
    note_file(b, files, message->crl);
    if ((message->trusted_ca &&
         !build_data_source(b, "trusted_ca", message->trusted_ca, SECRET_MAX_BYTES, &roots)) ||
        (message->crl && !build_data_source(b, "crl", message->crl, SECRET_MAX_BYTES, &revoked)))
        return false;
    if (message->crl && !message->trusted_ca)
        return build_fail_at(b, "crl", "revocation needs trusted_ca");
    uint32_t verification = (uint32_t)PB_GET(message, trust_chain_verification, 0);
    if (verification > 1)
        return build_fail_at(b, "trust_chain_verification", "%u is no way to verify", verification);
    secret->accept_untrusted = verification == 1;
    secret->accept_expired = PB_GET(message, allow_expired_certificate, false);
    struct hash128 content = hash_parts(roots, revoked);
    content.low ^= verification | (uint64_t)secret->accept_expired << 1 |
                   (uint64_t) !!message->system_root_certs << 2;
    secret->content = content;
    return build_sans(b, message, secret) && make_trust(b, message, roots, revoked, secret);
}

/* Builds a secret of its own with `fill`, while `outer` keeps the place and the error. */
static bool build_inner(struct builder *outer, enum secret_kind kind, const void *message,
                        struct secret **out)
{
    owned(secret) secret = create(kind);
    struct table_memory *memory = outer->memory;
    struct files files = {0};
    outer->memory = &secret->memory;
    bool ok = kind == SECRET_CERTIFICATE ? fill_certificate(outer, message, secret, &files)
                                         : fill_trust(outer, message, secret, &files);
    keep_files(outer, &files, secret);
    outer->memory = memory;
    if (ok)
        *out = give(secret);
    return ok;
}

bool build_certificate_secret(struct builder *b, const CertificateMessage *message,
                              struct secret **out)
{
    return build_inner(b, SECRET_CERTIFICATE, message, out);
}

bool build_trust_secret(struct builder *b, const ValidationMessage *message, struct secret **out)
{
    return build_inner(b, SECRET_TRUST, message, out);
}

#define SECRET(name) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_##name

static bool build(struct builder *b, const SecretMessage *message, struct secret **out)
{
    if (!build_honours(b, message, "name", "tls_certificate", "validation_context",
                       "generic_secret") ||
        !build_required(b, "name", message->name, NAME_MAX_BYTES))
        return false;
    bool ok;
    switch ((int)message->type_case) {
    case SECRET(TLS_CERTIFICATE):
        ok = build_enter(b, "tls_certificate") &&
             build_certificate_secret(b, message->tls_certificate, out);
        break;
    case SECRET(VALIDATION_CONTEXT):
        ok = build_enter(b, "validation_context") &&
             build_trust_secret(b, message->validation_context, out);
        break;
    default: return build_fail(b, "a secret is a tls_certificate or a validation_context");
    }
    return ok;
}

bool secret_build(const SecretMessage *message, const struct build_options *options,
                  struct secret **out, struct error *error)
{
    struct table_memory unused; /* everything goes into the secret's own */
    struct builder b;
    table_memory_init(&unused);
    builder_init(&b, &unused, options, error);
    bool ok = build(&b, message, out);
    builder_fini(&b);
    table_memory_fini(&unused);
    if (!ok) {
        error_at(error, "secret %s", pb_str(message->name));
        return false;
    }
    (*out)->name = name_of(table_memory_copy(&(*out)->memory, slice_str(message->name)));
    return true;
}

bool secret_of_certificate(struct slice name, const struct tls_certificate *certificate,
                           const struct build_options *options, struct secret **out,
                           struct error *error)
{
    owned(secret) secret = create(SECRET_CERTIFICATE);
    secret->name = name_of(table_memory_copy(&secret->memory, name));
    secret->certificate.chain = table_memory_copy(&secret->memory, certificate->chain);
    secret->certificate.key = table_memory_copy(&secret->memory, certificate->key);
    secret->content = hash_parts(certificate->chain, certificate->key);
    if (!try_certificate(secret, options, error)) {
        error_at(error, "secret %.*s", SLICE_ARG(name));
        return false;
    }
    *out = give(secret);
    return true;
}

bool secret_of_trust(struct slice name, const struct trust_source *sources, size_t count,
                     struct secret **out, struct error *error)
{
    owned(secret) secret = create(SECRET_TRUST);
    secret->name = name_of(table_memory_copy(&secret->memory, name));
    if (!tls_trust_create(sources, count, &secret->trust, error)) {
        error_at(error, "secret %.*s", SLICE_ARG(name));
        return false;
    }
    secret->content = tls_trust_generation(secret->trust);
    *out = give(secret);
    return true;
}
