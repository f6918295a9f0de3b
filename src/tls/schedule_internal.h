/* schedule_internal: keys out of secrets: RFC 8446 7 for TLS 1.3, RFC 5246 6.3 for TLS 1.2. */
#pragma once

#include "base/slice.h"
#include "tls/derivation_internal.h"
#include "tls/record_internal.h"

#include <openssl/types.h>

/* HKDF-Expand-Label; secret_size (32 or 48) also says which hash; size is at most that. */
void schedule_expand(const uint8_t *secret, size_t secret_size, const char *label,
                     struct slice context, uint8_t *to, size_t size);
/* Fills key and iv of a TLS 1.3 direction whose cipher is set. */
void schedule_traffic_key(const uint8_t *secret, size_t secret_size, struct record_key *key);
/* Replaces the secret by its successor (KeyUpdate). */
void schedule_next_secret(uint8_t *secret, size_t secret_size);
/* Fills both directions of TLS 1.2 from the master secret; false when the library fails. */
MUST_USE bool schedule_tls12(OSSL_LIB_CTX *library, struct slice master,
                             const uint8_t client_random[32], const uint8_t server_random[32],
                             bool is_sha384, struct record_key *client, struct record_key *server);
