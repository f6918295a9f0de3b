#include "pb/admit.h"

#include "pb/number_internal.h"
#include "pb/text_in_internal.h"
#include "pb/time_form_internal.h"

static void check_object(struct text_in *in, const struct value *object,
                         const struct pb_type *type);

/* What protobuf does not tell from absence, and what asks for nothing: false, 0, "", [] and null. */
static bool asks_for_nothing(const struct value *value)
{
    int64_t number;
    switch (value->kind) {
    case VALUE_NULL: return true;
    case VALUE_BOOL: return value->text.data[0] == 'f';
    case VALUE_NUMBER: return value_to_i64(value, &number) && number == 0;
    case VALUE_STRING: return value->text.size == 0;
    case VALUE_LIST: return value->count == 0;
    case VALUE_OBJECT: break;
    }
    return false;
}

/* A number, a number in a string, or the seconds of a duration. False when it has no size to compare. */
static bool size_of(const struct value *value, const ProtobufCFieldDescriptor *field,
                    const struct pb_field *table, double *size)
{
    struct span span;
    bool duration = table->json_form >= JSON_DURATION && table->json_form <= JSON_DURATION_GEP2257;
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES ||
        field->type == PROTOBUF_C_TYPE_ENUM)
        return false;
    if (duration) {
        if (value->kind != VALUE_STRING ||
            !duration_from_text(value->text, table->json_form, &span))
            return false;
        *size = (double)span.seconds + span.nanos / 1e9;
        return true;
    }
    bool text = value->kind == VALUE_NUMBER || value->kind == VALUE_STRING;
    return text && number_to_double(value->text, size);
}

static void check_bounds(struct text_in *in, const struct value *value,
                         const ProtobufCFieldDescriptor *field, const struct pb_field *table,
                         const struct pb_rules *rules)
{
    double size;
    if (!rules->has_at_least && !rules->has_at_most)
        return;
    const char *unit = table->json_form ? " s" : "";
    if (!size_of(value, field, table, &size)) {
        if (value->kind == VALUE_STRING &&
            field->type == PROTOBUF_C_TYPE_DOUBLE) /* NaN and the infinities */
            report(in, PROBLEM_LIMIT, value, NULL, "%s is %s, which is no size", path_words(in),
                   value_describe(value, in->arena));
        return;
    }
    if (rules->has_at_least && size < rules->at_least)
        report(in, PROBLEM_LIMIT, value, NULL, "%s is %s, but should be at least %.15g%s",
               path_words(in), value_describe(value, in->arena), rules->at_least, unit);
    else if (rules->has_at_most && size > rules->at_most)
        report(in, PROBLEM_LIMIT, value, NULL, "%s is %s, but should be at most %.15g%s",
               path_words(in), value_describe(value, in->arena), rules->at_most, unit);
}

static void check_length(struct text_in *in, const struct value *value,
                         const ProtobufCFieldDescriptor *field, const struct pb_rules *rules)
{
    if (rules->max_bytes == 0 || value->kind != VALUE_STRING)
        return;
    size_t size =
        field->type == PROTOBUF_C_TYPE_BYTES ? value->text.size / 4 * 3 : value->text.size;
    if (size > rules->max_bytes)
        report(in, PROBLEM_LIMIT, value, NULL, "%s has %zu bytes, more than the limit of %u",
               path_words(in), size, rules->max_bytes);
}

/* "\"mesh\"" or "one of ROUND_ROBIN, RANDOM": what to use instead. */
static const char *list_only(struct text_in *in, const struct pb_rules *rules)
{
    owned_buffer list = {0};
    for (size_t i = 0; i < rules->only_count; i++)
        buffer_format(&list, "%s\"%s\"", i ? ", " : "", pb_only(rules, i));
    return arena_format(in->arena, "use %s, or leave it out", list.data);
}

/* An enum's value by name, also when it was written as a number. */
static struct slice named(const struct value *value, const ProtobufCFieldDescriptor *field)
{
    int64_t number;
    if (field->type != PROTOBUF_C_TYPE_ENUM || !value_to_i64(value, &number) ||
        number < INT32_MIN || number > INT32_MAX)
        return value->text;
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value(field->descriptor, (int)number);
    return known ? slice_str(known->name) : value->text;
}

static void check_only(struct text_in *in, const struct value *value,
                       const ProtobufCFieldDescriptor *field, const struct pb_rules *rules)
{
    if (rules->only_count == 0 || value->kind == VALUE_LIST || value->kind == VALUE_OBJECT ||
        asks_for_nothing(value))
        return;
    struct slice name = named(value, field);
    for (size_t i = 0; i < rules->only_count; i++)
        if (slice_equals_str(name, pb_only(rules, i)))
            return;
    report(in, PROBLEM_REFUSED, value,
           rules->refused ? pb_text(rules->refused) : list_only(in, rules),
           "%s is %s, which does not act yet", path_words(in), value_describe(value, in->arena));
}

/* One value of a field: the field's own, an element of its list, or a value of its map. */
static void check_value(struct text_in *in, const struct value *value,
                        const ProtobufCFieldDescriptor *field, const struct pb_field *table)
{
    const struct pb_rules *rules = pb_field_rules(table);
    if (rules) {
        check_only(in, value, field, rules);
        check_bounds(in, value, field, table, rules);
        check_length(in, value, field, rules);
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    const struct pb_type *type = pb_type_of(field->descriptor);
    if (type->json_form == JSON_PLAIN && value->kind == VALUE_OBJECT)
        check_object(in, value, type);
}

static void check_count(struct text_in *in, const struct value *value, const struct pb_field *table)
{
    const struct pb_rules *rules = pb_field_rules(table);
    if (!rules)
        return;
    if (value->count < rules->min_items)
        report(in, PROBLEM_LIMIT, value, NULL, "%s has %u entries, but should have at least %u",
               path_words(in), value->count, rules->min_items);
    else if (rules->max_items && value->count > rules->max_items)
        report(in, PROBLEM_LIMIT, value, NULL, "%s has %u entries, more than the limit of %u",
               path_words(in), value->count, rules->max_items);
}

static void check_children(struct text_in *in, const struct value *value,
                           const ProtobufCFieldDescriptor *field, const struct pb_field *table)
{
    size_t index = 0;
    check_count(in, value, table);
    if (value->kind == VALUE_OBJECT) { /* a map */
        field = &((const ProtobufCMessageDescriptor *)field->descriptor)->fields[1];
    }
    VALUE_EACH(child, value)
    {
        size_t path = in->path.size;
        if (value->kind == VALUE_OBJECT)
            buffer_format(&in->path, "[\"%.*s\"]", SLICE_ARG(child->key));
        else
            path_enter_index(in, index++);
        check_value(in, child, field, table);
        path_leave(in, path);
    }
}

static void refuse_field(struct text_in *in, const struct value *value,
                         const struct pb_field *table)
{
    const struct pb_rules *rules = pb_field_rules(table);
    const char *fix = rules && rules->refused
                          ? pb_text(rules->refused)
                          : "leave it out; docs/reference/fields.md lists what acts";
    report(in, PROBLEM_REFUSED, value, fix, "%s does not act yet", path_words(in));
}

static void check_field(struct text_in *in, const struct value *value, const struct pb_type *type,
                        size_t index)
{
    const ProtobufCFieldDescriptor *field = pb_field_wire(type, index);
    const struct pb_field *table = &type->fields[index];
    if (value->kind == VALUE_NULL || table->flags & FIELD_READ_ONLY)
        return;
    size_t path = path_enter(in, value->key);
    in->restricts += (table->flags & FIELD_RESTRICTS) != 0;
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    if (table->flags & FIELD_SERVED && !(table->flags & FIELD_ACTS)) {
        if (!asks_for_nothing(value))
            refuse_field(in, value, table);
    } else if (!repeated) {
        check_value(in, value, field, table);
    } else if (value->kind == (table->flags & FIELD_MAP ? VALUE_OBJECT : VALUE_LIST)) {
        check_children(in, value, field, table);
    }
    in->restricts -= (table->flags & FIELD_RESTRICTS) != 0;
    path_leave(in, path);
}

static void check_object(struct text_in *in, const struct value *object, const struct pb_type *type)
{
    uint64_t given[4] = {0}; /* fields that are there and say something */
    VALUE_EACH(member, object)
    {
        int index = pb_field_find(type, member->key);
        if (index < 0)
            continue; /* text_decode reports it */
        if (index < 256 && member->kind != VALUE_NULL &&
            !(member->kind == VALUE_STRING && member->text.size == 0))
            given[index / 64] |= UINT64_C(1) << (index % 64);
        check_field(in, member, type, (size_t)index);
    }
    for (unsigned i = 0; i < type->descriptor->n_fields && i < 256; i++) {
        if (!(type->fields[i].flags & FIELD_REQUIRED) || given[i / 64] >> (i % 64) & 1)
            continue;
        const char *holder = path_words(in);
        size_t path = path_enter(in, slice_str(pb_field_json_name(type, i)));
        report(in, PROBLEM_MISSING, object, NULL, "%s needs \"%s\"", holder,
               pb_field_json_name(type, i));
        path_leave(in, path);
    }
}

void admit_check(const struct value *value, const ProtobufCMessageDescriptor *type,
                 enum text_mode mode, struct problems *problems)
{
    const char *dot = strrchr(type->name, '.');
    struct text_in in = {.problems = problems,
                         .arena = problems->arena,
                         .mode = mode,
                         .root = dot ? dot + 1 : type->name};
    buffer_append_str(&in.path, "");
    if (value->kind == VALUE_OBJECT)
        check_object(&in, value, pb_type_of(type));
    buffer_fini(&in.path);
}
