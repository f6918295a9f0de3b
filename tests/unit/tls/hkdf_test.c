#include "test.h"

#include "tls/hkdf_internal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t size = 0;
    for (; *hex; hex += 2, size++)
        sscanf(hex, "%2hhx", bytes + size);
    return size;
}

TEST(an_hmac_is_libcryptos_however_it_is_cut)
{
    static const size_t hashes[] = {32, 48}, keys[] = {0, 1, 31, 32, 48, 64};
    uint8_t key[64], text[300], expected[48], made[48];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7 + 3);
    memcpy(key, text + 100, sizeof(key));
    EACH (hash_size, hashes) {
        EACH (key_size, keys) {
            for (size_t cut = 0; cut <= sizeof(text); cut += 30) {
                const struct slice parts[] = {slice_of(text, cut),
                                              slice_of(text + cut, sizeof(text) - cut)};
                HMAC(*hash_size == 32 ? EVP_sha256() : EVP_sha384(), key, (int)*key_size, text,
                     sizeof(text), expected, NULL);
                hmac(*hash_size, slice_of(key, *key_size), parts, 2, made);
                CHECK(memcmp(made, expected, *hash_size) == 0, "%zu, a key of %zu, cut at %zu",
                      *hash_size, *key_size, cut);
            }
        }
    }
}

/* RFC 8448 section 3: early, handshake and master secret of the published trace. */
TEST(the_stages_are_those_of_the_published_trace)
{
    static const struct {
        const char *secret, *stage;
    } cases[] = {
        {"", "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"},
        {"8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d",
         "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"},
        {"", "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"},
    };
    uint8_t before[32], secret[32], expected[32], made[32];
    size_t before_size = 0;
    EACH (c, cases) {
        size_t size = from_hex(c->secret, secret);
        from_hex(c->stage, expected);
        hkdf_next_stage(32, slice_of(before, before_size), SLICE("derived"), slice_of(secret, size),
                        made);
        CHECK(memcmp(made, expected, 32) == 0, "%s", c->stage);
        memcpy(before, made, 32);
        before_size = 32;
    }
}
