/* What every back end of the store shares: who waits for an answer, and the face of a back end. Loop's thread only. */
#pragma once

#include "control/store/store.h"
#include "io/loop.h"

enum store_lease_call { STORE_GRANT, STORE_KEEP_ALIVE, STORE_REVOKE };

struct store_backend {
    struct store_capabilities capabilities;
    void (*list)(struct store *store, uint64_t ticket, const struct store_list *list);
    void (*get)(struct store *store, uint64_t ticket, struct slice key);
    void (*txn)(struct store *store, uint64_t ticket, const struct store_txn *txn);
    /* Reports what was written after `from` (0 = nothing) and then that the watch is up to date. */
    void (*watch)(struct store *store, uint64_t ticket, struct slice prefix, uint64_t from);
    void (*progress)(struct store *store, uint64_t ticket);
    void (*lease)(struct store *store, uint64_t ticket, enum store_lease_call call, uint64_t lease,
                  uint32_t ttl_ms);
    void (*close)(struct store *store);
};

/* Embedded first in a back end's struct. */
struct store {
    const struct store_backend *backend;
    struct loop *loop;
    struct list waiting; /* calls without an answer */
    struct list watches;
};

void store_init(struct store *store, const struct store_backend *backend, struct loop *loop);
void store_fini(struct store *store);

/* What a back end reports; each finds its ticket, or drops the answer. */
void store_page_came(struct store *store, uint64_t ticket, const struct store_page *page);
void store_written_came(struct store *store, uint64_t ticket, const struct store_written *written);
void store_leased_came(struct store *store, uint64_t ticket, const struct store_leased *leased);
/* The answer to watch(): the past; from here on the watch sees store_events_came. */
void store_watch_began(struct store *store, uint64_t ticket, const struct store_watched *past);
/* New events of any key, to every watch that has begun. They live until the loop's next turn at least. */
void store_events_came(struct store *store, const struct store_event *events, size_t count,
                       uint64_t revision);
void store_progress_came(struct store *store, uint64_t ticket, uint64_t revision);
