/*
 * wire: the few protobuf bytes that are written here by hand, because the rest of the message is shared.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum wire_tag {
    WIRE_FIELD_1 = 0x0a, /* length-delimited */
    WIRE_FIELD_2 = 0x12,
    WIRE_FIELD_3 = 0x1a,
    WIRE_FIELD_4 = 0x22,
    WIRE_FIELD_5 = 0x2a,
    WIRE_FIELD_6 = 0x32,
    WIRE_FIELD_7 = 0x3a,
};

static inline size_t wire_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}
static inline char *wire_put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}
/* Tag, length and `size` bytes. */
static inline size_t wire_field_size(size_t size)
{
    return 1 + wire_varint_size(size) + size;
}
static inline char *wire_put_head(char *at, enum wire_tag tag, size_t size)
{
    *at++ = (char)tag;
    return wire_put_varint(at, size);
}
static inline char *wire_put_field(char *at, enum wire_tag tag, struct slice bytes)
{
    at = wire_put_head(at, tag, bytes.size);
    if (bytes.size > 0)
        memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}
