#include "control/api/present.h"

#include "control/api/tree.h"

#include <inttypes.h>

const char *present_api_version(enum kind kind, const char *version, struct arena *arena)
{
    const char *group = kind_schema(kind)->group;
    return group[0] ? arena_format(arena, "%s/%s", group, version) : version;
}

struct value *present_read(struct slice stored, struct arena *arena)
{
    owned_error error = {0};
    struct value *document;
    struct slice text = slice_of(arena_copy(arena, stored), stored.size);
    if (!document_read_json(text, "stored object", NULL, arena, &document, &error))
        return NULL;
    return document->kind == VALUE_OBJECT ? document : NULL;
}

struct value *present_object(const struct value *document, enum kind kind, const char *version,
                             uint64_t revision, struct arena *arena)
{
    const char *api_version = present_api_version(kind, version, arena);
    struct value *object =
        tree_with(document, "apiVersion", value_new_string(arena, slice_str(api_version)), arena);
    if (revision == 0)
        return object;
    const char *text = arena_format(arena, "%" PRIu64, revision);
    struct value *metadata = tree_with(value_get(document, "metadata"), "resourceVersion",
                                       value_new_string(arena, slice_str(text)), arena);
    return tree_with(object, "metadata", metadata, arena);
}

static void put_list_metadata(struct value *list, uint64_t revision, const char *continuation,
                              struct arena *arena)
{
    struct value *metadata = tree_put_object(list, "metadata", arena);
    tree_put_str(metadata, "resourceVersion", arena_format(arena, "%" PRIu64, revision), arena);
    if (continuation)
        tree_put_str(metadata, "continue", continuation, arena);
}

struct value *present_list(enum kind kind, const char *version, uint64_t revision,
                           const char *continuation, struct arena *arena, struct value **items)
{
    struct value *list = value_new(arena, VALUE_OBJECT);
    tree_put_str(list, "kind", arena_format(arena, "%sList", kind_schema(kind)->kind), arena);
    tree_put_str(list, "apiVersion", present_api_version(kind, version, arena), arena);
    put_list_metadata(list, revision, continuation, arena);
    *items = tree_put_list(list, "items", arena);
    return list;
}

enum present_form present_form_of(struct slice accept)
{
    struct slice one;
    bool more = accept.size > 0;
    while (more) { /* the first form that we have */
        more = slice_cut(accept, ',', &one, &accept);
        bool meta = slice_find(one, SLICE("g=meta.k8s.io")) != SIZE_MAX;
        if (meta && slice_find(one, SLICE("as=Table")) != SIZE_MAX)
            return PRESENT_TABLE;
        if (meta && slice_find(one, SLICE("as=PartialObjectMetadata")) != SIZE_MAX)
            return PRESENT_METADATA;
        one = slice_trim(one);
        if (slice_equals_str(one, "application/json") || slice_starts_with(one, SLICE("*/*")))
            return PRESENT_OBJECT;
    }
    return PRESENT_OBJECT;
}

struct value *present_metadata(const struct value *object, struct arena *arena)
{
    struct value *partial = value_new(arena, VALUE_OBJECT);
    tree_put_str(partial, "kind", "PartialObjectMetadata", arena);
    tree_put_str(partial, "apiVersion", "meta.k8s.io/v1", arena);
    const struct value *metadata = value_get(object, "metadata");
    if (metadata)
        tree_put(partial, "metadata", tree_share(metadata, arena), arena);
    return partial;
}
