#include "proxy/snapshot/intake_internal.h"

#include "build/cluster.h"
#include "build/listener.h"
#include "build/route_table.h"

/* --- the trees ---------------------------------------------------------------------------------------------------- */

void intake_plant(struct intake *intake, struct resource *resource)
{
    const struct tree_owner owner = publisher_owner(intake->publisher);
    struct name_tree *tree = &intake->trees[resource->kind], old = *tree;
    if (resource->slot == UINT32_MAX && !publisher_admit(intake->publisher, resource))
        return; /* intake_put keeps the number of resources far below the limit of pins */
    *tree = name_tree_with(old, resource);
    name_tree_release(old, &owner);
    intake->has_changed = true;
}

void intake_uproot(struct intake *intake, enum resource_kind kind, const struct name *name)
{
    const struct tree_owner owner = publisher_owner(intake->publisher);
    struct name_tree *tree = &intake->trees[kind], old = *tree;
    if (!name_tree_find(old, name))
        return;
    *tree = name_tree_without(old, name);
    name_tree_release(old, &owner);
    intake->has_changed = true;
}

void intake_drop(struct intake *intake, struct resource **resource)
{
    if (*resource)
        publisher_drop(intake->publisher, *resource);
    *resource = NULL;
}

/* --- what depends on what ------------------------------------------------------------------------------------------- */

struct dependency {
    enum resource_kind kind;
    const struct name *name;
    bool is_asked_for; /* by a server; else the intake has it, or DNS brings it */
    uint32_t wait_ms;  /* 0: for ever */
};

static const struct filter_chain *chain_at(const struct listener *listener, uint32_t index)
{
    return index < listener->chain_count ? &listener->chains[index] : listener->default_chain;
}

static uint32_t route_wait(const struct listener *listener, const struct name *route)
{
    for (uint32_t i = 0; i <= listener->chain_count; i++) {
        const struct filter_chain *chain = chain_at(listener, i);
        if (chain && chain->http && name_is_set(&chain->http->route_name) &&
            name_equals(&chain->http->route_name, route))
            return chain->http->route_wait_ms;
    }
    return 0;
}

/* The index-th name that a resource needs; false behind the last. */
static bool dependency_at(const struct resource *resource, size_t index, struct dependency *out)
{
    const struct name_list *secrets;
    if (resource->kind == KIND_CLUSTER) {
        const struct cluster *cluster = resource->cluster;
        secrets = &cluster->secrets;
        if (index == 0) {
            bool is_eds = cluster->kind == CLUSTER_EDS;
            *out = (struct dependency){KIND_ENDPOINTS, &cluster->endpoints_name, is_eds,
                                       is_eds ? cluster->endpoints_wait_ms : 0};
            return true;
        }
        index--;
    } else if (resource->kind == KIND_LISTENER) {
        const struct listener *listener = resource->listener;
        secrets = &listener->secrets;
        if (index < listener->routes.count) {
            const struct name *route = &listener->routes.items[index];
            *out = (struct dependency){KIND_ROUTE, route, true, route_wait(listener, route)};
            return true;
        }
        index -= listener->routes.count;
    } else {
        return false;
    }
    if (index >= secrets->count)
        return false;
    *out = (struct dependency){KIND_SECRET, &secrets->items[index], true, 0};
    return true;
}

void intake_note(struct intake *intake, struct entry *entry)
{
    if (entry->is_changing)
        return;
    entry->is_changing = true;
    vector_push(&intake->changing, entry);
}

void intake_want(struct intake *intake, const struct resource *resource)
{
    struct dependency need;
    for (size_t i = 0; dependency_at(resource, i, &need); i++) {
        struct entry *entry = intake_entry(intake, need.kind, need.name);
        entry->wanted++;
        entry->asking += need.is_asked_for;
        intake_note(intake, entry);
    }
}

void intake_unwant(struct intake *intake, const struct resource *resource)
{
    struct dependency need;
    for (size_t i = 0; dependency_at(resource, i, &need); i++) {
        struct entry *entry = intake_entry(intake, need.kind, need.name);
        entry->wanted--;
        entry->asking -= need.is_asked_for;
        intake_note(intake, entry);
        if (entry->wanted == 0 && !entry->is_unwanted) {
            entry->is_unwanted = true;
            vector_push(&intake->unwanted, entry);
        }
    }
}

void intake_set_next(struct intake *intake, struct entry *entry, struct resource *next)
{
    if (entry->next) {
        intake_unwant(intake, entry->next);
        if (entry->kind == KIND_LISTENER)
            intake_release_addresses(intake, entry, entry->next->listener,
                                     entry->active ? entry->active->listener : NULL);
        intake->count--;
    }
    intake_drop(intake, &entry->next);
    entry->next = next;
    entry->waits_for = NULL;
    if (!next)
        return;
    intake->count++;
    intake_want(intake, next);
    if (entry->kind == KIND_LISTENER)
        intake_claim_addresses(intake, entry, next->listener);
    entry->since_ms = intake->now_ms;
}

/* --- becoming active -------------------------------------------------------------------------------------------------- */

static bool is_there(const struct intake *intake, const struct dependency *need)
{
    const struct entry *entry = intake_find(intake, need->kind, need->name->text);
    return entry && (entry->active || entry->next);
}

/* Nothing is missing that is worth waiting for; *due is when to look again. */
static bool is_warm(const struct intake *intake, struct entry *entry, uint64_t *due)
{
    struct dependency need;
    entry->waits_for = NULL;
    for (size_t i = 0; dependency_at(entry->next, i, &need); i++) {
        if (is_there(intake, &need))
            continue;
        uint64_t until = need.wait_ms ? entry->since_ms + need.wait_ms : UINT64_MAX;
        if (intake->now_ms >= until)
            continue;
        entry->waits_for = need.name->text.data;
        if (due)
            *due = MIN(*due, until);
        return false;
    }
    return true;
}

/* `next` takes the place of `active`; it is complete. */
static void activate(struct intake *intake, struct entry *entry)
{
    struct resource *old = entry->active, *now = entry->next;
    entry->active = now;
    entry->next = NULL;
    intake_use_contexts(intake, now);
    intake_plant(intake, now);
    if (old) {
        intake_unuse_contexts(intake, old);
        intake_unwant(intake, old);
        intake->count--;
    }
    if (entry->kind == KIND_LISTENER) {
        if (old)
            intake_release_addresses(intake, entry, old->listener, now->listener);
        intake_claim_addresses(intake, entry, now->listener);
    }
    intake_drop(intake, &old);
}

static void take_away(struct intake *intake, struct entry *entry)
{
    struct resource *old = entry->active;
    intake_set_next(intake, entry, NULL);
    entry->active = NULL;
    if (!old)
        return;
    intake_uproot(intake, entry->kind, &entry->name);
    intake_unuse_contexts(intake, old);
    intake_unwant(intake, old);
    if (entry->kind == KIND_LISTENER)
        intake_release_addresses(intake, entry, old->listener, NULL);
    intake->count--;
    intake_drop(intake, &old);
}

/* A listener whose address another one takes over, which still waits: until then it serves. */
static bool awaits_heir(struct intake *intake, const struct entry *entry)
{
    bool awaits = false;
    if (entry->kind != KIND_LISTENER || !entry->active)
        return false;
    for (uint32_t i = 0; !awaits && i < entry->active->listener->address_count; i++) {
        struct entry *heir = intake_heir(intake, entry, i);
        awaits = heir && !heir->is_removed && heir->next &&
                 (!is_warm(intake, heir, NULL) || !intake_try_contexts(intake, heir->next, NULL));
    }
    return awaits;
}

static void commit_removed(struct intake *intake)
{
    size_t kept = 0;
    for (size_t i = 0; i < intake->removed.count; i++) {
        struct entry *entry = intake->removed.items[i];
        if (!entry->is_removed)
            continue;
        if (awaits_heir(intake, entry)) {
            intake->removed.items[kept++] = entry;
            continue;
        }
        entry->is_removed = false;
        take_away(intake, entry);
        intake_note(intake, entry); /* to be forgotten */
    }
    intake->removed.count = kept;
}

static void commit_arrived(struct intake *intake)
{
    for (size_t i = 0; i < intake->arrived.count; i++) {
        struct entry *entry = intake->arrived.items[i];
        if (!entry->next)
            continue;
        activate(intake, entry);
        if (entry->kind == KIND_SECRET)
            intake_renew_contexts(intake, &entry->name);
    }
    intake->arrived.count = 0;
}

static void commit_warm(struct intake *intake)
{
    size_t kept = 0;
    for (size_t i = 0; i < intake->warming.count; i++) {
        struct entry *entry = intake->warming.items[i];
        bool waits = entry->next && (!is_warm(intake, entry, NULL) ||
                                     !intake_try_contexts(intake, entry->next, NULL));
        if (waits) {
            if (!entry->waits_for)
                entry->waits_for = "a TLS context that cannot be made of its secrets";
            intake->warming.items[kept++] = entry;
            continue;
        }
        entry->is_warming = false;
        if (entry->next)
            activate(intake, entry);
    }
    intake->warming.count = kept;
}

/* What nothing names any more goes. */
static void commit_unwanted(struct intake *intake)
{
    for (size_t i = 0; i < intake->unwanted.count; i++) {
        struct entry *entry = intake->unwanted.items[i];
        entry->is_unwanted = false;
        if (entry->wanted > 0 || entry->is_static)
            continue;
        refusal_clear(&entry->refusal);
        if (entry->active || entry->next)
            take_away(intake, entry);
        intake_note(intake, entry); /* to be forgotten */
    }
    intake->unwanted.count = 0;
}

bool intake_commit(struct intake *intake)
{
    struct name_tree given[RESOURCE_KINDS];
    commit_removed(intake);
    commit_arrived(intake);
    commit_warm(intake);
    commit_unwanted(intake);
    if (!intake->has_changed)
        return false;
    intake->has_changed = false;
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        given[kind] = name_tree_hold(intake->trees[kind]);
    publisher_publish(intake->publisher, given);
    return true;
}

uint64_t intake_tick(struct intake *intake, uint64_t now_ms, int64_t wall_s)
{
    uint64_t due = UINT64_MAX;
    intake->now_ms = now_ms;
    intake->options.now_s = wall_s;
    for (size_t i = 0; i < intake->warming.count; i++) {
        if (intake->warming.items[i]->next && is_warm(intake, intake->warming.items[i], &due))
            due = now_ms;
    }
    return due == UINT64_MAX ? UINT64_MAX : due - MIN(due, now_ms);
}
