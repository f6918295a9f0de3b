#include "pb/document.h"

#include "pb/number_internal.h"

#include <math.h>

const struct text_limits TEXT_LIMITS = {
    .max_bytes = 16 << 20,
    .max_depth = DOCUMENT_MAX_DEPTH,
    .max_values = 1000000,
    .max_alias_values = 0,
};

struct value *value_get_slice(const struct value *object, struct slice key)
{
    if (!object || object->kind != VALUE_OBJECT)
        return NULL;
    VALUE_EACH(member, object)
    if (slice_equals(member->key, key))
        return member;
    return NULL;
}

struct value *value_get(const struct value *object, const char *key)
{
    return value_get_slice(object, slice_str(key));
}

const char *value_str(const struct value *value, const char *otherwise)
{
    return value && value->kind == VALUE_STRING ? value->text.data : otherwise;
}

bool value_to_i64(const struct value *value, int64_t *number)
{
    return value->kind == VALUE_NUMBER && number_to_i64(value->text, number);
}

bool value_to_u64(const struct value *value, uint64_t *number)
{
    return value->kind == VALUE_NUMBER && number_to_u64(value->text, number);
}

bool value_to_double(const struct value *value, double *number)
{
    return value->kind == VALUE_NUMBER && number_to_double(value->text, number);
}

const char *value_describe(const struct value *value, struct arena *arena)
{
    enum { SHOWN = 40 };
    struct slice text = value->raw.size ? value->raw : value->text;
    const char *more = text.size > SHOWN ? "..." : "";
    text = slice_first(text, MIN(text.size, (size_t)SHOWN));
    switch (value->kind) {
    case VALUE_NULL: return "null";
    case VALUE_LIST: return "a list";
    case VALUE_OBJECT: return "an object";
    case VALUE_BOOL: return arena_format(arena, "the boolean %.*s", SLICE_ARG(text));
    case VALUE_NUMBER: return arena_format(arena, "the number %.*s%s", SLICE_ARG(text), more);
    case VALUE_STRING: return arena_format(arena, "the string \"%.*s%s\"", SLICE_ARG(text), more);
    }
    return "";
}

struct value *value_new(struct arena *arena, enum value_kind kind)
{
    struct value *value = arena_new(arena, struct value);
    value->kind = kind;
    return value;
}

static struct value *new_scalar(struct arena *arena, enum value_kind kind, struct slice text)
{
    struct value *value = value_new(arena, kind);
    value->text = slice_of(arena_copy(arena, text), text.size);
    return value;
}

struct value *value_new_string(struct arena *arena, struct slice text)
{
    return new_scalar(arena, VALUE_STRING, text);
}

struct value *value_new_number(struct arena *arena, struct slice json_number)
{
    return new_scalar(arena, VALUE_NUMBER, json_number);
}

struct value *value_new_i64(struct arena *arena, int64_t number)
{
    const char *text = arena_format(arena, "%lld", (long long)number);
    return new_scalar(arena, VALUE_NUMBER, slice_str(text));
}

struct value *value_new_u64(struct arena *arena, uint64_t number)
{
    const char *text = arena_format(arena, "%llu", (unsigned long long)number);
    return new_scalar(arena, VALUE_NUMBER, slice_str(text));
}

struct value *value_new_double(struct arena *arena, double number)
{
    char text[32];
    number_write_double(number, text);
    return new_scalar(arena, VALUE_NUMBER, slice_str(text));
}

struct value *value_new_bool(struct arena *arena, bool truth)
{
    struct value *value = value_new(arena, VALUE_BOOL);
    value->text = truth ? SLICE("true") : SLICE("false");
    return value;
}

void value_append(struct value *list, struct value *item)
{
    item->next = NULL;
    if (list->last)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
    list->count++;
}

void value_put(struct arena *arena, struct value *object, struct slice key, struct value *member)
{
    member->key = slice_of(arena_copy(arena, key), key.size);
    value_append(object, member);
}

static bool is_written_real(struct slice number)
{
    return memchr(number.data, '.', number.size) || memchr(number.data, 'e', number.size) ||
           memchr(number.data, 'E', number.size);
}

/* jansson's numbers are int64 and double: what is written with a point or exponent is a double, and stays one. */
static json_t *number_to_json(const struct value *value)
{
    int64_t whole;
    double real;
    if (!is_written_real(value->text) && value_to_i64(value, &whole))
        return json_integer(whole);
    return value_to_double(value, &real) ? json_real(real) : NULL;
}

static struct value *number_from_json(const json_t *json, struct arena *arena)
{
    if (json_is_integer(json))
        return value_new_i64(arena, json_integer_value(json));
    struct value *real = value_new_double(arena, json_real_value(json));
    if (!is_written_real(real->text))
        real->text = slice_str(arena_format(arena, "%s.0", real->text.data));
    return real;
}

static json_t *children_to_json(const struct value *value, json_t *json)
{
    VALUE_EACH(child, value)
    {
        json_t *converted = value_to_json(child);
        int failed = !converted ? -1
                     : value->kind == VALUE_LIST
                         ? json_array_append_new(json, converted)
                         : json_object_setn_new(json, child->key.data, child->key.size, converted);
        if (failed) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

json_t *value_to_json(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL: return json_null();
    case VALUE_BOOL: return json_boolean(value->text.data[0] == 't');
    case VALUE_NUMBER: return number_to_json(value);
    case VALUE_STRING: return json_stringn(value->text.data, value->text.size);
    case VALUE_LIST: return children_to_json(value, json_array());
    case VALUE_OBJECT: return children_to_json(value, json_object());
    }
    return NULL;
}

static struct value *from_json(const json_t *json, struct arena *arena, size_t depth);

static struct value *object_from_json(const json_t *json, struct arena *arena, size_t depth)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    json_t *whole = (json_t *)(uintptr_t)json; /* jansson's iterators are not const */
    for (void *at = json_object_iter(whole); at; at = json_object_iter_next(whole, at)) {
        struct value *member = from_json(json_object_iter_value(at), arena, depth);
        if (!member)
            return NULL;
        value_put(arena, object, slice_of(json_object_iter_key(at), json_object_iter_key_len(at)),
                  member);
    }
    return object;
}

static struct value *list_from_json(const json_t *json, struct arena *arena, size_t depth)
{
    struct value *list = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct value *item = from_json(json_array_get(json, i), arena, depth);
        if (!item)
            return NULL;
        value_append(list, item);
    }
    return list;
}

static struct value *from_json(const json_t *json, struct arena *arena, size_t depth)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT: return depth ? object_from_json(json, arena, depth - 1) : NULL;
    case JSON_ARRAY: return depth ? list_from_json(json, arena, depth - 1) : NULL;
    case JSON_STRING: {
        struct value *string =
            value_new_string(arena, slice_of(json_string_value(json), json_string_length(json)));
        string->quoted = true;
        return string;
    }
    case JSON_INTEGER:
    case JSON_REAL: return number_from_json(json, arena);
    case JSON_TRUE:
    case JSON_FALSE: return value_new_bool(arena, json_is_true(json));
    case JSON_NULL: break;
    }
    return value_new(arena, VALUE_NULL);
}

struct value *value_from_json(const json_t *json, struct arena *arena)
{
    return from_json(json, arena, DOCUMENT_MAX_DEPTH);
}
