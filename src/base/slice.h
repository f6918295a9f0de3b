/*
 * slice: a borrowed run of bytes. Whoever made it says for how long it holds.
 */
#pragma once

#include "base/attributes.h"

#include <string.h>

struct slice {
    const char *data;
    size_t size;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).size, (s).data ? (s).data : ""

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){(const char *)data, size};
}
static inline struct slice slice_str(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}
static inline bool slice_equals(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool slice_equals_str(struct slice a, const char *text)
{
    return slice_equals(a, slice_str(text));
}
/* Takes the first `size` bytes off the front of `in`; size is at most in->size. */
static inline struct slice slice_take(struct slice *in, size_t size)
{
    struct slice taken = {in->data, size};
    if (size > 0) { /* an empty slice may have no data to add to */
        in->data += size;
        in->size -= size;
    }
    return taken;
}
static inline uint8_t slice_take_byte(struct slice *in)
{
    uint8_t byte = (uint8_t)in->data[0];
    in->data++;
    in->size--;
    return byte;
}
static inline struct slice slice_from(struct slice s, size_t offset)
{
    return offset == 0 ? s : (struct slice){s.data + offset, s.size - offset};
}
/* memcpy for sizes that are mostly small: moves of a fixed size, which may overlap, instead of a call. */
static inline void copy_short(char *to, const char *from, size_t size)
{
    if (size - 8 <= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else if (size - 16 <= 16) {
        memcpy(to, from, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size - 4 <= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    } else if (size - 1 <= 2) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    } else if (size > 0) {
        memcpy(to, from, size);
    }
}
static inline struct slice slice_first(struct slice s, size_t size)
{
    return (struct slice){s.data, size};
}
static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.size >= prefix.size && slice_equals(slice_first(s, prefix.size), prefix);
}
static inline bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.size >= suffix.size && slice_equals(slice_from(s, s.size - suffix.size), suffix);
}

/* ASCII only, as header names and hosts are. */
bool slice_equals_nocase(struct slice a, struct slice b);
/* -1, 0, 1 in byte order, a shorter prefix first. */
int slice_compare(struct slice a, struct slice b);
/* The offset of the first such byte, or s.size. */
size_t slice_find_byte(struct slice s, char byte);
/* The offset of the first occurrence, or SIZE_MAX. */
size_t slice_find(struct slice s, struct slice needle);
/* Without leading and trailing spaces and tabs. */
struct slice slice_trim(struct slice s);
/* Cuts at the first `byte`: *head before it, *tail after it; false (head = s, tail empty) when there is none. */
bool slice_cut(struct slice s, char byte, struct slice *head, struct slice *tail);
/* Valid UTF-8 by RFC 3629: no overlong form, no surrogate, at most U+10FFFF. */
bool slice_is_utf8(struct slice s);
/* Bytes of the valid UTF-8 sequence at the front (1 to 4), or 0 when there is none. */
size_t slice_utf8_length(struct slice s);
/* Whole slice as a decimal number without sign or blank, at most `max`; false otherwise. */
MUST_USE bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value);
MUST_USE bool slice_to_i64(struct slice s, int64_t *value);
/* A NUL-terminated copy on the heap. */
char *slice_to_str(struct slice s) __attribute__((malloc, returns_nonnull));
