#include "test.h"
#include "tls/foreign.h"

#include "tls/handshake_internal.h"
#include "tls/verify_internal.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

/* Every kind of certificate that a stranger may show, forged with OpenSSL and shown to one of our servers. */

struct forger {
    EVP_PKEY *root_key, *key;
    X509 *root;
    struct tls_trust *trust;
    struct pki server;
    struct side side;
    struct foreign foreign;
    X509 *leaf;
    STACK_OF(X509) * chain; /* what is sent behind the leaf */
    EVP_PKEY *leaf_key;     /* NULL: key */
};

static const char good_id[] = "URI:spiffe://cluster.local/ns/a/sa/b";
static const char leaf_usage[] = "critical,digitalSignature";
static const char both_purposes[] = "serverAuth,clientAuth";

static X509 *forge(EVP_PKEY *subject, X509 *issuer, EVP_PKEY *issuer_key, const char *name)
{
    X509 *made = X509_new();
    X509_NAME *own = X509_NAME_new();
    X509_NAME_add_entry_by_txt(own, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), rand() + 1L);
    ASN1_TIME_set(X509_getm_notBefore(made), pki_now() - 3600);
    ASN1_TIME_set(X509_getm_notAfter(made), pki_now() + 3600);
    X509_set_subject_name(made, own);
    X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer) : own);
    X509_set_pubkey(made, subject);
    X509_NAME_free(own);
    (void)issuer_key;
    return made;
}

static void extend(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    CHECK(extension != NULL, "%s", value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static void extend_raw(X509 *certificate, int nid, bool critical, struct slice bytes)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes.data, (int)bytes.size);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, nid, critical, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
}

static X509 *sign(X509 *certificate, EVP_PKEY *key)
{
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static X509 *forge_authority(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *name,
                             const char *constraints)
{
    X509 *made = forge(key, issuer, issuer_key, name);
    extend(made, NID_basic_constraints, constraints);
    extend(made, NID_key_usage, "critical,keyCertSign,cRLSign");
    return sign(made, issuer_key);
}

static struct tls_trust *trust_of(X509 *root, const char *domain, X509_CRL *revoked)
{
    unsigned char *der = NULL, *list = NULL;
    int size = i2d_X509(root, &der), list_size = revoked ? i2d_X509_CRL(revoked, &list) : 0;
    struct trust_source source = {.trust_domain = slice_str(domain),
                                  .roots = slice_of(der, (size_t)size),
                                  .revoked = slice_of(list, (size_t)list_size)};
    struct tls_trust *trust;
    struct error error = {0};
    CHECK(tls_trust_create(&source, 1, &trust, &error), "%s", error.what);
    OPENSSL_free(der);
    OPENSSL_free(list);
    return trust;
}

static void use(struct forger *forger, const struct tls_context_spec *spec)
{
    side_use(&forger->side, pki_context(TLS_SERVER, &forger->server, forger->trust, spec));
}

static void forger_start(struct forger *forger)
{
    *forger = (struct forger){0};
    forger->root_key = EVP_EC_gen("P-256");
    forger->key = EVP_EC_gen("P-256");
    forger->root =
        forge_authority(forger->root_key, NULL, forger->root_key, "root", "critical,CA:TRUE");
    forger->trust = trust_of(forger->root, "cluster.local", NULL);
    struct pki root = pki_root("spiffe://cluster.local");
    forger->server = pki_leaf(&root, "spiffe://cluster.local/ns/a/sa/server");
    pki_fini(&root);
    side_start(&forger->side);
    use(forger, NULL);
    forger->chain = sk_X509_new_null();
}

static void forger_stop(struct forger *forger)
{
    side_reset(&forger->side);
    foreign_stop(&forger->foreign);
    side_stop(&forger->side);
    sk_X509_pop_free(forger->chain, X509_free);
    X509_free(forger->leaf);
    X509_free(forger->root);
    EVP_PKEY_free(forger->root_key);
    EVP_PKEY_free(forger->key);
    EVP_PKEY_free(forger->leaf_key);
    tls_trust_unref(forger->trust);
    pki_fini(&forger->server);
}

static void set_leaf(struct forger *forger, X509 *leaf)
{
    X509_free(forger->leaf);
    forger->leaf = leaf;
}

/* A workload's leaf, not signed yet. */
static X509 *new_leaf(struct forger *forger, const char *names)
{
    X509 *leaf = forge(forger->leaf_key ? forger->leaf_key : forger->key, forger->root,
                       forger->root_key, "leaf");
    extend(leaf, NID_basic_constraints, "critical,CA:FALSE");
    extend(leaf, NID_key_usage, leaf_usage);
    extend(leaf, NID_ext_key_usage, both_purposes);
    if (names)
        extend(leaf, NID_subject_alt_name, names);
    return leaf;
}

static const char *show(struct forger *forger)
{
    SSL_CTX_free(forger->foreign.context);
    forger->foreign.context = foreign_context(false, NULL, NULL, NULL);
    SSL_CTX_set_security_level(forger->foreign.context, 0);
    EVP_PKEY *key = forger->leaf_key ? forger->leaf_key : forger->key;
    CHECK(SSL_CTX_use_certificate(forger->foreign.context, forger->leaf) == 1 &&
          SSL_CTX_use_PrivateKey(forger->foreign.context, key) == 1);
    SSL_CTX_set_mode(forger->foreign.context, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set1_chain(forger->foreign.context, forger->chain);
    side_begin(&forger->side, NULL);
    foreign_begin(&forger->foreign, false);
    foreign_talk(&forger->foreign, &forger->side, 0);
    return tls_session_failure_text(forger->side.session);
}

static void check_verdict(struct forger *forger, enum tls_failure expected, const char *what)
{
    const char *text = show(forger);
    enum tls_failure failure = tls_session_failure(forger->side.session);
    CHECK(failure == expected, "%s: %s instead of %s: %s", what, tls_failure_name(failure),
          tls_failure_name(expected), text);
    CHECK(expected == TLS_FAILURE_NONE || forger->foreign.error != 0, "%s: the peer is told", what);
    for (const char *c = text; *c; c++)
        CHECK(*c >= ' ' && *c < 0x7f, "%s: a raw byte in the text", what);
}

TEST(names_decide_who_a_peer_is)
{
    static const struct {
        const char *names;
        enum tls_failure failure;
    } rows[] = {
        {good_id, TLS_FAILURE_NONE},
        {"URI:spiffe://cluster.local/ns/a/sa/b,DNS:b.example,IP:10.0.0.1,email:a@b.example",
         TLS_FAILURE_NONE},
        {NULL, TLS_FAILURE_BAD_CERTIFICATE},
        {"DNS:b.example", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:https://b.example/", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://cluster.local/a,URI:spiffe://cluster.local/b", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://cluster.local/a,URI:https://b.example/", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:SPIFFE://cluster.local/a", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe:/cluster.local/a", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe:cluster.local", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://cluster.local", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://Cluster.local/a", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://cluster.local:443/a", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://cluster.local/a?b", TLS_FAILURE_BAD_CERTIFICATE},
        {"URI:spiffe://other.local/ns/a/sa/b", TLS_FAILURE_UNKNOWN_CA},
    };
    struct forger forger;
    forger_start(&forger);
    EACH (row, rows) {
        set_leaf(&forger, sign(new_leaf(&forger, row->names), forger.root_key));
        check_verdict(&forger, row->failure, row->names ? row->names : "no names");
    }
    forger_stop(&forger);
}

TEST(names_with_tricks_in_them_are_refused)
{
    static const struct {
        const char *what;
        struct slice der;
    } rows[] = {
        {"a NUL in a URI", SLICE("\x30\x1c\x86\x1aspiffe://cluster.local/a\0b")},
        {"a NUL in a DNS name", SLICE("\x30\x24\x86\x18spiffe://cluster.local/a\x82\x08"
                                      "a.b\0evil")},
        {"a line end in a URI", SLICE("\x30\x1c\x86\x1aspiffe://cluster.local/a\nb")},
        {"an empty URI", SLICE("\x30\x02\x86\x00")},
        {"a NUL in another name",
         SLICE("\x30\x2c\x86\x18spiffe://cluster.local/a\xa0\x10\x06\x03\x2a\x03\x04\xa0"
               "\x09\x0c\x07"
               "a\0evil!")},
        {"a URI as a UTF-8 string", SLICE("\x30\x1a\x0c\x18spiffe://cluster.local/a")},
        {"bytes behind the names", SLICE("\x30\x1a\x86\x18spiffe://cluster.local/a\x05\x00")},
        {"a length past the end", SLICE("\x30\x1a\x86\x19spiffe://cluster.local/a")},
        {"an address of three bytes",
         SLICE("\x30\x1f\x86\x18spiffe://cluster.local/a\x87\x03\x01\x02\x03")},
        {"no sequence", SLICE("\x86\x18spiffe://cluster.local/a")},
    };
    struct forger forger;
    forger_start(&forger);
    EACH (row, rows) {
        X509 *leaf = new_leaf(&forger, NULL);
        extend_raw(leaf, NID_subject_alt_name, false, row->der);
        set_leaf(&forger, sign(leaf, forger.root_key));
        check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, row->what);
    }
    X509 *leaf = new_leaf(&forger, good_id);
    extend(leaf, NID_subject_alt_name, "DNS:again.example");
    set_leaf(&forger, sign(leaf, forger.root_key));
    check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "two extensions of names");
    forger_stop(&forger);
}

static void many_names(X509 *leaf, int count)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (int i = 0; i < count; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        char value[64];
        snprintf(value, sizeof(value), i ? "n%d.example" : "spiffe://cluster.local/many", i);
        ASN1_STRING_set(text, value, -1);
        GENERAL_NAME_set0_value(name, i ? GEN_DNS : GEN_URI, text);
        sk_GENERAL_NAME_push(names, name);
    }
    X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0, 0);
    GENERAL_NAMES_free(names);
}

TEST(names_and_certificates_are_counted)
{
    struct forger forger;
    forger_start(&forger);
    X509 *leaf = new_leaf(&forger, NULL);
    many_names(leaf, PEER_SANS_MAX);
    set_leaf(&forger, sign(leaf, forger.root_key));
    check_verdict(&forger, TLS_FAILURE_NONE, "as many names as may be");
    CHECK(tls_session_peer(forger.side.session)->san_count == PEER_SANS_MAX);
    leaf = new_leaf(&forger, NULL);
    many_names(leaf, PEER_SANS_MAX + 1);
    set_leaf(&forger, sign(leaf, forger.root_key));
    check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "one name too many");

    /* Copies of an authority that has nothing to do with it, as padding. */
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    for (int i = 1; i < TLS_CHAIN_MAX; i++)
        sk_X509_push(forger.chain,
                     forge_authority(forger.key, forger.root, forger.root_key, "pad", "CA:TRUE"));
    check_verdict(&forger, TLS_FAILURE_NONE, "as many certificates as may be");
    sk_X509_push(forger.chain,
                 forge_authority(forger.key, forger.root, forger.root_key, "pad", "CA:TRUE"));
    check_verdict(&forger, TLS_FAILURE_LIMIT, "one certificate too many");
    for (int i = 0; i < 250; i++)
        sk_X509_push(forger.chain,
                     forge_authority(forger.key, forger.root, forger.root_key, "pad", "CA:TRUE"));
    check_verdict(&forger, TLS_FAILURE_LIMIT, "more than 64 KB of certificates");
    forger_stop(&forger);
}

TEST(time_is_told_to_the_second_and_with_the_tolerated_skew)
{
    static const struct {
        int64_t begin, end; /* from now */
        uint32_t skew;
        enum tls_failure failure;
    } rows[] = {
        {-10, 10, 0, TLS_FAILURE_NONE},
        {-10, -1, 0, TLS_FAILURE_EXPIRED},
        {-200000, -86400, 0, TLS_FAILURE_EXPIRED},
        {1, 100, 0, TLS_FAILURE_EXPIRED},
        {86400, 200000, 0, TLS_FAILURE_EXPIRED},
        {60, 100, 60, TLS_FAILURE_NONE},
        {61, 100, 60, TLS_FAILURE_EXPIRED},
        {-100, -60, 60, TLS_FAILURE_NONE},
        {-100, -61, 60, TLS_FAILURE_EXPIRED},
    };
    struct forger forger;
    forger_start(&forger);
    EACH (row, rows) {
        use(&forger, &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED,
                                                .clock_skew_s = row->skew});
        X509 *leaf = new_leaf(&forger, good_id);
        ASN1_TIME_set(X509_getm_notBefore(leaf), pki_now() + row->begin);
        ASN1_TIME_set(X509_getm_notAfter(leaf), pki_now() + row->end);
        set_leaf(&forger, sign(leaf, forger.root_key));
        check_verdict(&forger, row->failure, row->failure ? "outside its time" : "inside its time");
        if (row->failure)
            CHECK(strstr(tls_session_failure_text(forger.side.session), "ns/a/sa/b"),
                  "says whose: %s", tls_session_failure_text(forger.side.session));
    }
    use(&forger,
        &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED, .accept_expired = true});
    check_verdict(&forger, TLS_FAILURE_NONE, "by the context's wish");
    forger_stop(&forger);
}

TEST(a_chain_that_was_good_is_known_again_until_it_ends)
{
    struct forger forger;
    forger_start(&forger);
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    const struct tls_counts *counts = tls_engine_counts(forger.side.engine);
    check_verdict(&forger, TLS_FAILURE_NONE, "first");
    CHECK(counts->handshakes_cached == 0);
    check_verdict(&forger, TLS_FAILURE_NONE, "again");
    CHECK(counts->handshakes_cached == 1);
    use(&forger,
        &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED, .clock_skew_s = 1});
    check_verdict(&forger, TLS_FAILURE_NONE, "under another policy it is judged anew");
    CHECK(counts->handshakes_cached == 1);
    tls_engine_turn(forger.side.engine, pki_now() + 3601, 0);
    use(&forger, NULL);
    check_verdict(&forger, TLS_FAILURE_EXPIRED, "it has ended meanwhile");
    tls_engine_turn(forger.side.engine, pki_now(), 0);

    /* Another root under the same name: what was good is good no longer. */
    X509 *other = forge_authority(forger.key, NULL, forger.key, "root", "critical,CA:TRUE");
    struct tls_trust *old = forger.trust;
    forger.trust = trust_of(other, "cluster.local", NULL);
    use(&forger, NULL);
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "the bundle changed");
    tls_trust_unref(old);
    X509_free(other);
    forger_stop(&forger);
}

TEST(the_path_must_lead_to_a_root_of_the_own_trust_domain)
{
    struct forger forger;
    forger_start(&forger);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *middle =
        forge_authority(key, forger.root, forger.root_key, "middle", "critical,CA:TRUE,pathlen:0");
    X509 *leaf = new_leaf(&forger, good_id);
    X509_set_issuer_name(leaf, X509_get_subject_name(middle));
    set_leaf(&forger, sign(leaf, key));
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "a missing intermediate");
    sk_X509_push(forger.chain, middle);
    check_verdict(&forger, TLS_FAILURE_NONE, "with its intermediate");

    X509 *low = forge_authority(key, middle, key, "low", "critical,CA:TRUE");
    leaf = new_leaf(&forger, good_id);
    X509_set_issuer_name(leaf, X509_get_subject_name(low));
    set_leaf(&forger, sign(leaf, key));
    sk_X509_push(forger.chain, low);
    check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "a path longer than pathlen");
    sk_X509_pop_free(forger.chain, X509_free);
    forger.chain = sk_X509_new_null();

    X509 *no_authority = forge(key, forger.root, forger.root_key, "leaf that signs");
    extend(no_authority, NID_basic_constraints, "critical,CA:FALSE");
    sk_X509_push(forger.chain, sign(no_authority, forger.root_key));
    leaf = new_leaf(&forger, good_id);
    X509_set_issuer_name(leaf, X509_get_subject_name(no_authority));
    set_leaf(&forger, sign(leaf, key));
    check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "an issuer that is no authority");
    sk_X509_pop_free(forger.chain, X509_free);
    forger.chain = sk_X509_new_null();

    leaf = new_leaf(&forger, good_id);
    X509_set_issuer_name(leaf, X509_get_subject_name(leaf));
    set_leaf(&forger, sign(leaf, forger.key));
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "signed by itself");
    set_leaf(&forger, sign(new_leaf(&forger, good_id), key));
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "the root's name with another key");
    EVP_PKEY_free(key);
    forger_stop(&forger);
}

TEST(bundles_of_two_domains_are_never_merged)
{
    struct forger forger;
    forger_start(&forger);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *other = forge_authority(key, NULL, key, "other root", "critical,CA:TRUE");
    unsigned char *first = NULL, *second = NULL;
    int first_size = i2d_X509(forger.root, &first), second_size = i2d_X509(other, &second);
    struct trust_source sources[] = {
        {.trust_domain = SLICE("cluster.local"), .roots = slice_of(first, (size_t)first_size)},
        {.trust_domain = SLICE("other.local"), .roots = slice_of(second, (size_t)second_size)},
    };
    tls_trust_unref(forger.trust);
    CHECK(tls_trust_create(sources, 2, &forger.trust, NULL));
    use(&forger, NULL);
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    check_verdict(&forger, TLS_FAILURE_NONE, "ours by our root");
    X509 *leaf = new_leaf(&forger, "URI:spiffe://other.local/ns/a/sa/b");
    X509_set_issuer_name(leaf, X509_get_subject_name(other));
    set_leaf(&forger, sign(leaf, key));
    check_verdict(&forger, TLS_FAILURE_NONE, "theirs by their root");
    set_leaf(&forger,
             sign(new_leaf(&forger, "URI:spiffe://other.local/ns/a/sa/b"), forger.root_key));
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "theirs by our root");
    leaf = new_leaf(&forger, good_id);
    X509_set_issuer_name(leaf, X509_get_subject_name(other));
    set_leaf(&forger, sign(leaf, key));
    check_verdict(&forger, TLS_FAILURE_UNKNOWN_CA, "ours by their root");
    OPENSSL_free(first);
    OPENSSL_free(second);
    X509_free(other);
    EVP_PKEY_free(key);
    forger_stop(&forger);
}

TEST(a_leaf_is_fit_for_a_workload_or_refused)
{
    static const struct {
        const char *what, *constraints, *usage, *purposes;
        enum tls_failure failure;
    } rows[] = {
        {"without purposes", "critical,CA:FALSE", leaf_usage, NULL, TLS_FAILURE_NONE},
        {"server only", "critical,CA:FALSE", leaf_usage, "serverAuth", TLS_FAILURE_BAD_CERTIFICATE},
        {"client only", "critical,CA:FALSE", leaf_usage, "clientAuth", TLS_FAILURE_BAD_CERTIFICATE},
        {"any purpose", "critical,CA:FALSE", leaf_usage, "anyExtendedKeyUsage",
         TLS_FAILURE_BAD_CERTIFICATE},
        {"another purpose", "critical,CA:FALSE", leaf_usage, "emailProtection",
         TLS_FAILURE_BAD_CERTIFICATE},
        {"an authority", "critical,CA:TRUE", leaf_usage, both_purposes,
         TLS_FAILURE_BAD_CERTIFICATE},
        {"a key that signs certificates", "critical,CA:FALSE", "digitalSignature,keyCertSign",
         both_purposes, TLS_FAILURE_BAD_CERTIFICATE},
        {"a key that signs lists", "critical,CA:FALSE", "digitalSignature,cRLSign", both_purposes,
         TLS_FAILURE_BAD_CERTIFICATE},
        {"a key that does not sign", "critical,CA:FALSE", "keyAgreement", both_purposes,
         TLS_FAILURE_BAD_CERTIFICATE},
    };
    struct forger forger;
    forger_start(&forger);
    EACH (row, rows) {
        X509 *leaf = forge(forger.key, forger.root, forger.root_key, "leaf");
        extend(leaf, NID_basic_constraints, row->constraints);
        extend(leaf, NID_key_usage, row->usage);
        if (row->purposes)
            extend(leaf, NID_ext_key_usage, row->purposes);
        extend(leaf, NID_subject_alt_name, good_id);
        set_leaf(&forger, sign(leaf, forger.root_key));
        check_verdict(&forger, row->failure, row->what);
    }
    X509 *leaf = new_leaf(&forger, good_id);
    extend_raw(leaf, NID_netscape_comment, true, SLICE("\x16\x01x"));
    int unknown = OBJ_create("1.2.3.4.5.6.7", "unknown", "unknown");
    extend_raw(leaf, unknown, true, SLICE("\x05\x00"));
    set_leaf(&forger, sign(leaf, forger.root_key));
    check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "an unknown critical extension");
    forger_stop(&forger);
}

static EVP_PKEY *explicit_curve(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY_keygen_init(maker);
    EVP_PKEY_CTX_set_ec_paramgen_curve_nid(maker, NID_X9_62_prime256v1);
    EVP_PKEY_CTX_set_ec_param_enc(maker, OPENSSL_EC_EXPLICIT_CURVE);
    EVP_PKEY_keygen(maker, &key);
    EVP_PKEY_CTX_free(maker);
    return key;
}

TEST(costly_and_weak_keys_are_refused_before_anything_is_verified)
{
    static const char *const curves[] = {"secp256k1", "brainpoolP256r1", "P-224", NULL};
    struct forger forger;
    forger_start(&forger);
    /* A client will not sign with some of these, so they stand in the chain behind a good leaf. */
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    for (int i = 0; i < 6; i++) {
        EVP_PKEY *key = i < 3    ? EVP_EC_gen(curves[i])
                        : i == 3 ? explicit_curve()
                        : i == 4 ? EVP_RSA_gen(1024)
                                 : EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
        X509 *pad = forge(key, forger.root, forger.root_key, "pad");
        sk_X509_push(forger.chain, sign(pad, forger.root_key));
        check_verdict(&forger, TLS_FAILURE_BAD_CERTIFICATE, "a key that we do not work with");
        X509_free(sk_X509_pop(forger.chain));
        EVP_PKEY_free(key);
    }
    forger.leaf_key = EVP_RSA_gen(2048);
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    check_verdict(&forger, TLS_FAILURE_NONE, "RSA of 2048 bits");
    EVP_PKEY_free(forger.leaf_key);
    forger.leaf_key = EVP_EC_gen("P-384");
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    check_verdict(&forger, TLS_FAILURE_NONE, "P-384");
    EVP_PKEY_free(forger.leaf_key);
    forger.leaf_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    check_verdict(&forger, TLS_FAILURE_NONE, "Ed25519");
    forger_stop(&forger);
}

static X509_CRL *make_list(struct forger *forger, X509 *revoked, int64_t next)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *time = ASN1_TIME_set(NULL, pki_now() - 1000);
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(forger->root));
    X509_CRL_set1_lastUpdate(list, time);
    ASN1_TIME_set(time, pki_now() + next);
    X509_CRL_set1_nextUpdate(list, time);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
        X509_REVOKED_set_revocationDate(entry, time);
        X509_CRL_add0_revoked(list, entry);
    }
    ASN1_TIME_free(time);
    X509_CRL_sign(list, forger->root_key, EVP_sha256());
    return list;
}

TEST(revoked_certificates_and_stale_lists_are_refused)
{
    struct forger forger;
    forger_start(&forger);
    set_leaf(&forger, sign(new_leaf(&forger, good_id), forger.root_key));
    static const struct {
        bool revoked;
        int64_t next;
        enum tls_failure failure;
    } rows[] = {{false, 1000, TLS_FAILURE_NONE},
                {true, 1000, TLS_FAILURE_REVOKED},
                {false, -10, TLS_FAILURE_REVOKED}};
    EACH (row, rows) {
        X509_CRL *list = make_list(&forger, row->revoked ? forger.leaf : NULL, row->next);
        struct tls_trust *old = forger.trust;
        forger.trust = trust_of(forger.root, "cluster.local", list);
        use(&forger, NULL);
        check_verdict(&forger, row->failure, row->revoked ? "revoked" : "listed by others");
        tls_trust_unref(old);
        X509_CRL_free(list);
    }
    forger_stop(&forger);
}

TEST(our_client_wants_the_peer_that_it_expects)
{
    static const struct {
        const char *what;
        struct san_match match;
        enum tls_failure failure;
    } rows[] = {
        {"its ID",
         {SAN_MATCH_EXACT, SAN_URI, false, SLICE("spiffe://cluster.local/ns/a/sa/b")},
         TLS_FAILURE_NONE},
        {"a prefix",
         {SAN_MATCH_PREFIX, SAN_ANY_KIND, false, SLICE("spiffe://cluster.local/")},
         TLS_FAILURE_NONE},
        {"another",
         {SAN_MATCH_EXACT, SAN_URI, false, SLICE("spiffe://cluster.local/ns/a/sa/c")},
         TLS_FAILURE_IDENTITY},
        {"another kind",
         {SAN_MATCH_EXACT, SAN_DNS, false, SLICE("spiffe://cluster.local/ns/a/sa/b")},
         TLS_FAILURE_IDENTITY},
    };
    struct pki root = pki_root("spiffe://cluster.local");
    struct pki ours = pki_leaf(&root, "spiffe://cluster.local/ns/a/sa/client");
    struct pki theirs = pki_leaf(&root, "spiffe://cluster.local/ns/a/sa/b");
    struct tls_trust *trust = pki_trust(&root, "cluster.local");
    struct side side;
    struct foreign foreign = {.context = foreign_context(true, &theirs, NULL, &root)};
    side_start(&side);
    side_use(&side, pki_context(TLS_CLIENT, &ours, trust, NULL));
    EACH (row, rows) {
        struct tls_session_spec spec = {.expected = &row->match, .expected_count = 1};
        side_begin(&side, &spec);
        foreign_begin(&foreign, true);
        foreign_talk(&foreign, &side, 0);
        CHECK(tls_session_failure(side.session) == row->failure, "%s: %s", row->what,
              tls_session_failure_text(side.session));
        if (row->failure) {
            const char *text = tls_session_failure_text(side.session);
            CHECK(strstr(text,
                         "the peer is spiffe://cluster.local/ns/a/sa/b, expected is spiffe://") ||
                      row->match.kind == SAN_DNS,
                  "%s", text);
            CHECK(foreign.error != 0);
        }
    }
    side_reset(&side);
    foreign_stop(&foreign);
    side_stop(&side);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&ours);
    pki_fini(&theirs);
}

TEST(web_servers_are_judged_by_roots_without_a_domain_and_by_name)
{
    struct pki root = pki_root("");
    struct certificate_spec spec = pki_spec(CERTIFICATE_LEAF, "");
    struct slice names[] = {SLICE("*.example.com"), SLICE("example.org")};
    spec.dns_names = names;
    spec.dns_count = 2;
    struct pki server = pki_issue(&root, spec);
    struct tls_trust *trust = pki_trust(&root, NULL);
    struct side side;
    struct foreign foreign = {.context = foreign_context(true, &server, NULL, NULL)};
    SSL_CTX_set_verify(foreign.context, SSL_VERIFY_NONE, NULL);
    side_start(&side);
    side_use(&side, pki_context(TLS_CLIENT, NULL, trust, NULL));
    static const struct {
        const char *name;
        bool good;
    } rows[] = {{"www.example.com", true}, {"WWW.Example.com", true},  {"example.org", true},
                {"example.com", false},    {"a.b.example.com", false}, {"www.example.org", false}};
    EACH (row, rows) {
        struct san_match match = {SAN_MATCH_EXACT, SAN_DNS, false, slice_str(row->name)};
        struct tls_session_spec with = {
            .server_name = slice_str(row->name), .expected = &match, .expected_count = 1};
        side_begin(&side, &with);
        foreign_begin(&foreign, true);
        foreign_talk(&foreign, &side, 0);
        CHECK(tls_session_is_open(side.session) == row->good, "%s: %s", row->name,
              tls_session_failure_text(side.session));
        CHECK(!row->good || tls_session_peer(side.session)->id.text.size == 0);
    }
    side_reset(&side);
    foreign_stop(&foreign);
    side_stop(&side);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&server);
}
