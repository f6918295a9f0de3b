#include "test.h"

#include "build/cluster.h"
#include "build/istio.h"
#include "build/secret.h"
#include "build/tls_spec.h"
#include "build/yaml.h"
#include "tls/pki.h"

static struct arena arena;
static struct pki root, leaf, other;

/* A PEM as one YAML string. */
static char *quoted(const struct buffer *pem)
{
    struct buffer text = {0};
    buffer_append_byte(&text, '"');
    for (size_t i = 0; i < pem->size; i++) {
        if (pem->data[i] == '\n')
            buffer_append_str(&text, "\\n");
        else
            buffer_append_byte(&text, pem->data[i]);
    }
    buffer_append_byte(&text, '"');
    return buffer_take(&text);
}

static struct build_options now_here(void)
{
    struct build_options options = here;
    options.now_s = pki_now();
    return options;
}

static bool build_text(const char *text, struct secret **out, struct error *error)
{
    struct build_options options = now_here();
    return secret_build(
        from_yaml(&arena, &envoy__extensions__transport_sockets__tls__v3__secret__descriptor, text),
        &options, out, error);
}

static void setup(void)
{
    root = pki_root("spiffe://cluster.local");
    leaf = pki_leaf(&root, "spiffe://cluster.local/ns/default/sa/a");
    other = pki_leaf(&root, "spiffe://cluster.local/ns/default/sa/b");
}

static void teardown(void)
{
    pki_fini(&root);
    pki_fini(&leaf);
    pki_fini(&other);
    arena_fini(&arena);
}

static char *certificate_yaml(const struct pki *chain, const struct pki *key)
{
    owned_str pem = quoted(&chain->chain);
    owned_str secret = quoted(&key->key_pem);
    return str_format(
        "{name: default, tls_certificate: {certificate_chain: {inline_string: %s}, private_key: "
        "{inline_string: %s}}}",
        pem, secret);
}

static char *trust_yaml(void)
{
    struct buffer pem = {0};
    certificate_write_pem(buffer_slice(&root.der), &pem);
    owned_str text = quoted(&pem);
    buffer_fini(&pem);
    return str_format("{name: ROOTCA, validation_context: {trusted_ca: {inline_string: %s}}}",
                      text);
}

TEST(secret_of_a_certificate)
{
    setup();
    owned_str good = certificate_yaml(&leaf, &leaf);
    owned_str mixed = certificate_yaml(&leaf, &other);
    struct error error = {0};
    owned(secret) secret = NULL;
    CHECK_TAKEN(build_text(good, &secret, &error), &error, "good");
    CHECK(secret->kind == SECRET_CERTIFICATE && slice_equals_str(secret->name.text, "default"));
    CHECK(secret->not_after_s > pki_now() && secret->not_after_s <= pki_now() + DAY_S);
    owned(secret) again = NULL;
    owned(secret) second = NULL;
    owned_str renewed = certificate_yaml(&other, &other);
    CHECK_TAKEN(build_text(good, &again, &error), &error, "again");
    CHECK_TAKEN(build_text(renewed, &second, &error), &error, "renewed");
    CHECK(hash128_equals(secret->content, again->content) &&
          !hash128_equals(secret->content, second->content));
    struct secret *bad = NULL;
    bool ok = build_text(mixed, &bad, &error);
    CHECK_REFUSED(ok, &error, "tls_certificate: ", "a key of another certificate");
    teardown();
}

TEST(secret_refuses_mistakes)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "name: this is required"},
        {"{name: s}", "a secret is a tls_certificate or"},
        {"{name: s, generic_secret: {}}", "a secret is a tls_certificate or"},
        {"{name: s, session_ticket_keys: {}}", "session_ticket_keys: this does not act"},
        {"{name: s, tls_certificate: {}}", "tls_certificate.certificate_chain: this is required"},
        {"{name: s, tls_certificate: {certificate_chain: {inline_string: x}}}",
         "tls_certificate.private_key: "},
        {"{name: s, tls_certificate: {certificate_chain: {inline_string: x}, private_key: "
         "{inline_string: key}}}",
         "tls_certificate: "},
        {"{name: s, tls_certificate: {certificate_chain: {inline_string: x}, private_key: "
         "{inline_string: key}, password: "
         "{inline_string: z}}}",
         "password: this does not act"},
        {"{name: s, tls_certificate: {certificate_chain: {filename: /no/such}, private_key: "
         "{inline_string: key}}}",
         "certificate_chain.filename: /no/such: "},
        {"{name: s, validation_context: {trusted_ca: {inline_string: nonsense}}}",
         "validation_context.trusted_ca: "},
        {"{name: s, validation_context: {crl: {inline_string: x}}}", "crl: revocation needs"},
        {"{name: s, validation_context: {match_subject_alt_names: [{safe_regex: {regex: a}}]}}",
         "safe_regex: this does"},
        {"{name: s, validation_context: {match_typed_subject_alt_names: [{matcher: {exact: a}}]}}",
         "san_type: "},
        {"{name: s, validation_context: {match_subject_alt_names: [{prefix: ''}]}}",
         "an empty name"},
        {"{name: s, validation_context: {verify_certificate_hash: [aa]}}",
         "verify_certificate_hash: this does"},
        {"{name: s, validation_context: {custom_validator_config: {name: x}}}",
         "custom_validator_config: this does"},
    };
    EACH (row, cases) {
        struct secret *secret = NULL;
        struct error error = {0};
        bool ok = build_text(row->text, &secret, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
    }
    arena_fini(&arena);
}

TEST(secret_files_are_named_for_watching)
{
    setup();
    struct error error = {0};
    char folder[] = "/tmp/tulle-secret-XXXXXX";
    CHECK(mkdtemp(folder));
    owned_str chain = str_format("%s/chain.pem", folder);
    owned_str key = str_format("%s/key.pem", folder);
    FILE *file = fopen(chain, "w");
    fwrite(leaf.chain.data, 1, leaf.chain.size, file);
    fclose(file);
    file = fopen(key, "w");
    fwrite(leaf.key_pem.data, 1, leaf.key_pem.size, file);
    fclose(file);
    owned_str text = str_format("{name: s, tls_certificate: {certificate_chain: {filename: %s}, "
                                "private_key: {filename: %s}}}",
                                chain, key);
    owned(secret) secret = NULL;
    CHECK_TAKEN(build_text(text, &secret, &error), &error, text);
    CHECK(secret->file_count == 2 && strcmp(secret->files[0], chain) == 0 &&
          strcmp(secret->files[1], key) == 0);
    remove(chain);
    remove(key);
    remove(folder);
    owned(secret) dry = NULL;
    CHECK(secret_build(from_yaml(&arena,
                                 &envoy__extensions__transport_sockets__tls__v3__secret__descriptor,
                                 text),
                       &elsewhere, &dry, &error),
          "files of another host are not read");
    teardown();
}

TEST(tls_spec_becomes_a_context_with_its_secrets)
{
    setup();
    struct error error = {0};
    owned_str certificate_text = certificate_yaml(&leaf, &leaf);
    owned_str trust_text = trust_yaml();
    owned(secret) certificate = NULL;
    owned(secret) trust = NULL;
    owned(cluster) cluster = NULL;
    CHECK_TAKEN(build_text(certificate_text, &certificate, &error), &error, "certificate");
    CHECK_TAKEN(build_text(trust_text, &trust, &error), &error, "trust");
    CHECK(trust->kind == SECRET_TRUST && trust->trust);
    struct build_options options = now_here();
    CHECK_TAKEN(cluster_build(from_yaml(&arena, &envoy__config__cluster__v3__cluster__descriptor,
                                        ISTIO_CLUSTER),
                              &options, &cluster, &error),
                &error, "cluster");
    const struct tls_spec *spec = cluster->matches[0].socket.tls;
    owned(tls_context) context = NULL;
    CHECK_TAKEN(tls_spec_context(spec, certificate, trust, NULL, pki_now(), &context, &error),
                &error, "context");
    CHECK(tls_context_role(context) == TLS_CLIENT);
    struct tls_context *none = NULL;
    bool ok = tls_spec_context(spec, trust, trust, NULL, pki_now(), &none, &error);
    CHECK_REFUSED(ok, &error, "is no certificate", "roots for a certificate");
    ok = tls_spec_context(spec, certificate, certificate, NULL, pki_now(), &none, &error);
    CHECK_REFUSED(ok, &error, "is no validation context", "a certificate for roots");
    ok = tls_spec_context(spec, certificate, NULL, NULL, pki_now(), &none, &error);
    CHECK_REFUSED(ok, &error, "no roots", "no roots");
    teardown();
}
