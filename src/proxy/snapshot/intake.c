#include "proxy/snapshot/intake.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "build/secret.h"
#include "pb/codec.h"
#include "proxy/snapshot/intake_internal.h"
#include "tls/context.h"

enum { INTAKE_RESOURCES = 200000, INTAKE_BODY = 16 << 20 };

/* --- entries ------------------------------------------------------------------------------------------------------- */

struct entry *intake_find(const struct intake *intake, enum resource_kind kind, struct slice name)
{
    return map_get(intake->entries[kind], name);
}

struct entry *intake_entry(struct intake *intake, enum resource_kind kind, const struct name *name)
{
    struct entry *entry = intake_find(intake, kind, name->text);
    if (entry)
        return entry;
    entry = mem_new(struct entry);
    entry->name = (struct name){
        slice_of(str_copy_n(name->text.data, name->text.size), name->text.size), name->hash};
    entry->kind = kind;
    map_put(intake->entries[kind], entry->name.text, entry);
    return entry;
}

void refusal_clear(struct refusal *refusal)
{
    mem_free(refusal->reason);
    mem_free(refusal->version);
    buffer_fini(&refusal->body);
    *refusal = (struct refusal){0};
}

static void entry_free(struct entry *entry)
{
    refusal_clear(&entry->refusal);
    mem_free((void *)(uintptr_t)entry->name.text.data);
    mem_free(entry);
}

/* Nothing is known of it and nobody wants it. */
static bool is_spent(const struct entry *entry)
{
    return !entry->active && !entry->next && entry->wanted == 0 && !entry->is_asked &&
           !entry->is_warming && !entry->is_removed && !entry->is_unwanted &&
           !entry->refusal.reason;
}

struct intake *intake_create(struct publisher *publisher, const struct build_options *options,
                             const struct intake_limits *limits)
{
    struct intake *intake = mem_new(struct intake);
    intake->publisher = publisher;
    intake->options = *options;
    if (limits)
        intake->limits = *limits;
    if (intake->limits.max_resources == 0)
        intake->limits.max_resources = INTAKE_RESOURCES;
    if (intake->limits.max_body == 0)
        intake->limits.max_body = INTAKE_BODY;
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        intake->entries[kind] = map_create();
    intake->contexts = map_create();
    intake->addresses = map_create();
    intake->ticket_keys = tls_ticket_keys_create();
    intake->has_changed = true;
    intake_commit(intake);
    return intake;
}

static void free_contexts(struct intake *intake)
{
    struct map_iterator it = {0};
    while (map_next(intake->contexts, &it)) {
        struct context_entry *context = it.value;
        intake_drop(intake, &context->active);
        mem_free((void *)(uintptr_t)context->name.text.data);
        mem_free(context);
    }
    map_destroy(intake->contexts);
}

void intake_destroy(struct intake *intake)
{
    if (!intake)
        return;
    const struct tree_owner owner = publisher_owner(intake->publisher);
    for (int kind = 0; kind < RESOURCE_KINDS; kind++) {
        struct map_iterator it = {0};
        while (map_next(intake->entries[kind], &it)) {
            struct entry *entry = it.value;
            intake_drop(intake, &entry->active);
            intake_drop(intake, &entry->next);
            entry_free(entry);
        }
        map_destroy(intake->entries[kind]);
        name_tree_release(intake->trees[kind], &owner);
    }
    free_contexts(intake);
    map_destroy(intake->addresses);
    tls_ticket_keys_unref(intake->ticket_keys);
    vector_fini(&intake->warming);
    vector_fini(&intake->changing);
    vector_fini(&intake->unwanted);
    vector_fini(&intake->removed);
    vector_fini(&intake->arrived);
    mem_free(intake);
}

/* --- building -------------------------------------------------------------------------------------------------------- */

static const ProtobufCMessageDescriptor *type_of(enum resource_kind kind)
{
    switch (kind) {
    case KIND_CLUSTER: return &envoy__config__cluster__v3__cluster__descriptor;
    case KIND_ENDPOINTS: return &envoy__config__endpoint__v3__cluster_load_assignment__descriptor;
    case KIND_LISTENER: return &envoy__config__listener__v3__listener__descriptor;
    case KIND_ROUTE: return &envoy__config__route__v3__route_configuration__descriptor;
    case KIND_SECRET: return &envoy__extensions__transport_sockets__tls__v3__secret__descriptor;
    case KIND_TLS:
    case KIND_ADDRESS:
    case RESOURCE_KINDS: break;
    }
    return NULL;
}

/* Only clusters that spell their endpoints out may name hosts for DNS. */
static void refuse_names(const struct endpoints *set, struct error *error)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].address.kind == ENDPOINT_HOST) {
            error_set(error, "TUL0030", "'%.*s' is no IP address, and EDS resolves no names",
                      SLICE_ARG(set->items[i].address.text));
            return;
        }
}

/* The object, and the name that the message gives itself (in the object's memory). */
static void *build_object(const struct intake *intake, enum resource_kind kind, const void *message,
                          const struct name **name, struct error *error)
{
    union {
        struct cluster *cluster;
        struct endpoints *endpoints;
        struct listener *listener;
        struct route_table *route;
        struct secret *secret;
    } built;
    switch (kind) {
    case KIND_CLUSTER:
        if (!cluster_build(message, &intake->options, &built.cluster, error))
            return NULL;
        *name = &built.cluster->name;
        return built.cluster;
    case KIND_ENDPOINTS:
        if (!endpoints_build(message, &intake->options, &built.endpoints, error))
            return NULL;
        if (built.endpoints->has_hosts) {
            refuse_names(built.endpoints, error);
            endpoints_unref(built.endpoints);
            return NULL;
        }
        *name = &built.endpoints->name;
        return built.endpoints;
    case KIND_LISTENER:
        if (!listener_build(message, &intake->options, &built.listener, error))
            return NULL;
        *name = &built.listener->name;
        return built.listener;
    case KIND_ROUTE:
        if (!route_table_build(message, &intake->options, &built.route, error))
            return NULL;
        *name = &built.route->name;
        return built.route;
    case KIND_SECRET:
        if (!secret_build(message, &intake->options, &built.secret, error))
            return NULL;
        *name = &built.secret->name;
        return built.secret;
    case KIND_TLS:
    case KIND_ADDRESS:
    case RESOURCE_KINDS: break;
    }
    return NULL;
}

/* Keys are kept in one place only, the secret. */
static struct slice body_to_keep(enum resource_kind kind, const void *object, struct slice body)
{
    return kind == KIND_SECRET && ((const struct secret *)object)->kind != SECRET_TRUST ? SLICE("")
                                                                                        : body;
}

static struct resource *build(struct intake *intake, const struct intake_update *update,
                              struct error *error)
{
    struct arena arena;
    const struct name *name = NULL;
    struct resource *resource = NULL;
    arena_init(&arena, NULL);
    const void *message = pb_decode(type_of(update->kind), update->body, &arena, NULL, error);
    void *object = message ? build_object(intake, update->kind, message, &name, error) : NULL;
    if (object) {
        resource = resource_create(update->kind, name, object, update->version,
                                   body_to_keep(update->kind, object, update->body));
        resource->is_static = update->is_static;
        resource->content = hash128(update->body);
        if (!slice_equals(name->text, update->name)) {
            error_set(error, "TUL0033", "the resource is called '%.*s' inside",
                      SLICE_ARG(name->text));
            intake_drop(intake, &resource);
        }
    }
    arena_fini(&arena);
    return resource;
}

/* --- taking in --------------------------------------------------------------------------------------------------------- */

/* Endpoints of clusters that spell them out come with the cluster. */
static void put_own_endpoints(struct intake *intake, const struct cluster *cluster)
{
    if (cluster->kind == CLUSTER_EDS || cluster->endpoints == NULL || cluster->endpoints->has_hosts)
        return;
    struct entry *entry = intake_entry(intake, KIND_ENDPOINTS, &cluster->endpoints_name);
    struct endpoints *set = endpoints_ref(cluster->endpoints);
    struct resource *resource =
        resource_create(KIND_ENDPOINTS, &cluster->endpoints_name, set, SLICE(""), SLICE(""));
    resource->content = set->content;
    intake_set_next(intake, entry, resource);
    vector_push(&intake->arrived, entry);
}

static bool is_same(const struct resource *resource, struct slice body)
{
    return resource && hash128_equals(resource->content, hash128(body));
}

/* Only what something names, so that a server cannot fill our memory with what nobody uses. */
static bool is_welcome(const struct entry *entry, const struct intake_update *update)
{
    if (update->kind == KIND_CLUSTER || update->kind == KIND_LISTENER || update->is_static)
        return true;
    return entry && entry->wanted > 0;
}

static bool check_update(const struct intake *intake, const struct entry *entry,
                         const struct intake_update *update, struct error *error)
{
    if (!type_of(update->kind))
        return error_set(error, "TUL0033", "resources of this kind are made here");
    if (update->body.size > intake->limits.max_body)
        return error_set(error, "TUL0033", "the resource has %zu bytes, and the limit is %zu",
                         update->body.size, intake->limits.max_body);
    if (entry && entry->is_static && update->is_static)
        return error_set(error, "TUL0033", "there are two of this name");
    if (entry && entry->is_static && !update->is_static)
        return error_set(error, "TUL0033", "the bootstrap file has a %s of this name",
                         resource_kind_name(update->kind));
    if (intake->count >= intake->limits.max_resources && !(entry && entry->active))
        return error_set(error, "TUL0033", "there are %zu resources, and the limit is %zu",
                         intake->count, intake->limits.max_resources);
    return true;
}

static void wait_for_commit(struct intake *intake, struct entry *entry, struct resource *resource)
{
    entry->is_removed = false;
    entry->is_static = entry->is_static || resource->is_static;
    intake_set_next(intake, entry, resource);
    if (entry->kind != KIND_CLUSTER && entry->kind != KIND_LISTENER) {
        vector_push(&intake->arrived, entry);
        return;
    }
    if (entry->kind == KIND_CLUSTER) {
        put_own_endpoints(intake, resource->cluster);
        entry->is_asked = false; /* a changed cluster has other names to resolve */
        intake_note(intake, entry);
    }
    if (!entry->is_warming)
        vector_push(&intake->warming, entry);
    entry->is_warming = true;
}

/* As Envoy has it: a listener that spells its routes out must know their clusters, one that names them need not. */
static bool check_clusters(const struct intake *intake, const struct route_table *table,
                           bool by_default, struct error *error)
{
    if (table->validate == ROUTE_CLUSTERS_ANY ||
        (table->validate == ROUTE_CLUSTERS_DEFAULT && !by_default))
        return true;
    for (size_t i = 0; i < table->clusters.count; i++) {
        const struct name *name = &table->clusters.items[i];
        const struct entry *entry = intake_find(intake, KIND_CLUSTER, name->text);
        bool is_there = entry && (entry->next || (entry->active && !entry->is_removed));
        if (!is_there)
            return error_set(error, "TUL0033",
                             "the routes '%.*s' lead to the cluster '%.*s', which is not known",
                             SLICE_ARG(table->name.text), SLICE_ARG(name->text));
    }
    return true;
}

static bool check_references(const struct intake *intake, const struct resource *resource,
                             struct error *error)
{
    if (resource->kind == KIND_ROUTE)
        return check_clusters(intake, resource->route, false, error);
    if (resource->kind != KIND_LISTENER)
        return true;
    for (size_t i = 0; i < resource->listener->table_count; i++)
        if (!check_clusters(intake, resource->listener->tables[i], true, error))
            return false;
    return true;
}

/* Secrets that are there already are tried at once, so that the one who sent the resource hears of it. */
static bool try_resource(struct intake *intake, const struct entry *entry,
                         const struct resource *resource, struct error *error)
{
    struct tls_spec_list specs = intake_specs(resource);
    if (resource->kind == KIND_SECRET)
        return intake_try_secret(intake, resource, error);
    if (resource->kind == KIND_LISTENER &&
        !intake_check_addresses(intake, entry, resource->listener, error))
        return false;
    if (!check_references(intake, resource, error))
        return false;
    for (size_t i = 0; i < specs.count; i++) {
        const struct entry *certificate =
            intake_find(intake, KIND_SECRET, specs.items[i]->certificate.text);
        const struct entry *trust = intake_find(intake, KIND_SECRET, specs.items[i]->trust.text);
        bool waits =
            (name_is_set(&specs.items[i]->certificate) && !(certificate && certificate->active)) ||
            (name_is_set(&specs.items[i]->trust) && !(trust && trust->active));
        if (waits)
            return true;
    }
    return intake_try_contexts(intake, resource, error);
}

static void refuse(struct intake *intake, const struct intake_update *update, struct error *error)
{
    struct name name = name_of(update->name);
    error_at(error, "%s %.*s", resource_kind_name(update->kind), SLICE_ARG(update->name));
    if (update->kind >= KIND_TLS || update->name.size > NAME_MAX_BYTES ||
        map_count(intake->entries[update->kind]) >= intake->limits.max_resources)
        return;
    const struct entry *known = intake_find(intake, update->kind, update->name);
    if (update->kind != KIND_CLUSTER && update->kind != KIND_LISTENER && !(known && known->wanted))
        return; /* nobody would ever forget it */
    struct entry *entry = intake_entry(intake, update->kind, &name);
    refusal_clear(&entry->refusal);
    entry->refusal.reason = str_copy(error && error->what ? error->what : "it cannot be built");
    entry->refusal.version = slice_to_str(update->version);
    entry->refusal.when_us = clock_wall_us();
    if (update->kind != KIND_SECRET && update->body.size <= intake->limits.max_body)
        buffer_append_slice(&entry->refusal.body, update->body);
}

static bool put(struct intake *intake, const struct intake_update *update, struct error *error)
{
    struct entry *entry = intake_find(intake, update->kind, update->name);
    if (!check_update(intake, entry, update, error))
        return false;
    /* What was taken away in between comes anew, be it the same: it may have lost its addresses. */
    bool is_kept = entry && !entry->is_removed;
    bool is_same_as_next = is_kept && entry->next && is_same(entry->next, update->body);
    bool is_same_as_active = is_kept && !entry->next && is_same(entry->active, update->body);
    if (is_same_as_next || is_same_as_active)
        return true;
    struct resource *resource = build(intake, update, error);
    if (!resource)
        return false;
    if (!is_welcome(entry, update)) {
        /* It was built to tell its sender whether it could be. */
        intake_drop(intake, &resource);
        return true;
    }
    if (!try_resource(intake, entry, resource, error)) {
        intake_drop(intake, &resource);
        return false;
    }
    entry = intake_entry(intake, update->kind, &resource->name);
    refusal_clear(&entry->refusal);
    wait_for_commit(intake, entry, resource);
    return true;
}

bool intake_put(struct intake *intake, const struct intake_update *update, struct error *error)
{
    struct error local = {0};
    if (!error)
        error = &local;
    bool ok = put(intake, update, error);
    if (!ok)
        refuse(intake, update, error);
    error_fini(&local);
    return ok;
}

bool intake_put_secret(struct intake *intake, struct secret *secret, struct error *error)
{
    struct name name = secret->name;
    struct resource *resource =
        resource_create(KIND_SECRET, &name, secret, SLICE("local"), SLICE(""));
    resource->content = secret->content;
    if (!intake_try_secret(intake, resource, error)) {
        error_at(error, "secret %.*s", SLICE_ARG(resource->name.text));
        intake_drop(intake, &resource);
        return false;
    }
    struct entry *entry = intake_entry(intake, KIND_SECRET, &resource->name);
    resource->is_static = true; /* stays while nothing names it, and no server replaces it */
    wait_for_commit(intake, entry, resource);
    return true;
}

bool intake_put_addresses(struct intake *intake, const struct name *cluster,
                          struct endpoints *endpoints)
{
    const struct entry *owner = intake_find(intake, KIND_CLUSTER, cluster->text);
    const struct resource *resource = !owner ? NULL : owner->next ? owner->next : owner->active;
    if (!resource || resource->cluster->kind != CLUSTER_STRICT_DNS) {
        endpoints_unref(endpoints);
        return false;
    }
    const struct name *name = &resource->cluster->endpoints_name;
    struct entry *entry = intake_entry(intake, KIND_ENDPOINTS, name);
    const struct resource *known = entry->next ? entry->next : entry->active;
    if (known && hash128_equals(known->content, endpoints->content)) {
        endpoints_unref(endpoints);
        return true;
    }
    struct resource *next =
        resource_create(KIND_ENDPOINTS, name, endpoints, SLICE("dns"), SLICE(""));
    next->content = endpoints->content;
    wait_for_commit(intake, entry, next);
    return true;
}

const struct cluster *intake_cluster(const struct intake *intake, const struct name *name)
{
    const struct entry *entry = intake_find(intake, KIND_CLUSTER, name->text);
    const struct resource *resource = !entry ? NULL : entry->next ? entry->next : entry->active;
    return resource ? resource->cluster : NULL;
}

void intake_remove(struct intake *intake, enum resource_kind kind, struct slice name)
{
    struct entry *entry = intake_find(intake, kind, name);
    if (!entry || entry->is_static || (kind != KIND_CLUSTER && kind != KIND_LISTENER))
        return;
    refusal_clear(&entry->refusal);
    if (entry->is_removed)
        return;
    if (!entry->is_changing && is_spent(entry)) {
        map_remove(intake->entries[kind], name);
        entry_free(entry);
        return;
    }
    entry->is_removed = true;
    vector_push(&intake->removed, entry);
}

/* --- asking and telling ------------------------------------------------------------------------------------------------- */

static bool is_dns(const struct resource *resource)
{
    return resource && resource->cluster->kind == CLUSTER_STRICT_DNS &&
           resource->cluster->endpoints->has_hosts;
}

static bool asks(const struct entry *entry)
{
    if (entry->kind == KIND_CLUSTER)
        return is_dns(entry->next ? entry->next : entry->active);
    return entry->asking > 0 && !entry->is_static;
}

void intake_interest(struct intake *intake,
                     void (*visit)(void *to, enum resource_kind kind, const struct name *name,
                                   bool wanted),
                     void *to)
{
    for (size_t i = 0; i < intake->changing.count; i++) {
        struct entry *entry = intake->changing.items[i];
        bool wanted = asks(entry);
        if (wanted != entry->is_asked)
            visit(to, entry->kind, &entry->name, wanted);
        entry->is_asked = wanted;
        entry->is_changing = false;
        if (is_spent(entry)) {
            map_remove(intake->entries[entry->kind], entry->name.text);
            entry_free(entry);
        }
    }
    intake->changing.count = 0;
}

struct telling {
    void (*visit)(void *to, const struct intake_entry *entry);
    void *to;
};

static void tell(const struct telling *telling, enum intake_state state,
                 const struct resource *resource, const char *reason)
{
    const struct intake_entry told = {.state = state,
                                      .resource = resource,
                                      .name = resource->name.text,
                                      .version = resource->version,
                                      .body = resource->body,
                                      .reason = reason,
                                      .when_us = resource->updated_us};
    telling->visit(telling->to, &told);
}

static void tell_refusal(const struct telling *telling, const struct entry *entry)
{
    const struct refusal *refusal = &entry->refusal;
    const struct intake_entry told = {.state = INTAKE_REFUSED,
                                      .name = entry->name.text,
                                      .version = slice_str(refusal->version),
                                      .body = buffer_slice(&refusal->body),
                                      .reason = refusal->reason,
                                      .when_us = refusal->when_us};
    telling->visit(telling->to, &told);
}

void intake_each(const struct intake *intake, enum resource_kind kind,
                 void (*visit)(void *to, const struct intake_entry *entry), void *to)
{
    const struct telling telling = {visit, to};
    for (enum intake_state state = INTAKE_ACTIVE; state <= INTAKE_REFUSED; state++) {
        struct map_iterator it = {0};
        while (map_next(intake->entries[kind], &it)) {
            const struct entry *entry = it.value;
            if (state == INTAKE_ACTIVE && entry->active)
                tell(&telling, state, entry->active, NULL);
            if (state == INTAKE_WARMING && entry->next)
                tell(&telling, state, entry->next, entry->waits_for);
            if (state == INTAKE_REFUSED && entry->refusal.reason)
                tell_refusal(&telling, entry);
        }
    }
}

size_t intake_warming(const struct intake *intake, enum resource_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < intake->warming.count; i++)
        count += intake->warming.items[i]->kind == kind && intake->warming.items[i]->next;
    return count;
}
