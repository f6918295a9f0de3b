#include "base/hash.h"

#include "base/random.h"

#include <endian.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Written once, before main and before any thread; only read afterwards. */
static uint64_t process_secret[2];

__attribute__((constructor)) static void draw_process_secret(void)
{
    random_secret(process_secret, sizeof(process_secret));
}

uint64_t hash64(struct slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

struct hash128 hash128(struct slice bytes)
{
    XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
    return (struct hash128){.low = hash.low64, .high = hash.high64};
}

void hash128_hex(struct hash128 hash, char text[33])
{
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < 16; i++) {
        text[i] = hex[hash.high >> (60 - 4 * i) & 15];
        text[16 + i] = hex[hash.low >> (60 - 4 * i) & 15];
    }
    text[32] = '\0';
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_keyed(struct slice bytes, const uint64_t key[2])
{
    struct sip s = {
        .v0 = key[0] ^ 0x736f6d6570736575u,
        .v1 = key[1] ^ 0x646f72616e646f6du,
        .v2 = key[0] ^ 0x6c7967656e657261u,
        .v3 = key[1] ^ 0x7465646279746573u,
    };
    uint64_t last = (uint64_t)bytes.size << 56;
    while (bytes.size >= 8) {
        uint64_t word;
        memcpy(&word, bytes.data, sizeof(word));
        sip_word(&s, le64toh(word));
        slice_take(&bytes, 8);
    }
    for (unsigned i = 0; i < bytes.size; i++)
        last |= (uint64_t)(uint8_t)bytes.data[i] << (8 * i);
    sip_word(&s, last);
    s.v2 ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_hostile(struct slice bytes)
{
    return hash_keyed(bytes, process_secret);
}
