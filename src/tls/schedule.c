#include "tls/schedule_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

void schedule_init(struct schedule *schedule, OSSL_LIB_CTX *library)
{
    schedule->library = library;
    schedule->hmac = EVP_MAC_fetch(library, "HMAC", NULL);
    EVP_MAC_CTX **objects[] = {&schedule->hmac_sha256, &schedule->hmac_sha384};
    const char *const digests[] = {"SHA256", "SHA384"};
    for (size_t i = 0; i < COUNT(objects); i++) {
        *objects[i] = schedule->hmac ? EVP_MAC_CTX_new(schedule->hmac) : NULL;
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)digests[i],
                                             0),
            OSSL_PARAM_construct_end(),
        };
        if (!*objects[i] || !EVP_MAC_CTX_set_params(*objects[i], params))
            abort();
    }
}

void schedule_fini(struct schedule *schedule)
{
    EVP_MAC_CTX_free(schedule->hmac_sha256);
    EVP_MAC_CTX_free(schedule->hmac_sha384);
    EVP_MAC_free(schedule->hmac);
}

static void hmac(struct schedule *schedule, const uint8_t *key, size_t key_size, struct slice bytes,
                 uint8_t mac[SECRET_MAX])
{
    EVP_MAC_CTX *object = key_size == 48 ? schedule->hmac_sha384 : schedule->hmac_sha256;
    size_t size;
    if (!EVP_MAC_init(object, key, key_size, NULL) ||
        !EVP_MAC_update(object, (const unsigned char *)bytes.data, bytes.size) ||
        !EVP_MAC_final(object, mac, &size, SECRET_MAX))
        abort();
}

void schedule_expand(struct schedule *schedule, const uint8_t *secret, size_t secret_size,
                     const char *label, struct slice context, uint8_t *to, size_t size)
{
    /* RFC 8446 7.1: length, "tls13 " and label, context; RFC 5869: one block is enough, so a single 0x01 ends it. */
    uint8_t text[2 + 1 + 6 + 18 + 1 + 48 + 1], mac[SECRET_MAX];
    size_t label_size = strlen(label), used = 0;
    text[used++] = (uint8_t)(size >> 8);
    text[used++] = (uint8_t)size;
    text[used++] = (uint8_t)(label_size + 6);
    memcpy(text + used, "tls13 ", 6);
    memcpy(text + used + 6, label, label_size);
    used += 6 + label_size;
    text[used++] = (uint8_t)context.size;
    if (context.size > 0)
        memcpy(text + used, context.data, context.size);
    used += context.size;
    text[used++] = 1;
    hmac(schedule, secret, secret_size, slice_of(text, used), mac);
    memcpy(to, mac, size);
    OPENSSL_cleanse(mac, sizeof(mac));
}

void schedule_traffic_key(struct schedule *schedule, const uint8_t *secret, size_t secret_size,
                          struct record_key *key)
{
    schedule_expand(schedule, secret, secret_size, "key", SLICE_NONE, key->key,
                    record_key_size((enum record_cipher)key->cipher));
    schedule_expand(schedule, secret, secret_size, "iv", SLICE_NONE, key->iv, RECORD_IV);
}

void schedule_next_secret(struct schedule *schedule, uint8_t *secret, size_t secret_size)
{
    schedule_expand(schedule, secret, secret_size, "traffic upd", SLICE_NONE, secret, secret_size);
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

bool schedule_tls12(struct schedule *schedule, struct slice master, const uint8_t client_random[32],
                    const uint8_t server_random[32], bool is_sha384, struct record_key *client,
                    struct record_key *server)
{
    size_t key_size = record_key_size((enum record_cipher)client->cipher);
    size_t iv_size = client->cipher == RECORD_CHACHA20_POLY1305 ? RECORD_IV : 4;
    uint8_t block[2 * 32 + 2 * RECORD_IV], seed[13 + 64];
    memcpy(seed, "key expansion", 13);
    memcpy(seed + 13, server_random, 32);
    memcpy(seed + 45, client_random, 32);
    bool good = prf(schedule->library, is_sha384 ? "SHA384" : "SHA256", master,
                    slice_of(seed, sizeof(seed)), block, 2 * key_size + 2 * iv_size);
    if (good) {
        memcpy(client->key, block, key_size);
        memcpy(server->key, block + key_size, key_size);
        memcpy(client->iv, block + 2 * key_size, iv_size);
        memcpy(server->iv, block + 2 * key_size + iv_size, iv_size);
    }
    OPENSSL_cleanse(block, sizeof(block));
    return good;
}
