#include "control/model/object.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/admit.h"
#include "pb/text_in.h"

static const K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__ObjectMeta *
metadata_of(const struct object *object)
{
    switch (object->kind) {
    case KIND_NAMESPACE: return object->namespace_->metadata;
    case KIND_SERVICE: return object->service->metadata;
    case KIND_VIRTUAL_SERVICE: return object->virtual_service->metadata;
    case KIND_DESTINATION_RULE: return object->destination_rule->metadata;
    case KIND_SERVICE_ENTRY: return object->service_entry->metadata;
    case KIND_WORKLOAD_ENTRY: return object->workload_entry->metadata;
    case KINDS: break;
    }
    return NULL;
}

static struct hash128 hash_meaning(const struct value *document)
{
    owned_buffer text = {0};
    VALUE_EACH(member, document)
    {
        if (slice_equals_str(member->key, "status"))
            continue;
        buffer_append_slice(&text, member->key);
        value_write_json(member, false, &text);
    }
    return hash128(buffer_slice(&text));
}

/* The index in "spec.http[3].match[0].port", or `count` for what lies in no single rule. */
static size_t rule_of(struct slice path, size_t count)
{
    uint64_t index;
    struct slice number, rest = path;
    if (!slice_starts_with(path, SLICE("spec.http[")))
        return count;
    rest = slice_from(path, strlen("spec.http["));
    if (!slice_cut(rest, ']', &number, &rest) || rest.size == 0 || rest.data[0] != '.' ||
        !slice_to_u64(number, UINT32_MAX, &index) || index >= count)
        return count;
    return (size_t)index;
}

/* What was left out and restricts takes the rule that holds it along. */
static void disable(struct object *object)
{
    const Istio__Networking__V1alpha3__VirtualService *spec =
        object->kind == KIND_VIRTUAL_SERVICE ? object->virtual_service->spec : NULL;
    size_t count = spec ? spec->n_http : 0, disabled = 0;
    bool *rules = arena_calloc(&object->arena, count + 1, sizeof(bool));
    for (size_t i = 0; i < MIN(object->problems.count, (size_t)PROBLEMS_MAX); i++) {
        if (!object->problems.items[i].restricts)
            continue;
        size_t rule = rule_of(slice_str(object->problems.items[i].path), count);
        object->disabled = object->disabled || rule == count;
        disabled += !rules[rule];
        rules[rule] = true;
    }
    if (disabled > 0)
        object->disabled_rules = rules;
    /* What was not kept may restrict too. */
    object->disabled = object->disabled || object->problems.count > PROBLEMS_MAX ||
                       (count > 0 && disabled == count);
}

static bool read_message(struct object *object, struct error *error)
{
    const struct pb_type *type = kind_schema(object->kind)->type;
    object->problems.arena = &object->arena;
    object->problems.name = object->key.data;
    object->message =
        text_decode(object->document, type->descriptor, TEXT_LENIENT, &object->problems);
    if (!object->message) {
        if (problems_are_none(&object->problems, error))
            error_set(error, NULL, "the object cannot be read");
        return false;
    }
    admit_check(object->document, type->descriptor, TEXT_LENIENT, &object->problems);
    disable(object);
    return true;
}

bool object_load(struct slice key, struct slice value, uint64_t revision, struct object **out,
                 struct error *error)
{
    struct object_key parts;
    if (!object_key_parse(key, &parts))
        return error_set(error, NULL, "%.*s is no key of an object", SLICE_ARG(key));
    owned(object) object = mem_new(struct object);
    arena_init(&object->arena, NULL);
    object->refs = 1;
    object->kind = parts.kind;
    object->revision = revision;
    object->key = slice_of(arena_copy(&object->arena, key), key.size);
    object->name_space =
        slice_of(arena_copy(&object->arena, parts.name_space), parts.name_space.size);
    object->name = slice_of(arena_copy(&object->arena, parts.name), parts.name.size);

    struct value *document;
    struct slice text = slice_of(arena_copy(&object->arena, value), value.size);
    if (!document_read_json(text, object->key.data, NULL, &object->arena, &document, error))
        return false;
    if (document->kind != VALUE_OBJECT)
        return error_set(error, NULL, "%s is no object", object->key.data);
    object->document = document;
    object->meaning = hash_meaning(document);
    if (!read_message(object, error))
        return false;
    object->metadata = metadata_of(object);
    if (object->metadata) {
        object->uid = slice_str(object->metadata->uid);
        object->generation = object->metadata->has_generation ? object->metadata->generation : 0;
        object->created_s =
            object->metadata->creationtimestamp ? object->metadata->creationtimestamp->seconds : 0;
    }
    *out = give(object);
    return true;
}

struct object *object_ref(struct object *object)
{
    object->refs++;
    return object;
}

void object_unref(struct object *object)
{
    if (!object || --object->refs > 0)
        return;
    object_unref(object->later);
    arena_fini(&object->arena);
    mem_free(object);
}

int object_compare_age(const struct object *a, const struct object *b)
{
    if (a->created_s != b->created_s)
        return a->created_s < b->created_s ? -1 : 1;
    int order = slice_compare(a->name_space, b->name_space);
    return order ? order : slice_compare(a->name, b->name);
}

struct slice object_source(const struct value *document)
{
    const struct value *annotations = value_get(value_get(document, "metadata"), "annotations");
    const char *source = value_str(value_get(annotations, OBJECT_SOURCE_ANNOTATION), "");
    return strncmp(source, "dir:", 4) == 0 ? slice_str(source) : SLICE_NONE;
}
