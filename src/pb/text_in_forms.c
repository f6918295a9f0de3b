/* What is not a plain object of its fields in JSON: see enum json_form. */
#include "base/memory.h"
#include "pb/any.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "pb/number_internal.h"
#include "pb/quantity_internal.h"
#include "pb/text_in_internal.h"
#include "pb/time_form_internal.h"

#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "k8s/intstr.pb-c.h"
#include "k8s/meta_v1.pb-c.h"
#include "k8s/resource.pb-c.h"
#include "k8s/runtime.pb-c.h"

static bool read_list_value(struct text_in *in, const struct value *value,
                            Google__Protobuf__ListValue *list)
{
    if (value->kind != VALUE_LIST)
        return report_type(in, value, "a list");
    size_t index = 0;
    VALUE_EACH(item, value)
    {
        size_t path = path_enter_index(in, index++);
        ProtobufCMessage *read =
            read_message(in, item, pb_type_of(&google__protobuf__value__descriptor), JSON_PLAIN);
        if (read)
            PB_APPEND(in->arena, list, values, (Google__Protobuf__Value *)read);
        path_leave(in, path);
    }
    return true;
}

static bool read_struct(struct text_in *in, const struct value *value,
                        Google__Protobuf__Struct *object)
{
    if (value->kind != VALUE_OBJECT)
        return report_type(in, value, "an object");
    in->depth++; /* the entry is a message too, on the wire */
    VALUE_EACH(member, value)
    {
        size_t path = path_enter(in, member->key);
        ProtobufCMessage *read =
            read_message(in, member, pb_type_of(&google__protobuf__value__descriptor), JSON_PLAIN);
        if (read)
            PB_PUT(in->arena, object, fields, &google__protobuf__struct__fields_entry__descriptor,
                   arena_copy(in->arena, member->key), (Google__Protobuf__Value *)read);
        path_leave(in, path);
    }
    in->depth--;
    return true;
}

static bool read_any_value(struct text_in *in, const struct value *value,
                           Google__Protobuf__Value *out)
{
    switch (value->kind) {
    case VALUE_NULL: out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE; return true;
    case VALUE_BOOL:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        out->bool_value = value->text.data[0] == 't';
        return true;
    case VALUE_NUMBER:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        return value_to_double(value, &out->number_value) ||
               report(in, PROBLEM_BAD_VALUE, value, NULL, "%s is too large a number",
                      path_words(in));
    case VALUE_STRING:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        out->string_value = arena_copy(in->arena, value->text);
        return true;
    case VALUE_LIST:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        out->list_value = (Google__Protobuf__ListValue *)read_message(
            in, value, pb_type_of(&google__protobuf__list_value__descriptor), JSON_PLAIN);
        return out->list_value != NULL;
    case VALUE_OBJECT:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        out->struct_value = (Google__Protobuf__Struct *)read_message(
            in, value, pb_type_of(&google__protobuf__struct__descriptor), JSON_PLAIN);
        return out->struct_value != NULL;
    }
    return false;
}

static struct slice last_part(struct slice text, char separator)
{
    size_t begin = text.size;
    while (begin > 0 && text.data[begin - 1] != separator)
        begin--;
    return slice_from(text, begin);
}

/* Packages are long and alike, so the last word decides, and then the package among those that have it. */
static const char *nearest_type(struct slice url)
{
    size_t count, same = 0;
    const struct pb_type *types = pb_types(&count);
    struct slice name = last_part(url, '/');
    const char **names = mem_calloc(count, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = types[i].descriptor->short_name;
    const char *word = nearest_word(last_part(name, '.'), names, count);
    for (size_t i = 0; word && i < count; i++)
        if (strcmp(types[i].descriptor->short_name, word) == 0)
            names[same++] = types[i].descriptor->name;
    const char *nearest = same ? nearest_word(name, names, same) : NULL;
    if (same && !nearest)
        nearest = names[0];
    mem_free(names);
    return nearest;
}

/* What text_out writes for a type that it does not know: the type and base64. Only from other systems. */
static bool read_unknown_any(struct text_in *in, const struct value *object,
                             const struct value *url, Google__Protobuf__Any *any)
{
    const struct value *bytes = value_get(object, "value");
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(any->base.descriptor, 2);
    if (in->mode == TEXT_LENIENT && object->count == 2 && bytes && bytes->kind == VALUE_STRING)
        return read_scalar(in, bytes, field, &any->value);
    const char *nearest = nearest_type(url->text);
    return report(in, PROBLEM_BAD_VALUE, url,
                  nearest
                      ? arena_format(in->arena, "did you mean \"type.googleapis.com/%s\"?", nearest)
                      : NULL,
                  "the type \"%.*s\" is not known",
                  SLICE_ARG(slice_first(url->text, MIN(url->text.size, (size_t)120))));
}

/* {"@type": url, fields...}; a type with a form of its own stands in "value". */
static bool read_any(struct text_in *in, const struct value *object, Google__Protobuf__Any *any)
{
    if (object->kind != VALUE_OBJECT)
        return report_type(in, object, "an object with \"@type\"");
    if (object->count == 0)
        return true; /* an empty Any */
    const struct value *url = value_get(object, "@type");
    if (!url || url->kind != VALUE_STRING)
        return report(in, PROBLEM_MISSING, url ? url : object, NULL,
                      "%s needs \"@type\", a type URL", path_words(in));
    any->type_url = arena_copy(in->arena, url->text);
    const struct pb_type *type = pb_type_by_url(url->text);
    if (!type)
        return read_unknown_any(in, object, url, any);
    ProtobufCMessage *message;
    if (type->json_form == JSON_PLAIN) {
        message = pb_new(in->arena, type->descriptor);
        read_fields(in, object, type, message, SLICE("@type"));
    } else {
        const struct value *value = value_get(object, "value");
        if (!value || object->count != 2)
            return report(in, PROBLEM_MISSING, object, NULL,
                          "%s needs \"@type\" and \"value\", and nothing else", path_words(in));
        message = read_message(in, value, type, JSON_PLAIN);
    }
    if (!message)
        return false;
    struct slice bytes = pb_pack_to(message, in->arena);
    any->value = (ProtobufCBinaryData){bytes.size, (uint8_t *)(uintptr_t)bytes.data};
    return true;
}

static bool read_duration(struct text_in *in, const struct value *value, enum json_form form,
                          Google__Protobuf__Duration *duration)
{
    struct span span = {0};
    if (value->kind != VALUE_STRING)
        return report_type(
            in, value, arena_format(in->arena, "a duration such as %s", duration_example(form)));
    if (!duration_from_text(value->text, form, &span))
        return report(in, PROBLEM_BAD_VALUE, value, NULL,
                      "%s is %s, but should be a duration such as %s", path_words(in),
                      value_describe(value, in->arena), duration_example(form));
    duration->seconds = span.seconds;
    duration->nanos = span.nanos;
    return true;
}

static bool read_time(struct text_in *in, const struct value *value, struct span *span)
{
    if (value->kind != VALUE_STRING)
        return report_type(in, value, "a time such as \"2006-01-02T15:04:05Z\"");
    return time_from_text(value->text, span) ||
           report(in, PROBLEM_BAD_VALUE, value, NULL,
                  "%s is %s, but should be a time such as \"2006-01-02T15:04:05Z\"", path_words(in),
                  value_describe(value, in->arena));
}

static bool read_kubernetes_time(struct text_in *in, const struct value *value, enum json_form form,
                                 ProtobufCMessage *message)
{
    struct span span = {0};
    if (!read_time(in, value, &span))
        return false;
    if (form == JSON_TIME) {
        K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__Time *time = (void *)message;
        PB_SET(time, seconds, span.seconds);
        PB_SET(time, nanos, 0); /* its JSON has none */
    } else {
        K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__MicroTime *time = (void *)message;
        PB_SET(time, seconds, span.seconds);
        PB_SET(time, nanos, span.nanos / 1000 * 1000);
    }
    return true;
}

/* "a.bC,d": lowerCamel in JSON, snake_case in the message. */
static bool read_field_mask(struct text_in *in, const struct value *value,
                            Google__Protobuf__FieldMask *mask)
{
    if (value->kind != VALUE_STRING)
        return report_type(in, value, "a string of paths, separated by commas");
    struct slice rest = value->text, path;
    for (bool more = rest.size > 0; more;) {
        more = slice_cut(rest, ',', &path, &rest);
        owned_buffer snake = {0};
        if (path.size == 0 || memchr(path.data, '_', path.size))
            return report(in, PROBLEM_BAD_VALUE, value, NULL,
                          "%s holds a path that is empty or has an underscore", path_words(in));
        for (size_t i = 0; i < path.size; i++) {
            char c = path.data[i];
            bool capital = c >= 'A' && c <= 'Z';
            if (capital)
                buffer_append_byte(&snake, '_');
            buffer_append_byte(&snake, (char)(capital ? c - 'A' + 'a' : c));
        }
        PB_APPEND(in->arena, mask, paths, arena_copy(in->arena, buffer_slice(&snake)));
    }
    return true;
}

static bool read_int_or_string(struct text_in *in, const struct value *value,
                               K8s__Io__Apimachinery__Pkg__Util__Intstr__IntOrString *out)
{
    int64_t number;
    if (value->kind == VALUE_STRING) {
        PB_SET(out, type, 1);
        out->strval = arena_copy(in->arena, value->text);
        return true;
    }
    if (value->kind != VALUE_NUMBER)
        return report_type(in, value, "a number or a string");
    if (!value_to_i64(value, &number) || number < INT32_MIN || number > INT32_MAX)
        return report(in, PROBLEM_BAD_VALUE, value, NULL, "%s is no whole number of 32 bits",
                      path_words(in));
    PB_SET(out, type, 0);
    PB_SET(out, intval, (int32_t)number);
    return true;
}

static bool read_quantity(struct text_in *in, const struct value *value,
                          K8s__Io__Apimachinery__Pkg__Api__Resource__Quantity *quantity)
{
    if (value->kind != VALUE_STRING && value->kind != VALUE_NUMBER)
        return report_type(in, value, "a quantity such as \"100m\" or \"1Gi\"");
    if (!quantity_is_valid(value->text))
        return report(in, PROBLEM_BAD_VALUE, value, NULL,
                      "%s is %s, but should be a quantity such as \"100m\" or \"1Gi\"",
                      path_words(in), value_describe(value, in->arena));
    quantity->string = arena_copy(in->arena, value->text);
    return true;
}

/* Any JSON, kept as text. */
static bool read_raw(struct text_in *in, const struct value *value, ProtobufCMessage *message)
{
    owned_buffer json = {0};
    value_write_json(value, false, &json);
    ProtobufCBinaryData bytes = {json.size, (uint8_t *)arena_copy(in->arena, buffer_slice(&json))};
    if (message->descriptor == &k8s__io__apimachinery__pkg__runtime__raw_extension__descriptor) {
        K8s__Io__Apimachinery__Pkg__Runtime__RawExtension *raw = (void *)message;
        PB_SET(raw, raw, bytes);
    } else {
        K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__FieldsV1 *fields = (void *)message;
        PB_SET(fields, raw, bytes);
    }
    return true;
}

bool read_form(struct text_in *in, const struct value *value, const struct pb_type *type,
               ProtobufCMessage *message, enum json_form form)
{
    struct span span = {0};
    switch (form) {
    case JSON_ANY: return read_any(in, value, (void *)message);
    case JSON_STRUCT: return read_struct(in, value, (void *)message);
    case JSON_VALUE: return read_any_value(in, value, (void *)message);
    case JSON_LIST_VALUE: return read_list_value(in, value, (void *)message);
    case JSON_WRAPPER: {
        const ProtobufCFieldDescriptor *field = pb_field_wire(type, 0);
        return read_scalar(in, value, field, (char *)message + field->offset);
    }
    case JSON_TIMESTAMP: {
        Google__Protobuf__Timestamp *timestamp = (void *)message;
        if (!read_time(in, value, &span))
            return false;
        timestamp->seconds = span.seconds;
        timestamp->nanos = span.nanos;
        return true;
    }
    case JSON_FIELD_MASK: return read_field_mask(in, value, (void *)message);
    case JSON_DURATION:
    case JSON_DURATION_GO:
    case JSON_DURATION_GEP2257: return read_duration(in, value, form, (void *)message);
    case JSON_INT_OR_STRING: return read_int_or_string(in, value, (void *)message);
    case JSON_QUANTITY: return read_quantity(in, value, (void *)message);
    case JSON_TIME:
    case JSON_MICRO_TIME: return read_kubernetes_time(in, value, form, message);
    case JSON_RAW_EXTENSION:
    case JSON_FIELDS_V1: return read_raw(in, value, message);
    case JSON_PLAIN: break;
    }
    return read_fields(in, value, type, message, SLICE_NONE);
}
