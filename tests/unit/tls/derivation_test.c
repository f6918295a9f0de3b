#include "test.h"

#include "tls/derivation_internal.h"
#include "tls/library_internal.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

struct request {
    const char *name;
    int mode;
    const char *digest, *label;
    size_t key, salt, data; /* bytes of each */
    size_t size;            /* of what comes out */
};

static const struct request requests[] = {
    {"early secret", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA256", "derived", 0, 0, 0, 32},
    {"early secret of a ticket", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA256", "derived", 32, 0, 0, 32},
    {"handshake secret", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA256", "derived", 32, 32, 0, 32},
    {"of P-384", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA384", "derived", 48, 48, 0, 48},
    {"of P-521", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA384", "derived", 66, 48, 0, 48},
    {"master secret", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA384", "derived", 0, 48, 0, 48},
    {"traffic secret", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", "c ap traffic", 32, 0, 32, 32},
    {"the same of SHA-384", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA384", "s ap traffic", 48, 0, 48, 48},
    {"key", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA384", "key", 48, 0, 0, 16},
    {"IV", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", "iv", 32, 0, 0, 12},
    {"exporter with a hash of its own", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", "exporter", 32, 0,
     64, 32},
    {"more than a block", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", "exporter", 32, 0, 32, 80},
    {"long context", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", "exporter", 32, 0, 65, 32},
    {"another hash", EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA512", "key", 64, 0, 0, 64},
};

static bool derive(OSSL_LIB_CTX *library, const struct request *r, unsigned char *to)
{
    static unsigned char bytes[] =
        "seventy bytes and then some more for the longest of all the texts that are asked for here";
    static unsigned char prefix[] = "tls13 ";
    int mode = r->mode;
    OSSL_PARAM params[8], *at = params;
    *at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *at++ =
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)r->digest, 0);
    if (r->key)
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, bytes, r->key);
    if (r->salt)
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, bytes + 3, r->salt);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)(uintptr_t)r->label,
                                              strlen(r->label));
    if (r->data)
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, bytes + 5, r->data);
    *at = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(library, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    EVP_KDF_CTX *object = EVP_KDF_CTX_new(kdf);
    bool good = EVP_KDF_derive(object, to, r->size, params) == 1;
    EVP_KDF_CTX_free(object);
    EVP_KDF_free(kdf);
    return good;
}

TEST(what_is_derived_is_what_openssl_derives)
{
    OSSL_LIB_CTX *library = tls_library_create();
    EACH (r, requests) {
        unsigned char expected[80], made[80];
        bool theirs = derive(NULL, r, expected), ours = derive(library, r, made);
        CHECK(ours == theirs, "%s", r->name);
        CHECK(!theirs || memcmp(made, expected, r->size) == 0, "%s", r->name);
    }
    tls_library_destroy(library);
}

TEST(only_the_secrets_that_outlive_the_handshake_are_noted)
{
    OSSL_LIB_CTX *library = tls_library_create();
    unsigned char made[80];
    struct derived_secrets secrets = {0};
    derivation_note(&secrets);
    EACH (r, requests)
        (void)derive(library, r, made);
    derivation_note(NULL);
    CHECK(secrets.has_client && secrets.has_server && !secrets.has_resumption);
    CHECK(secrets.size == 48);
    tls_library_destroy(library);
}
