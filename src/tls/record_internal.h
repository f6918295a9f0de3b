/*
 * record_internal: seals and opens records of TLS 1.3 (RFC 8446 5) and of TLS 1.2 with AEAD suites (RFC 5288, 7905).
 *
 * A record_key is one direction of one connection. Cipher objects are large and cheap to rekey, so the worker's
 * cipher_pool lends them to the keys that are in use; a key that is idle owns nothing but its bytes.
 */
#pragma once

#include "base/chain.h"
#include "base/list.h"
#include "tls/context.h"

#include <openssl/evp.h>

enum {
    RECORD_HEADER = 5,
    RECORD_TAG = 16,
    RECORD_IV = 12,
    RECORD_PLAIN_MAX = 16384,
    RECORD_OVERHEAD_MAX = RECORD_HEADER + 8 + 1 + RECORD_TAG,
    /* What fits into one large block together with the overhead. */
    RECORD_PLAIN_BEST = (int)BLOCK_LARGE_CAPACITY - RECORD_OVERHEAD_MAX,
    CIPHERS_LENT_MAX = 512,
};

enum record_type {
    RECORD_CHANGE_CIPHER = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_DATA = 23
};
enum record_cipher {
    RECORD_AES_128_GCM,
    RECORD_AES_256_GCM,
    RECORD_CHACHA20_POLY1305,
    RECORD_CIPHERS
};

struct cipher_pool {
    EVP_CIPHER *kinds[RECORD_CIPHERS];
    struct list lent; /* the most recently used first */
    unsigned count;
};
void cipher_pool_init(struct cipher_pool *pool, OSSL_LIB_CTX *library);
void cipher_pool_fini(struct cipher_pool *pool);
/* Frees those that nobody has used since the last call. */
void cipher_pool_trim(struct cipher_pool *pool);

struct record_key {
    struct cipher_loan *loan; /* NULL: none at the moment */
    uint64_t sequence;
    uint64_t explicit_nonce; /* TLS 1.2 AES-GCM, sealing: the next one */
    uint8_t key[32];
    uint8_t iv[RECORD_IV]; /* TLS 1.2 AES-GCM: the first four bytes */
    uint8_t cipher;        /* enum record_cipher */
    bool is_13;
    bool seals;
};
size_t record_key_size(enum record_cipher cipher);
/* Rewrites what follows from a new key: the loan goes back, the sequence starts at zero. */
void record_key_renew(struct record_key *key, struct cipher_pool *pool);
/* Gives the loan back and wipes. */
void record_key_fini(struct record_key *key, struct cipher_pool *pool);

/* Seals the first `size` (at most RECORD_PLAIN_MAX) bytes of `plain` as one record at the tail of `out`. False: the pool
   refused, and nothing has changed. */
MUST_USE bool record_seal(struct record_key *key, struct cipher_pool *ciphers,
                          enum record_type type, struct chain *plain, size_t size,
                          struct chain *out, struct block_pool *blocks);

enum record_open {
    RECORD_OPENED,
    RECORD_PARTIAL,  /* not whole yet; nothing was taken */
    RECORD_BAD_TYPE, /* this type may not stand here, or no type at all */
    RECORD_TOO_LONG,
    RECORD_FORGED, /* it does not authenticate */
};
/* Opens the first record of `in` in place: its plaintext moves to `plain`, which must be empty. */
enum record_open record_open(struct record_key *key, struct cipher_pool *ciphers, struct chain *in,
                             struct chain *plain, enum record_type *type);
