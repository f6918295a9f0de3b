/*
 * field: where protobuf-c keeps a field of a message, whatever its type.
 */
#pragma once

#include "base/attributes.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>

static inline const void *field_member(const ProtobufCMessage *message,
                                       const ProtobufCFieldDescriptor *field)
{
    return (const char *)message + field->offset;
}
static inline void *field_member_mutable(ProtobufCMessage *message,
                                         const ProtobufCFieldDescriptor *field)
{
    return (char *)message + field->offset;
}
/* The count of a repeated field, the case of a oneof, or has_x. */
static inline size_t field_count(const ProtobufCMessage *message,
                                 const ProtobufCFieldDescriptor *field)
{
    return *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
}
static inline uint32_t field_case(const ProtobufCMessage *message,
                                  const ProtobufCFieldDescriptor *field)
{
    return *(const uint32_t *)(const void *)((const char *)message + field->quantifier_offset);
}
static inline bool field_has(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return *(const protobuf_c_boolean *)(const void *)((const char *)message +
                                                       field->quantifier_offset);
}

/* Whether the field has a has_x beside it. */
static inline bool field_has_flag(const ProtobufCFieldDescriptor *field)
{
    return field->label == PROTOBUF_C_LABEL_OPTIONAL &&
           !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
           field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING;
}

/* The bytes that one element takes in memory. */
static inline size_t field_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM: return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    }
    return 0;
}

/* An empty string, no bytes, no message, or a zero. */
static inline bool field_is_zero(const void *member, ProtobufCType type)
{
    static const char zero[sizeof(ProtobufCBinaryData)];
    if (type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)member;
        return !text || !*text;
    }
    if (type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)member)->len == 0;
    return memcmp(member, zero, field_size(type)) == 0;
}

/*
 * Whether a singular field is there: by its oneof, its has_x or its pointer. A field of implicit presence is there
 * unless it is zero, which the caller asks with `implicit`.
 */
static inline bool field_is_set(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field, bool implicit)
{
    const void *member = field_member(message, field);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return field_case(message, field) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(const void *const *)member != NULL;
    if (implicit || field->label == PROTOBUF_C_LABEL_NONE)
        return !field_is_zero(member, field->type) &&
               (field->label != PROTOBUF_C_LABEL_OPTIONAL ||
                field->type == PROTOBUF_C_TYPE_STRING || field_has(message, field));
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return *(const void *const *)member != NULL;
    return field->label == PROTOBUF_C_LABEL_REQUIRED || field_has(message, field);
}
