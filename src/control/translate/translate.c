#include "control/translate/translate.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/translate/dry.h"
#include "control/translate/fallbacks.h"
#include "control/translate/produce.h"
#include "pb/codec.h"
#include "xds/blob.h"
#include "xds/blob_table.h"

#include <stdlib.h>

struct unit;
struct scope;
struct class;

enum role { ROLE_UNIT, ROLE_SCOPE };

/* What facts queue: a unit, or a scope whose set of units may be another. */
struct derived {
    struct reader reader;
    enum role role;
};

struct output {
    struct blob *blob; /* name and type are the blob's */
};
struct outputs {
    VECTOR(struct output) list; /* by type, then name */
};

/* An object that asked for what proxies would refuse. */
struct refusal {
    char *object; /* key */
    char *reason;
};
struct refusals_made {
    VECTOR(struct refusal) list;
};

enum unit_kind {
    UNIT_STATIC,
    UNIT_CLUSTERS,
    UNIT_ENDPOINTS,
    UNIT_OUTBOUND,
    UNIT_ROUTES,
    UNIT_NAMES,
    UNIT_GRPC,
    UNIT_OWN
};

struct unit {
    struct derived derived;
    enum unit_kind kind;
    struct translate *translate;
    char *name;                    /* in the map of units; NULL for a class's own */
    struct slice host, name_space; /* point into name */
    uint32_t port;
    enum cluster_user user;
    bool fresh; /* has run at least once */
    struct outputs outputs;
    struct refusals_made refusals;
    VECTOR(struct scope *) users;
    struct class *class; /* UNIT_OWN */
};

struct scope {
    struct derived derived;
    struct translate *translate;
    char *name;
    struct slice name_space;
    bool grpc, secure;
    struct map *members; /* unit name: struct unit */
    struct blob_table *tables[RESOURCE_TYPES];
    VECTOR(struct output) added;
    VECTOR(struct output) removed; /* blobs that went; references held */
    bool touched;
    VECTOR(struct class *) classes;
};

struct class
{
    char *key;
    struct slice key_slice;
    struct proxy_spec spec;
    struct scope *scope;
    struct unit own;
    bool touched;
    const struct view *view;
    uint64_t generation;
};

struct translate {
    struct model *model;
    struct registry *registry;
    struct facts *facts;
    struct fallbacks *fallbacks;
    struct mesh_settings mesh;
    char *trust_domain, *access_log;
    struct map *units, *scopes, *classes;
    struct map *refused; /* by object: struct refused_object */
    struct translate_totals totals;
};

/* --- outputs -------------------------------------------------------------------------------------------------------- */

static int compare_outputs(const void *a, const void *b)
{
    const struct output *left = a, *right = b;
    if (left->blob->type != right->blob->type)
        return left->blob->type < right->blob->type ? -1 : 1;
    return slice_compare(blob_name(left->blob), blob_name(right->blob));
}

static void outputs_fini(struct outputs *outputs)
{
    VECTOR_EACH(output, &outputs->list)
    blob_unref(output->blob);
    vector_fini(&outputs->list);
}

static bool same_blob(const struct blob *a, const struct blob *b)
{
    return hash128_equals(a->version, b->version);
}

/* --- scopes and what changes in them --------------------------------------------------------------------------------- */

static void scope_add(struct scope *scope, struct blob *blob)
{
    vector_push(&scope->added, {blob_ref(blob)});
    scope->touched = true;
}

/* What came since the last flush and goes again was never there. */
static void scope_remove(struct scope *scope, struct blob *blob)
{
    for (size_t i = scope->added.count; i-- > 0;) {
        if (scope->added.items[i].blob != blob)
            continue;
        vector_remove(&scope->added, i);
        blob_unref(blob);
        return;
    }
    vector_push(&scope->removed, {blob_ref(blob)});
    scope->touched = true;
}

/* Tells every user of the unit what went and what came. Equal blobs are kept, so that they stay shared. */
static void unit_replace(struct unit *unit, struct outputs *now)
{
    struct outputs *old = &unit->outputs;
    size_t o = 0, n = 0;
    while (o < old->list.count || n < now->list.count) {
        int order = o == old->list.count ? 1
                    : n == now->list.count
                        ? -1
                        : compare_outputs(&old->list.items[o], &now->list.items[n]);
        if (order == 0 && same_blob(old->list.items[o].blob, now->list.items[n].blob)) {
            blob_unref(now->list.items[n].blob);
            now->list.items[n].blob = blob_ref(old->list.items[o].blob);
        } else {
            unit->translate->totals.resources_changed++;
            if (unit->class)
                unit->class->touched = true;
            for (size_t i = 0; i < unit->users.count; i++) {
                if (order <= 0)
                    scope_remove(unit->users.items[i], old->list.items[o].blob);
                if (order >= 0)
                    scope_add(unit->users.items[i], now->list.items[n].blob);
            }
        }
        o += order <= 0;
        n += order >= 0;
    }
    outputs_fini(old);
    *old = *now;
}

/* --- refusals -------------------------------------------------------------------------------------------------------- */

/* What units have against one object. */
struct refused_object {
    VECTOR(const struct unit *) units; /* one entry a refusal */
};

static void refusals_fini(struct refusals_made *refusals)
{
    VECTOR_EACH(refusal, &refusals->list)
    {
        mem_free(refusal->object);
        mem_free(refusal->reason);
    }
    vector_fini(&refusals->list);
}

static bool same_refusals(const struct refusals_made *a, const struct refusals_made *b)
{
    if (a->list.count != b->list.count)
        return false;
    for (size_t i = 0; i < a->list.count; i++) {
        if (strcmp(a->list.items[i].object, b->list.items[i].object) != 0 ||
            strcmp(a->list.items[i].reason, b->list.items[i].reason) != 0)
            return false;
    }
    return true;
}

static void refusal_enter(struct translate *t, const struct unit *unit, const char *object)
{
    struct refused_object *refused = map_get(t->refused, slice_str(object));
    if (!refused) {
        refused = mem_new(struct refused_object);
        map_put(t->refused, slice_str(object), refused);
    }
    vector_push(&refused->units, unit);
    facts_changed(t->facts, "refused/%s", object);
}

static void refusal_leave(struct translate *t, const struct unit *unit, const char *object)
{
    struct refused_object *refused = map_get(t->refused, slice_str(object));
    for (size_t i = 0; refused && i < refused->units.count; i++) {
        if (refused->units.items[i] != unit)
            continue;
        vector_remove(&refused->units, i);
        break;
    }
    if (refused && refused->units.count == 0) {
        map_remove(t->refused, slice_str(object));
        vector_fini(&refused->units);
        mem_free(refused);
    }
    facts_changed(t->facts, "refused/%s", object);
}

/* Takes what the unit found over, and says so to those who asked. */
static void unit_take_refusals(struct unit *unit, struct refusals_made *now)
{
    struct translate *t = unit->translate;
    if (same_refusals(&unit->refusals, now)) {
        refusals_fini(now);
        return;
    }
    VECTOR_EACH(refusal, &unit->refusals.list)
    refusal_leave(t, unit, refusal->object);
    refusals_fini(&unit->refusals);
    unit->refusals = *now;
    VECTOR_EACH(refusal, &unit->refusals.list)
    {
        refusal_enter(t, unit, refusal->object);
        log_warning("translate", "%s is not sent to proxies: %s", refusal->object, refusal->reason);
        t->totals.refused++;
    }
}

const char *translate_refusal(const struct translate *t, struct reader *reader,
                              struct slice object_key)
{
    facts_read(t->facts, reader, "refused/%.*s", SLICE_ARG(object_key));
    const struct refused_object *refused = map_get(t->refused, object_key);
    if (!refused)
        return NULL;
    VECTOR_EACH(refusal, &refused->units.items[0]->refusals.list)
    {
        if (slice_equals_str(object_key, refusal->object))
            return refusal->reason;
    }
    return NULL;
}

/* --- making ---------------------------------------------------------------------------------------------------------- */

struct making {
    struct unit *unit;
    struct production production;
    struct outputs outputs;
    struct refusals_made refusals;
};

static struct blob *unit_last_blob(const struct unit *unit, enum resource_type type,
                                   struct slice name)
{
    VECTOR_EACH(output, &unit->outputs.list)
    {
        if (output->blob->type == type && slice_equals(blob_name(output->blob), name))
            return output->blob;
    }
    return NULL;
}

static void refuse(void *to, const struct object *object, const char *reason)
{
    struct making *making = to;
    vector_push(&making->refusals.list, {slice_to_str(object->key), str_copy(reason)});
}

/* What differs from what was sent last is built first; what proxies would refuse stays as it was. */
static struct blob *checked(struct making *making, struct blob *blob,
                            const ProtobufCMessage *message)
{
    struct blob *before = unit_last_blob(making->unit, blob->type, blob_name(blob));
    owned_error error = {0};
    if ((before && same_blob(before, blob)) || dry_accepts(blob->type, message, &error))
        return blob;
    owned_str reason = error_text(&error, true);
    if (making->production.origin)
        refuse(making, making->production.origin, reason);
    else
        log_error("translate", "%s %.*s is not sent to proxies: %s",
                  resource_type_short(blob->type), SLICE_ARG(blob_name(blob)), reason);
    blob_unref(blob);
    return before ? blob_ref(before) : NULL;
}

static void emit(void *to, enum resource_type type, const char *name,
                 const ProtobufCMessage *message)
{
    struct making *making = to;
    VECTOR_EACH(output, &making->outputs.list)
    {
        if (output->blob->type == type && slice_equals_str(blob_name(output->blob), name))
            return;
    }
    owned_buffer bytes = {0};
    pb_pack(message, &bytes);
    struct blob *blob =
        checked(making, blob_create(type, slice_str(name), buffer_slice(&bytes)), message);
    if (blob)
        vector_push(&making->outputs.list, {blob});
}

static void unit_produce(struct unit *unit, struct production *p)
{
    switch (unit->kind) {
    case UNIT_STATIC: produce_static(p); break;
    case UNIT_CLUSTERS: produce_clusters(p, unit->host, unit->name_space, unit->user); break;
    case UNIT_ENDPOINTS: produce_endpoints(p, unit->host, unit->name_space); break;
    case UNIT_OUTBOUND: produce_outbound(p, unit->port); break;
    case UNIT_ROUTES: produce_routes(p, unit->port, unit->name_space); break;
    case UNIT_NAMES: produce_names(p); break;
    case UNIT_GRPC: produce_grpc(p, unit->host, unit->name_space); break;
    case UNIT_OWN: produce_own(p, &unit->class->spec); break;
    }
}

static void unit_run(struct unit *unit)
{
    struct translate *t = unit->translate;
    struct arena arena = {0};
    struct making making = {.unit = unit};
    reader_begin(t->facts, &unit->derived.reader);
    making.production = (struct production){.model = t->model,
                                            .registry = t->registry,
                                            .fallbacks = t->fallbacks,
                                            .mesh = &t->mesh,
                                            .reader = &unit->derived.reader,
                                            .arena = &arena,
                                            .emit = emit,
                                            .refuse = refuse,
                                            .to = &making};
    unit_produce(unit, &making.production);
    arena_fini(&arena);
    if (making.outputs.list.count > 1)
        qsort(making.outputs.list.items, making.outputs.list.count,
              sizeof(making.outputs.list.items[0]), compare_outputs);
    t->totals.units_run++;
    t->totals.resources_made += making.outputs.list.count;
    unit->fresh = true;
    unit_replace(unit, &making.outputs);
    unit_take_refusals(unit, &making.refusals);
}

static void unit_init(struct unit *unit, struct translate *t, enum unit_kind kind)
{
    *unit = (struct unit){.kind = kind, .translate = t};
    unit->derived.role = ROLE_UNIT;
    reader_init(&unit->derived.reader);
}

static void unit_fini(struct unit *unit)
{
    reader_fini(unit->translate->facts, &unit->derived.reader);
    unit_take_refusals(unit, &(struct refusals_made){0});
    outputs_fini(&unit->outputs);
    vector_fini(&unit->users);
    mem_free(unit->name);
}

/* --- the units of a scope -------------------------------------------------------------------------------------------- */

/* "KIND|PORT|s|NAMESPACE|HOST" says all that the unit depends on. */
static struct unit *find_unit(struct translate *t, enum unit_kind kind, uint32_t port,
                              enum cluster_user user, struct slice name_space, struct slice host)
{
    char *name = str_format("%u|%u|%c|%.*s|%.*s", kind, port, (char)user, SLICE_ARG(name_space),
                            SLICE_ARG(host));
    struct unit *unit = map_get(t->units, slice_str(name));
    if (unit) {
        mem_free(name);
        return unit;
    }
    unit = mem_new(struct unit);
    unit_init(unit, t, kind);
    unit->name = name;
    size_t size = strlen(name);
    unit->host = slice_of(name + size - host.size, host.size);
    unit->name_space = slice_of(name + size - host.size - 1 - name_space.size, name_space.size);
    unit->port = port;
    unit->user = user;
    map_put(t->units, slice_str(name), unit);
    return unit;
}

static void unit_leave(struct unit *unit, struct scope *scope)
{
    VECTOR_EACH(output, &unit->outputs.list)
    scope_remove(scope, output->blob);
    for (size_t i = 0; i < unit->users.count; i++) {
        if (unit->users.items[i] != scope)
            continue;
        vector_remove(&unit->users, i);
        break;
    }
    if (unit->users.count > 0)
        return;
    map_remove(unit->translate->units, slice_str(unit->name));
    unit_fini(unit);
    mem_free(unit);
}

static void scope_hold(struct scope *scope, struct map *wanted, struct unit *unit)
{
    if (map_put(wanted, slice_str(unit->name), unit))
        return;
    if (map_get(scope->members, slice_str(unit->name)))
        return;
    if (!unit->fresh)
        unit_run(unit);
    VECTOR_EACH(output, &unit->outputs.list)
    scope_add(scope, output->blob);
    vector_push(&unit->users, scope);
}

static void hold_services(struct scope *scope, struct map *wanted, struct arena *arena)
{
    struct translate *t = scope->translate;
    struct reader *reader = &scope->derived.reader;
    /* A namespace without rules of its own shares its clusters with all others like it. */
    struct slice rules =
        model_has_own_rules(t->model, reader, scope->name_space) ? scope->name_space : SLICE_NONE;
    struct service_list services = registry_services(t->registry, reader, arena);
    for (size_t i = 0; i < services.count; i++) {
        struct slice host = services.items[i]->host;
        enum cluster_user user = scope->grpc ? USER_GRPC : scope->secure ? USER_SECURE : USER_PLAIN;
        scope_hold(scope, wanted, find_unit(t, UNIT_CLUSTERS, 0, user, rules, host));
        scope_hold(scope, wanted, find_unit(t, UNIT_ENDPOINTS, 0, USER_PLAIN, rules, host));
        if (scope->grpc)
            scope_hold(scope, wanted,
                       find_unit(t, UNIT_GRPC, 0, USER_PLAIN, scope->name_space, host));
    }
}

/* Which units belong to the scope: asked anew when the set of services or ports is another. */
static void scope_run(struct scope *scope)
{
    struct translate *t = scope->translate;
    struct arena arena = {0};
    struct map *wanted = map_create();
    reader_begin(t->facts, &scope->derived.reader);
    hold_services(scope, wanted, &arena);
    if (!scope->grpc) {
        struct port_list ports = registry_ports(t->registry, &scope->derived.reader, &arena);
        for (size_t i = 0; i < ports.count; i++) {
            scope_hold(
                scope, wanted,
                find_unit(t, UNIT_OUTBOUND, ports.items[i], USER_PLAIN, SLICE_NONE, SLICE_NONE));
            scope_hold(scope, wanted,
                       find_unit(t, UNIT_ROUTES, ports.items[i], USER_PLAIN, scope->name_space,
                                 SLICE_NONE));
        }
        scope_hold(scope, wanted, find_unit(t, UNIT_STATIC, 0, USER_PLAIN, SLICE_NONE, SLICE_NONE));
        scope_hold(scope, wanted, find_unit(t, UNIT_NAMES, 0, USER_PLAIN, SLICE_NONE, SLICE_NONE));
    }
    arena_fini(&arena);
    struct map *before = scope->members;
    scope->members = wanted;
    struct map_iterator it = {0};
    while (map_next(before, &it)) {
        if (!map_get(wanted, it.key))
            unit_leave(it.value, scope);
    }
    map_destroy(before);
}

/* The types that a view answers for; of every other nothing is known, and the server is silent. */
static bool is_served(enum resource_type type)
{
    return type == RESOURCE_CLUSTER || type == RESOURCE_ENDPOINTS || type == RESOURCE_LISTENER ||
           type == RESOURCE_ROUTE || type == RESOURCE_NAME_TABLE;
}

static struct scope *find_scope(struct translate *t, const struct proxy_spec *spec)
{
    owned_str name = str_format("%s|%s|%.*s", spec->grpc ? "grpc" : "sidecar",
                                spec->secure ? "mtls" : "plain", SLICE_ARG(spec->name_space));
    struct scope *scope = map_get(t->scopes, slice_str(name));
    if (scope)
        return scope;
    scope = mem_new(struct scope);
    scope->translate = t;
    scope->name = give(name);
    scope->name_space = slice_str(strrchr(scope->name, '|') + 1);
    scope->grpc = spec->grpc;
    scope->secure = spec->secure;
    scope->derived.role = ROLE_SCOPE;
    reader_init(&scope->derived.reader);
    scope->members = map_create();
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++)
        scope->tables[type] = is_served(type) ? blob_table_create() : NULL;
    map_put(t->scopes, slice_str(scope->name), scope);
    facts_queue(t->facts, &scope->derived.reader);
    return scope;
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

static int compare_edits(const void *a, const void *b)
{
    const struct blob_edit *left = a, *right = b;
    return slice_compare(left->name, right->name);
}

/* A name that went with one unit and came with another is there. */
static size_t join_edits(struct blob_edit *edits, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && slice_equals(edits[kept - 1].name, edits[i].name)) {
            if (!edits[kept - 1].blob)
                edits[kept - 1].blob = edits[i].blob;
            continue;
        }
        edits[kept++] = edits[i];
    }
    return kept;
}

static void scope_edit_table(struct scope *scope, enum resource_type type)
{
    VECTOR(struct blob_edit) edits = {0};
    VECTOR_EACH(output, &scope->added)
    {
        if (output->blob->type == type)
            vector_push(&edits, {blob_name(output->blob), output->blob});
    }
    VECTOR_EACH(output, &scope->removed)
    {
        if (output->blob->type == type)
            vector_push(&edits, {blob_name(output->blob), NULL});
    }
    if (edits.count > 0) {
        qsort(edits.items, edits.count, sizeof(edits.items[0]), compare_edits);
        edits.count = join_edits(edits.items, edits.count);
        struct blob_table *now = blob_table_edit(scope->tables[type], edits.items, edits.count);
        blob_table_unref(scope->tables[type]);
        scope->tables[type] = now;
    }
    vector_fini(&edits);
}

static void scope_flush(struct scope *scope)
{
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
        if (scope->tables[type])
            scope_edit_table(scope, type);
    }
    VECTOR_EACH(output, &scope->added)
    blob_unref(output->blob);
    VECTOR_EACH(output, &scope->removed)
    blob_unref(output->blob);
    scope->added.count = scope->removed.count = 0;
    scope->touched = false;
    for (size_t i = 0; i < scope->classes.count; i++)
        scope->classes.items[i]->touched = true;
}

static void class_flush(struct class *class)
{
    struct blob_table *tables[RESOURCE_TYPES] = {0};
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
        if (!class->scope->tables[type])
            continue;
        VECTOR(struct blob_edit) edits = {0};
        VECTOR_EACH(output, &class->own.outputs.list)
        {
            if (output->blob->type == type)
                vector_push(&edits, {blob_name(output->blob), output->blob});
        }
        tables[type] = blob_table_edit(class->scope->tables[type], edits.items, edits.count);
        vector_fini(&edits);
    }
    view_unref(class->view);
    class->view = view_create(tables, ++class->generation);
    class->own.translate->totals.views_made++;
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++)
        blob_table_unref(tables[type]);
    class->touched = false;
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

struct translate *translate_create(struct model *model, struct registry *registry,
                                   const struct mesh_settings *mesh)
{
    struct translate *t = mem_new(struct translate);
    t->model = model;
    t->registry = registry;
    t->facts = model_facts(model);
    t->fallbacks = fallbacks_create(model);
    t->trust_domain = str_copy(mesh->trust_domain);
    t->access_log = mesh->access_log ? str_copy(mesh->access_log) : NULL;
    t->mesh = *mesh;
    t->mesh.trust_domain = t->trust_domain;
    t->mesh.access_log = t->access_log;
    t->units = map_create();
    t->refused = map_create();
    t->scopes = map_create();
    t->classes = map_create();
    return t;
}

static void class_destroy(struct class *class)
{
    view_unref(class->view);
    unit_fini(&class->own);
    mem_free(class->key);
    mem_free(class);
}

static void scope_destroy(struct scope *scope)
{
    struct map_iterator it = {0};
    while (map_next(scope->members, &it))
        unit_leave(it.value, scope);
    map_destroy(scope->members);
    VECTOR_EACH(output, &scope->added)
    blob_unref(output->blob);
    VECTOR_EACH(output, &scope->removed)
    blob_unref(output->blob);
    vector_fini(&scope->added);
    vector_fini(&scope->removed);
    vector_fini(&scope->classes);
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++)
        blob_table_unref(scope->tables[type]);
    reader_fini(scope->translate->facts, &scope->derived.reader);
    mem_free(scope->name);
    mem_free(scope);
}

void translate_destroy(struct translate *t)
{
    if (!t)
        return;
    struct map_iterator it = {0};
    while (map_next(t->classes, &it))
        class_destroy(it.value);
    it = (struct map_iterator){0};
    while (map_next(t->scopes, &it))
        scope_destroy(it.value);
    map_destroy(t->classes);
    map_destroy(t->scopes);
    map_destroy(t->units);
    map_destroy(t->refused);
    fallbacks_destroy(t->fallbacks);
    mem_free(t->trust_domain);
    mem_free(t->access_log);
    mem_free(t);
}

static void run_queued(struct translate *t)
{
    struct reader *reader;
    while ((reader = facts_next(t->facts))) {
        struct derived *derived = CONTAINER_OF(reader, struct derived, reader);
        if (derived->role == ROLE_SCOPE)
            scope_run(CONTAINER_OF(derived, struct scope, derived));
        else
            unit_run(CONTAINER_OF(derived, struct unit, derived));
    }
}

void translate_settle(struct translate *t, translate_on_view *on_view, void *owner)
{
    run_queued(t);
    struct map_iterator it = {0};
    while (map_next(t->scopes, &it)) {
        struct scope *scope = it.value;
        if (scope->touched)
            scope_flush(scope);
    }
    it = (struct map_iterator){0};
    while (map_next(t->classes, &it)) {
        struct class *class = it.value;
        if (!class->touched)
            continue;
        class_flush(class);
        if (on_view)
            on_view(owner, class->key_slice, class->view);
    }
}

static struct class *class_create(struct translate *t, struct slice key)
{
    struct class *class = mem_new(struct class);
    class->key = slice_to_str(key);
    class->key_slice = slice_of(class->key, key.size);
    if (!proxy_spec_of_key(class->key_slice, &class->spec)) {
        mem_free(class->key);
        mem_free(class);
        return NULL;
    }
    class->scope = find_scope(t, &class->spec);
    vector_push(&class->scope->classes, class);
    unit_init(&class->own, t, UNIT_OWN);
    class->own.class = class;
    if (!class->spec.grpc)
        facts_queue(t->facts, &class->own.derived.reader);
    class->touched = true;
    map_put(t->classes, class->key_slice, class);
    return class;
}

const struct view *translate_view(struct translate *t, struct slice key)
{
    struct class *class = map_get(t->classes, key);
    if (class && class->view)
        return class->view;
    if (!class)
        class = class_create(t, key);
    if (!class)
        return NULL;
    /* The scope may be new, and needs its tables; who is behind elsewhere stays so until the lane is due. */
    if (!list_is_empty(&class->own.derived.reader.queued)) {
        list_remove(&class->own.derived.reader.queued);
        unit_run(&class->own);
    }
    if (!list_is_empty(&class->scope->derived.reader.queued)) {
        list_remove(&class->scope->derived.reader.queued);
        scope_run(class->scope);
    }
    if (class->scope->touched)
        scope_flush(class->scope);
    class_flush(class);
    return class->view;
}

void translate_forget(struct translate *t, struct slice key)
{
    struct class *class = map_remove(t->classes, key);
    if (!class)
        return;
    struct scope *scope = class->scope;
    for (size_t i = 0; i < scope->classes.count; i++) {
        if (scope->classes.items[i] != class)
            continue;
        vector_remove(&scope->classes, i);
        break;
    }
    class_destroy(class);
    if (scope->classes.count > 0)
        return;
    map_remove(t->scopes, slice_str(scope->name));
    scope_destroy(scope);
}

struct fallbacks *translate_fallbacks(const struct translate *t)
{
    return t->fallbacks;
}

struct translate_totals translate_totals(const struct translate *t)
{
    struct translate_totals totals = t->totals;
    totals.units = map_count(t->units);
    totals.scopes = map_count(t->scopes);
    totals.classes = map_count(t->classes);
    return totals;
}
