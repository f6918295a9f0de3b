/* The plain hashes are deprecated for those that are looked up by name, which is what costs. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/hkdf_internal.h"

#include "tls/key_pair.h"

#include <assert.h>
#include <openssl/sha.h>

enum { SHA256_HASH = 32, SHA384_HASH = 48, BLOCK_MAX = 128 };

struct hash {
    size_t size;
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha384;
    };
};

static void hash_begin(struct hash *hash, size_t size)
{
    hash->size = size;
    if (size == SHA384_HASH)
        SHA384_Init(&hash->sha384);
    else
        SHA256_Init(&hash->sha256);
}

static void hash_add(struct hash *hash, const void *bytes, size_t size)
{
    if (hash->size == SHA384_HASH)
        SHA384_Update(&hash->sha384, bytes, size);
    else
        SHA256_Update(&hash->sha256, bytes, size);
}

static void hash_end(struct hash *hash, uint8_t *digest)
{
    if (hash->size == SHA384_HASH)
        SHA384_Final(digest, &hash->sha384);
    else
        SHA256_Final(digest, &hash->sha256);
}

/* The key on a whole block, each byte of it changed by `with`. */
static void add_key(struct hash *hash, struct slice key, uint8_t with)
{
    uint8_t block[BLOCK_MAX];
    size_t size = hash->size == SHA384_HASH ? SHA512_CBLOCK : SHA256_CBLOCK;
    memset(block, with, size);
    for (size_t i = 0; i < key.size; i++)
        block[i] ^= (uint8_t)key.data[i];
    hash_add(hash, block, size);
    secret_wipe(block, size);
}

void hmac(size_t hash_size, struct slice key, const struct slice *parts, size_t count, uint8_t *mac)
{
    struct hash hash;
    uint8_t inner[SHA384_HASH];
    assert(key.size <= HKDF_KEY_MAX && (hash_size == SHA256_HASH || hash_size == SHA384_HASH));
    hash_begin(&hash, hash_size);
    add_key(&hash, key, 0x36);
    for (size_t i = 0; i < count; i++)
        hash_add(&hash, parts[i].data, parts[i].size);
    hash_end(&hash, inner);
    hash_begin(&hash, hash_size);
    add_key(&hash, key, 0x5c);
    hash_add(&hash, inner, hash_size);
    hash_end(&hash, mac);
    secret_wipe(inner, sizeof(inner));
    secret_wipe(&hash, sizeof(hash));
}

void hkdf_expand_label(size_t hash_size, struct slice secret, struct slice label,
                       struct slice context, uint8_t *to, size_t size)
{
    /* RFC 8446 7.1: length, "tls13 " and label, context; RFC 5869: one block is enough, so a single 0x01 ends it. */
    assert(size <= hash_size && label.size <= HKDF_LABEL_MAX && context.size <= HKDF_CONTEXT_MAX);
    const uint8_t head[] = {(uint8_t)(size >> 8), (uint8_t)size, (uint8_t)(6 + label.size)};
    const uint8_t context_size = (uint8_t)context.size;
    uint8_t block[SHA384_HASH];
    const struct slice parts[] = {
        slice_of(head, sizeof(head)), SLICE("tls13 "), label,
        slice_of(&context_size, 1),   context,         SLICE("\x01"),
    };
    hmac(hash_size, secret, parts, COUNT(parts), block);
    memcpy(to, block, size);
    secret_wipe(block, sizeof(block));
}

void hkdf_next_stage(size_t hash_size, struct slice before, struct slice label, struct slice secret,
                     uint8_t *to)
{
    static const uint8_t zeros[SHA384_HASH];
    uint8_t salt[SHA384_HASH] = {0};
    if (before.size > 0) {
        uint8_t nothing[SHA384_HASH]; /* the hash of no messages */
        struct hash hash;
        hash_begin(&hash, hash_size);
        hash_end(&hash, nothing);
        hkdf_expand_label(hash_size, before, label, slice_of(nothing, hash_size), salt, hash_size);
    }
    if (secret.size == 0)
        secret = slice_of(zeros, hash_size);
    hmac(hash_size, slice_of(salt, hash_size), &secret, 1, to);
    secret_wipe(salt, sizeof(salt));
}
