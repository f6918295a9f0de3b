#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/* SplitMix64 spreads a seed, so that the state is never all zero and near seeds are far apart. */
static uint64_t spread(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void random_seed(struct random *random, uint64_t seed)
{
    for (size_t i = 0; i < COUNT(random->state); i++)
        random->state[i] = spread(&seed);
}

void random_seed_from_kernel(struct random *random)
{
    uint64_t seed;
    random_secret(&seed, sizeof(seed));
    random_seed(random, seed);
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire's method: a multiplication, and the remainder only in the rare case that may be biased. */
uint64_t random_below(struct random *random, uint64_t bound)
{
    unsigned __int128 product = (unsigned __int128)random_u64(random) * bound;
    if (UNLIKELY((uint64_t)product < bound)) {
        uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold)
            product = (unsigned __int128)random_u64(random) * bound;
    }
    return (uint64_t)(product >> 64);
}

void random_secret(void *bytes, size_t size)
{
    char *at = bytes;
    while (size > 0) {
        ssize_t count = getrandom(at, size, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            perror("tulle: the kernel has no random numbers");
            abort();
        }
        at += count;
        size -= (size_t)count;
    }
}

/* Eight digits at once, the highest first in memory: each byte holds one of them, then becomes its letter. */
static inline void put_hex(char *to, uint32_t number)
{
    uint64_t x = __builtin_bswap32(number);
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x >> 4 & 0x000f000f000f000fu) | (x & 0x000f000f000f000fu) << 8;
    uint64_t letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    x += 0x3030303030303030u + letters * ('a' - '0' - 10);
    memcpy(to, &x, sizeof(x));
}

void random_uuid(struct random *random, char text[37])
{
    uint64_t high = random_u64(random), low = random_u64(random);
    high = (high & ~(uint64_t)0xf000) | 0x4000;             /* version 4 */
    low = (low & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62; /* RFC 9562's variant */
    char digits[32];
    put_hex(digits, (uint32_t)(high >> 32));
    put_hex(digits + 8, (uint32_t)high);
    put_hex(digits + 16, (uint32_t)(low >> 32));
    put_hex(digits + 24, (uint32_t)low);
    memcpy(text, digits, 8);
    memcpy(text + 9, digits + 8, 4);
    memcpy(text + 14, digits + 12, 4);
    memcpy(text + 19, digits + 16, 4);
    memcpy(text + 24, digits + 20, 12);
    text[8] = text[13] = text[18] = text[23] = '-';
    text[36] = '\0';
}
