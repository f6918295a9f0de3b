#include "control/api/strategic.h"

#include "control/api/tree.h"
#include "control/model/revise.h"
#include "pb/explain.h"

/* The patchMergeKey of Kubernetes' own types, of the fields that we have. */
static const struct {
    const char *type, *field, *key;
} merged_lists[] = {
    {"k8s.io.api.core.v1.ServiceSpec", "ports", "port"},
    {"k8s.io.api.core.v1.ServiceStatus", "conditions", "type"},
    {"k8s.io.api.core.v1.NamespaceStatus", "conditions", "type"},
    {"k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", "uid"},
    {"k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", ""},
};

const char *strategic_merge_key(const struct pb_type *type, struct slice field)
{
    for (size_t i = 0; type && i < COUNT(merged_lists); i++) {
        if (strcmp(type->descriptor->name, merged_lists[i].type) == 0 &&
            slice_equals_str(field, merged_lists[i].field))
            return merged_lists[i].key;
    }
    return NULL;
}

struct merging {
    struct arena *arena;
    struct error *error;
    bool bad;
};

static struct value *merge_object(struct merging *merging, const struct value *target,
                                  const struct value *patch, const struct pb_type *type);

static const struct pb_type *field_type(const struct pb_type *type, struct slice name)
{
    int index = type ? pb_field_find(type, name) : -1;
    return index < 0 ? NULL : explain_field_type(type, (size_t)index);
}

static bool refuse(struct merging *merging, const char *what, struct slice about)
{
    merging->bad = true;
    return error_set(merging->error, NULL, "the strategic merge patch %s: %.*s", what,
                     SLICE_ARG(about));
}

static bool is_directive(struct slice key)
{
    return slice_starts_with(key, SLICE("$"));
}

static const struct value *directive_for(const struct value *patch, const char *name,
                                         struct slice field)
{
    struct slice prefix = slice_str(name);
    VALUE_EACH(member, patch)
    {
        if (slice_starts_with(member->key, prefix) &&
            slice_equals(slice_from(member->key, prefix.size), field))
            return member;
    }
    return NULL;
}

static bool list_has(const struct value *list, const struct value *wanted)
{
    VALUE_EACH(item, list)
    {
        if (value_means_the_same(item, wanted))
            return true;
    }
    return false;
}

static struct value *merge_words(struct merging *merging, const struct value *target,
                                 const struct value *patch, const struct value *deletes)
{
    struct value *result = value_new(merging->arena, VALUE_LIST);
    VALUE_EACH(old, target)
    {
        if (!list_has(deletes, old))
            value_append(result, tree_share(old, merging->arena));
    }
    VALUE_EACH(new, patch)
    {
        if (!list_has(result, new))
            value_append(result, tree_share(new, merging->arena));
    }
    return result;
}

/* The item of a list with this value of the key. */
static const struct value *find_item(const struct value *list, const char *key,
                                     const struct value *wanted)
{
    VALUE_EACH(item, list)
    {
        const struct value *value = value_get(item, key);
        if (value && wanted && value_means_the_same(value, wanted))
            return item;
    }
    return NULL;
}

static struct value *merge_item(struct merging *merging, const struct value *old,
                                const struct value *change, const struct pb_type *type)
{
    const char *directive = value_str(value_get(change, "$patch"), "merge");
    if (strcmp(directive, "delete") == 0)
        return NULL;
    return merge_object(merging, strcmp(directive, "replace") == 0 ? NULL : old, change, type);
}

static struct value *merge_items(struct merging *merging, const struct value *target,
                                 const struct value *patch, const char *key,
                                 const struct pb_type *type)
{
    struct value *result = value_new(merging->arena, VALUE_LIST);
    bool replaces = false;
    VALUE_EACH(change, patch)
    {
        const struct value *named = value_get(change, key);
        bool all = value_get(change, "$patch") && !named;
        replaces = replaces || (all && slice_equals_str(tree_text(change, "$patch"), "replace"));
        if (change->kind != VALUE_OBJECT || (!named && !all))
            refuse(merging, "has an item without its key", slice_str(key));
    }
    VALUE_EACH(old, replaces ? NULL : target)
    {
        const struct value *change = find_item(patch, key, value_get(old, key));
        struct value *item =
            change ? merge_item(merging, old, change, type) : tree_share(old, merging->arena);
        if (item)
            value_append(result, item);
    }
    VALUE_EACH(change, patch)
    {
        const struct value *named = value_get(change, key);
        if (!named || (!replaces && find_item(target, key, named)))
            continue;
        struct value *item = merge_item(merging, NULL, change, type);
        if (item)
            value_append(result, item);
    }
    return result;
}

/* The order that the patch asks for: what it names first, as named; the others after them, as they stood. */
static struct value *ordered(struct merging *merging, const struct value *list,
                             const struct value *order, const char *key)
{
    if (!order || order->kind != VALUE_LIST)
        return tree_share(list, merging->arena);
    struct value *result = value_new(merging->arena, VALUE_LIST);
    bool words = key[0] == '\0';
    VALUE_EACH(wanted, order)
    {
        const struct value *item = NULL;
        if (!words)
            item = find_item(list, key, value_get(wanted, key));
        else if (list_has(list, wanted))
            item = wanted;
        if (item && !list_has(result, item))
            value_append(result, tree_share(item, merging->arena));
    }
    VALUE_EACH(item, list)
    {
        const struct value *named = words ? NULL : value_get(item, key);
        bool listed = words ? list_has(order, item) : find_item(order, key, named) != NULL;
        if (!listed)
            value_append(result, tree_share(item, merging->arena));
    }
    return result;
}

static struct value *merge_member(struct merging *merging, const struct value *old,
                                  const struct value *patch, struct slice name,
                                  const struct pb_type *type)
{
    const struct value *change = value_get_slice(patch, name);
    const struct value *order = directive_for(patch, "$setElementOrder/", name);
    const struct value *deletes = directive_for(patch, "$deleteFromPrimitiveList/", name);
    const char *key = strategic_merge_key(type, name);
    if (change && change->kind == VALUE_OBJECT)
        return merge_object(merging, old, change, field_type(type, name));
    if (!key || (change && change->kind != VALUE_LIST) || (old && old->kind != VALUE_LIST))
        return tree_share(change ? change : old, merging->arena);
    struct value *list = key[0] ? merge_items(merging, old, change, key, field_type(type, name))
                                : merge_words(merging, old, change, deletes);
    return ordered(merging, list, order, key);
}

/* With $retainKeys, members that it does not name go. */
static bool is_retained(const struct value *keys, struct slice name)
{
    bool found = !keys;
    VALUE_EACH(key, keys)
    found = found || slice_equals(key->text, name);
    return found;
}

/* As deep as the patch is: at most DOCUMENT_MAX_DEPTH. */
static struct value *merge_object(struct merging *merging, const struct value *target,
                                  const struct value *patch, const struct pb_type *type)
{
    const struct value *directive = value_get(patch, "$patch");
    const struct value *retained = value_get(patch, "$retainKeys");
    struct value *result = value_new(merging->arena, VALUE_OBJECT);
    bool known = !directive || slice_equals_str(directive->text, "replace") ||
                 slice_equals_str(directive->text, "delete") ||
                 slice_equals_str(directive->text, "merge");
    if (!known)
        refuse(merging, "has an unknown $patch", directive->text);
    if (directive && slice_equals_str(directive->text, "delete"))
        return result;
    if (directive && slice_equals_str(directive->text, "replace"))
        target = NULL;
    if (target && target->kind != VALUE_OBJECT)
        target = NULL;
    VALUE_EACH(old, target)
    {
        const struct value *change = value_get_slice(patch, old->key);
        if ((change && change->kind == VALUE_NULL) || !is_retained(retained, old->key))
            continue;
        value_put(merging->arena, result, old->key,
                  merge_member(merging, old, patch, old->key, type));
    }
    VALUE_EACH(change, patch)
    {
        if (change->kind == VALUE_NULL || is_directive(change->key) ||
            value_get_slice(target, change->key))
            continue;
        value_put(merging->arena, result, change->key,
                  merge_member(merging, NULL, patch, change->key, type));
    }
    return result;
}

bool strategic_patch(const struct value *target, const struct value *patch,
                     const struct pb_type *type, struct arena *arena, struct value **out,
                     struct error *error)
{
    struct merging merging = {.arena = arena, .error = error};
    if (patch->kind != VALUE_OBJECT)
        return refuse(&merging, "is no object", SLICE(""));
    *out = merge_object(&merging, target, patch, type);
    return !merging.bad;
}
