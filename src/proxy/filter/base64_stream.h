/*
 * base64_stream: base64 as gRPC-Web's text form has it: in any cut, and padded wherever the sender flushed.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"

#include <stdint.h>

struct base64_reader {
    uint32_t bits;   /* of the group under way */
    uint8_t count;   /* its characters */
    uint8_t padding; /* of them '=' */
};

/* Appends what the characters say. False: one of them has no place there. */
MUST_USE bool base64_read(struct base64_reader *reader, struct slice text, struct buffer *out);
/* A group has begun and is not whole. */
static inline bool base64_is_amid(const struct base64_reader *reader)
{
    return reader->count > 0;
}
