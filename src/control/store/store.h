/*
 * store: where configuration lives, under keys with revisions; one interface for SQLite, etcd and Kubernetes.
 *
 * Keys are texts such as "networking.istio.io/virtualservices/shop/product"; values are JSON documents. Every write
 * raises the store's one revision, which is 1 in a new store (0 means "now"). Everything is asynchronous: a call
 * answers by its callback on the loop that the store
 * was opened for, never from inside the call; a write is answered when it is durable. What the callbacks are given is
 * borrowed for the call.
 *
 * A list at revision R and a watch from R give every change exactly once, in order, also across restarts. History is
 * bounded: a watch or a list from before it gets STORE_COMPACTED, and the caller lists anew and compares.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

struct loop;
struct store;

/* Bytes; a longer key or value is refused with STORE_TOO_LARGE. */
enum {
    STORE_KEY_MAX = 1024,
    STORE_VALUE_MAX = 1536 * 1024,
    STORE_TXN_MAX = 128,
    STORE_LIST_MAX = 10000
};

enum store_status {
    STORE_OK,
    STORE_CONFLICT,  /* a comparison did not hold; nothing was written */
    STORE_COMPACTED, /* the revision asked for is older than the history */
    STORE_FUTURE,    /* the revision asked for does not exist yet */
    STORE_TOO_LARGE,
    STORE_NO_LEASE,    /* the lease does not exist (any more) */
    STORE_UNAVAILABLE, /* disk full, corrupt, closed; error text says which */
};
const char *store_status_name(enum store_status status);

struct store_entry {
    struct slice key, value;
    uint64_t create_revision; /* of the put that made the key */
    uint64_t revision;        /* of the last put */
    uint64_t lease;           /* 0: lives until it is deleted */
};

/* --- reading -------------------------------------------------------------------------------------------------- */

struct store_list {
    struct slice prefix;
    struct slice
        after; /* keys greater than this one: the continuation of a page; empty = from the start */
    uint64_t revision; /* as of then; 0 = now */
    size_t limit;      /* 0 or more than STORE_LIST_MAX = STORE_LIST_MAX */
};
struct store_page {
    enum store_status status;
    const char *reason;                /* unless STORE_OK */
    const struct store_entry *entries; /* by key */
    size_t count;
    bool has_more;     /* ask again with after = the last key and this revision */
    uint64_t revision; /* of what was read */
};
typedef void store_on_page(void *owner, const struct store_page *page);
/* Returns a ticket for store_cancel. The request is copied. */
uint64_t store_list(struct store *store, const struct store_list *list, store_on_page *on_page,
                    void *owner);
/* A page of one entry, or none. */
uint64_t store_get(struct store *store, struct slice key, store_on_page *on_page, void *owner);

/* --- writing -------------------------------------------------------------------------------------------------- */

/* Holds when the key's last put has this revision; 0 = the key is absent. */
struct store_compare {
    struct slice key;
    uint64_t revision;
};
struct store_put {
    struct slice key, value;
    uint64_t lease; /* 0: none */
};
struct store_txn {
    const struct store_compare *compares;
    size_t compare_count;
    const struct store_put *puts;
    size_t put_count;
    const struct slice *deletes; /* an absent key is deleted already */
    size_t delete_count;
};
struct store_written {
    enum store_status status;
    const char *reason;
    uint64_t revision; /* of this write; of the store when nothing changed or on STORE_CONFLICT */
    size_t conflict;   /* STORE_CONFLICT: index of the first comparison that did not hold */
};
typedef void store_on_written(void *owner, const struct store_written *written);
/* All or nothing, under one new revision. Everything is copied. */
uint64_t store_txn(struct store *store, const struct store_txn *txn, store_on_written *on_written,
                   void *owner);

/* --- watching ------------------------------------------------------------------------------------------------- */

enum store_event_kind { STORE_EVENT_PUT, STORE_EVENT_DELETE };
struct store_event {
    enum store_event_kind kind;
    struct store_entry entry; /* DELETE: the value before, revision = of the deletion */
    struct slice previous;    /* PUT: the value before, or empty */
};
struct store_watched {
    enum store_status status; /* anything but STORE_OK is the last report */
    const char *reason;
    const struct store_event *events;
    size_t count;      /* 0: a bookmark: nothing happened under the prefix up to revision */
    uint64_t revision; /* everything up to here has been reported */
};
typedef void store_on_watched(void *owner, const struct store_watched *watched);
/* Everything under prefix after revision `from` (0 = from now on). */
uint64_t store_watch(struct store *store, struct slice prefix, uint64_t from,
                     store_on_watched *on_watched, void *owner);
/* A bookmark will be reported to this watch, after everything that was written before. */
void store_progress(struct store *store, uint64_t watch);

/* No report comes any more to this call or watch. A stale ticket is ignored. */
void store_cancel(struct store *store, uint64_t ticket);

/* --- leases --------------------------------------------------------------------------------------------------- */

/* Keys put under a lease go when it ends. After a restart of the store every lease has its full time again. */
struct store_leased {
    enum store_status status;
    const char *reason;
    uint64_t lease;
};
typedef void store_on_leased(void *owner, const struct store_leased *leased);
/* ttl_ms from 1,000 to 3,600,000. */
uint64_t store_grant(struct store *store, uint32_t ttl_ms, store_on_leased *on_leased, void *owner);
/* Gives the lease its full time again. */
uint64_t store_keep_alive(struct store *store, uint64_t lease, store_on_leased *on_leased,
                          void *owner);
/* Ends it now, and deletes its keys under one revision. */
uint64_t store_revoke(struct store *store, uint64_t lease, store_on_leased *on_leased, void *owner);

/* --- the back end --------------------------------------------------------------------------------------------- */

struct store_capabilities {
    const char *name; /* "sqlite" */
    bool has_history; /* lists at an old revision work */
    bool is_shared;   /* other processes write too: leases must be held to act */
};
const struct store_capabilities *store_capabilities(const struct store *store);
/* What was called and not reported is not reported any more; what was written is durable. Accepts NULL. */
void store_close(struct store *store);
OWNED(store, store_close)
