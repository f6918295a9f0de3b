/*
 * header_internal: finding a name's id, inline for the parsers.
 */
#pragma once

#include "http/header.h"
#include "http/header_slots.h"
#include "http/scan_internal.h"

enum { HEADER_NAME_ROOM = 40 };

struct header_entry {
    char text[HEADER_NAME_ROOM]; /* lower case, zero-padded */
    uint8_t size;
    bool is_own; /* about the framing or the connection: a codec takes it for itself */
    uint8_t id;
    uint16_t first; /* a bit for each of its first 16 bytes */
    char padding[2];
};
_Static_assert(sizeof(struct header_entry) == 48, "found by a shift and an addition");
extern const struct header_entry header_entries[HEADER_IDS];
extern const uint8_t header_slots[1u << (32 - HEADER_HASH_SHIFT)];

static inline uint64_t load_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Names are in any case in HTTP/1, and in lower case in HTTP/2. */
enum name_case { NAME_ANY_CASE, NAME_LOWER_CASE };

/* 0x20 may differ only where `lower` holds a letter, which has 0x40 set. */
static inline bool words_equal(uint64_t word, uint64_t lower, enum name_case name_case)
{
    uint64_t case_bits = name_case == NAME_ANY_CASE ? (lower & 0x4040404040404040u) >> 1 : 0;
    return ((word ^ lower) & ~case_bits) == 0;
}

/* At most 7 bytes as one word; the halves of 4 to 7 bytes overlap. */
static inline uint64_t load_short(const char *at, size_t size)
{
    if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, at, sizeof(low));
        memcpy(&high, at + size - 4, sizeof(high));
        return low | (uint64_t)high << 32;
    }
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word = word << 8 | (uint8_t)at[i];
    return word;
}

static inline bool name_equals(const char *name, const char *lower, size_t size,
                               enum name_case name_case)
{
    if (size < 8)
        return words_equal(load_short(name, size), load_short(lower, size), name_case);
    for (size_t at = 0; at + 8 < size; at += 8)
        if (!words_equal(load_word(name + at), load_word(lower + at), name_case))
            return false;
    return words_equal(load_word(name + size - 8), load_word(lower + size - 8), name_case);
}

/* Four bytes with 0x20 set, which lower-cases letters and leaves digits and "-" alone. */
static inline uint32_t load_lower(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word | 0x20202020u;
}

static inline uint32_t header_slot_of(const char *name, size_t size)
{
    uint32_t middle, last;
    if (LIKELY(size >= 4)) {
        middle = load_lower(name + size / 2 - 2);
        last = load_lower(name + size - 4);
    } else {
        middle = last = (uint32_t)load_short(name, size) | 0x20202020u;
    }
    uint32_t key = middle * HEADER_HASH_MIDDLE + last * HEADER_HASH_LAST + (uint32_t)size;
    return key * HEADER_HASH_LAST >> HEADER_HASH_SHIFT;
}

static inline enum header_id header_id_find(const char *name, size_t size, enum name_case name_case)
{
    if (UNLIKELY(size - 1 >= HEADER_NAME_ROOM))
        return HEADER_OTHER;
    uint8_t id = header_slots[header_slot_of(name, size)];
    const struct header_entry *entry = &header_entries[id];
    if (entry->size != size || !name_equals(name, entry->text, size, name_case))
        return HEADER_OTHER;
    return (enum header_id)id;
}

/* The entry of a name where 16 bytes can be read from it on; that of HEADER_OTHER when it has none. */
static inline const struct header_entry *header_entry_padded(const char *name, size_t size)
{
#ifdef __SSE2__
    if (UNLIKELY(size - 1 >= SCAN_BYTES))
        return &header_entries[header_id_find(name, size, NAME_ANY_CASE)];
    const struct header_entry *entry = &header_entries[header_slots[header_slot_of(name, size)]];
    __m128i lower = scan_load(entry->text), differs = _mm_xor_si128(scan_load(name), lower);
    __m128i case_bits = _mm_srli_epi16(_mm_and_si128(lower, _mm_set1_epi8(0x40)), 1);
    unsigned same = scan_bits(scan_equal(_mm_andnot_si128(case_bits, differs), 0));
    bool is_it = entry->size == size && (~same & entry->first) == 0;
    return LIKELY(is_it) ? entry : &header_entries[HEADER_OTHER];
#else
    return &header_entries[header_id_find(name, size, NAME_ANY_CASE)];
#endif
}

static inline void headers_mark(struct headers *headers, unsigned id)
{
    headers->known[id / 64] |= (uint64_t)1 << (id % 64);
}

/* 1 for the characters of a token (RFC 9110 5.6.2). */
extern const uint8_t token_bytes[256];
static inline bool is_token(const char *bytes, size_t size)
{
    uint8_t all = size > 0;
    for (size_t i = 0; i < size; i++)
        all &= token_bytes[(uint8_t)bytes[i]];
    return all;
}
/* A name that reads as a known one when "_" is "-": some back ends take it for that. */
bool header_is_twin(const char *name, size_t size);

static inline bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}
