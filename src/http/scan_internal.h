/*
 * scan_internal: the fast search for the bytes that end things.
 */
#pragma once

#include "base/attributes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool is_control(uint8_t byte)
{
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

/* The offset of the first control character but HTAB, or `size`. */
static inline size_t scan_control(const char *data, size_t size)
{
    size_t at = 0;
#ifdef __SSE2__
    const __m128i highest = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
                  del = _mm_set1_epi8(0x7f);
    for (; at + 16 <= size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, highest), bytes);
        low = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), low);
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, del)));
        if (hits)
            return at + (size_t)__builtin_ctz(hits);
    }
#endif
    while (at < size && !is_control((uint8_t)data[at]))
        at++;
    return at;
}

/* The offset of `wanted`, or `size`; 16 bytes behind the end may be read. */
static inline size_t scan_byte_padded(const char *data, size_t size, char wanted)
{
#ifdef __SSE2__
    const __m128i all = _mm_set1_epi8(wanted);
    for (size_t at = 0; at < size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, all));
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
