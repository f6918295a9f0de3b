#include "pb/explain.h"

#include "pb/tables_internal.h"

const char *pb_type_doc(const struct pb_type *type)
{
    uint32_t row = pb_doc_rows[type->field_doc];
    return row ? pb_doc_texts + row : NULL;
}

const char *pb_field_doc(const struct pb_type *type, size_t field)
{
    uint32_t row = pb_doc_rows[type->field_doc + 1 + field];
    return row ? pb_doc_texts + row : NULL;
}

static const char *short_name(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

/* What a message is called in YAML: by its form where it has one, else by its name. */
static const char *message_name(const struct pb_type *type, enum json_form form)
{
    switch (form ? form : type->json_form) {
    case JSON_DURATION:
    case JSON_DURATION_GO:
    case JSON_DURATION_GEP2257: return "duration";
    case JSON_TIMESTAMP:
    case JSON_TIME:
    case JSON_MICRO_TIME: return "time";
    case JSON_ANY: return "typed object";
    case JSON_STRUCT:
    case JSON_RAW_EXTENSION:
    case JSON_FIELDS_V1: return "object";
    case JSON_VALUE: return "any value";
    case JSON_LIST_VALUE: return "list";
    case JSON_FIELD_MASK: return "string";
    case JSON_INT_OR_STRING: return "number or string";
    case JSON_QUANTITY: return "quantity";
    case JSON_WRAPPER:
    case JSON_PLAIN: break;
    }
    return short_name(type->descriptor->name);
}

static const char *scalar_name(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: return "int32";
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64: return "int64";
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: return "uint32";
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: return "uint64";
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE: return "number";
    case PROTOBUF_C_TYPE_BOOL: return "boolean";
    case PROTOBUF_C_TYPE_STRING: return "string";
    case PROTOBUF_C_TYPE_BYTES: return "base64";
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    return "";
}

static const char *one_name(const ProtobufCFieldDescriptor *field, enum json_form form)
{
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return short_name(((const ProtobufCEnumDescriptor *)field->descriptor)->name);
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return scalar_name(field->type);
    const struct pb_type *type = pb_type_of(field->descriptor);
    if (type->json_form == JSON_WRAPPER)
        return scalar_name(pb_field_wire(type, 0)->type);
    return message_name(type, form);
}

/* The key and value of a map's entries. */
static const ProtobufCFieldDescriptor *entry_fields(const ProtobufCFieldDescriptor *map)
{
    return ((const ProtobufCMessageDescriptor *)map->descriptor)->fields;
}

void explain_type_name(const struct pb_type *type, size_t field, struct buffer *out)
{
    const ProtobufCFieldDescriptor *wire = pb_field_wire(type, field);
    const struct pb_field *table = &type->fields[field];
    if (table->flags & FIELD_MAP) {
        const ProtobufCFieldDescriptor *entry = entry_fields(wire);
        buffer_format(out, "map<%s, %s>", one_name(&entry[0], JSON_PLAIN),
                      one_name(&entry[1], table->json_form));
        return;
    }
    buffer_format(out, "%s%s", wire->label == PROTOBUF_C_LABEL_REPEATED ? "[]" : "",
                  one_name(wire, table->json_form));
}

const struct pb_type *explain_field_type(const struct pb_type *type, size_t field)
{
    const ProtobufCFieldDescriptor *wire = pb_field_wire(type, field);
    if (type->fields[field].flags & FIELD_MAP)
        wire = &entry_fields(wire)[1];
    if (wire->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    const struct pb_type *held = pb_type_of(wire->descriptor);
    return held->json_form == JSON_PLAIN && held->descriptor->n_fields > 0 ? held : NULL;
}

bool explain_acts(const struct pb_type *type, size_t field)
{
    unsigned flags = type->fields[field].flags;
    return !(flags & FIELD_SERVED) || flags & FIELD_ACTS;
}

static void separate(struct buffer *out, bool *first)
{
    if (!*first)
        buffer_append_str(out, "; ");
    *first = false;
}

static void write_bounds(const struct pb_rules *rules, struct buffer *out, bool *first)
{
    if (rules->has_at_least && rules->has_at_most) {
        separate(out, first);
        buffer_format(out, "%.15g to %.15g", rules->at_least, rules->at_most);
    } else if (rules->has_at_least || rules->has_at_most) {
        separate(out, first);
        buffer_format(out, "at %s %.15g", rules->has_at_least ? "least" : "most",
                      rules->has_at_least ? rules->at_least : rules->at_most);
    }
}

void explain_limits(const struct pb_type *type, size_t field, struct buffer *out)
{
    const struct pb_rules *rules = pb_field_rules(&type->fields[field]);
    bool first = true;
    if (type->fields[field].flags & FIELD_REQUIRED) {
        separate(out, &first);
        buffer_append_str(out, "required");
    }
    if (type->fields[field].flags & FIELD_IMMUTABLE) {
        separate(out, &first);
        buffer_append_str(out, "cannot be changed");
    }
    if (!rules)
        return;
    write_bounds(rules, out, &first);
    if (rules->max_bytes) {
        separate(out, &first);
        buffer_format(out, "at most %u bytes", rules->max_bytes);
    }
    if (rules->max_items) {
        separate(out, &first);
        buffer_format(out, "at most %u entries", rules->max_items);
    }
    for (size_t i = 0; i < rules->only_count; i++) {
        if (i == 0)
            separate(out, &first);
        buffer_format(out, "%s%s", i ? ", " : "only ", pb_only(rules, i));
    }
}
