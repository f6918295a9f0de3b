/* Schemas of types, from the tables and comments of proto/. */
#include "control/api/openapi_internal.h"

#include "base/memory.h"
#include "control/api/strategic.h"
#include "control/api/tree.h"
#include "pb/explain.h"

/* --- names ------------------------------------------------------------------------------------------------------- */

const char *schema_kind_name(enum kind kind, struct arena *arena)
{
    const struct pb_kind *schema = kind_schema(kind);
    return schema->group[0] ? arena_format(arena, "io.istio.networking.v1.%s", schema->kind)
                            : arena_format(arena, "io.k8s.api.core.v1.%s", schema->kind);
}

/* As Kubernetes names them: the owner's domain backwards. */
static const char *type_name(const struct pb_type *type, struct arena *arena)
{
    const char *name = type->descriptor->name;
    if (strncmp(name, "k8s.io.", 7) == 0)
        return arena_format(arena, "io.k8s.%s", name + 7);
    return arena_format(arena, "io.%s", name);
}

struct value *schema_kind_versions(enum kind kind, const char *version, struct arena *arena)
{
    const struct pb_kind *schema = kind_schema(kind);
    struct value *list = value_new(arena, VALUE_LIST);
    for (size_t i = 0; schema->versions[i]; i++) {
        if (version && strcmp(version, schema->versions[i]) != 0)
            continue;
        struct value *one = value_new(arena, VALUE_OBJECT);
        tree_put_str(one, "group", schema->group, arena);
        tree_put_str(one, "version", schema->versions[i], arena);
        tree_put_str(one, "kind", schema->kind, arena);
        value_append(list, one);
    }
    return list;
}

/* --- fields ------------------------------------------------------------------------------------------------------ */

static void put_type(struct value *schema, const char *type, const char *format,
                     struct arena *arena)
{
    tree_put_str(schema, "type", type, arena);
    if (format)
        tree_put_str(schema, "format", format, arena);
}

static void put_scalar(struct value *schema, const ProtobufCFieldDescriptor *wire,
                       struct arena *arena)
{
    switch (wire->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: put_type(schema, "integer", "int32", arena); return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: put_type(schema, "integer", "int64", arena); return;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE: put_type(schema, "number", "double", arena); return;
    case PROTOBUF_C_TYPE_BOOL: put_type(schema, "boolean", NULL, arena); return;
    case PROTOBUF_C_TYPE_BYTES: put_type(schema, "string", "byte", arena); return;
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    put_type(schema, "string", NULL, arena);
}

static void put_enum(struct value *schema, const ProtobufCFieldDescriptor *wire,
                     struct arena *arena)
{
    const ProtobufCEnumDescriptor *words = wire->descriptor;
    put_type(schema, "string", NULL, arena);
    struct value *list = tree_put_list(schema, "enum", arena);
    for (unsigned i = 0; i < words->n_values; i++)
        value_append(list, value_new_string(arena, slice_str(words->values[i].name)));
}

/* A message whose JSON is not the object of its fields. */
static void put_form(struct value *schema, const struct pb_type *type, struct arena *arena)
{
    switch (type->json_form) {
    case JSON_WRAPPER: put_scalar(schema, pb_field_wire(type, 0), arena); return;
    case JSON_TIMESTAMP:
    case JSON_TIME:
    case JSON_MICRO_TIME: put_type(schema, "string", "date-time", arena); return;
    case JSON_DURATION:
    case JSON_DURATION_GO:
    case JSON_DURATION_GEP2257:
    case JSON_FIELD_MASK:
    case JSON_QUANTITY: put_type(schema, "string", NULL, arena); return;
    case JSON_INT_OR_STRING: put_type(schema, "string", "int-or-string", arena); return;
    case JSON_LIST_VALUE:
        put_type(schema, "array", NULL, arena);
        tree_put_object(schema, "items", arena);
        return;
    case JSON_VALUE: return; /* anything */
    case JSON_PLAIN:
    case JSON_ANY:
    case JSON_STRUCT:
    case JSON_RAW_EXTENSION:
    case JSON_FIELDS_V1: break;
    }
    put_type(schema, "object", NULL, arena);
}

static void remember(struct schemas *schemas, const struct pb_type *type)
{
    for (size_t i = 0; i < schemas->types.count; i++) {
        if (schemas->types.items[i] == type)
            return;
    }
    vector_push(&schemas->types, type);
}

static void put_reference(struct schemas *schemas, struct value *schema, const struct pb_type *type,
                          bool alone)
{
    struct arena *arena = schemas->arena;
    remember(schemas, type);
    const char *prefix = schemas->v3 ? "#/components/schemas/" : "#/definitions/";
    const char *path = arena_format(arena, "%s%s", prefix, type_name(type, arena));
    if (!schemas->v3 || alone) {
        tree_put_str(schema, "$ref", path, arena);
        return;
    }
    /* In version 3 nothing may stand beside a $ref. */
    struct value *reference = value_new(arena, VALUE_OBJECT);
    tree_put_str(reference, "$ref", path, arena);
    value_append(tree_put_list(schema, "allOf", arena), reference);
}

/* One value of a field: an item of a list, a value of a map, or the field itself. */
static void put_one(struct schemas *schemas, struct value *schema, const struct pb_type *type,
                    size_t field, const ProtobufCFieldDescriptor *wire, bool alone)
{
    const struct pb_type *held = explain_field_type(type, field);
    if (held)
        put_reference(schemas, schema, held, alone);
    else if (wire->type == PROTOBUF_C_TYPE_ENUM)
        put_enum(schema, wire, schemas->arena);
    else if (wire->type == PROTOBUF_C_TYPE_MESSAGE)
        put_form(schema, pb_type_of(wire->descriptor), schemas->arena);
    else
        put_scalar(schema, wire, schemas->arena);
}

/* How kubectl merges a list of a core kind. */
static void put_strategy(struct value *schema, const struct pb_type *type, const char *name,
                         struct arena *arena)
{
    const char *key = strategic_merge_key(type, slice_str(name));
    if (!key)
        return;
    tree_put_str(schema, "x-kubernetes-patch-strategy", "merge", arena);
    if (key[0])
        tree_put_str(schema, "x-kubernetes-patch-merge-key", key, arena);
}

/* The comment, then limits, and a warning when the field is refused. */
static void put_description(struct value *schema, const struct pb_type *type, size_t field,
                            struct arena *arena)
{
    owned_buffer text = {0}, limits = {0};
    const char *doc = pb_field_doc(type, field);
    buffer_append_str(&text, doc ? doc : "");
    explain_limits(type, field, &limits);
    if (limits.size > 0)
        buffer_format(&text, "%s(%s)", text.size ? " " : "", limits.data);
    if (!explain_acts(type, field))
        buffer_format(&text, "%sDoes not act yet, and is refused.", text.size ? " " : "");
    if (text.size > 0)
        tree_put_slice(schema, "description", buffer_slice(&text), arena);
}

static struct value *field_schema(struct schemas *schemas, const struct pb_type *type, size_t field)
{
    struct arena *arena = schemas->arena;
    const ProtobufCFieldDescriptor *wire = pb_field_wire(type, field);
    struct value *schema = value_new(arena, VALUE_OBJECT);
    put_description(schema, type, field, arena);
    if (type->fields[field].flags & FIELD_MAP) {
        const ProtobufCMessageDescriptor *entry = wire->descriptor;
        put_type(schema, "object", NULL, arena);
        put_one(schemas, tree_put_object(schema, "additionalProperties", arena), type, field,
                &entry->fields[1], true);
    } else if (wire->label == PROTOBUF_C_LABEL_REPEATED) {
        put_type(schema, "array", NULL, arena);
        put_one(schemas, tree_put_object(schema, "items", arena), type, field, wire, true);
        put_strategy(schema, type, pb_field_json_name(type, field), arena);
    } else {
        put_one(schemas, schema, type, field, wire, false);
    }
    return schema;
}

/* --- types ------------------------------------------------------------------------------------------------------- */

static struct value *type_schema(struct schemas *schemas, const struct pb_type *type)
{
    struct arena *arena = schemas->arena;
    struct value *schema = value_new(arena, VALUE_OBJECT);
    const char *doc = pb_type_doc(type);
    if (doc)
        tree_put_str(schema, "description", doc, arena);
    put_type(schema, "object", NULL, arena);
    struct value *required = value_new(arena, VALUE_LIST);
    struct value *properties = tree_put_object(schema, "properties", arena);
    for (size_t i = 0; i < type->descriptor->n_fields; i++) {
        const char *name = pb_field_json_name(type, i);
        value_put(arena, properties, slice_str(name), field_schema(schemas, type, i));
        if ((type->fields[i].flags & FIELD_REQUIRED) && !type->kind)
            value_append(required, value_new_string(arena, slice_str(name)));
    }
    if (required->count > 0)
        tree_put(schema, "required", required, arena);
    return schema;
}

void schemas_add_kind(struct schemas *schemas, enum kind kind)
{
    struct arena *arena = schemas->arena;
    struct value *schema = type_schema(schemas, kind_schema(kind)->type);
    tree_put(schema, "x-kubernetes-group-version-kind", schema_kind_versions(kind, NULL, arena),
             arena);
    value_put(arena, schemas->out, slice_str(schema_kind_name(kind, arena)), schema);
}

void schemas_finish(struct schemas *schemas)
{
    for (; schemas->done < schemas->types.count; schemas->done++) {
        const struct pb_type *type = schemas->types.items[schemas->done];
        struct value *schema = type_schema(schemas, type);
        value_put(schemas->arena, schemas->out, slice_str(type_name(type, schemas->arena)), schema);
    }
    vector_fini(&schemas->types);
}
