#include "control/model/revise.h"

#include "control/model/object.h"
#include "control/model/validate.h"

#include <inttypes.h>
#include <time.h>

static bool same(const struct value *a, const struct value *b, unsigned depth)
{
    if (!a || !b)
        return (!a || a->kind == VALUE_NULL) && (!b || b->kind == VALUE_NULL);
    if (a->kind != b->kind || depth > DOCUMENT_MAX_DEPTH)
        return false;
    if (a->kind != VALUE_LIST && a->kind != VALUE_OBJECT)
        return slice_equals(a->text, b->text);
    if (a->count != b->count)
        return false;
    const struct value *other = b->first;
    VALUE_EACH(child, a)
    {
        if (a->kind == VALUE_OBJECT)
            other = value_get_slice(b, child->key);
        if (!other || !same(child, other, depth + 1))
            return false;
        other = other->next;
    }
    return true;
}

bool value_means_the_same(const struct value *a, const struct value *b)
{
    return same(a, b, 0);
}

/* A copy of one value that can be put elsewhere: its children are shared, for they are never changed. */
static struct value *share(const struct value *value, struct arena *arena)
{
    struct value *copy = value_new(arena, value->kind);
    *copy = *value;
    copy->next = NULL;
    return copy;
}

static void put_str(struct arena *arena, struct value *object, const char *key, const char *text)
{
    value_put(arena, object, slice_str(key), value_new_string(arena, slice_str(text)));
}

static void put_shared(struct arena *arena, struct value *object, const char *key,
                       const struct value *value)
{
    if (value)
        value_put(arena, object, slice_str(key), share(value, arena));
}

static const char *time_text(int64_t unix_s, struct arena *arena)
{
    time_t seconds = (time_t)unix_s;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return arena_copy_str(arena, text);
}

static bool is_among(struct slice key, const char *const *names)
{
    for (; *names; names++) {
        if (slice_equals_str(key, *names))
            return true;
    }
    return false;
}

/* What people may not set: it comes from what is stored, or from the maker. */
static const char *const server_owned[] = {
    "namespace", "uid",          "resourceVersion",   "generation", "creationTimestamp",
    "selfLink",  "generateName", "deletionTimestamp", NULL};

/* The annotations as wanted, with the source as the maker says: for an importer its own, else none. */
static void put_annotations(struct value *metadata, const struct value *wanted,
                            const struct revision_maker *maker, struct arena *arena)
{
    struct value *annotations = value_new(arena, VALUE_OBJECT);
    VALUE_EACH(member, value_get(wanted, "annotations"))
    {
        if (!slice_equals_str(member->key, OBJECT_SOURCE_ANNOTATION))
            value_put(arena, annotations, member->key, share(member, arena));
    }
    if (maker->source.size > 0)
        value_put(arena, annotations, SLICE(OBJECT_SOURCE_ANNOTATION),
                  value_new_string(arena, maker->source));
    if (annotations->count > 0)
        value_put(arena, metadata, SLICE("annotations"), annotations);
}

static struct value *make_metadata(const struct value *stored, const struct value *wanted,
                                   const struct admitted *admitted,
                                   const struct revision_maker *maker, int64_t generation,
                                   struct arena *arena)
{
    struct value *metadata = value_new(arena, VALUE_OBJECT);
    value_put(arena, metadata, SLICE("name"), value_new_string(arena, admitted->name));
    if (admitted->name_space.size > 0)
        value_put(arena, metadata, SLICE("namespace"),
                  value_new_string(arena, admitted->name_space));
    const struct value *created = value_get(stored, "creationTimestamp");
    if (stored) {
        put_shared(arena, metadata, "uid", value_get(stored, "uid"));
        put_shared(arena, metadata, "creationTimestamp", created);
    } else {
        put_str(arena, metadata, "uid", maker->uid);
        put_str(arena, metadata, "creationTimestamp", time_text(maker->now_s, arena));
    }
    value_put(arena, metadata, SLICE("generation"), value_new_i64(arena, generation));
    VALUE_EACH(member, wanted)
    {
        if (is_among(member->key, server_owned) || slice_equals_str(member->key, "name") ||
            slice_equals_str(member->key, "annotations"))
            continue;
        value_put(arena, metadata, member->key, share(member, arena));
    }
    put_annotations(metadata, wanted, maker, arena);
    return metadata;
}

/* Everything but what the API keeps: a change of it is a new generation. */
static bool spec_changed(const struct value *stored, const struct value *wanted)
{
    static const char *const kept[] = {"apiVersion", "kind", "metadata", "status", NULL};
    VALUE_EACH(member, wanted)
    {
        if (!is_among(member->key, kept) && !same(member, value_get_slice(stored, member->key), 0))
            return true;
    }
    VALUE_EACH(member, stored)
    {
        if (!is_among(member->key, kept) && !value_get_slice(wanted, member->key) &&
            member->kind != VALUE_NULL)
            return true;
    }
    return false;
}

static struct value *with_status(const struct value *stored, const struct value *status,
                                 struct arena *arena)
{
    struct value *document = value_new(arena, VALUE_OBJECT);
    VALUE_EACH(member, stored)
    {
        if (!slice_equals_str(member->key, "status"))
            value_put(arena, document, member->key, share(member, arena));
    }
    put_shared(arena, document, "status", status);
    return document;
}

struct value *object_revise(const struct value *stored, const struct value *wanted,
                            const struct admitted *admitted, enum revise_part part,
                            const struct revision_maker *maker, struct arena *arena)
{
    if (part == REVISE_STATUS) {
        struct value *document = with_status(stored, value_get(wanted, "status"), arena);
        return stored && same(stored, document, 0) ? NULL : document;
    }
    const struct value *old = value_get(stored, "metadata");
    int64_t generation = 0;
    if (old && !value_to_i64(value_get(old, "generation"), &generation))
        generation = 0;
    if (!stored || spec_changed(stored, wanted))
        generation++;

    struct value *document = value_new(arena, VALUE_OBJECT);
    put_shared(arena, document, "apiVersion", value_get(wanted, "apiVersion"));
    put_shared(arena, document, "kind", value_get(wanted, "kind"));
    value_put(
        arena, document, SLICE("metadata"),
        make_metadata(old, value_get(wanted, "metadata"), admitted, maker, generation, arena));
    static const char *const done[] = {"apiVersion", "kind", "metadata", "status", NULL};
    VALUE_EACH(member, wanted)
    {
        if (!is_among(member->key, done))
            value_put(arena, document, member->key, share(member, arena));
    }
    put_shared(arena, document, "status", value_get(stored, "status"));
    return stored && same(stored, document, 0) ? NULL : document;
}
