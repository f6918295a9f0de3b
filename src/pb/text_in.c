#include "pb/text_in.h"

#include "base/memory.h"

#include "pb/field_internal.h"
#include "pb/guard.h"
#include "pb/message.h"
#include "pb/number_internal.h"
#include "pb/text_in_internal.h"

#include <math.h>

size_t path_enter(struct text_in *in, struct slice name)
{
    size_t before = in->path.size;
    buffer_format(&in->path, "%s%.*s", before ? "." : "", SLICE_ARG(name));
    return before;
}

size_t path_enter_index(struct text_in *in, size_t index)
{
    size_t before = in->path.size;
    buffer_format(&in->path, "[%zu]", index);
    return before;
}

void path_leave(struct text_in *in, size_t size)
{
    in->path.size = size;
    in->path.data[size] = '\0';
}

/* Nobody reads more: what would only be counted is not put into words. */
static bool is_enough(struct text_in *in)
{
    struct problems *problems = in->problems;
    bool fatal = in->mode == TEXT_STRICT || in->path.size == 0;
    if (problems->count < PROBLEMS_MAX || (fatal && problems->fatal_count == 0))
        return false;
    problems->count++;
    problems->fatal_count += fatal;
    return true;
}

bool report(struct text_in *in, enum problem_kind kind, const struct value *value, const char *fix,
            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str what = str_format_v(format, args);
    va_end(args);
    bool at_name =
        kind == PROBLEM_UNKNOWN_FIELD || kind == PROBLEM_TWICE || kind == PROBLEM_REFUSED;
    problems_add(in->problems,
                 &(struct problem){
                     .kind = kind,
                     .fatal = in->mode == TEXT_STRICT || in->path.size == 0,
                     .restricts = in->restricts > 0,
                     .path = arena_copy(in->arena, buffer_slice(&in->path)),
                     .line = at_name && value->key_line ? value->key_line : value->line,
                     .column = at_name && value->key_line ? value->key_column : value->column,
                     .what = arena_copy_str(in->arena, what),
                     .fix = fix,
                 });
    return false;
}

const char *path_words(struct text_in *in)
{
    struct slice path = buffer_slice(&in->path);
    if (slice_starts_with(path, SLICE("spec.")))
        path = slice_from(path, 5);
    else if (slice_equals_str(path, "spec"))
        path = SLICE_NONE;
    return arena_format(in->arena, "%s%s%.*s", in->root, path.size ? "." : "", SLICE_ARG(path));
}

bool report_type(struct text_in *in, const struct value *value, const char *expected)
{
    if (is_enough(in))
        return false;
    const char *fix = NULL;
    bool scalar = value->kind == VALUE_BOOL || value->kind == VALUE_NUMBER;
    if (scalar && !value->quoted && strcmp(expected, "a string") == 0)
        fix = arena_format(in->arena, "put it in quotes: \"%.*s\"",
                           SLICE_ARG(value->raw.size ? value->raw : value->text));
    return report(in, PROBLEM_WRONG_TYPE, value, fix, "%s is %s, but should be %s", path_words(in),
                  value_describe(value, in->arena), expected);
}

static bool report_range(struct text_in *in, const struct value *value, const char *type)
{
    if (is_enough(in))
        return false;
    return report(in, PROBLEM_BAD_VALUE, value, NULL, "%s is %s, which is no %s", path_words(in),
                  value_describe(value, in->arena), type);
}

/* A number, or a string that holds one, as JSON has 64-bit numbers. */
static bool number_text(const struct value *value, struct slice *text)
{
    *text = value->text;
    return value->kind == VALUE_NUMBER ||
           (value->kind == VALUE_STRING && number_is_json(value->text));
}

static bool read_signed(struct text_in *in, const struct value *value, int64_t min, int64_t max,
                        int64_t *number)
{
    struct slice text;
    if (!number_text(value, &text))
        return report_type(in, value, "a number");
    if (!number_to_i64(text, number) || *number < min || *number > max)
        return report_range(
            in, value, min == INT64_MIN ? "whole number of 64 bits" : "whole number of 32 bits");
    return true;
}

static bool read_unsigned(struct text_in *in, const struct value *value, uint64_t max,
                          uint64_t *number)
{
    struct slice text;
    if (!number_text(value, &text))
        return report_type(in, value, "a number");
    if (!number_to_u64(text, number) || *number > max)
        return report_range(in, value,
                            max == UINT32_MAX ? "whole number from 0 to 4294967295"
                                              : "whole number from 0 to 18446744073709551615");
    return true;
}

static bool read_real(struct text_in *in, const struct value *value, bool narrow, double *number)
{
    static const struct {
        const char *name;
        double number;
    } special[] = {
        {"NaN", (double)NAN}, {"Infinity", (double)INFINITY}, {"-Infinity", -(double)INFINITY}};
    for (size_t i = 0; value->kind == VALUE_STRING && i < COUNT(special); i++)
        if (slice_equals_str(value->text, special[i].name)) {
            *number = special[i].number;
            return true;
        }
    struct slice text;
    if (!number_text(value, &text))
        return report_type(in, value, "a number");
    if (!number_to_double(text, number) || (narrow && !isfinite((float)*number)))
        return report_range(in, value, "number that fits");
    return true;
}

/* Both of RFC 4648's alphabets, with or without padding. */
static bool decode_base64(struct slice text, struct arena *arena, ProtobufCBinaryData *bytes)
{
    while (text.size > 0 && text.data[text.size - 1] == '=')
        text.size--;
    if (text.size % 4 == 1)
        return false;
    uint8_t *out = (uint8_t *)arena_calloc(arena, 1, text.size / 4 * 3 + 3);
    size_t size = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        int digit = base64_value(c, c == '-' || c == '_');
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4)
            out[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *bytes = (ProtobufCBinaryData){size, out};
    return true;
}

static const char *const *enum_names(const ProtobufCEnumDescriptor *type, struct arena *arena)
{
    const char **names = arena_calloc(arena, type->n_value_names, sizeof(*names));
    for (unsigned i = 0; i < type->n_value_names; i++)
        names[i] = type->values_by_name[i].name;
    return names;
}

static bool read_enum(struct text_in *in, const struct value *value,
                      const ProtobufCEnumDescriptor *type, int *member)
{
    if (value->kind == VALUE_NUMBER) { /* also one that we do not know: it is kept */
        int64_t number = 0;
        if (!read_signed(in, value, INT32_MIN, INT32_MAX, &number))
            return false;
        *member = (int)number;
        return true;
    }
    if (value->kind != VALUE_STRING)
        return report_type(in, value, "a name or a number");
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value_by_name(type, value->text.data);
    if (known) {
        *member = known->value;
        return true;
    }
    const char *nearest =
        nearest_word(value->text, enum_names(type, in->arena), type->n_value_names);
    return report(in, PROBLEM_BAD_VALUE, value,
                  nearest ? arena_format(in->arena, "did you mean \"%s\"?", nearest) : NULL,
                  "%s has no value \"%.*s\"", path_words(in),
                  SLICE_ARG(slice_first(value->text, MIN(value->text.size, (size_t)60))));
}

static bool read_text(struct text_in *in, const struct value *value,
                      const ProtobufCFieldDescriptor *field, void *member)
{
    if (value->kind != VALUE_STRING)
        return report_type(
            in, value, field->type == PROTOBUF_C_TYPE_STRING ? "a string" : "a string of base64");
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return decode_base64(value->text, in->arena, member) ||
               report(in, PROBLEM_BAD_VALUE, value, NULL, "%s is not base64", path_words(in));
    *(char **)member = arena_copy(in->arena, value->text);
    return true;
}

bool read_scalar(struct text_in *in, const struct value *value,
                 const ProtobufCFieldDescriptor *field, void *member)
{
    int64_t whole = 0;
    uint64_t natural = 0;
    double real = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        if (!read_signed(in, value, INT32_MIN, INT32_MAX, &whole))
            return false;
        *(int32_t *)member = (int32_t)whole;
        return true;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64: return read_signed(in, value, INT64_MIN, INT64_MAX, member);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (!read_unsigned(in, value, UINT32_MAX, &natural))
            return false;
        *(uint32_t *)member = (uint32_t)natural;
        return true;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: return read_unsigned(in, value, UINT64_MAX, member);
    case PROTOBUF_C_TYPE_FLOAT:
        if (!read_real(in, value, true, &real))
            return false;
        *(float *)member = (float)real;
        return true;
    case PROTOBUF_C_TYPE_DOUBLE: return read_real(in, value, false, member);
    case PROTOBUF_C_TYPE_BOOL:
        if (value->kind != VALUE_BOOL)
            return report_type(in, value, "true or false");
        *(protobuf_c_boolean *)member = value->text.data[0] == 't';
        return true;
    case PROTOBUF_C_TYPE_ENUM: return read_enum(in, value, field->descriptor, member);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES: return read_text(in, value, field, member);
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    return false;
}

ProtobufCMessage *read_message(struct text_in *in, const struct value *value,
                               const struct pb_type *type, enum json_form form)
{
    if (in->depth >= PB_MAX_DEPTH) {
        report(in, PROBLEM_LIMIT, value, NULL, "%s is nested more than %d deep", in->root,
               PB_MAX_DEPTH);
        return NULL;
    }
    in->depth++;
    ProtobufCMessage *message = pb_new(in->arena, type->descriptor);
    if (form == JSON_PLAIN)
        form = type->json_form;
    bool read = form == JSON_PLAIN ? read_fields(in, value, type, message, SLICE_NONE)
                                   : read_form(in, value, type, message, form);
    in->depth--;
    return read ? message : NULL;
}

static bool read_value(struct text_in *in, const struct value *value,
                       const ProtobufCFieldDescriptor *field, enum json_form form, void *member)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return read_scalar(in, value, field, member);
    ProtobufCMessage *message = read_message(in, value, pb_type_of(field->descriptor), form);
    if (message)
        *(ProtobufCMessage **)member = message;
    return message != NULL;
}

/* null means absent, but in a google.protobuf.Value it is a value. */
static bool takes_null(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE &&
           pb_type_of(field->descriptor)->json_form == JSON_VALUE;
}

static bool read_list(struct text_in *in, const struct value *value,
                      const ProtobufCFieldDescriptor *field, enum json_form form,
                      ProtobufCMessage *message)
{
    if (value->kind != VALUE_LIST)
        return report_type(in, value, "a list");
    size_t size = field_size(field->type), count = 0, index = 0, room = 1;
    while (room < value->count)
        room *= 2; /* as pb_grow leaves it */
    char *items = arena_calloc(in->arena, room, size);
    VALUE_EACH(item, value)
    {
        size_t path = path_enter_index(in, index++);
        if (item->kind == VALUE_NULL && !takes_null(field))
            report_type(in, item, "there, or left out");
        else if (read_value(in, item, field, form, items + count * size))
            count++;
        path_leave(in, path);
    }
    *(size_t *)(void *)((char *)message + field->quantifier_offset) = count;
    *(void **)field_member_mutable(message, field) = count ? items : NULL;
    return true;
}

/* A map's key is text in JSON whatever its type. */
static bool read_key(struct text_in *in, const struct value *member,
                     const ProtobufCFieldDescriptor *key, void *into)
{
    if (key->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)into = arena_copy(in->arena, member->key);
        return true;
    }
    struct value text = {
        .line = member->key_line, .column = member->key_column, .text = member->key};
    text.kind = key->type == PROTOBUF_C_TYPE_BOOL && (slice_equals_str(text.text, "true") ||
                                                      slice_equals_str(text.text, "false"))
                    ? VALUE_BOOL
                    : VALUE_STRING;
    return read_scalar(in, &text, key, into);
}

static bool read_map(struct text_in *in, const struct value *value,
                     const ProtobufCFieldDescriptor *field, enum json_form form,
                     ProtobufCMessage *message)
{
    if (value->kind != VALUE_OBJECT)
        return report_type(in, value, "an object");
    const ProtobufCMessageDescriptor *entry_type = field->descriptor;
    size_t count = 0, room = 1;
    while (room < value->count)
        room *= 2;
    ProtobufCMessage **entries = arena_calloc(in->arena, room, sizeof(*entries));
    VALUE_EACH(member, value)
    {
        size_t path = in->path.size;
        buffer_format(&in->path, "[\"%.*s\"]", SLICE_ARG(member->key));
        ProtobufCMessage *entry = pb_new(in->arena, entry_type);
        const ProtobufCFieldDescriptor *key = &entry_type->fields[0],
                                       *content = &entry_type->fields[1];
        in->depth++; /* the entry is a message too, on the wire */
        if (member->kind == VALUE_NULL && !takes_null(content))
            report_type(in, member, "there, or left out");
        else if (read_key(in, member, key, field_member_mutable(entry, key)) &&
                 read_value(in, member, content, form, field_member_mutable(entry, content)))
            entries[count++] = entry;
        in->depth--;
        for (unsigned i = 0; i < 2; i++) /* key and value have presence in proto2's entries */
            if (field_has_flag(&entry_type->fields[i]))
                *(protobuf_c_boolean *)(void *)((char *)entry +
                                                entry_type->fields[i].quantifier_offset) = 1;
        path_leave(in, path);
    }
    *(size_t *)(void *)((char *)message + field->quantifier_offset) = count;
    *(void **)field_member_mutable(message, field) = count ? entries : NULL;
    return true;
}

static void read_field(struct text_in *in, const struct value *value, const struct pb_type *type,
                       size_t index, ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field = pb_field_wire(type, index);
    const struct pb_field *table = &type->fields[index];
    size_t path = path_enter(in, value->key);
    in->restricts += (table->flags & FIELD_RESTRICTS) != 0;
    if (table->flags & FIELD_MAP) {
        read_map(in, value, field, table->json_form, message);
    } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        read_list(in, value, field, table->json_form, message);
    } else if (read_value(in, value, field, table->json_form,
                          field_member_mutable(message, field))) {
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)(void *)((char *)message + field->quantifier_offset) = field->id;
        else if (field_has_flag(field))
            *(protobuf_c_boolean *)(void *)((char *)message + field->quantifier_offset) = 1;
    }
    in->restricts -= (table->flags & FIELD_RESTRICTS) != 0;
    path_leave(in, path);
}

static void report_unknown(struct text_in *in, const struct value *member,
                           const struct pb_type *type)
{
    if (is_enough(in))
        return;
    unsigned count = type->descriptor->n_fields;
    /* Suggest a name of the kind that the user writes: with underscores, or without. */
    bool original = memchr(member->key.data, '_', member->key.size) != NULL;
    const char **names = arena_calloc(in->arena, count + 1, sizeof(*names));
    for (unsigned i = 0; i < count; i++)
        names[i] = original ? type->descriptor->fields[i].name : pb_field_json_name(type, i);
    const char *nearest = nearest_word(member->key, names, count);
    const char *in_what = path_words(in);
    size_t path = path_enter(in, member->key);
    report(in, PROBLEM_UNKNOWN_FIELD, member,
           nearest ? arena_format(in->arena, "did you mean \"%s\"?", nearest) : NULL,
           "unknown field \"%.*s\" in %s",
           SLICE_ARG(slice_first(member->key, MIN(member->key.size, (size_t)60))), in_what);
    path_leave(in, path);
}

/* The member that was read before for this field or its oneof; NULL when this is the first. */
static const struct value *earlier(const struct value *const *seen, const struct pb_type *type,
                                   size_t index)
{
    uint32_t oneof = type->fields[index].oneof;
    for (size_t i = 0; i < type->descriptor->n_fields; i++)
        if (seen[i] && (i == index || (oneof && type->fields[i].oneof == oneof)))
            return seen[i];
    return NULL;
}

bool read_fields(struct text_in *in, const struct value *object, const struct pb_type *type,
                 ProtobufCMessage *message, struct slice skip)
{
    if (object->kind != VALUE_OBJECT)
        return report_type(in, object, "an object");
    const struct value **seen =
        arena_calloc(in->arena, type->descriptor->n_fields + 1, sizeof(struct value *));
    VALUE_EACH(member, object)
    {
        if (skip.size && slice_equals(member->key, skip))
            continue;
        int index = pb_field_find(type, member->key);
        if (index < 0) {
            report_unknown(in, member, type);
            continue;
        }
        if (member->kind == VALUE_NULL && !takes_null(pb_field_wire(type, (size_t)index)))
            continue;
        const struct value *before = earlier(seen, type, (size_t)index);
        seen[index] = member;
        if (before)
            report(in, PROBLEM_TWICE, member, NULL,
                   "%s has both \"%.*s\" (line %u) and \"%.*s\"; only one can be set",
                   path_words(in), SLICE_ARG(before->key), before->key_line,
                   SLICE_ARG(member->key));
        else
            read_field(in, member, type, (size_t)index, message);
    }
    return true;
}

/* The type's own name, without its package: "VirtualService". */
static const char *short_name(const ProtobufCMessageDescriptor *type)
{
    const char *dot = strrchr(type->name, '.');
    return dot ? dot + 1 : type->name;
}

void *text_decode(const struct value *value, const ProtobufCMessageDescriptor *type,
                  enum text_mode mode, struct problems *problems)
{
    struct text_in in = {
        .problems = problems, .arena = problems->arena, .mode = mode, .root = short_name(type)};
    size_t fatal = problems->fatal_count;
    buffer_append_str(&in.path, "");
    ProtobufCMessage *message = read_message(&in, value, pb_type_of(type), JSON_PLAIN);
    buffer_fini(&in.path);
    return problems->fatal_count == fatal ? message : NULL;
}

static void *decode_or_tell(const struct value *value, const char *name,
                            const ProtobufCMessageDescriptor *type, enum text_mode mode,
                            struct arena *arena, struct error *error)
{
    struct problems problems = {.arena = arena, .name = name};
    void *message = text_decode(value, type, mode, &problems);
    return problems_are_none(&problems, error) ? message : NULL;
}

void *text_read_yaml(struct slice text, const char *name, const ProtobufCMessageDescriptor *type,
                     enum text_mode mode, struct arena *arena, struct error *error)
{
    struct documents documents;
    if (!document_read_yaml(text, name, NULL, arena, &documents, error))
        return NULL;
    if (documents.count != 1) {
        error_set(error, "TUL0006", "there are %zu documents, but one is expected",
                  documents.count);
        error_at(error, "%s", name);
        return NULL;
    }
    return decode_or_tell(documents.items[0], name, type, mode, arena, error);
}

void *text_read_json(struct slice text, const char *name, const ProtobufCMessageDescriptor *type,
                     enum text_mode mode, struct arena *arena, struct error *error)
{
    struct value *value;
    if (!document_read_json(text, name, NULL, arena, &value, error))
        return NULL;
    return decode_or_tell(value, name, type, mode, arena, error);
}

void *text_read_file(const char *path, const ProtobufCMessageDescriptor *type, enum text_mode mode,
                     struct arena *arena, struct error *error)
{
    owned_buffer text = {0};
    int failed = buffer_read_file(&text, path, TEXT_LIMITS.max_bytes);
    if (failed) {
        error_set(error, "TUL0002", "cannot read %s: %s", path, strerror(-failed));
        return NULL;
    }
    return text_read_yaml(buffer_slice(&text), path, type, mode, arena, error);
}
