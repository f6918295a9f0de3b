/*
 * sqlite_rows: the tables of the embedded store, synchronously; used by its one thread only.
 *
 *   entry  what is: key, value, revisions, lease
 *   log    what changed, with what was before: a list at R is `entry` with everything after R taken back
 *   lease  leases and their time
 *   meta   the revision and how far the log was cut
 */
#pragma once

#include "base/arena.h"
#include "control/store/store.h"

struct rows;

MUST_USE bool rows_open(const char *path, size_t history, struct rows **out, struct error *error);
void rows_close(struct rows *rows);
OWNED(rows, rows_close)

uint64_t rows_revision(const struct rows *rows);
/* The last failure of the library, in words. */
const char *rows_reason(const struct rows *rows);

/* A group of writes: everything between is durable after commit, or nothing. STORE_OK or STORE_UNAVAILABLE. */
MUST_USE enum store_status rows_begin(struct rows *rows);
MUST_USE enum store_status rows_commit(struct rows *rows);
void rows_rollback(struct rows *rows);

struct rows_events {
    struct store_event *items; /* in the arena */
    size_t count;
};
/* One write of the group; what it changed is appended to events. Outside of STORE_OK it has changed nothing. */
MUST_USE enum store_status rows_txn(struct rows *rows, const struct store_txn *txn,
                                    struct arena *arena, struct rows_events *events,
                                    struct store_written *written);
/* Results live in the arena. */
void rows_list(struct rows *rows, const struct store_list *list, struct arena *arena,
               struct store_page *page);
void rows_get(struct rows *rows, struct slice key, struct arena *arena, struct store_page *page);
void rows_history(struct rows *rows, struct slice prefix, uint64_t from, struct arena *arena,
                  struct store_watched *past);

/* Leases: id and time; visits all of them at start. */
void rows_each_lease(struct rows *rows, void (*visit)(void *to, uint64_t lease, uint32_t ttl_ms),
                     void *to);
MUST_USE enum store_status rows_add_lease(struct rows *rows, uint32_t ttl_ms, uint64_t *lease);
/* Removes the lease; its keys are named in the arena, for a txn of deletions. */
MUST_USE enum store_status rows_end_lease(struct rows *rows, uint64_t lease, struct arena *arena,
                                          struct slice **keys, size_t *count);
