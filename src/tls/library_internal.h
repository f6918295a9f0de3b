/*
 * library_internal: OpenSSL library contexts that hold only what TLS needs.
 *
 * OpenSSL 3.0 searches all algorithms of a library context whenever it meets a public key; a short list makes that cheap
 * (docs/decisions/0004-tls-engine.md). One built-in provider hands on a selection of the default provider's algorithms.
 */
#pragma once

#include "base/attributes.h"

#include <openssl/types.h>

/* For one worker. Aborts when libcrypto cannot be set up at all. */
OSSL_LIB_CTX *tls_library_create(void);
void tls_library_destroy(OSSL_LIB_CTX *library);
/* One for keys and certificates off the workers; any thread may use it. */
OSSL_LIB_CTX *tls_library_shared(void);
/* One that also reads the traditional forms of private keys, which makes all parsing in it slow. */
OSSL_LIB_CTX *tls_library_key_files(void);

/* In words, or NULL. The texts of libcrypto's errors are loaded by the first call. */
const char *tls_library_reason(unsigned long error);
