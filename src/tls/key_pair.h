/*
 * key_pair: private keys, and requests for certificates made with them.
 *
 * Key material is wiped when it is freed. Generation takes about 30 us for P-256, and may run on any thread.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

enum { KEY_BYTES_MAX = 64 << 10 };

struct key_pair;

/* ECDSA on P-256. */
struct key_pair *key_pair_generate(void);
/* PKCS#8, SEC 1 or PKCS#1, PEM or DER, not encrypted: EC (P-256, P-384, P-521), Ed25519, RSA of 2048 to 8192 bits. */
MUST_USE bool key_pair_parse(struct slice text, struct key_pair **out, struct error *error);
/* Accepts NULL. */
void key_pair_destroy(struct key_pair *key);
/* PKCS#8. The caller frees the buffer with key_buffer_fini, which wipes it. */
void key_pair_write_pem(const struct key_pair *key, struct buffer *pem);
void key_pair_write_der(const struct key_pair *key, struct buffer *der);
/* SubjectPublicKeyInfo. */
void key_pair_write_public_der(const struct key_pair *key, struct buffer *der);
void key_buffer_fini(struct buffer *secret);
#define owned_key_buffer __attribute__((cleanup(key_buffer_fini))) struct buffer

/* A PKCS#10 request, PEM, with this SPIFFE ID as its only name. */
MUST_USE bool key_pair_request(const struct key_pair *key, struct slice spiffe_id,
                               struct buffer *pem, struct error *error);

/* Takes the same time for every pair of values of this size. */
MUST_USE bool secret_equals(const void *a, const void *b, size_t size);
void secret_wipe(void *bytes, size_t size);
void sha256(struct slice bytes, uint8_t digest[32]);
OWNED(key_pair, key_pair_destroy)
