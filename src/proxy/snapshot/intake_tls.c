#include "proxy/snapshot/intake_internal.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/listener.h"
#include "build/secret.h"
#include "tls/context.h"

struct tls_spec_list intake_specs(const struct resource *resource)
{
    if (resource->kind == KIND_CLUSTER)
        return resource->cluster->specs;
    if (resource->kind == KIND_LISTENER)
        return resource->listener->specs;
    return (struct tls_spec_list){0};
}

/* The secret that the next snapshot will have under that name, unless `instead` is it. */
static const struct secret *secret_of(const struct intake *intake, const struct name *name,
                                      const struct resource *instead)
{
    if (!name_is_set(name))
        return NULL;
    if (instead && name_equals(&instead->name, name))
        return instead->secret;
    const struct entry *entry = intake_find(intake, KIND_SECRET, name->text);
    const struct resource *resource = !entry ? NULL : entry->next ? entry->next : entry->active;
    return resource ? resource->secret : NULL;
}

static bool make(struct intake *intake, const struct tls_spec *spec, const struct resource *instead,
                 struct tls_context **out, struct error *error)
{
    const struct secret *certificate = secret_of(intake, &spec->certificate, instead);
    const struct secret *trust = secret_of(intake, &spec->trust, instead);
    if ((name_is_set(&spec->certificate) && !certificate) || (name_is_set(&spec->trust) && !trust))
        return error_set(error, "TUL0034", "a secret is not there yet");
    return tls_spec_context(spec, certificate, trust, intake->ticket_keys, intake->options.now_s,
                            out, error);
}

static struct context_entry *context_of(struct intake *intake, const struct tls_spec *spec)
{
    struct context_entry *context = map_get(intake->contexts, spec->context.text);
    if (context)
        return context;
    context = mem_new(struct context_entry);
    context->name = name_of(slice_of(str_copy_n(spec->context.text.data, spec->context.text.size),
                                     spec->context.text.size));
    map_put(intake->contexts, context->name.text, context);
    return context;
}

bool intake_try_contexts(struct intake *intake, const struct resource *resource,
                         struct error *error)
{
    struct tls_spec_list specs = intake_specs(resource);
    for (size_t i = 0; i < specs.count; i++) {
        const struct context_entry *context =
            map_get(intake->contexts, specs.items[i]->context.text);
        owned(tls_context) made = NULL;
        if (context && context->active)
            continue;
        if (!make(intake, specs.items[i], NULL, &made, error))
            return false;
    }
    return true;
}

static void plant_context(struct intake *intake, struct context_entry *context,
                          struct tls_context *made)
{
    struct resource *resource =
        resource_create(KIND_TLS, &context->name, made, SLICE(""), SLICE(""));
    intake_plant(intake, resource);
    intake_drop(intake, &context->active);
    context->active = resource;
}

void intake_use_contexts(struct intake *intake, const struct resource *resource)
{
    struct tls_spec_list specs = intake_specs(resource);
    for (size_t i = 0; i < specs.count; i++) {
        struct context_entry *context = context_of(intake, specs.items[i]);
        struct tls_context *made;
        context->uses++;
        if (!context->active && make(intake, specs.items[i], NULL, &made, NULL))
            plant_context(intake, context, made);
    }
}

void intake_unuse_contexts(struct intake *intake, const struct resource *resource)
{
    struct tls_spec_list specs = intake_specs(resource);
    for (size_t i = 0; i < specs.count; i++) {
        struct context_entry *context = map_get(intake->contexts, specs.items[i]->context.text);
        if (!context || --context->uses > 0)
            continue;
        if (context->active)
            intake_uproot(intake, KIND_TLS, &context->name);
        intake_drop(intake, &context->active);
        map_remove(intake->contexts, context->name.text);
        mem_free((void *)(uintptr_t)context->name.text.data);
        mem_free(context);
    }
}

static bool uses_secret(const struct tls_spec *spec, const struct name *secret)
{
    return (name_is_set(&spec->certificate) && name_equals(&spec->certificate, secret)) ||
           (name_is_set(&spec->trust) && name_equals(&spec->trust, secret));
}

/* The active specs that use a secret, one a context. */
struct spec_walk {
    struct intake *intake;
    const struct name *secret;
    struct map *seen; /* contexts */
    VECTOR(const struct tls_spec *) specs;
};

static void gather(struct spec_walk *walk, enum resource_kind kind)
{
    struct map_iterator it = {0};
    while (map_next(walk->intake->entries[kind], &it)) {
        const struct entry *entry = it.value;
        struct tls_spec_list specs =
            entry->active ? intake_specs(entry->active) : (struct tls_spec_list){0};
        for (size_t i = 0; i < specs.count; i++) {
            struct tls_spec *spec = specs.items[i];
            if (uses_secret(spec, walk->secret) && !map_put(walk->seen, spec->context.text, spec))
                vector_push(&walk->specs, spec);
        }
    }
}

static void walk_init(struct spec_walk *walk, struct intake *intake, const struct name *secret)
{
    *walk = (struct spec_walk){.intake = intake, .secret = secret, .seen = map_create()};
    gather(walk, KIND_CLUSTER);
    gather(walk, KIND_LISTENER);
}

static void walk_fini(struct spec_walk *walk)
{
    map_destroy(walk->seen);
    vector_fini(&walk->specs);
}

bool intake_try_secret(struct intake *intake, const struct resource *secret, struct error *error)
{
    struct spec_walk walk;
    bool ok = true;
    walk_init(&walk, intake, &secret->name);
    for (size_t i = 0; ok && i < walk.specs.count; i++) {
        owned(tls_context) made = NULL;
        ok = make(intake, walk.specs.items[i], secret, &made, error);
    }
    walk_fini(&walk);
    return ok;
}

void intake_renew_contexts(struct intake *intake, const struct name *secret)
{
    struct spec_walk walk;
    walk_init(&walk, intake, secret);
    for (size_t i = 0; i < walk.specs.count; i++) {
        struct tls_context *made;
        /* It was tried when the secret came; if another secret has gone bad since, the old context goes on. */
        if (make(intake, walk.specs.items[i], NULL, &made, NULL))
            plant_context(intake, context_of(intake, walk.specs.items[i]), made);
    }
    walk_fini(&walk);
}
