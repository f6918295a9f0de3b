#include "test.h"

#include "tls/schedule_internal.h"

static void from_hex(const char *hex, uint8_t *bytes)
{
    for (; *hex; hex += 2, bytes++)
        sscanf(hex, "%2hhx", bytes);
}

/* RFC 8448 section 3: the server's handshake traffic secret and the keys that it gives. */
TEST(keys_are_those_of_the_published_trace)
{
    uint8_t secret[48] = {0}, key[16], iv[12];
    from_hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", secret);
    from_hex("3fce516009c21727d0f2e4e86ee403bc", key);
    from_hex("5d313eb2671276ee13000b30", iv);
    struct record_key made = {.cipher = RECORD_AES_128_GCM, .is_13 = true};
    schedule_traffic_key(secret, 32, &made);
    CHECK(memcmp(made.key, key, sizeof(key)) == 0 && memcmp(made.iv, iv, sizeof(iv)) == 0);
}

/* RFC 8448 section 3: the resumption secret, a ticket's nonce and its key. */
TEST(a_ticket_key_is_that_of_the_published_trace)
{
    uint8_t secret[48] = {0}, psk[32], made[32], nonce[2] = {0, 0};
    from_hex("7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c", secret);
    from_hex("4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3", psk);
    schedule_expand(secret, 32, "resumption", slice_of(nonce, 2), made, 32);
    CHECK(memcmp(made, psk, 32) == 0);
}
