/* key_pair_internal: the library's key inside. */
#pragma once

#include "tls/key_pair.h"

#include <openssl/evp.h>

struct key_pair {
    EVP_PKEY *key;
};
/* Takes over the key. */
struct key_pair *key_pair_of(EVP_PKEY *key);
/* What signatures by this key hash with; NULL for kinds that do it themselves. */
const EVP_MD *key_pair_digest(const struct key_pair *key);
