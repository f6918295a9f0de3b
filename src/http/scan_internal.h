/*
 * scan_internal: the fast search for the bytes that end things: 16 at a time where the machine can, one by one
 * elsewhere. Unless a name says "padded" nothing behind `size` is read.
 */
#pragma once

#include "base/attributes.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
enum { SCAN_BYTES = 16 };

static inline __m128i scan_load(const char *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}
/* All of 4 to 15 bytes in one register: the halves overlap. */
static inline __m128i scan_load_short(const char *data, size_t size)
{
    if (size >= 8)
        return _mm_unpacklo_epi64(
            _mm_loadl_epi64((const __m128i *)(const void *)data),
            _mm_loadl_epi64((const __m128i *)(const void *)(data + size - 8)));
    int first, last;
    memcpy(&first, data, sizeof(first));
    memcpy(&last, data + size - 4, sizeof(last));
    return _mm_set_epi32(first, last, first, last);
}
static inline unsigned scan_bits(__m128i bytes)
{
    return (unsigned)_mm_movemask_epi8(bytes);
}
static inline __m128i scan_at_most(__m128i bytes, uint8_t most)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8((char)most)), bytes);
}
static inline __m128i scan_equal(__m128i bytes, uint8_t byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)byte));
}
#endif

static inline uint16_t load_pair(const char *at)
{
    uint16_t pair;
    memcpy(&pair, at, sizeof(pair));
    return pair;
}

static inline bool is_control(uint8_t byte)
{
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

/* Defines the search for the first byte of a kind: `vector` says which of 16, `single` of one. */
#ifdef __SSE2__
#define SCAN_FOR(name, vector, single)                                                             \
    static inline size_t name(const char *data, size_t size)                                       \
    {                                                                                              \
        size_t at = 0;                                                                             \
        for (; at + SCAN_BYTES <= size; at += SCAN_BYTES) {                                        \
            unsigned hits = vector(scan_load(data + at));                                          \
            if (hits)                                                                              \
                return at + (size_t)__builtin_ctz(hits);                                           \
        }                                                                                          \
        if (size >= SCAN_BYTES && at < size) {                                                     \
            /* The last load overlaps the one before. */                                           \
            at = size - SCAN_BYTES;                                                                \
            unsigned hits = vector(scan_load(data + at));                                          \
            return hits ? at + (size_t)__builtin_ctz(hits) : size;                                 \
        }                                                                                          \
        if (size >= 4 && size < SCAN_BYTES && LIKELY(!vector(scan_load_short(data, size))))        \
            return size;                                                                           \
        while (at < size && !single((uint8_t)data[at]))                                            \
            at++;                                                                                  \
        return at;                                                                                 \
    }
#else
#define SCAN_FOR(name, vector, single)                                                             \
    static inline size_t name(const char *data, size_t size)                                       \
    {                                                                                              \
        size_t at = 0;                                                                             \
        while (at < size && !single((uint8_t)data[at]))                                            \
            at++;                                                                                  \
        return at;                                                                                 \
    }
#endif

#ifdef __SSE2__
static inline unsigned controls_among(__m128i bytes)
{
    __m128i low = _mm_andnot_si128(scan_equal(bytes, '\t'), scan_at_most(bytes, 0x1f));
    return scan_bits(_mm_or_si128(low, scan_equal(bytes, 0x7f)));
}
static inline unsigned breaks_among(__m128i bytes)
{
    return scan_bits(_mm_or_si128(scan_at_most(bytes, 0x20), scan_equal(bytes, 0x7f)));
}
#endif

static inline bool is_break(uint8_t byte)
{
    return byte <= 0x20 || byte == 0x7f;
}

/* The offset of the first control character but HTAB, or `size`. */
SCAN_FOR(scan_control, controls_among, is_control)
/* The same, and blanks too: what would end a word. */
SCAN_FOR(scan_break, breaks_among, is_break)

/* Whether no such byte is in 8: the usual tricks with a borrow out of each byte that is too small. */
static inline bool has_no_break(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t del = word ^ (ones * 0x7f);
    return (((word - ones * 0x21) & ~word) | ((del - ones) & ~del)) & high ? false : true;
}

/* A word in the sense of a request line; texts are mostly short. */
static inline bool is_one_word(const char *data, size_t size)
{
    if (size >= 8 && size < 32) {
        uint64_t word;
        for (size_t at = 0; at + 8 < size; at += 8) {
            memcpy(&word, data + at, sizeof(word));
            if (!has_no_break(word))
                return false;
        }
        memcpy(&word, data + size - 8, sizeof(word));
        return has_no_break(word);
    }
    if (size < 8) {
        while (size > 0 && !is_break((uint8_t)data[size - 1]))
            size--;
        return size == 0;
    }
    return scan_break(data, size) == size;
}

/* The offset of `wanted`, or `size`; 16 bytes behind the end may be read. */
static inline size_t scan_byte_padded(const char *data, size_t size, char wanted)
{
#ifdef __SSE2__
    for (size_t at = 0; at < size; at += SCAN_BYTES) {
        unsigned hits = scan_bits(scan_equal(scan_load(data + at), (uint8_t)wanted));
        if (hits) {
            size_t found = at + (size_t)__builtin_ctz(hits);
            return found < size ? found : size;
        }
    }
    return size;
#else
    size_t at = 0;
    while (at < size && data[at] != wanted)
        at++;
    return at;
#endif
}
