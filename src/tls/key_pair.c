#include "tls/key_pair.h"

#include "base/memory.h"
#include "tls/identity.h"
#include "tls/key_pair_internal.h"
#include "tls/library_internal.h"
#include "tls/pem_internal.h"
#include "tls/x509_internal.h"

#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <stdlib.h>

struct key_pair *key_pair_of(EVP_PKEY *key)
{
    struct key_pair *pair = mem_new(struct key_pair);
    pair->key = key;
    return pair;
}

struct key_pair *key_pair_generate(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(tls_library_shared(), NULL, "EC", "P-256");
    if (!key)
        abort(); /* no randomness, no memory: nothing sensible can follow */
    return key_pair_of(key);
}

void key_pair_destroy(struct key_pair *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->key); /* wipes */
    mem_free(key);
}

static EVP_PKEY *decode_der(OSSL_LIB_CTX *library, struct slice der)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *decoder =
        OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, library, NULL);
    const unsigned char *at = (const unsigned char *)der.data;
    size_t left = der.size;
    if (!decoder || !OSSL_DECODER_from_data(decoder, &at, &left)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    OSSL_DECODER_CTX_free(decoder);
    return key;
}

static void encode(EVP_PKEY *key, int selection, const char *structure, struct buffer *der)
{
    OSSL_ENCODER_CTX *encoder =
        OSSL_ENCODER_CTX_new_for_pkey(key, selection, "DER", structure, NULL);
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (!encoder || !OSSL_ENCODER_to_data(encoder, &bytes, &size))
        abort(); /* a key that was accepted can be written */
    buffer_append(der, bytes, size);
    OPENSSL_clear_free(bytes, size);
    OSSL_ENCODER_CTX_free(encoder);
}

/* PKCS#8 at once; the traditional forms by way of it, so that every key lives in the shared library. */
static EVP_PKEY *decode_any(struct slice der)
{
    EVP_PKEY *key = decode_der(tls_library_shared(), der);
    if (key)
        return key;
    EVP_PKEY *traditional = decode_der(tls_library_key_files(), der);
    if (!traditional)
        return NULL;
    owned_key_buffer modern = {0};
    buffer_reserve(&modern, KEY_BYTES_MAX);
    encode(traditional, EVP_PKEY_KEYPAIR, "PrivateKeyInfo", &modern);
    EVP_PKEY_free(traditional);
    return decode_der(tls_library_shared(), buffer_slice(&modern));
}

static bool not_a_key(struct error *error)
{
    error_set(error, NULL, "there is no private key in PEM or DER");
    error_fix(error, "give PEM text with a private key that is not encrypted");
    return false;
}

/* The first block that is a key: parameters and certificates may stand before it. */
static bool find_key_block(struct slice text, struct pem_block *block, struct error *error)
{
    size_t cursor = 0;
    enum pem_next next;
    while ((next = pem_next(text, &cursor, KEY_BYTES_MAX, block, error)) == PEM_BLOCK) {
        if (strcmp(block->label, "ENCRYPTED PRIVATE KEY") == 0) {
            error_set(error, NULL, "the private key is encrypted");
            error_fix(error, "decrypt it: openssl pkey -in key.pem -out plain.pem");
            return false;
        }
        if (slice_ends_with(slice_str(block->label), SLICE("PRIVATE KEY")))
            return true;
    }
    if (next == PEM_BAD) {
        error_prefix(error, "the private key");
        return false;
    }
    return not_a_key(error);
}

static bool accept_key(EVP_PKEY *key, struct key_pair **out, struct error *error)
{
    const char *refusal = key ? x509_public_key_refusal(key) : "it is malformed";
    ERR_clear_error();
    if (refusal) {
        EVP_PKEY_free(key);
        error_set(error, NULL, "the private key cannot be used: %s", refusal);
        error_fix(error, "use a P-256 key: openssl ecparam -name prime256v1 -genkey -noout");
        return false;
    }
    *out = key_pair_of(key);
    return true;
}

bool key_pair_parse(struct slice text, struct key_pair **out, struct error *error)
{
    if (text.size > KEY_BYTES_MAX)
        return error_set(error, NULL, "the private key is larger than %d bytes", KEY_BYTES_MAX);
    if (pem_looks_like_der(text))
        return accept_key(decode_any(text), out, error);
    struct pem_block block = {0};
    bool good = find_key_block(text, &block, error) &&
                accept_key(decode_any(buffer_slice(&block.der)), out, error);
    pem_block_fini(&block);
    return good;
}

void key_pair_write_der(const struct key_pair *key, struct buffer *der)
{
    encode(key->key, EVP_PKEY_KEYPAIR, "PrivateKeyInfo", der);
}

void key_pair_write_public_der(const struct key_pair *key, struct buffer *der)
{
    encode(key->key, EVP_PKEY_PUBLIC_KEY, "SubjectPublicKeyInfo", der);
}

void key_pair_write_pem(const struct key_pair *key, struct buffer *pem)
{
    owned_key_buffer der = {0};
    key_pair_write_der(key, &der);
    /* Room for all of it, so that no half-written copy of the key is left behind by growing. */
    buffer_reserve(pem, der.size * 2 + 128);
    pem_write("PRIVATE KEY", buffer_slice(&der), pem);
}

void key_buffer_fini(struct buffer *secret)
{
    if (secret->data)
        OPENSSL_cleanse(secret->data, secret->capacity);
    buffer_fini(secret);
}

static bool add_uri(X509_REQ *request, struct slice uri)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, uri.data, (int)uri.size);
    GENERAL_NAME_set0_value(name, GEN_URI, text);
    sk_GENERAL_NAME_push(names, name);
    X509_EXTENSION *extension = X509V3_EXT_i2d(NID_subject_alt_name, 1, names);
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    bool good = extension && sk_X509_EXTENSION_push(extensions, extension) &&
                X509_REQ_add_extensions(request, extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return good;
}

bool key_pair_request(const struct key_pair *key, struct slice spiffe_id, struct buffer *pem,
                      struct error *error)
{
    struct spiffe_id id;
    const char *why;
    if (!spiffe_id_parse(spiffe_id, &id, &why))
        return error_set(error, NULL, "\"%.*s\" is no SPIFFE ID: %s", SLICE_ARG(spiffe_id), why);
    owned_buffer public_key = {0};
    key_pair_write_public_der(key, &public_key);
    X509_REQ *request = X509_REQ_new_ex(tls_library_shared(), NULL);
    unsigned char *der = NULL;
    int size = 0;
    bool good = request && X509_REQ_set_version(request, 0) &&
                x509_set_public_key(X509_REQ_get_X509_PUBKEY(request), buffer_slice(&public_key)) &&
                add_uri(request, spiffe_id) &&
                X509_REQ_sign(request, key->key, key_pair_digest(key)) &&
                (size = i2d_X509_REQ(request, &der)) > 0;
    if (good)
        pem_write("CERTIFICATE REQUEST", slice_of(der, (size_t)size), pem);
    else
        error_set(error, NULL, "the certificate request cannot be made: %s", x509_library_error());
    OPENSSL_free(der);
    X509_REQ_free(request);
    return good;
}

const EVP_MD *key_pair_digest(const struct key_pair *key)
{
    return EVP_PKEY_get_base_id(key->key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

bool secret_equals(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void secret_wipe(void *bytes, size_t size)
{
    OPENSSL_cleanse(bytes, size);
}

void sha256(struct slice bytes, uint8_t digest[32])
{
    if (!EVP_Q_digest(tls_library_shared(), "SHA256", NULL, bytes.data, bytes.size, digest, NULL))
        abort();
}
