#include "control/model/model.h"

#include "base/map.h"
#include "base/memory.h"
#include "control/model/host.h"

#include <assert.h>

/* The objects that name one host, oldest first. */
struct named {
    VECTOR(const struct object *) objects;
};

struct model {
    struct facts *facts;
    struct map *objects;           /* by key */
    struct map *virtual_services;  /* by host: struct named */
    struct map *destination_rules; /* likewise */
    struct map *own_rules; /* by namespace: how many rules for hosts elsewhere (as pointer) */
    struct {
        model_on_change *on_change;
        void *owner;
    } listeners[MODEL_LISTENERS_MAX];
    size_t listener_count;
};

struct model *model_create(void)
{
    struct model *model = mem_new(struct model);
    model->facts = facts_create();
    model->objects = map_create();
    model->virtual_services = map_create();
    model->destination_rules = map_create();
    model->own_rules = map_create();
    return model;
}

static void destroy_index(struct map *index)
{
    struct map_iterator it = {0};
    while (map_next(index, &it)) {
        struct named *named = it.value;
        vector_fini(&named->objects);
        mem_free(named);
    }
    map_destroy(index);
}

void model_destroy(struct model *model)
{
    if (!model)
        return;
    struct map_iterator it = {0};
    while (map_next(model->objects, &it))
        object_unref(it.value);
    map_destroy(model->objects);
    destroy_index(model->virtual_services);
    destroy_index(model->destination_rules);
    map_destroy(model->own_rules);
    facts_destroy(model->facts);
    mem_free(model);
}

struct facts *model_facts(struct model *model)
{
    return model->facts;
}

void model_listen(struct model *model, model_on_change *on_change, void *owner)
{
    assert(model->listener_count < MODEL_LISTENERS_MAX);
    model->listeners[model->listener_count].on_change = on_change;
    model->listeners[model->listener_count++].owner = owner;
}

void model_unlisten(struct model *model, void *owner)
{
    for (size_t i = 0; i < model->listener_count; i++) {
        if (model->listeners[i].owner != owner)
            continue;
        for (model->listener_count--; i < model->listener_count; i++)
            model->listeners[i] = model->listeners[i + 1];
    }
}

/* --- the index by host -------------------------------------------------------------------------------------------- */

static void index_add(struct map *index, struct slice host, const struct object *object)
{
    struct named *named = map_get(index, host);
    if (!named) {
        named = mem_new(struct named);
        map_put(index, host, named);
    }
    size_t at = named->objects.count;
    vector_push(&named->objects, object);
    for (; at > 0 && object_compare_age(object, named->objects.items[at - 1]) < 0; at--)
        named->objects.items[at] = named->objects.items[at - 1];
    named->objects.items[at] = object;
}

static void index_remove(struct map *index, struct slice host, const struct object *object)
{
    struct named *named = map_get(index, host);
    for (size_t i = 0; named && i < named->objects.count; i++) {
        if (named->objects.items[i] != object)
            continue;
        vector_remove(&named->objects, i);
        break;
    }
    if (!named || named->objects.count > 0)
        return;
    map_remove(index, host);
    vector_fini(&named->objects);
    mem_free(named);
}

static struct object_list index_get(const struct map *index, struct slice host)
{
    const struct named *named = map_get(index, host);
    return named ? (struct object_list){named->objects.items, named->objects.count}
                 : (struct object_list){0};
}

static void count_own_rule(struct model *model, const struct object *object, struct slice host,
                           bool now)
{
    if (slice_equals(host_name_space(host), object->name_space))
        return;
    uintptr_t count = (uintptr_t)map_get(model->own_rules, object->name_space);
    count = now ? count + 1 : count - 1;
    if (count > 0)
        map_put(model->own_rules, object->name_space, (void *)count);
    else
        map_remove(model->own_rules, object->name_space);
    facts_changed(model->facts, "dr-own/%s", object->name_space.data);
}

static void index_hosts(struct model *model, const struct object *object, bool now)
{
    struct arena arena = {0};
    if (object->kind == KIND_VIRTUAL_SERVICE && object->virtual_service->spec) {
        const Istio__Networking__V1alpha3__VirtualService *spec = object->virtual_service->spec;
        for (size_t i = 0; i < spec->n_hosts; i++) {
            struct slice host = host_resolve(slice_str(spec->hosts[i]), object->name_space, &arena);
            (now ? index_add : index_remove)(model->virtual_services, host, object);
            facts_changed(model->facts, "vs/%.*s", SLICE_ARG(host));
        }
    }
    if (object->kind == KIND_DESTINATION_RULE && object->destination_rule->spec) {
        const char *name = object->destination_rule->spec->host;
        struct slice host = host_resolve(slice_str(name ? name : ""), object->name_space, &arena);
        (now ? index_add : index_remove)(model->destination_rules, host, object);
        count_own_rule(model, object, host, now);
        facts_changed(model->facts, "dr/%.*s", SLICE_ARG(host));
    }
    arena_fini(&arena);
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static void exchange(struct model *model, struct object *before, struct object *now)
{
    if (before && !before->disabled)
        index_hosts(model, before, false);
    if (now && !now->disabled)
        index_hosts(model, now, true);
    for (size_t i = 0; i < model->listener_count; i++)
        model->listeners[i].on_change(model->listeners[i].owner, before, now);
    object_unref(before);
}

bool model_put(struct model *model, struct object *object)
{
    struct object *before = map_get(model->objects, object->key);
    if (before && hash128_equals(before->meaning, object->meaning)) {
        object_unref(before->later);
        before->later = object_ref(object);
        before->document = object->document;
        before->revision = object->revision;
        return false;
    }
    map_put(model->objects, object->key, object_ref(object));
    exchange(model, before, object);
    return true;
}

bool model_remove(struct model *model, struct slice key)
{
    struct object *before = map_remove(model->objects, key);
    if (before)
        exchange(model, before, NULL);
    return before;
}

struct object *model_get(const struct model *model, struct slice key)
{
    return map_get(model->objects, key);
}

size_t model_count(const struct model *model)
{
    return map_count(model->objects);
}

void model_each(const struct model *model, void (*visit)(const struct object *object, void *to),
                void *to)
{
    struct map_iterator it = {0};
    while (map_next(model->objects, &it))
        visit(it.value, to);
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

struct object_list model_virtual_services(const struct model *model, struct reader *reader,
                                          struct slice host)
{
    facts_read(model->facts, reader, "vs/%.*s", SLICE_ARG(host));
    return index_get(model->virtual_services, host);
}

const struct object *model_virtual_service(const struct model *model, struct reader *reader,
                                           struct slice host)
{
    struct object_list list = model_virtual_services(model, reader, host);
    char text[256];
    size_t at = 0;
    struct slice wildcard;
    while (list.count == 0 && host_next_wildcard(host, &at, text, &wildcard))
        list = model_virtual_services(model, reader, wildcard);
    return list.count > 0 ? list.items[0] : NULL;
}

static bool take_rules(struct destination_rules *rules, struct object_list list,
                       struct slice name_space)
{
    for (size_t i = 0; i < list.count && rules->count < DESTINATION_RULES_MAX; i++) {
        if (slice_equals(list.items[i]->name_space, name_space))
            rules->items[rules->count++] = list.items[i];
    }
    return rules->count > 0;
}

static bool find_rules(const struct model *model, struct reader *reader, struct slice name_space,
                       struct slice host, struct destination_rules *rules)
{
    facts_read(model->facts, reader, "dr/%.*s", SLICE_ARG(host));
    if (take_rules(rules, index_get(model->destination_rules, host), name_space))
        return true;
    char text[256];
    size_t at = 0;
    struct slice wildcard;
    while (host_next_wildcard(host, &at, text, &wildcard)) {
        facts_read(model->facts, reader, "dr/%.*s", SLICE_ARG(wildcard));
        if (take_rules(rules, index_get(model->destination_rules, wildcard), name_space))
            return true;
    }
    return false;
}

struct destination_rules model_destination_rules(const struct model *model, struct reader *reader,
                                                 struct slice client_name_space,
                                                 struct slice service_name_space, struct slice host)
{
    struct destination_rules rules = {0};
    struct slice root = SLICE(MODEL_ROOT_NAMESPACE);
    bool client = client_name_space.size > 0 && !slice_equals(client_name_space, root);
    if ((client && find_rules(model, reader, client_name_space, host, &rules)) ||
        find_rules(model, reader, service_name_space, host, &rules) ||
        find_rules(model, reader, root, host, &rules))
        return rules;
    return rules;
}

struct object_list model_destination_rules_named(const struct model *model, struct reader *reader,
                                                 struct slice host)
{
    facts_read(model->facts, reader, "dr/%.*s", SLICE_ARG(host));
    return index_get(model->destination_rules, host);
}

bool model_has_own_rules(const struct model *model, struct reader *reader,
                         struct slice client_name_space)
{
    facts_read(model->facts, reader, "dr-own/%.*s", SLICE_ARG(client_name_space));
    return map_get(model->own_rules, client_name_space);
}

const Istio__Networking__V1alpha3__Subset *
destination_rules_subset(const struct destination_rules *rules, const char *name)
{
    for (size_t r = 0; r < rules->count; r++) {
        const Istio__Networking__V1alpha3__DestinationRule *spec =
            rules->items[r]->destination_rule->spec;
        for (size_t i = 0; i < spec->n_subsets; i++) {
            if (spec->subsets[i]->name && strcmp(spec->subsets[i]->name, name) == 0)
                return spec->subsets[i];
        }
    }
    return NULL;
}

const Istio__Networking__V1alpha3__TrafficPolicy *
destination_rules_policy(const struct destination_rules *rules)
{
    for (size_t r = 0; r < rules->count; r++) {
        if (rules->items[r]->destination_rule->spec->traffic_policy)
            return rules->items[r]->destination_rule->spec->traffic_policy;
    }
    return NULL;
}
