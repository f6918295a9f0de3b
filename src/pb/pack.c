#include "pb/pack_internal.h"

#include "pb/field_internal.h"
#include "pb/type.h"

#include <stdlib.h>

enum { FIRST_SIZE = 512 };

static void make_room(struct packer *p, size_t size)
{
    size_t used = p->size - p->start;
    size_t wanted = MAX(used + size, (size_t)FIRST_SIZE);
    size_t grown = MAX(wanted, 2 * p->size);
    uint8_t *bytes = mem_alloc(grown);
    if (used)
        memcpy(bytes + grown - used, p->bytes + p->start, used);
    mem_free(p->bytes);
    *p = (struct packer){bytes, grown - used, grown};
}

static void put(struct packer *p, const void *data, size_t size)
{
    if (p->start < size)
        make_room(p, size);
    p->start -= size;
    if (size)
        memcpy(p->bytes + p->start, data, size);
}

static void put_varint(struct packer *p, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;
    do {
        bytes[size] = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        size++;
        value >>= 7;
    } while (value);
    put(p, bytes, size);
}

static void put_tag(struct packer *p, uint32_t number, ProtobufCWireType wire)
{
    put_varint(p, (uint64_t)number << 3 | wire);
}

static ProtobufCWireType put_value(struct packer *p, const void *member, ProtobufCType type);

static void put_message(struct packer *p, const ProtobufCMessage *message)
{
    size_t end = p->size - p->start;
    if (message)
        pack_message(p, message);
    put_varint(p, p->size - p->start - end);
}

static ProtobufCWireType put_bytes(struct packer *p, const void *data, size_t size)
{
    put(p, data, size);
    put_varint(p, size);
    return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

static ProtobufCWireType put_number(struct packer *p, const void *member, ProtobufCType type)
{
    int32_t narrow = 0;
    int64_t wide = 0;
    size_t size = field_size(type);
    if (size == 4)
        memcpy(&narrow, member, 4);
    else
        memcpy(&wide, member, 8);
    switch (type) {
    case PROTOBUF_C_TYPE_SINT32:
        put_varint(p, ((uint32_t)narrow << 1) ^ (uint32_t)(narrow >> 31));
        break;
    case PROTOBUF_C_TYPE_SINT64:
        put_varint(p, ((uint64_t)wide << 1) ^ (uint64_t)(wide >> 63));
        break;
    case PROTOBUF_C_TYPE_UINT32: put_varint(p, (uint32_t)narrow); break;
    case PROTOBUF_C_TYPE_BOOL: put_varint(p, narrow != 0); break;
    default: put_varint(p, size == 4 ? (uint64_t)(int64_t)narrow : (uint64_t)wide); break;
    }
    return PROTOBUF_C_WIRE_TYPE_VARINT;
}

static ProtobufCWireType put_value(struct packer *p, const void *member, ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT: put(p, member, 4); return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: put(p, member, 8); return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(const char *const *)member;
        return put_bytes(p, text, text ? strlen(text) : 0);
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = member;
        return put_bytes(p, bytes->data, bytes->len);
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        put_message(p, *(const ProtobufCMessage *const *)member);
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM: return put_number(p, member, type);
    }
    return PROTOBUF_C_WIRE_TYPE_VARINT;
}

static int64_t key_number(const void *member, ProtobufCType type)
{
    int32_t narrow = 0;
    int64_t wide = 0;
    if (field_size(type) == 8) {
        memcpy(&wide, member, 8);
        return wide;
    }
    memcpy(&narrow, member, 4);
    return type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_FIXED32
               ? (int64_t)(uint32_t)narrow
               : narrow;
}

int pack_compare_keys(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCFieldDescriptor *key = &a->descriptor->fields[0];
    const void *x = field_member(a, key), *y = field_member(b, key);
    if (key->type == PROTOBUF_C_TYPE_STRING) {
        const char *left = *(const char *const *)x, *right = *(const char *const *)y;
        return strcmp(left ? left : "", right ? right : "");
    }
    int64_t left = key_number(x, key->type), right = key_number(y, key->type);
    bool natural = key->type == PROTOBUF_C_TYPE_UINT64 || key->type == PROTOBUF_C_TYPE_FIXED64;
    if (natural && (left < 0) != (right < 0)) /* from 2^63 on */
        return left < 0 ? 1 : -1;
    return left < right ? -1 : left > right;
}

/* The array keeps the order in which equal keys came: their places in it break the tie. */
struct sorted {
    const ProtobufCMessage *entry;
    size_t place;
};

static int compare_sorted(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    int order = pack_compare_keys(x->entry, y->entry);
    return order ? order : x->place < y->place ? -1 : 1;
}

size_t pack_sort_map(const ProtobufCMessage **entries, size_t count)
{
    if (count < 2)
        return count;
    struct sorted *sorted = mem_calloc(count, sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct sorted){entries[i], i};
    qsort(sorted, count, sizeof(*sorted), compare_sorted);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || pack_compare_keys(sorted[i].entry, sorted[i + 1].entry) != 0)
            entries[kept++] = sorted[i].entry;
    mem_free(sorted);
    return kept;
}

/* Key and value are always written, as protobuf's own writers do. */
static void put_entry(struct packer *p, const ProtobufCMessage *entry)
{
    for (unsigned i = 2; i-- > 0;) {
        const ProtobufCFieldDescriptor *field = &entry->descriptor->fields[i];
        ProtobufCWireType wire = put_value(p, field_member(entry, field), field->type);
        put_tag(p, field->id, wire);
    }
}

static void put_map(struct packer *p, const ProtobufCFieldDescriptor *field,
                    const ProtobufCMessage *const *items, size_t count)
{
    const ProtobufCMessage **entries = mem_calloc(count, sizeof(*entries));
    memcpy(entries, items, count * sizeof(*entries));
    for (size_t left = pack_sort_map(entries, count); left-- > 0;) {
        size_t end = p->size - p->start;
        put_entry(p, entries[left]);
        put_varint(p, p->size - p->start - end);
        put_tag(p, field->id, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    }
    mem_free(entries);
}

static void put_repeated(struct packer *p, const ProtobufCMessage *message,
                         const ProtobufCFieldDescriptor *field, bool map)
{
    size_t count = field_count(message, field), size = field_size(field->type);
    const char *items = *(const char *const *)field_member(message, field);
    if (count == 0)
        return;
    if (map) {
        put_map(p, field, (const ProtobufCMessage *const *)(const void *)items, count);
        return;
    }
    bool packed = field->flags & PROTOBUF_C_FIELD_FLAG_PACKED;
    size_t end = p->size - p->start;
    for (size_t i = count; i-- > 0;) {
        ProtobufCWireType wire = put_value(p, items + i * size, field->type);
        if (!packed)
            put_tag(p, field->id, wire);
    }
    if (packed) {
        put_varint(p, p->size - p->start - end);
        put_tag(p, field->id, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    }
}

static void put_unknown(struct packer *p, const ProtobufCMessage *message)
{
    for (unsigned i = message->n_unknown_fields; i-- > 0;) {
        const ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
        put(p, field->data, field->len);
        put_tag(p, field->tag, field->wire_type);
    }
}

void pack_message(struct packer *p, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const struct pb_type *type = pb_type_of(descriptor);
    put_unknown(p, message);
    for (unsigned i = descriptor->n_fields; i-- > 0;) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        unsigned flags = type ? type->fields[i].flags : 0;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            put_repeated(p, message, field, flags & FIELD_MAP);
        } else if (field_is_set(message, field, flags & FIELD_IMPLICIT)) {
            ProtobufCWireType wire = put_value(p, field_member(message, field), field->type);
            put_tag(p, field->id, wire);
        }
    }
}
