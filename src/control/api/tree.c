#include "control/api/tree.h"

struct value *tree_share(const struct value *value, struct arena *arena)
{
    struct value *copy = value_new(arena, value->kind);
    *copy = *value;
    copy->next = NULL;
    return copy;
}

struct value *tree_with_slice(const struct value *object, struct slice key, struct value *member,
                              struct arena *arena)
{
    struct value *result = value_new(arena, VALUE_OBJECT);
    bool done = false;
    VALUE_EACH(child, object)
    {
        if (!slice_equals(child->key, key)) {
            value_put(arena, result, child->key, tree_share(child, arena));
        } else if (member && !done) {
            value_put(arena, result, key, tree_share(member, arena));
            done = true;
        }
    }
    if (member && !done)
        value_put(arena, result, key, tree_share(member, arena));
    return result;
}

struct value *tree_with(const struct value *object, const char *key, struct value *member,
                        struct arena *arena)
{
    return tree_with_slice(object, slice_str(key), member, arena);
}

void tree_put(struct value *object, const char *key, struct value *member, struct arena *arena)
{
    value_put(arena, object, slice_str(key), member);
}

void tree_put_slice(struct value *object, const char *key, struct slice text, struct arena *arena)
{
    tree_put(object, key, value_new_string(arena, text), arena);
}

void tree_put_str(struct value *object, const char *key, const char *text, struct arena *arena)
{
    tree_put_slice(object, key, slice_str(text), arena);
}

void tree_put_i64(struct value *object, const char *key, int64_t number, struct arena *arena)
{
    tree_put(object, key, value_new_i64(arena, number), arena);
}

void tree_put_bool(struct value *object, const char *key, bool truth, struct arena *arena)
{
    tree_put(object, key, value_new_bool(arena, truth), arena);
}

struct value *tree_put_object(struct value *object, const char *key, struct arena *arena)
{
    struct value *child = value_new(arena, VALUE_OBJECT);
    tree_put(object, key, child, arena);
    return child;
}

struct value *tree_put_list(struct value *object, const char *key, struct arena *arena)
{
    struct value *child = value_new(arena, VALUE_LIST);
    tree_put(object, key, child, arena);
    return child;
}

const struct value *tree_at(const struct value *object, const char *path)
{
    struct slice rest = slice_str(path), step;
    bool more = true;
    while (object && more) {
        more = slice_cut(rest, '.', &step, &rest);
        object = value_get_slice(object, step);
    }
    return object;
}

struct slice tree_text(const struct value *object, const char *path)
{
    const struct value *at = tree_at(object, path);
    return at && at->kind != VALUE_LIST && at->kind != VALUE_OBJECT && at->kind != VALUE_NULL
               ? at->text
               : SLICE_NONE;
}
