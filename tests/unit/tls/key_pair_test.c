#include "test.h"
#include "tls/pki.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

static struct slice bio_bytes(BIO *bio)
{
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    return slice_of(bytes, (size_t)size);
}

static bool parses(struct slice text, struct error *error)
{
    struct key_pair *key = NULL;
    bool good = key_pair_parse(text, &key, error);
    key_pair_destroy(key);
    return good;
}

TEST(a_key_survives_pem_and_der)
{
    struct key_pair *key = key_pair_generate();
    struct buffer pem = {0}, der = {0}, again = {0};
    key_pair_write_pem(key, &pem);
    key_pair_write_der(key, &der);
    CHECK(slice_starts_with(buffer_slice(&pem), SLICE("-----BEGIN PRIVATE KEY-----\n")));
    CHECK(slice_ends_with(buffer_slice(&pem), SLICE("-----END PRIVATE KEY-----\n")));
    struct slice forms[] = {buffer_slice(&pem), buffer_slice(&der)};
    EACH (form, forms) {
        struct key_pair *copy;
        CHECK(key_pair_parse(*form, &copy, NULL));
        buffer_reset(&again);
        key_pair_write_der(copy, &again);
        CHECK(slice_equals(buffer_slice(&again), buffer_slice(&der)));
        key_pair_destroy(copy);
    }
    key_pair_destroy(key);
    key_buffer_fini(&pem);
    key_buffer_fini(&der);
    key_buffer_fini(&again);
}

TEST(keys_of_other_makers_are_read_in_their_usual_forms)
{
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_EC_gen("P-521"),
                        EVP_RSA_gen(2048), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < COUNT(keys); i++) {
        for (int traditional = 0; traditional < 2; traditional++) {
            BIO *bio = BIO_new(BIO_s_mem());
            int written =
                traditional
                    ? PEM_write_bio_PrivateKey_traditional(bio, keys[i], NULL, NULL, 0, NULL, NULL)
                    : PEM_write_bio_PKCS8PrivateKey(bio, keys[i], NULL, NULL, 0, NULL, NULL);
            struct error error = {0};
            if (written == 1)
                CHECK(parses(bio_bytes(bio), &error), "key %zu, form %d: %s", i, traditional,
                      error.what);
            error_fini(&error);
            BIO_free(bio);
        }
        EVP_PKEY_free(keys[i]);
    }
}

TEST(what_is_no_usable_key_is_told_with_its_remedy)
{
    EVP_PKEY *good = EVP_EC_gen("P-256"), *small = EVP_RSA_gen(1024),
             *odd = EVP_EC_gen("secp256k1");
    BIO *encrypted = BIO_new(BIO_s_mem()), *locked = BIO_new(BIO_s_mem()),
        *weak = BIO_new(BIO_s_mem()), *exotic = BIO_new(BIO_s_mem()), *mine = BIO_new(BIO_s_mem());
    char password[] = "secret";
    PEM_write_bio_PKCS8PrivateKey(encrypted, good, EVP_aes_128_cbc(), password, 6, NULL, NULL);
    PEM_write_bio_PrivateKey_traditional(locked, good, EVP_aes_128_cbc(), (unsigned char *)password,
                                         6, NULL, NULL);
    PEM_write_bio_PrivateKey(weak, small, NULL, NULL, 0, NULL, NULL);
    PEM_write_bio_PrivateKey(exotic, odd, NULL, NULL, 0, NULL, NULL);
    PEM_write_bio_PrivateKey(mine, good, NULL, NULL, 0, NULL, NULL);
    struct slice whole = bio_bytes(mine);
    char *flipped = slice_to_str(whole);
    flipped[60] = '!';
    struct {
        struct slice text;
        const char *says;
    } rows[] = {
        {SLICE(""), "no private key"},
        {SLICE("hello"), "no private key"},
        {SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "no private key"},
        {bio_bytes(encrypted), "encrypted"},
        {bio_bytes(locked), "encrypted"},
        {bio_bytes(weak), "shorter than 2048"},
        {bio_bytes(exotic), "elliptic curve"},
        {slice_first(whole, whole.size / 2), "cut off"},
        {slice_str(flipped), "not base64"},
        {SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "does not match"},
        {SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "malformed"},
        {SLICE("\x30\x80garbage"), "malformed"},
    };
    EACH (row, rows) {
        struct error error = {0};
        CHECK(!parses(row->text, &error), "%s", row->says);
        CHECK(strstr(error.what, row->says), "'%s' in '%s'", row->says, error.what);
        error_fini(&error);
    }
    char *large = mem_calloc(1, KEY_BYTES_MAX + 1);
    CHECK(!parses(slice_of(large, KEY_BYTES_MAX + 1), NULL));
    mem_free(large);
    mem_free(flipped);
    BIO_free(encrypted);
    BIO_free(locked);
    BIO_free(weak);
    BIO_free(exotic);
    BIO_free(mine);
    EVP_PKEY_free(good);
    EVP_PKEY_free(small);
    EVP_PKEY_free(odd);
}

TEST(a_request_holds_the_id_and_is_signed)
{
    struct key_pair *key = key_pair_generate();
    struct buffer pem = {0};
    struct error error = {0};
    CHECK(key_pair_request(key, SLICE("spiffe://td/ns/a/sa/b"), &pem, &error), "%s", error.what);
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    CHECK(request && X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1);
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    CHECK(sk_GENERAL_NAME_num(names) == 1 && sk_GENERAL_NAME_value(names, 0)->type == GEN_URI);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    BIO_free(bio);
    CHECK(!key_pair_request(key, SLICE("spiffe://TD/x"), &pem, &error));
    CHECK(strstr(error.what, "upper-case"), "%s", error.what);
    error_fini(&error);
    buffer_fini(&pem);
    key_pair_destroy(key);
}

TEST(secrets_compare_and_hash)
{
    uint8_t digest[32];
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    sha256(SLICE("abc"), digest);
    CHECK(secret_equals(digest, abc, 32)); /* FIPS 180-2, B.1 */
    digest[31] ^= 1;
    CHECK(!secret_equals(digest, abc, 32));
    secret_wipe(digest, sizeof(digest));
    CHECK(digest[0] == 0 && digest[31] == 0);
}
