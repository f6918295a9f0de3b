#include "test.h"
#include "tls/pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static X509 *parse(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *certificate = d2i_X509(NULL, &at, (long)der.size);
    CHECK(certificate != NULL);
    return certificate;
}

TEST(an_issued_leaf_is_what_x509_svid_asks_for)
{
    struct pki root = pki_root("spiffe://td");
    struct certificate_spec middle_spec = pki_spec(CERTIFICATE_INTERMEDIATE, "spiffe://td");
    struct pki middle = pki_issue(&root, middle_spec);
    struct pki leaf = pki_leaf(&middle, "spiffe://td/ns/a/sa/b");
    X509 *top = parse(buffer_slice(&root.der)), *between = parse(buffer_slice(&middle.der)),
         *bottom = parse(buffer_slice(&leaf.der));

    CHECK(X509_check_ca(top) == 1 && X509_check_ca(between) == 1 && X509_check_ca(bottom) == 0);
    CHECK(X509_get_key_usage(bottom) == (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT));
    CHECK(X509_get_key_usage(between) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
    CHECK(X509_get_extended_key_usage(bottom) == (XKU_SSL_SERVER | XKU_SSL_CLIENT));
    CHECK(X509_get_pathlen(between) == 0 && X509_get_pathlen(top) == -1);
    CHECK(X509_NAME_entry_count(X509_get_subject_name(bottom)) == 0);
    int at = X509_get_ext_by_NID(bottom, NID_subject_alt_name, -1);
    CHECK(at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(bottom, at)), "the subject is empty");

    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *path = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    X509_STORE_add_cert(store, top);
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT);
    sk_X509_push(others, between);
    X509_STORE_CTX_init(path, store, bottom, others);
    CHECK(X509_verify_cert(path) == 1, "%s",
          X509_verify_cert_error_string(X509_STORE_CTX_get_error(path)));
    X509_STORE_CTX_free(path);
    X509_STORE_free(store);
    sk_X509_free(others);
    X509_free(top);
    X509_free(between);
    X509_free(bottom);
    pki_fini(&root);
    pki_fini(&middle);
    pki_fini(&leaf);
}

TEST(a_summary_says_what_people_ask)
{
    struct pki root = pki_root("spiffe://td");
    struct certificate_spec spec = pki_spec(CERTIFICATE_LEAF, "spiffe://td/ns/a/sa/b");
    struct slice names[] = {SLICE("b.example")};
    spec.dns_names = names;
    spec.dns_count = 1;
    memset(spec.serial, 0xab, sizeof(spec.serial));
    struct pki leaf = pki_issue(&root, spec);
    struct certificate_summary summary;
    CHECK(certificate_summarize(buffer_slice(&leaf.der), &summary, NULL));
    CHECK(strcmp(summary.subject, "") == 0);
    CHECK(strcmp(summary.issuer, "CN=authority,O=Tulle tests") == 0, "%s", summary.issuer);
    CHECK(strcmp(summary.serial, &"6babababababababababababababababab"[2]) != 0);
    CHECK(strlen(summary.serial) == 32 && summary.serial[0] == '6' && summary.serial[1] == 'b',
          "%s", summary.serial);
    CHECK(summary.not_before_s == spec.not_before_s && summary.not_after_s == spec.not_after_s);
    CHECK(!summary.is_ca && summary.san_count == 2);
    CHECK(summary.sans[0].kind == SAN_URI &&
          slice_equals_str(summary.sans[0].text, "spiffe://td/ns/a/sa/b"));
    CHECK(summary.sans[1].kind == SAN_DNS && slice_equals_str(summary.sans[1].text, "b.example"));
    uint8_t hash[32];
    sha256(buffer_slice(&leaf.der), hash);
    CHECK(memcmp(hash, summary.hash, 32) == 0);
    certificate_summary_fini(&summary);
    CHECK(certificate_summarize(buffer_slice(&root.der), &summary, NULL) && summary.is_ca);
    certificate_summary_fini(&summary);

    struct error error = {0};
    CHECK(!certificate_summarize(SLICE("\x30\x03xyz"), &summary, &error) && error.what);
    error_fini(&error);
    buffer_append_byte(&leaf.der, 0);
    CHECK(!certificate_summarize(buffer_slice(&leaf.der), &summary, NULL), "a byte behind it");
    pki_fini(&root);
    pki_fini(&leaf);
}

TEST(certificates_are_walked_in_pem_and_der)
{
    struct pki a = pki_root("spiffe://a"), b = pki_root("spiffe://b");
    struct buffer text = {0}, der = {0};
    struct error error = {0};
    size_t cursor = 0;
    buffer_append_str(&text, "# a comment\n");
    certificate_write_pem(buffer_slice(&a.der), &text);
    buffer_append_slice(&text, buffer_slice(&a.key_pem)); /* skipped */
    certificate_write_pem(buffer_slice(&b.der), &text);
    CHECK(certificate_next(buffer_slice(&text), &cursor, &der, &error));
    CHECK(slice_equals(buffer_slice(&der), buffer_slice(&a.der)));
    CHECK(certificate_next(buffer_slice(&text), &cursor, &der, &error));
    CHECK(slice_equals(buffer_slice(&der), buffer_slice(&b.der)));
    CHECK(!certificate_next(buffer_slice(&text), &cursor, &der, &error) && !error_is_set(&error));

    cursor = 0;
    CHECK(certificate_next(buffer_slice(&a.der), &cursor, &der, &error));
    CHECK(slice_equals(buffer_slice(&der), buffer_slice(&a.der)));
    CHECK(!certificate_next(buffer_slice(&a.der), &cursor, &der, &error) && !error_is_set(&error));

    cursor = 0;
    text.size -= 10;
    CHECK(certificate_next(buffer_slice(&text), &cursor, &der, &error));
    CHECK(!certificate_next(buffer_slice(&text), &cursor, &der, &error) && error_is_set(&error));
    error_fini(&error);
    buffer_fini(&text);
    buffer_fini(&der);
    pki_fini(&a);
    pki_fini(&b);
}

static struct buffer request_pem(EVP_PKEY *key, EVP_PKEY *signer)
{
    X509_REQ *request = X509_REQ_new();
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, signer, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, request);
    struct buffer pem = {0};
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    buffer_append(&pem, bytes, (size_t)size);
    BIO_free(bio);
    X509_REQ_free(request);
    return pem;
}

TEST(of_a_request_only_the_key_counts)
{
    struct key_pair *key = key_pair_generate();
    struct buffer pem = {0}, public_key = {0};
    struct certificate_request request;
    struct error error = {0};
    CHECK(key_pair_request(key, SLICE("spiffe://td/ns/a/sa/b"), &pem, NULL));
    key_pair_write_public_der(key, &public_key);
    CHECK(certificate_request_parse(buffer_slice(&pem), &request, &error), "%s", error.what);
    CHECK(slice_equals(buffer_slice(&request.public_key), buffer_slice(&public_key)));
    certificate_request_fini(&request);
    buffer_fini(&pem);
    buffer_fini(&public_key);
    key_pair_destroy(key);
}

TEST(requests_that_prove_nothing_are_refused)
{
    EVP_PKEY *good = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"), *weak = EVP_RSA_gen(1024),
             *odd = EVP_EC_gen("secp256k1"), *rsa = EVP_RSA_gen(2048);
    struct buffer stolen = request_pem(good, other), small = request_pem(weak, weak),
                  exotic = request_pem(odd, odd), fine = request_pem(good, good),
                  also_fine = request_pem(rsa, rsa);
    struct {
        struct slice text;
        const char *says;
    } rows[] = {
        {buffer_slice(&fine), NULL},
        {buffer_slice(&also_fine), NULL},
        {buffer_slice(&stolen), "not signed by the key"},
        {buffer_slice(&small), "2048"},
        {buffer_slice(&exotic), "elliptic curve"},
        {SLICE(""), "CERTIFICATE REQUEST"},
        {SLICE("-----BEGIN CERTIFICATE REQUEST-----\nMAAA\n-----END CERTIFICATE REQUEST-----\n"),
         "malformed"},
        {SLICE("\x30\x03\x02\x01\x00"), "malformed"},
    };
    EACH (row, rows) {
        struct certificate_request request;
        struct error error = {0};
        bool parsed = certificate_request_parse(row->text, &request, &error);
        CHECK(parsed == (row->says == NULL), "%s", error.what ? error.what : "accepted");
        CHECK(parsed || strstr(error.what, row->says), "'%s' in '%s'", row->says, error.what);
        certificate_request_fini(&request);
        error_fini(&error);
    }
    char *large = mem_calloc(1, CSR_BYTES_MAX + 1);
    struct certificate_request request;
    CHECK(!certificate_request_parse(slice_of(large, CSR_BYTES_MAX + 1), &request, NULL));
    mem_free(large);
    struct buffer *all[] = {&stolen, &small, &exotic, &fine, &also_fine};
    EACH (one, all)
        buffer_fini(*one);
    EVP_PKEY *keys[] = {good, other, weak, odd, rsa};
    EACH (one, keys)
        EVP_PKEY_free(*one);
}

TEST(an_issuer_must_own_its_certificate_and_time_runs_forward)
{
    struct pki root = pki_root("spiffe://td"), other = pki_root("spiffe://td");
    struct certificate_spec spec = pki_spec(CERTIFICATE_LEAF, "spiffe://td/a");
    struct buffer public_key = {0}, der = {0};
    struct error error = {0};
    key_pair_write_public_der(root.key, &public_key);
    spec.public_key = buffer_slice(&public_key);
    CHECK(!certificate_issue(&spec, buffer_slice(&root.der), other.key, &der, &error));
    CHECK(strstr(error.what, "does not belong"));
    error_fini(&error);
    spec.not_after_s = spec.not_before_s;
    CHECK(!certificate_issue(&spec, buffer_slice(&root.der), root.key, &der, &error));
    error_fini(&error);
    spec.not_after_s = spec.not_before_s + 1;
    spec.public_key = SLICE("\x30\x00");
    CHECK(!certificate_issue(&spec, buffer_slice(&root.der), root.key, &der, &error));
    error_fini(&error);
    CHECK(der.size == 0);
    buffer_fini(&public_key);
    pki_fini(&root);
    pki_fini(&other);
}
