#include "control/api/patch.h"

#include "control/api/tree.h"
#include "control/model/revise.h"

/* Both are as deep as documents may be, DOCUMENT_MAX_DEPTH, and so is this recursion. */
struct value *patch_merge(const struct value *target, const struct value *patch,
                          struct arena *arena)
{
    if (patch->kind != VALUE_OBJECT)
        return tree_share(patch, arena);
    struct value *result = value_new(arena, VALUE_OBJECT);
    if (target && target->kind != VALUE_OBJECT)
        target = NULL;
    VALUE_EACH(member, target)
    {
        const struct value *change = value_get_slice(patch, member->key);
        if (!change)
            value_put(arena, result, member->key, tree_share(member, arena));
        else if (change->kind != VALUE_NULL)
            value_put(arena, result, member->key, patch_merge(member, change, arena));
    }
    VALUE_EACH(change, patch)
    {
        if (change->kind != VALUE_NULL && !value_get_slice(target, change->key))
            value_put(arena, result, change->key, patch_merge(NULL, change, arena));
    }
    return result;
}

/* --- JSON patch -------------------------------------------------------------------------------------------------- */

enum edit { EDIT_ADD, EDIT_REPLACE, EDIT_REMOVE };

struct pointer {
    struct slice tokens[DOCUMENT_MAX_DEPTH];
    size_t count;
};

struct patching {
    struct arena *arena;
    struct error *error;
    size_t copied; /* bytes */
    size_t index;  /* of the operation */
};

static bool refuse(struct patching *patching, const char *what, struct slice about)
{
    return error_set(patching->error, NULL, "operation %zu of the JSON patch: %s: %.*s",
                     patching->index, what, SLICE_ARG(about));
}

/* RFC 6901: "~1" is "/", "~0" is "~". */
static bool unescape_token(struct slice token, struct arena *arena, struct slice *out)
{
    char *to = arena_copy(arena, token);
    size_t size = 0;
    for (size_t i = 0; i < token.size; i++) {
        char c = token.data[i];
        if (c == '~') {
            char next = i + 1 < token.size ? token.data[i + 1] : '\0';
            if (next != '0' && next != '1')
                return false;
            c = next == '0' ? '~' : '/';
            i++;
        }
        to[size++] = c;
    }
    to[size] = '\0';
    *out = slice_of(to, size);
    return true;
}

static bool read_pointer(struct patching *patching, const struct value *text, struct pointer *out)
{
    *out = (struct pointer){.count = 0};
    if (!text || text->kind != VALUE_STRING)
        return refuse(patching, "a path is missing", SLICE(""));
    struct slice rest = text->text, token;
    if (rest.size == 0)
        return true;
    if (rest.data[0] != '/')
        return refuse(patching, "a path begins with /", text->text);
    rest = slice_from(rest, 1);
    bool more;
    do {
        more = slice_cut(rest, '/', &token, &rest);
        if (out->count == DOCUMENT_MAX_DEPTH)
            return refuse(patching, "the path is too deep", text->text);
        if (!unescape_token(token, patching->arena, &out->tokens[out->count++]))
            return refuse(patching, "the path has a broken escape", text->text);
    } while (more);
    return true;
}

/* A list index without leading zeros, below `end`. */
static bool read_index(struct slice token, size_t end, size_t *index)
{
    uint64_t number;
    if (token.size == 0 || (token.size > 1 && token.data[0] == '0') || end == 0 ||
        !slice_to_u64(token, end - 1, &number))
        return false;
    *index = (size_t)number;
    return true;
}

static const struct value *list_item(const struct value *list, size_t index)
{
    const struct value *item = list->first;
    while (index-- > 0)
        item = item->next;
    return item;
}

static const struct value *step(const struct value *value, struct slice token)
{
    size_t index;
    if (value->kind == VALUE_OBJECT)
        return value_get_slice(value, token);
    if (value->kind == VALUE_LIST && read_index(token, value->count, &index))
        return list_item(value, index);
    return NULL;
}

static const struct value *find(const struct value *value, const struct pointer *pointer)
{
    for (size_t i = 0; value && i < pointer->count; i++)
        value = step(value, pointer->tokens[i]);
    return value;
}

/* The list with one item put in, put in place of another, or taken out. */
static struct value *edit_list(const struct value *list, size_t at, enum edit edit,
                               const struct value *item, struct arena *arena)
{
    struct value *result = value_new(arena, VALUE_LIST);
    size_t i = 0;
    VALUE_EACH(old, list)
    {
        if (i == at && edit != EDIT_REMOVE)
            value_append(result, tree_share(item, arena));
        if (i != at || edit == EDIT_ADD)
            value_append(result, tree_share(old, arena));
        i++;
    }
    if (i == at && edit == EDIT_ADD)
        value_append(result, tree_share(item, arena));
    return result;
}

/* The container with the edit done to its member `token`; NULL when that is not there. */
static struct value *edit_here(const struct value *container, struct slice token, enum edit edit,
                               const struct value *item, struct arena *arena)
{
    if (container->kind == VALUE_OBJECT) {
        if (edit != EDIT_ADD && !value_get_slice(container, token))
            return NULL;
        return tree_with_slice(container, token,
                               edit == EDIT_REMOVE ? NULL : tree_share(item, arena), arena);
    }
    if (container->kind != VALUE_LIST)
        return NULL;
    size_t at = container->count;
    if (!(edit == EDIT_ADD && slice_equals_str(token, "-")) &&
        !read_index(token, container->count + (edit == EDIT_ADD), &at))
        return NULL;
    return edit_list(container, at, edit, item, arena);
}

/* Puts the edit at the pointer's end and rebuilds what lies above it. NULL when the path is not there. */
static struct value *edit_at(const struct value *root, const struct pointer *pointer,
                             enum edit edit, const struct value *item, struct arena *arena)
{
    if (pointer->count == 0)
        return edit == EDIT_REMOVE ? value_new(arena, VALUE_NULL) : tree_share(item, arena);
    const struct value *way[DOCUMENT_MAX_DEPTH];
    size_t last = pointer->count - 1;
    way[0] = root;
    for (size_t i = 0; i < last; i++) {
        way[i + 1] = step(way[i], pointer->tokens[i]);
        if (!way[i + 1])
            return NULL;
    }
    struct value *made = edit_here(way[last], pointer->tokens[last], edit, item, arena);
    for (size_t i = last; made && i > 0; i--)
        made = edit_here(way[i - 1], pointer->tokens[i - 1], EDIT_REPLACE, made, arena);
    return made;
}

static bool is_deeper(const struct value *value, unsigned most)
{
    if (value->kind != VALUE_OBJECT && value->kind != VALUE_LIST)
        return false;
    if (most == 0)
        return true;
    VALUE_EACH(child, value)
    {
        if (is_deeper(child, most - 1))
            return true;
    }
    return false;
}

/* What is put somewhere deep must not make the whole deeper than documents may be. */
static bool fits(struct patching *patching, const struct value *item, const struct pointer *at)
{
    if (!is_deeper(item, DOCUMENT_MAX_DEPTH - (unsigned)at->count))
        return true;
    return refuse(patching, "the result is too deep", SLICE(""));
}

static bool may_copy(struct patching *patching, const struct value *item)
{
    owned_buffer text = {0};
    value_write_json(item, false, &text);
    patching->copied += text.size;
    if (patching->copied <= PATCH_COPIED_BYTES_MAX)
        return true;
    return refuse(patching, "its copies are too large", SLICE(""));
}

static bool is_prefix(const struct pointer *a, const struct pointer *b)
{
    if (a->count >= b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!slice_equals(a->tokens[i], b->tokens[i]))
            return false;
    }
    return true;
}

/* One operation, its words read. */
struct change {
    struct slice op;
    struct pointer path, from;
    const struct value *value, *source;
};

static enum patch_status not_there(struct patching *patching, const struct value *operation)
{
    refuse(patching, "there is nothing at", tree_text(operation, "path"));
    return PATCH_FAILED;
}

static enum patch_status change_with(struct patching *patching, const struct value *operation,
                                     const struct change *change, struct value **document)
{
    enum edit edit = slice_equals_str(change->op, "remove")    ? EDIT_REMOVE
                     : slice_equals_str(change->op, "replace") ? EDIT_REPLACE
                                                               : EDIT_ADD;
    const struct value *item = change->source ? change->source : change->value;
    struct value *next = *document;
    if (edit != EDIT_REMOVE && !fits(patching, item, &change->path))
        return PATCH_FAILED;
    if (slice_equals_str(change->op, "copy") && !may_copy(patching, item))
        return PATCH_FAILED;
    if (slice_equals_str(change->op, "move"))
        next = edit_at(next, &change->from, EDIT_REMOVE, NULL, patching->arena);
    if (next)
        next = edit_at(next, &change->path, edit, item, patching->arena);
    if (!next)
        return not_there(patching, operation);
    *document = next;
    return PATCH_DONE;
}

static enum patch_status test(struct patching *patching, const struct value *operation,
                              const struct change *change, const struct value *document)
{
    const struct value *there = find(document, &change->path);
    if (!there)
        return not_there(patching, operation);
    if (value_means_the_same(there, change->value))
        return PATCH_DONE;
    refuse(patching, "the test does not hold at", tree_text(operation, "path"));
    return PATCH_FAILED;
}

static enum patch_status apply(struct patching *patching, const struct value *operation,
                               struct value **document)
{
    struct change change = {.op = tree_text(operation, "op"),
                            .value = value_get(operation, "value")};
    bool takes = slice_equals_str(change.op, "move") || slice_equals_str(change.op, "copy");
    bool tests = slice_equals_str(change.op, "test");
    bool gives = slice_equals_str(change.op, "add") || slice_equals_str(change.op, "replace");
    if (!takes && !gives && !tests && !slice_equals_str(change.op, "remove")) {
        refuse(patching, "there is no such op", change.op);
        return PATCH_MALFORMED;
    }
    if (!read_pointer(patching, value_get(operation, "path"), &change.path) ||
        (takes && !read_pointer(patching, value_get(operation, "from"), &change.from)))
        return PATCH_MALFORMED;
    if ((gives || tests) && !change.value) {
        refuse(patching, "it has no value", change.op);
        return PATCH_MALFORMED;
    }
    if (takes) {
        change.source = find(*document, &change.from);
        if (!change.source)
            return not_there(patching, operation);
        if (slice_equals_str(change.op, "move") && is_prefix(&change.from, &change.path)) {
            refuse(patching, "nothing can be moved into itself", SLICE(""));
            return PATCH_FAILED;
        }
    }
    return tests ? test(patching, operation, &change, *document)
                 : change_with(patching, operation, &change, document);
}

enum patch_status patch_json(const struct value *target, const struct value *patch,
                             struct arena *arena, struct value **out, struct error *error)
{
    struct patching patching = {.arena = arena, .error = error};
    if (patch->kind != VALUE_LIST || patch->count > PATCH_OPERATIONS_MAX) {
        error_set(error, NULL, "a JSON patch is a list of at most %d operations",
                  PATCH_OPERATIONS_MAX);
        return PATCH_MALFORMED;
    }
    struct value *document = tree_share(target, arena);
    VALUE_EACH(operation, patch)
    {
        enum patch_status status = apply(&patching, operation, &document);
        if (status != PATCH_DONE)
            return status;
        patching.index++;
    }
    *out = document;
    return PATCH_DONE;
}
