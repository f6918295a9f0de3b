#include "control/store/store.h"

#include "base/memory.h"
#include "base/vector.h"
#include "control/store/store_internal.h"

#include <string.h>

/* One call, or one watch. A ticket is the handle of this in the loop's table. */
struct waiter {
    struct list node;
    handle ticket;
    void *owner;
    union {
        store_on_page *on_page;
        store_on_written *on_written;
        store_on_leased *on_leased;
        store_on_watched *on_watched;
    };
    /* Of watches. */
    bool has_begun;
    char *prefix;
    size_t prefix_size;
};

static const char *const status_names[] = {"ok",        "conflict", "compacted",  "future",
                                           "too large", "no lease", "unavailable"};

const char *store_status_name(enum store_status status)
{
    return status_names[status];
}

void store_init(struct store *store, const struct store_backend *backend, struct loop *loop)
{
    *store = (struct store){.backend = backend, .loop = loop};
    list_init(&store->waiting);
    list_init(&store->watches);
}

static struct waiter *waiter_create(struct store *store, struct list *in, void *owner)
{
    struct waiter *waiter = mem_new(struct waiter);
    waiter->owner = owner;
    waiter->ticket = handle_new(loop_handles(store->loop), waiter);
    list_push_back(in, &waiter->node);
    return waiter;
}

static void waiter_destroy(struct store *store, struct waiter *waiter)
{
    handle_drop(loop_handles(store->loop), waiter->ticket);
    list_remove(&waiter->node);
    mem_free(waiter->prefix);
    mem_free(waiter);
}

static struct waiter *waiter_of(struct store *store, uint64_t ticket)
{
    return handle_get(loop_handles(store->loop), ticket);
}

void store_fini(struct store *store)
{
    LIST_EACH_SAFE(node, after, &store->waiting)
    waiter_destroy(store, LIST_ENTRY(node, struct waiter, node));
    LIST_EACH_SAFE(node, after, &store->watches)
    waiter_destroy(store, LIST_ENTRY(node, struct waiter, node));
}

uint64_t store_list(struct store *store, const struct store_list *list, store_on_page *on_page,
                    void *owner)
{
    struct waiter *waiter = waiter_create(store, &store->waiting, owner);
    struct store_list bounded = *list;
    waiter->on_page = on_page;
    if (bounded.limit == 0 || bounded.limit > STORE_LIST_MAX)
        bounded.limit = STORE_LIST_MAX;
    store->backend->list(store, waiter->ticket, &bounded);
    return waiter->ticket;
}

uint64_t store_get(struct store *store, struct slice key, store_on_page *on_page, void *owner)
{
    struct waiter *waiter = waiter_create(store, &store->waiting, owner);
    waiter->on_page = on_page;
    store->backend->get(store, waiter->ticket, key);
    return waiter->ticket;
}

uint64_t store_txn(struct store *store, const struct store_txn *txn, store_on_written *on_written,
                   void *owner)
{
    struct waiter *waiter = waiter_create(store, &store->waiting, owner);
    waiter->on_written = on_written;
    store->backend->txn(store, waiter->ticket, txn);
    return waiter->ticket;
}

uint64_t store_watch(struct store *store, struct slice prefix, uint64_t from,
                     store_on_watched *on_watched, void *owner)
{
    struct waiter *waiter = waiter_create(store, &store->watches, owner);
    waiter->on_watched = on_watched;
    waiter->prefix = slice_to_str(prefix);
    waiter->prefix_size = prefix.size;
    store->backend->watch(store, waiter->ticket, prefix, from);
    return waiter->ticket;
}

void store_progress(struct store *store, uint64_t watch)
{
    if (waiter_of(store, watch))
        store->backend->progress(store, watch);
}

void store_cancel(struct store *store, uint64_t ticket)
{
    struct waiter *waiter = waiter_of(store, ticket);
    if (waiter)
        waiter_destroy(store, waiter);
}

static uint64_t lease_call(struct store *store, enum store_lease_call call, uint64_t lease,
                           uint32_t ttl_ms, store_on_leased *on_leased, void *owner)
{
    struct waiter *waiter = waiter_create(store, &store->waiting, owner);
    waiter->on_leased = on_leased;
    store->backend->lease(store, waiter->ticket, call, lease, ttl_ms);
    return waiter->ticket;
}

uint64_t store_grant(struct store *store, uint32_t ttl_ms, store_on_leased *on_leased, void *owner)
{
    return lease_call(store, STORE_GRANT, 0, MIN(MAX(ttl_ms, 1000u), 3600000u), on_leased, owner);
}

uint64_t store_keep_alive(struct store *store, uint64_t lease, store_on_leased *on_leased,
                          void *owner)
{
    return lease_call(store, STORE_KEEP_ALIVE, lease, 0, on_leased, owner);
}

uint64_t store_revoke(struct store *store, uint64_t lease, store_on_leased *on_leased, void *owner)
{
    return lease_call(store, STORE_REVOKE, lease, 0, on_leased, owner);
}

const struct store_capabilities *store_capabilities(const struct store *store)
{
    return &store->backend->capabilities;
}

void store_close(struct store *store)
{
    if (store)
        store->backend->close(store);
}

/* --- answers: the waiter is gone before its owner hears, so that the owner may close whatever it likes ---------- */

void store_page_came(struct store *store, uint64_t ticket, const struct store_page *page)
{
    struct waiter *waiter = waiter_of(store, ticket);
    if (!waiter)
        return;
    store_on_page *on_page = waiter->on_page;
    void *owner = waiter->owner;
    waiter_destroy(store, waiter);
    on_page(owner, page);
}

void store_written_came(struct store *store, uint64_t ticket, const struct store_written *written)
{
    struct waiter *waiter = waiter_of(store, ticket);
    if (!waiter)
        return;
    store_on_written *on_written = waiter->on_written;
    void *owner = waiter->owner;
    waiter_destroy(store, waiter);
    on_written(owner, written);
}

void store_leased_came(struct store *store, uint64_t ticket, const struct store_leased *leased)
{
    struct waiter *waiter = waiter_of(store, ticket);
    if (!waiter)
        return;
    store_on_leased *on_leased = waiter->on_leased;
    void *owner = waiter->owner;
    waiter_destroy(store, waiter);
    on_leased(owner, leased);
}

void store_watch_began(struct store *store, uint64_t ticket, const struct store_watched *past)
{
    struct waiter *waiter = waiter_of(store, ticket);
    if (!waiter)
        return;
    store_on_watched *on_watched = waiter->on_watched;
    void *owner = waiter->owner;
    waiter->has_begun = true;
    if (past->status != STORE_OK)
        waiter_destroy(store, waiter);
    on_watched(owner, past);
}

static bool is_under(const struct waiter *watch, struct slice key)
{
    return slice_starts_with(key, slice_of(watch->prefix, watch->prefix_size));
}

/* An owner may cancel any watch while it hears, so they are named first and found again one by one. */
void store_events_came(struct store *store, const struct store_event *events, size_t count,
                       uint64_t revision)
{
    VECTOR(uint64_t) tickets = {0};
    VECTOR(struct store_event) seen = {0};
    LIST_EACH(node, &store->watches)
    {
        const struct waiter *watch = LIST_ENTRY(node, struct waiter, node);
        if (watch->has_begun)
            vector_push(&tickets, watch->ticket);
    }
    VECTOR_EACH(ticket, &tickets)
    {
        const struct waiter *watch = waiter_of(store, *ticket);
        if (!watch)
            continue;
        seen.count = 0;
        for (size_t i = 0; i < count; i++)
            if (is_under(watch, events[i].entry.key))
                vector_push(&seen, events[i]);
        if (seen.count > 0)
            watch->on_watched(watch->owner, &(struct store_watched){.events = seen.items,
                                                                    .count = seen.count,
                                                                    .revision = revision});
    }
    vector_fini(&seen);
    vector_fini(&tickets);
}

void store_progress_came(struct store *store, uint64_t ticket, uint64_t revision)
{
    const struct waiter *watch = waiter_of(store, ticket);
    if (watch && watch->has_begun)
        watch->on_watched(watch->owner, &(struct store_watched){.revision = revision});
}
