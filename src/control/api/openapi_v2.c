/* The binary form of version 2: maps become lists of names and values, words that are no fields become extensions. */
#include "control/api/openapi_internal.h"

#include "control/api/tree.h"
#include "pb/codec.h"
#include "pb/text_in.h"

#include "openapi/v2.pb-c.h"

#include <assert.h>

static struct value *pack_schema(const struct value *schema, struct arena *arena);

static struct value *named(const struct value *member, struct value *value, struct arena *arena)
{
    struct value *pair = value_new(arena, VALUE_OBJECT);
    tree_put_slice(pair, "name", member->key, arena);
    tree_put(pair, "value", value, arena);
    return pair;
}

/* Any value as a text of YAML, of which JSON is a part. */
static struct value *pack_any(const struct value *value, struct arena *arena)
{
    owned_buffer text = {0};
    value_write_json(value, false, &text);
    struct value *any = value_new(arena, VALUE_OBJECT);
    tree_put_slice(any, "yaml", buffer_slice(&text), arena);
    return any;
}

static void put_extensions(struct value *to, const struct value *from, struct arena *arena)
{
    struct value *list = value_new(arena, VALUE_LIST);
    VALUE_EACH(member, from)
    {
        if (slice_starts_with(member->key, SLICE("x-")))
            value_append(list, named(member, pack_any(member, arena), arena));
    }
    if (list->count > 0)
        tree_put(to, "vendor_extension", list, arena);
}

static void put_shared(struct value *to, const struct value *from, const char *from_key,
                       const char *to_key, struct arena *arena)
{
    const struct value *member = value_get(from, from_key);
    if (member)
        tree_put(to, to_key, tree_share(member, arena), arena);
}

/* {"name": schema} as a list of names and schemas. */
static struct value *pack_schemas(const struct value *schemas, struct arena *arena)
{
    struct value *packed = value_new(arena, VALUE_OBJECT);
    struct value *list = tree_put_list(packed, "additional_properties", arena);
    VALUE_EACH(schema, schemas)
    value_append(list, named(schema, pack_schema(schema, arena), arena));
    return packed;
}

/* As deep as we made it ourselves: properties, items and values, three at most. */
static struct value *pack_schema(const struct value *schema, struct arena *arena)
{
    struct value *packed = value_new(arena, VALUE_OBJECT);
    const struct value *type = value_get(schema, "type"), *items = value_get(schema, "items");
    const struct value *values = value_get(schema, "additionalProperties");
    const struct value *properties = value_get(schema, "properties");
    const struct value *words = value_get(schema, "enum");
    put_shared(packed, schema, "$ref", "_ref", arena);
    put_shared(packed, schema, "format", "format", arena);
    put_shared(packed, schema, "description", "description", arena);
    put_shared(packed, schema, "required", "required", arena);
    if (words) {
        struct value *list = tree_put_list(packed, "enum", arena);
        VALUE_EACH(word, words)
        value_append(list, pack_any(word, arena));
    }
    if (values)
        tree_put(tree_put_object(packed, "additional_properties", arena), "schema",
                 pack_schema(values, arena), arena);
    if (type)
        value_append(tree_put_list(tree_put_object(packed, "type", arena), "value", arena),
                     tree_share(type, arena));
    if (items)
        value_append(tree_put_list(tree_put_object(packed, "items", arena), "schema", arena),
                     pack_schema(items, arena));
    if (properties)
        tree_put(packed, "properties", pack_schemas(properties, arena), arena);
    put_extensions(packed, schema, arena);
    return packed;
}

static struct value *pack_parameters(const struct value *parameters, struct arena *arena)
{
    struct value *list = value_new(arena, VALUE_LIST);
    VALUE_EACH(parameter, parameters)
    {
        bool in_path = slice_equals_str(tree_text(parameter, "in"), "path");
        struct value *item = value_new(arena, VALUE_OBJECT);
        struct value *other =
            tree_put_object(tree_put_object(item, "parameter", arena), "non_body_parameter", arena);
        tree_put(other, in_path ? "path_parameter_sub_schema" : "query_parameter_sub_schema",
                 tree_share(parameter, arena), arena);
        value_append(list, item);
    }
    return list;
}

static struct value *pack_responses(const struct value *responses, struct arena *arena)
{
    struct value *packed = value_new(arena, VALUE_OBJECT);
    struct value *list = tree_put_list(packed, "response_code", arena);
    VALUE_EACH(response, responses)
    {
        struct value *value = value_new(arena, VALUE_OBJECT);
        tree_put(value, "response", tree_share(response, arena), arena);
        value_append(list, named(response, value, arena));
    }
    return packed;
}

static struct value *pack_operation(const struct value *operation, struct arena *arena)
{
    struct value *packed = value_new(arena, VALUE_OBJECT);
    put_shared(packed, operation, "operationId", "operation_id", arena);
    put_shared(packed, operation, "consumes", "consumes", arena);
    tree_put(packed, "parameters", pack_parameters(value_get(operation, "parameters"), arena),
             arena);
    tree_put(packed, "responses", pack_responses(value_get(operation, "responses"), arena), arena);
    put_extensions(packed, operation, arena);
    return packed;
}

static struct value *pack_path(const struct value *path, struct arena *arena)
{
    struct value *packed = value_new(arena, VALUE_OBJECT);
    VALUE_EACH(member, path)
    {
        struct value *value = slice_equals_str(member->key, "parameters")
                                  ? pack_parameters(member, arena)
                                  : pack_operation(member, arena);
        value_put(arena, packed, member->key, value);
    }
    return packed;
}

void openapi_v2_pack(const struct value *document, struct buffer *out)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *packed = value_new(&arena, VALUE_OBJECT);
    put_shared(packed, document, "swagger", "swagger", &arena);
    put_shared(packed, document, "info", "info", &arena);
    struct value *paths = tree_put_list(tree_put_object(packed, "paths", &arena), "path", &arena);
    VALUE_EACH(path, value_get(document, "paths"))
    value_append(paths, named(path, pack_path(path, &arena), &arena));
    tree_put(packed, "definitions", pack_schemas(value_get(document, "definitions"), &arena),
             &arena);
    struct problems problems = {.arena = &arena};
    ProtobufCMessage *message =
        text_decode(packed, &openapi__v2__document__descriptor, TEXT_STRICT, &problems);
    assert(message); /* we made it; api_test holds it */
    if (message)
        pb_pack(message, out);
    arena_fini(&arena);
}
