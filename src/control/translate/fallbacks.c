#include "control/translate/fallbacks.h"

#include "base/map.h"
#include "base/memory.h"
#include "control/translate/produce.h"

struct fallbacks {
    struct model *model;
    struct map *refused; /* keys of VirtualServices that proxies would refuse */
    struct map *held;    /* by key: struct object, a reference */
    fallbacks_on_change *on_change;
    void *owner;
};

static void tell(struct fallbacks *f, struct slice key, const struct object *held)
{
    facts_changed(model_facts(f->model), "fallback/%.*s", SLICE_ARG(key));
    if (f->on_change)
        f->on_change(f->owner, key, held);
}

static void let_go(struct fallbacks *f, struct slice key)
{
    struct object *held = map_remove(f->held, key);
    if (!held)
        return;
    tell(f, key, NULL);
    object_unref(held);
}

static void hold(struct fallbacks *f, struct object *version)
{
    object_unref(map_put(f->held, version->key, object_ref(version)));
}

/* One that is disabled as a whole does not act, and so is nothing that proxies could refuse. */
static bool is_refused(const struct object *object)
{
    owned_error ignored = {0};
    return !object->disabled && !produce_accepts(object, &ignored);
}

static void on_model(void *owner, const struct object *before, const struct object *now)
{
    struct fallbacks *f = owner;
    struct slice key = (now ? now : before)->key;
    if ((now ? now : before)->kind != KIND_VIRTUAL_SERVICE)
        return;
    if (!now || !is_refused(now)) {
        map_remove(f->refused, key);
        let_go(f, key);
        return;
    }
    bool was_good = before && !before->disabled && !map_get(f->refused, key);
    map_put(f->refused, key, f);
    if (!was_good)
        return;
    struct object *version = (struct object *)(uintptr_t)before;
    hold(f, version);
    tell(f, key, version);
}

const struct object *fallbacks_of(const struct fallbacks *f, struct reader *reader,
                                  const struct object *refused)
{
    facts_read(model_facts(f->model), reader, "fallback/%s", refused->key.data);
    const struct object *held = map_get(f->held, refused->key);
    /* One that was made anew under the same name has no past. */
    return held && slice_equals(held->uid, refused->uid) ? held : NULL;
}

void fallbacks_restore(struct fallbacks *f, struct object *version)
{
    bool is_good = model_get(f->model, version->key) && !map_get(f->refused, version->key);
    if (is_good || map_get(f->held, version->key))
        return;
    hold(f, version);
    facts_changed(model_facts(f->model), "fallback/%s", version->key.data);
}

static bool is_needed(const struct fallbacks *f, const struct object *held)
{
    const struct object *now = model_get(f->model, held->key);
    return now && map_get(f->refused, held->key) && slice_equals(now->uid, held->uid);
}

void fallbacks_tidy(struct fallbacks *f)
{
    VECTOR(const struct object *) left = {0};
    struct map_iterator it = {0};
    while (map_next(f->held, &it)) {
        if (!is_needed(f, it.value))
            vector_push(&left, it.value);
    }
    VECTOR_EACH(held, &left)
    let_go(f, (*held)->key);
    vector_fini(&left);
}

void fallbacks_listen(struct fallbacks *f, fallbacks_on_change *on_change, void *owner)
{
    f->on_change = on_change;
    f->owner = owner;
}

struct fallbacks *fallbacks_create(struct model *model)
{
    struct fallbacks *f = mem_new(struct fallbacks);
    *f = (struct fallbacks){.model = model, .refused = map_create(), .held = map_create()};
    model_listen(model, on_model, f);
    return f;
}

void fallbacks_destroy(struct fallbacks *f)
{
    if (!f)
        return;
    model_unlisten(f->model, f);
    struct map_iterator it = {0};
    while (map_next(f->held, &it))
        object_unref(it.value);
    map_destroy(f->held);
    map_destroy(f->refused);
    mem_free(f);
}
