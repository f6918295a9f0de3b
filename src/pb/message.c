#include "pb/message.h"

#include "pb/codec.h"
#include "pb/field_internal.h"

void *pb_new(struct arena *arena, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = arena_calloc(arena, 1, type->sizeof_message);
    type->message_init(message);
    return message;
}

void *pb_grow(struct arena *arena, void *items, size_t count, size_t item_size)
{
    if (count & (count - 1))
        return items; /* between two powers of two there is room */
    char *grown = arena_calloc(arena, count ? 2 * count : 1, item_size);
    if (count)
        memcpy(grown, items, count * item_size);
    return grown;
}

/* Replaces what a member points to by a copy in the arena; numbers are copied already. */
static void copy_member(void *member, ProtobufCType type, struct arena *arena)
{
    if (type == PROTOBUF_C_TYPE_STRING) {
        char **text = member;
        if (*text)
            *text = arena_copy_str(arena, *text);
    } else if (type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData *bytes = member;
        if (bytes->len)
            bytes->data = (uint8_t *)arena_copy(arena, pb_bytes(*bytes));
    } else if (type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage **message = member;
        if (*message)
            *message = pb_copy(*message, arena);
    }
}

static void copy_repeated(ProtobufCMessage *copy, const ProtobufCFieldDescriptor *field,
                          struct arena *arena)
{
    size_t count = field_count(copy, field), size = field_size(field->type);
    void **items = field_member_mutable(copy, field);
    if (count == 0) {
        *items = NULL;
        return;
    }
    /* Room up to the next power of two, so that PB_APPEND may go on. */
    size_t room = 1;
    while (room < count)
        room *= 2;
    char *copied = arena_calloc(arena, room, size);
    memcpy(copied, *items, count * size);
    for (size_t i = 0; i < count; i++)
        copy_member(copied + i * size, field->type, arena);
    *items = copied;
}

static void copy_unknown(ProtobufCMessage *copy, struct arena *arena)
{
    if (copy->n_unknown_fields == 0)
        return;
    ProtobufCMessageUnknownField *fields =
        arena_calloc(arena, copy->n_unknown_fields, sizeof(*fields));
    for (unsigned i = 0; i < copy->n_unknown_fields; i++) {
        fields[i] = copy->unknown_fields[i];
        fields[i].data = (uint8_t *)arena_copy(arena, slice_of(fields[i].data, fields[i].len));
    }
    copy->unknown_fields = fields;
}

void *pb_copy(const ProtobufCMessage *message, struct arena *arena)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    ProtobufCMessage *copy = arena_calloc(arena, 1, type->sizeof_message);
    memcpy(copy, message, type->sizeof_message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            copy_repeated(copy, field, arena);
        else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
                 field_case(copy, field) == field->id)
            copy_member(field_member_mutable(copy, field), field->type, arena);
    }
    copy_unknown(copy, arena);
    return copy;
}

bool pb_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a->descriptor != b->descriptor)
        return false;
    owned_buffer left = {0}, right = {0};
    pb_pack(a, &left);
    pb_pack(b, &right);
    return slice_equals(buffer_slice(&left), buffer_slice(&right));
}
