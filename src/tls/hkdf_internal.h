/*
 * hkdf_internal: HMAC (RFC 2104) and the key derivation of TLS 1.3 (RFC 5869, RFC 8446 7.1) over libcrypto's plain hashes.
 *
 * The size of a hash says which one it is: 32 is SHA-256, 48 is SHA-384. A handshake derives some twenty secrets of one
 * block each; OpenSSL 3.0's own way to each makes and looks up objects that cost five times the hashing.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum { HKDF_LABEL_MAX = 255 - 6, HKDF_CONTEXT_MAX = 64 }; /* the longest digest is 64 bytes */

/* Of all parts one after the other. The key has HKDF_KEY_MAX bytes at most. */
enum { HKDF_KEY_MAX = 64 };
void hmac(size_t hash_size, struct slice key, const struct slice *parts, size_t count,
          uint8_t *mac);

/* HKDF-Expand-Label without its "tls13 "; at most hash_size bytes, which one block gives. */
void hkdf_expand_label(size_t hash_size, struct slice secret, struct slice label,
                       struct slice context, uint8_t *to, size_t size);
/* A step down the schedule: extracts from a secret under the one before (SLICE_NONE: zeros), derived by the label. */
void hkdf_next_stage(size_t hash_size, struct slice before, struct slice label, struct slice secret,
                     uint8_t *to);
