#include "build/builder_internal.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/unserved_internal.h"
#include "pb/any.h"
#include "pb/message.h"
#include "pb/text_in.h"
#include "pb/text_out.h"
#include "pb/type.h"

#include "udpa/type/v1/typed_struct.pb-c.h"
#include "xds/type/v3/typed_struct.pb-c.h"

#include <stdarg.h>
#include <stdlib.h>

void builder_init(struct builder *b, struct table_memory *memory,
                  const struct build_options *options, struct error *error)
{
    *b = (struct builder){.memory = memory, .options = options, .error = error};
    arena_init(&b->scratch, NULL);
}

void builder_fini(struct builder *b)
{
    arena_fini(&b->scratch);
    vector_fini(&b->routes);
    vector_fini(&b->secrets);
    vector_fini(&b->clusters);
    vector_fini(&b->specs);
    vector_fini(&b->tables);
}

static bool enter(struct builder *b, struct place place)
{
    if (b->depth == BUILD_MAX_DEPTH)
        return build_fail(b, "messages nest too deep");
    b->places[b->depth++] = place;
    return true;
}

bool build_enter(struct builder *b, const char *field)
{
    return enter(b, (struct place){.field = field, .index = -1});
}

bool build_enter_at(struct builder *b, const char *field, size_t index)
{
    return enter(b, (struct place){.field = field, .index = (int64_t)index});
}

void build_leave(struct builder *b)
{
    b->depth--;
}

static void write_path(const struct builder *b, const char *field, struct buffer *path)
{
    for (size_t i = 0; i < b->depth; i++) {
        const struct place *place = &b->places[i];
        if (place->is_type) {
            buffer_format(path, "<%s>", place->field);
            continue;
        }
        buffer_format(path, "%s%s", i > 0 ? "." : "", place->field);
        if (place->index >= 0)
            buffer_format(path, "[%ld]", place->index);
    }
    if (field)
        buffer_format(path, "%s%s", b->depth > 0 ? "." : "", field);
}

/* The first mistake wins, as in error.h. */
static bool fail(struct builder *b, const char *field, const char *format, va_list args)
{
    if (!b->error || b->error->what)
        return false;
    owned_buffer path = {0}, what = {0};
    write_path(b, field, &path);
    buffer_format_v(&what, format, args);
    return error_set(b->error, "TUL0030", "%s%s%s", path.size > 0 ? path.data : "",
                     path.size > 0 ? ": " : "", what.size > 0 ? what.data : "");
}

bool build_fail(struct builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(b, NULL, format, args);
    va_end(args);
    return false;
}

bool build_fail_at(struct builder *b, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(b, field, format, args);
    va_end(args);
    return false;
}

bool build_ok_at(struct builder *b, const char *field, bool ok)
{
    if (ok)
        return true;
    owned_buffer path = {0};
    write_path(b, field, &path);
    if (path.size > 0)
        error_prefix(b->error, "%s", path.data);
    return false;
}

bool build_ok(struct builder *b, bool ok)
{
    return build_ok_at(b, NULL, ok);
}

static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)message;
    const char *value = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(base + field->quantifier_offset) > 0;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING) {
        const void *pointer = *(const void *const *)(const void *)value;
        if (!pointer)
            return false;
        return field->type == PROTOBUF_C_TYPE_MESSAGE || *(const char *)pointer != '\0';
    }
    if (field->quantifier_offset)
        return *(const protobuf_c_boolean *)(const void *)(base + field->quantifier_offset);
    return true;
}

/* A scalar that says what holds anyway asks for nothing: false, zero, the first value of an enum. */
static bool is_zero(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *value = (const char *)message + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return false;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL: return !*(const protobuf_c_boolean *)value;
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: return *(const uint32_t *)value == 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: return *(const uint64_t *)value == 0;
    case PROTOBUF_C_TYPE_BYTES: return ((const ProtobufCBinaryData *)value)->len == 0;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return false;
    }
    return false;
}

static bool is_among(const char *name, const char *const *fields)
{
    for (; *fields; fields++) {
        if (strcmp(name, *fields) == 0)
            return true;
    }
    return false;
}

bool build_honours_fields(struct builder *b, const ProtobufCMessage *message,
                          const char *const *fields)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (is_set(message, field) && !is_zero(message, field) && !is_among(field->name, fields))
            return build_fail_at(b, field->name, "this does not act here yet");
    }
    for (unsigned i = 0; i < message->n_unknown_fields; i++) {
        uint32_t number = message->unknown_fields[i].tag;
        const char *name = unserved_field(type->name, number);
        if (name)
            return build_fail_at(b, name, "this does not act here yet");
    }
    return true;
}

const char *build_type_name(const ProtobufCMessage *message)
{
    return message->descriptor->short_name;
}

/* A Struct that stands for a message of another type. */
static void *from_struct(struct builder *b, const char *url, const Google__Protobuf__Struct *object)
{
    const struct pb_type *type = url ? pb_type_by_url(slice_str(url)) : NULL;
    if (!type) {
        build_fail(b, "type \"%s\" is not known", url ? url : "");
        return NULL;
    }
    if (!object)
        return pb_new(&b->scratch, type->descriptor);
    struct problems problems = {.arena = &b->scratch};
    struct value *value = text_encode(&object->base, NULL, &b->scratch);
    void *message = text_decode(value, type->descriptor, TEXT_LENIENT, &problems);
    return build_ok(b, problems_are_none(&problems, b->error)) ? message : NULL;
}

static void *unwrap(struct builder *b, void *message)
{
    const ProtobufCMessageDescriptor *type = ((ProtobufCMessage *)message)->descriptor;
    if (type == &udpa__type__v1__typed_struct__descriptor) {
        const Udpa__Type__V1__TypedStruct *wrapped = message;
        return from_struct(b, wrapped->type_url, wrapped->value);
    }
    if (type == &xds__type__v3__typed_struct__descriptor) {
        const Xds__Type__V3__TypedStruct *wrapped = message;
        return from_struct(b, wrapped->type_url, wrapped->value);
    }
    return message;
}

void *build_any(struct builder *b, const char *field, const Google__Protobuf__Any *any)
{
    if (!build_enter(b, field))
        return NULL;
    void *message = pb_any_unpack(any, NULL, &b->scratch, NULL, b->error);
    if (!build_ok(b, message != NULL) || !(message = unwrap(b, message)))
        return NULL;
    b->places[b->depth - 1] = (struct place){.field = field, .index = -1};
    if (!enter(b, (struct place){.field = build_type_name(message), .index = -1, .is_type = true}))
        return NULL;
    return message;
}

void build_leave_any(struct builder *b)
{
    b->depth -= 2;
}

struct name build_name(struct builder *b, struct slice text)
{
    return name_of(table_memory_copy(b->memory, text));
}

struct slice build_text(struct builder *b, const char *text)
{
    return table_memory_copy(b->memory, slice_str(text));
}

struct name_list build_keep_name_list(struct builder *b, const struct name *items, size_t count)
{
    struct name *kept = build_array(b, struct name, count);
    if (count > 0)
        memcpy(kept, items, count * sizeof(*kept));
    return (struct name_list){kept, count};
}

static int by_hash(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return slice_compare(x->text, y->text);
}

struct name_list build_keep_unique(struct builder *b, struct name *items, size_t count)
{
    size_t kept = 0;
    if (count > 0)
        qsort(items, count, sizeof(*items), by_hash);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !name_equals(&items[kept - 1], &items[i]))
            items[kept++] = items[i];
    }
    return build_keep_name_list(b, items, kept);
}

struct tls_spec_list build_keep_specs(struct builder *b)
{
    struct tls_spec **kept = build_array(b, struct tls_spec *, b->specs.count);
    for (size_t i = 0; i < b->specs.count; i++)
        kept[i] = b->specs.items[i];
    return (struct tls_spec_list){kept, b->specs.count};
}
