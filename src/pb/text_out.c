#include "pb/text_out.h"

#include "base/memory.h"
#include "pb/any.h"
#include "pb/field_internal.h"
#include "pb/message.h"
#include "pb/number_internal.h"
#include "pb/pack_internal.h"
#include "pb/time_form_internal.h"
#include "pb/type.h"

#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "k8s/intstr.pb-c.h"
#include "k8s/meta_v1.pb-c.h"
#include "k8s/resource.pb-c.h"
#include "k8s/runtime.pb-c.h"

#include <math.h>

struct text_out {
    const struct text_style *style;
    struct arena *arena;
    size_t depth;  /* of values */
    bool redacted; /* within a secret field */
};

static struct value *write_message(struct text_out *out, const ProtobufCMessage *message,
                                   enum json_form form);
static struct value *write_any_value(struct text_out *out, const Google__Protobuf__Value *value);

static struct value *new_text(struct text_out *out, const char *text)
{
    return value_new_string(out->arena, slice_str(pb_str(text)));
}

static struct value *write_real(struct text_out *out, double number, const char *text)
{
    if (isnan(number))
        return new_text(out, "NaN");
    if (isinf(number))
        return new_text(out, number > 0 ? "Infinity" : "-Infinity");
    return value_new_number(out->arena, slice_str(text));
}

static struct value *write_bytes(struct text_out *out, struct slice bytes)
{
    owned_buffer text = {0};
    buffer_append_base64(&text, bytes, false);
    return value_new_string(out->arena, buffer_slice(&text));
}

/* 64-bit numbers are strings in protobuf's JSON, and numbers in Kubernetes'. */
static struct value *write_wide(struct text_out *out, struct value *number, unsigned flags)
{
    return flags & FIELD_NUMBER_64 ? number : value_new_string(out->arena, number->text);
}

static struct value *write_enum(struct text_out *out, const ProtobufCEnumDescriptor *type,
                                int number)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, number);
    return known ? new_text(out, known->name) : value_new_i64(out->arena, number);
}

static struct value *write_scalar(struct text_out *out, const void *member,
                                  const ProtobufCFieldDescriptor *field, unsigned flags)
{
    struct arena *arena = out->arena;
    char text[32];
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: return value_new_i64(arena, *(const int32_t *)member);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: return value_new_u64(arena, *(const uint32_t *)member);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return write_wide(out, value_new_i64(arena, *(const int64_t *)member), flags);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return write_wide(out, value_new_u64(arena, *(const uint64_t *)member), flags);
    case PROTOBUF_C_TYPE_FLOAT: {
        float number = *(const float *)member;
        number_write_float(number, text);
        return write_real(out, (double)number, text);
    }
    case PROTOBUF_C_TYPE_DOUBLE: {
        double number = *(const double *)member;
        number_write_double(number, text);
        return write_real(out, number, text);
    }
    case PROTOBUF_C_TYPE_BOOL: return value_new_bool(arena, *(const protobuf_c_boolean *)member);
    case PROTOBUF_C_TYPE_ENUM: return write_enum(out, field->descriptor, *(const int *)member);
    case PROTOBUF_C_TYPE_STRING:
        return new_text(out, out->redacted ? "[redacted]" : *(const char *const *)member);
    case PROTOBUF_C_TYPE_BYTES:
        return out->redacted ? new_text(out, "[redacted]")
                             : write_bytes(out, pb_bytes(*(const ProtobufCBinaryData *)member));
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    return NULL;
}

static struct value *write_value(struct text_out *out, const void *member,
                                 const ProtobufCFieldDescriptor *field,
                                 const struct pb_field *table)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return write_scalar(out, member, field, table->flags);
    const ProtobufCMessage *message = *(const ProtobufCMessage *const *)member;
    if (!message) /* a map's entry without a value, which is an empty one */
        message = pb_new(out->arena, field->descriptor);
    return write_message(out, message, table->json_form);
}

static struct value *write_list(struct text_out *out, const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field, const struct pb_field *table)
{
    struct value *list = value_new(out->arena, VALUE_LIST);
    const char *items = *(const char *const *)field_member(message, field);
    for (size_t i = 0; i < field_count(message, field); i++)
        value_append(list, write_value(out, items + i * field_size(field->type), field, table));
    return list;
}

/* In order of key. Keys are text in JSON, whatever their type. */
static struct value *write_map(struct text_out *out, const ProtobufCMessage *message,
                               const ProtobufCFieldDescriptor *field, const struct pb_field *table)
{
    size_t count = field_count(message, field);
    const ProtobufCMessage **entries = arena_calloc(out->arena, count, sizeof(*entries));
    memcpy(entries, *(void *const *)field_member(message, field), count * sizeof(*entries));
    count = pack_sort_map(entries, count);
    struct value *object = value_new(out->arena, VALUE_OBJECT);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCFieldDescriptor *key = &entries[i]->descriptor->fields[0];
        const ProtobufCFieldDescriptor *content = &entries[i]->descriptor->fields[1];
        bool redacted = out->redacted;
        out->redacted = false;
        struct value *name = write_scalar(out, field_member(entries[i], key), key, 0);
        out->redacted = redacted;
        value_put(out->arena, object, name->text,
                  write_value(out, field_member(entries[i], content), content, table));
    }
    return object;
}

static struct value *write_field(struct text_out *out, const ProtobufCMessage *message,
                                 const ProtobufCFieldDescriptor *field,
                                 const struct pb_field *table)
{
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    if (repeated ? field_count(message, field) == 0
                 : !field_is_set(message, field, table->flags & FIELD_IMPLICIT))
        return NULL;
    bool redacted = out->redacted;
    out->redacted |= table->flags & FIELD_SECRET && !out->style->show_secrets;
    struct value *value = table->flags & FIELD_MAP ? write_map(out, message, field, table)
                          : repeated               ? write_list(out, message, field, table)
                                     : write_value(out, field_member(message, field), field, table);
    out->redacted = redacted;
    return value;
}

static void write_fields(struct text_out *out, const ProtobufCMessage *message,
                         struct value *object)
{
    const struct pb_type *type = pb_type_of(message->descriptor);
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        struct value *value = write_field(out, message, field, &type->fields[i]);
        if (value)
            value_put(
                out->arena, object,
                slice_str(out->style->original_names ? field->name : pb_field_json_name(type, i)),
                value);
    }
}

/* With the fields of what it holds; as base64 when that is unknown, broken, or nested without end. */
static struct value *write_any(struct text_out *out, const Google__Protobuf__Any *any)
{
    struct value *object = value_new(out->arena, VALUE_OBJECT);
    if (!any->type_url || !*any->type_url)
        return object;
    value_put(out->arena, object, SLICE("@type"), new_text(out, any->type_url));
    ProtobufCMessage *message = NULL;
    if (out->depth < DOCUMENT_MAX_DEPTH / 2)
        message = pb_any_unpack(any, NULL, out->arena, NULL, NULL);
    if (!message)
        value_put(out->arena, object, SLICE("value"), write_bytes(out, pb_bytes(any->value)));
    else if (pb_type_of(message->descriptor)->json_form == JSON_PLAIN)
        write_fields(out, message, object);
    else
        value_put(out->arena, object, SLICE("value"), write_message(out, message, JSON_PLAIN));
    return object;
}

static struct value *write_struct(struct text_out *out, const Google__Protobuf__Struct *object)
{
    size_t count = object->n_fields;
    const ProtobufCMessage **entries = arena_calloc(out->arena, count + 1, sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = &object->fields[i]->base;
    count = pack_sort_map(entries, count);
    struct value *written = value_new(out->arena, VALUE_OBJECT);
    for (size_t i = 0; i < count; i++) {
        const Google__Protobuf__Struct__FieldsEntry *entry = (const void *)entries[i];
        value_put(out->arena, written, slice_str(pb_str(entry->key)),
                  write_any_value(out, entry->value));
    }
    return written;
}

static struct value *write_list_value(struct text_out *out, const Google__Protobuf__ListValue *list)
{
    struct value *written = value_new(out->arena, VALUE_LIST);
    for (size_t i = 0; i < list->n_values; i++)
        value_append(written, write_any_value(out, list->values[i]));
    return written;
}

static struct value *write_any_value(struct text_out *out, const Google__Protobuf__Value *value)
{
    char text[32];
    if (!value || out->depth >= DOCUMENT_MAX_DEPTH)
        return value_new(out->arena, VALUE_NULL);
    out->depth++;
    struct value *written = NULL;
    switch (value->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        number_write_double(value->number_value, text);
        written = write_real(out, value->number_value, text);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        written = new_text(out, out->redacted ? "[redacted]" : value->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        written = value_new_bool(out->arena, value->bool_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        written = value->struct_value ? write_struct(out, value->struct_value) : NULL;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        written = value->list_value ? write_list_value(out, value->list_value) : NULL;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
    case GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET:
    case _GOOGLE__PROTOBUF__VALUE__KIND__CASE_IS_INT_SIZE: break;
    }
    out->depth--;
    return written ? written : value_new(out->arena, VALUE_NULL);
}

/* snake_case to lowerCamel, joined by commas. */
static struct value *write_field_mask(struct text_out *out, const Google__Protobuf__FieldMask *mask)
{
    owned_buffer text = {0};
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (i)
            buffer_append_byte(&text, ',');
        for (const char *at = mask->paths[i]; *at; at++) {
            bool up = *at == '_' && at[1] >= 'a' && at[1] <= 'z';
            at += up;
            buffer_append_byte(&text, (char)(up ? *at - 'a' + 'A' : *at));
        }
    }
    return value_new_string(out->arena, buffer_slice(&text));
}

static struct value *write_duration(struct text_out *out,
                                    const Google__Protobuf__Duration *duration, enum json_form form)
{
    char text[SPAN_TEXT];
    duration_to_text((struct span){duration->seconds, duration->nanos}, form, text);
    return new_text(out, text);
}

static struct value *write_time(struct text_out *out, int64_t seconds, int32_t nanos,
                                enum json_form form)
{
    char text[SPAN_TEXT];
    time_to_text((struct span){seconds, nanos}, form, text);
    return new_text(out, text);
}

static struct value *
write_int_or_string(struct text_out *out,
                    const K8s__Io__Apimachinery__Pkg__Util__Intstr__IntOrString *message)
{
    if (PB_GET(message, type, 0) == 0)
        return value_new_i64(out->arena, PB_GET(message, intval, 0));
    return new_text(out, message->strval);
}

/* JSON as it was kept; null when it is none. */
static struct value *write_raw(struct text_out *out, ProtobufCBinaryData bytes)
{
    struct value *value;
    if (!bytes.len || !document_read_json(pb_bytes(bytes), "raw", NULL, out->arena, &value, NULL))
        return value_new(out->arena, VALUE_NULL);
    return value;
}

static struct value *write_form(struct text_out *out, const ProtobufCMessage *message,
                                enum json_form form)
{
    switch (form) {
    case JSON_ANY: return write_any(out, (const void *)message);
    case JSON_STRUCT: return write_struct(out, (const void *)message);
    case JSON_VALUE: return write_any_value(out, (const void *)message);
    case JSON_LIST_VALUE: return write_list_value(out, (const void *)message);
    case JSON_WRAPPER: {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[0];
        return write_scalar(out, field_member(message, field), field, 0);
    }
    case JSON_TIMESTAMP: {
        const Google__Protobuf__Timestamp *timestamp = (const void *)message;
        return write_time(out, timestamp->seconds, timestamp->nanos, form);
    }
    case JSON_TIME: {
        const K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__Time *time = (const void *)message;
        return write_time(out, PB_GET(time, seconds, 0), PB_GET(time, nanos, 0), form);
    }
    case JSON_MICRO_TIME: {
        const K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__MicroTime *time = (const void *)message;
        return write_time(out, PB_GET(time, seconds, 0), PB_GET(time, nanos, 0), form);
    }
    case JSON_FIELD_MASK: return write_field_mask(out, (const void *)message);
    case JSON_DURATION:
    case JSON_DURATION_GO:
    case JSON_DURATION_GEP2257: return write_duration(out, (const void *)message, form);
    case JSON_INT_OR_STRING: return write_int_or_string(out, (const void *)message);
    case JSON_QUANTITY:
        return new_text(
            out, ((const K8s__Io__Apimachinery__Pkg__Api__Resource__Quantity *)message)->string);
    case JSON_RAW_EXTENSION:
        return write_raw(out,
                         ((const K8s__Io__Apimachinery__Pkg__Runtime__RawExtension *)message)->raw);
    case JSON_FIELDS_V1:
        return write_raw(
            out, ((const K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__FieldsV1 *)message)->raw);
    case JSON_PLAIN: break;
    }
    struct value *object = value_new(out->arena, VALUE_OBJECT);
    write_fields(out, message, object);
    return object;
}

static struct value *write_message(struct text_out *out, const ProtobufCMessage *message,
                                   enum json_form form)
{
    if (out->depth >= DOCUMENT_MAX_DEPTH)
        return value_new(out->arena, VALUE_NULL);
    out->depth++;
    struct value *value =
        write_form(out, message, form ? form : pb_type_of(message->descriptor)->json_form);
    out->depth--;
    return value;
}

struct value *text_encode(const ProtobufCMessage *message, const struct text_style *style,
                          struct arena *arena)
{
    static const struct text_style plain;
    struct text_out out = {.style = style ? style : &plain, .arena = arena};
    return write_message(&out, message, JSON_PLAIN);
}

void text_write_json(const ProtobufCMessage *message, const struct text_style *style,
                     struct buffer *out)
{
    struct arena arena;
    arena_init(&arena, NULL);
    value_write_json(text_encode(message, style, &arena), !(style && style->one_line), out);
    arena_fini(&arena);
}

void text_write_yaml(const ProtobufCMessage *message, const struct text_style *style,
                     struct buffer *out)
{
    struct arena arena;
    arena_init(&arena, NULL);
    value_write_yaml(text_encode(message, style, &arena), out);
    arena_fini(&arena);
}
