#include "tls/schedule_internal.h"

#include "tls/hkdf_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

void schedule_expand(const uint8_t *secret, size_t secret_size, const char *label,
                     struct slice context, uint8_t *to, size_t size)
{
    hkdf_expand_label(secret_size, slice_of(secret, secret_size), slice_str(label), context, to,
                      size);
}

void schedule_traffic_key(const uint8_t *secret, size_t secret_size, struct record_key *key)
{
    schedule_expand(secret, secret_size, "key", SLICE_NONE, key->key,
                    record_key_size((enum record_cipher)key->cipher));
    schedule_expand(secret, secret_size, "iv", SLICE_NONE, key->iv, RECORD_IV);
}

void schedule_next_secret(uint8_t *secret, size_t secret_size)
{
    schedule_expand(secret, secret_size, "traffic upd", SLICE_NONE, secret, secret_size);
}

static bool prf(OSSL_LIB_CTX *library, const char *digest, struct slice master, struct slice seed,
                uint8_t *to, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(library, "TLS1-PRF", NULL);
    EVP_KDF_CTX *object = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (char *)(uintptr_t)master.data,
                                          master.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (char *)(uintptr_t)seed.data,
                                          seed.size),
        OSSL_PARAM_construct_end(),
    };
    bool good = object && EVP_KDF_derive(object, to, size, params) > 0;
    EVP_KDF_CTX_free(object);
    EVP_KDF_free(kdf);
    return good;
}

bool schedule_tls12(OSSL_LIB_CTX *library, struct slice master, const uint8_t client_random[32],
                    const uint8_t server_random[32], bool is_sha384, struct record_key *client,
                    struct record_key *server)
{
    size_t key_size = record_key_size((enum record_cipher)client->cipher);
    size_t iv_size = client->cipher == RECORD_CHACHA20_POLY1305 ? RECORD_IV : 4;
    uint8_t block[2 * 32 + 2 * RECORD_IV], seed[13 + 64];
    memcpy(seed, "key expansion", 13);
    memcpy(seed + 13, server_random, 32);
    memcpy(seed + 45, client_random, 32);
    bool good = prf(library, is_sha384 ? "SHA384" : "SHA256", master, slice_of(seed, sizeof(seed)),
                    block, 2 * key_size + 2 * iv_size);
    if (good) {
        memcpy(client->key, block, key_size);
        memcpy(server->key, block + key_size, key_size);
        memcpy(client->iv, block + 2 * key_size, iv_size);
        memcpy(server->iv, block + 2 * key_size + iv_size, iv_size);
    }
    OPENSSL_cleanse(block, sizeof(block));
    return good;
}
