/*
 * buffer: a growing string on the heap, for text that we make ourselves (logs, JSON, scrapes).
 *
 * Zeroed = empty. Always NUL-terminated once something was appended.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

#include <stdarg.h>

struct buffer {
    char *data;
    size_t size;
    size_t capacity;
};

void buffer_fini(struct buffer *buffer);
#define owned_buffer __attribute__((cleanup(buffer_fini))) struct buffer
/* Empties it and keeps the memory. */
void buffer_reset(struct buffer *buffer);
/* Room for `extra` more bytes at buffer->data + buffer->size. */
char *buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_append_slice(struct buffer *buffer, struct slice bytes);
void buffer_append_str(struct buffer *buffer, const char *text);
void buffer_append_byte(struct buffer *buffer, char byte);
void buffer_append_u64(struct buffer *buffer, uint64_t value);
void buffer_format(struct buffer *buffer, const char *format, ...) PRINTF(2, 3);
void buffer_format_v(struct buffer *buffer, const char *format, va_list args);
/* With JSON's escapes, without the quotes; bytes that are not UTF-8 become U+FFFD. */
void buffer_append_json(struct buffer *buffer, struct slice text);
/* Base64 (RFC 4648), padded; url = the alphabet of section 5 without padding. */
void buffer_append_base64(struct buffer *buffer, struct slice bytes, bool url);
/* What a character of that stands for, 0 to 63; -1: it is none of the alphabet. */
int base64_value(char c, bool url);
bool buffer_equals(const struct buffer *buffer, const char *text);
static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_of(buffer->data, buffer->size);
}
/* The string itself, owned by the caller; the buffer is empty afterwards. Never NULL. */
char *buffer_take(struct buffer *buffer);
/* Whole file, refused (-EFBIG) over `limit` bytes; 0 or a negative errno. */
MUST_USE int buffer_read_file(struct buffer *buffer, const char *path, size_t limit);
