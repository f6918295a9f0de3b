#include "base/slice.h"

#include "base/memory.h"

static inline uint8_t lower(char byte)
{
    uint8_t b = (uint8_t)byte;
    return (uint8_t)(b | ((uint8_t)(b - 'A') < 26) << 5);
}

bool slice_equals_nocase(struct slice a, struct slice b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

int slice_compare(struct slice a, struct slice b)
{
    size_t shared = MIN(a.size, b.size);
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;
    if (order == 0)
        return (a.size > b.size) - (a.size < b.size);
    return order < 0 ? -1 : 1;
}

size_t slice_find_byte(struct slice s, char byte)
{
    const char *at = s.size > 0 ? memchr(s.data, byte, s.size) : NULL;
    return at ? (size_t)(at - s.data) : s.size;
}

size_t slice_find(struct slice s, struct slice needle)
{
    if (needle.size == 0)
        return 0;
    if (needle.size > s.size)
        return SIZE_MAX;
    const char *at = memmem(s.data, s.size, needle.data, needle.size);
    return at ? (size_t)(at - s.data) : SIZE_MAX;
}

static inline bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.size > 0 && is_blank(s.data[0]))
        s = slice_from(s, 1);
    while (s.size > 0 && is_blank(s.data[s.size - 1]))
        s.size--;
    return s;
}

bool slice_cut(struct slice s, char byte, struct slice *head, struct slice *tail)
{
    size_t at = slice_find_byte(s, byte);
    *head = slice_first(s, at);
    if (at == s.size) {
        *tail = SLICE_NONE;
        return false;
    }
    *tail = slice_from(s, at + 1);
    return true;
}

/* The second byte of a sequence carries all the special cases of RFC 3629 section 4. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0], low = 0x80, high = 0xbf;
    size_t length;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf) {
        length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        length = 3;
        low = lead == 0xe0 ? 0xa0 : low;
        high = lead == 0xed ? 0x9f : high;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        length = 4;
        low = lead == 0xf0 ? 0x90 : low;
        high = lead == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (length > left || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

size_t slice_utf8_length(struct slice s)
{
    return s.size > 0 ? utf8_sequence((const uint8_t *)s.data, s.size) : 0;
}

bool slice_is_utf8(struct slice s)
{
    const uint8_t *at = (const uint8_t *)s.data;
    size_t left = s.size;
    while (left > 0) {
        uint64_t word;
        while (left >= sizeof(word)) {
            memcpy(&word, at, sizeof(word));
            if (word & 0x8080808080808080u)
                break;
            at += sizeof(word);
            left -= sizeof(word);
        }
        if (left == 0)
            break;
        size_t length = utf8_sequence(at, left);
        if (length == 0)
            return false;
        at += length;
        left -= length;
    }
    return true;
}

bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value)
{
    if (s.size == 0)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < s.size; i++) {
        unsigned digit = (unsigned)(uint8_t)s.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)digit, &sum))
            return false;
    }
    if (sum > max)
        return false;
    *value = sum;
    return true;
}

bool slice_to_i64(struct slice s, int64_t *value)
{
    bool negative = s.size > 0 && s.data[0] == '-';
    uint64_t magnitude, max = (uint64_t)INT64_MAX + negative;
    if (!slice_to_u64(negative ? slice_from(s, 1) : s, max, &magnitude))
        return false;
    *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

char *slice_to_str(struct slice s)
{
    return str_copy_n(s.data, s.size);
}
