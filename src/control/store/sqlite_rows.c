#include "control/store/sqlite_rows_internal.h"

#include "base/memory.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    GET,
    PUT,
    DELETE,
    LOG,
    LIST,
    LIST_AT,
    HISTORY,
    CUT,
    SET_META,
    LEASES,
    ADD_LEASE,
    DROP_LEASE,
    LEASE_KEYS,
    STATEMENTS
};

/* A change's place in the log: the revision, and where it stands in its transaction. */
enum { LOG_SHIFT = 10 };

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS entry(key BLOB PRIMARY KEY, value BLOB, created INTEGER, rev "
    "INTEGER, lease INTEGER)"
    " WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS entry_lease ON entry(lease) WHERE lease <> 0;"
    "CREATE TABLE IF NOT EXISTS log(id INTEGER PRIMARY KEY, key BLOB, value BLOB, created INTEGER, "
    "lease INTEGER,"
    " was BLOB, was_created INTEGER, was_rev INTEGER, was_lease INTEGER);"
    "CREATE INDEX IF NOT EXISTS log_key ON log(key, id);"
    "CREATE TABLE IF NOT EXISTS lease(id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER);"
    "PRAGMA user_version = 1;";

#define RANGE "key > ?1 AND key >= ?2 AND key < ?3"
static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [GET] = "SELECT key, value, created, rev, lease FROM entry WHERE key = ?1",
    [PUT] =
        "INSERT OR REPLACE INTO entry(key, value, created, rev, lease) VALUES(?1, ?2, ?3, ?4, ?5)",
    [DELETE] = "DELETE FROM entry WHERE key = ?1",
    [LOG] = "INSERT INTO log VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [LIST] =
        "SELECT key, value, created, rev, lease FROM entry WHERE " RANGE " ORDER BY key LIMIT ?4",
    /* What is and did not change since, and of what changed since the state before its first change. */
    [LIST_AT] =
        "SELECT key, value, created, rev, lease FROM entry WHERE " RANGE " AND rev <= ?5 UNION ALL "
        "SELECT key, was, was_created, was_rev, was_lease FROM log AS l WHERE " RANGE
        " AND was IS NOT NULL AND id = (SELECT min(id) FROM log WHERE key = l.key AND id >= ((?5 + "
        "1) << 10))"
        " ORDER BY key LIMIT ?4",
    [HISTORY] = "SELECT key, value, created, id >> 10, lease, was FROM log WHERE id >= ((?4 + 1) "
                "<< 10) AND " RANGE " ORDER BY id",
    [CUT] = "DELETE FROM log WHERE id < (?1 + 1) << 10",
    [SET_META] = "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
    [LEASES] = "SELECT id, ttl FROM lease",
    [ADD_LEASE] = "INSERT INTO lease(ttl) VALUES(?1)",
    [DROP_LEASE] = "DELETE FROM lease WHERE id = ?1",
    [LEASE_KEYS] = "SELECT key FROM entry WHERE lease = ?1 ORDER BY key",
};

struct rows {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t revision, committed; /* of the group under way; of the last commit */
    uint64_t cut;                 /* the log holds what came after this revision */
    size_t history;
    char reason[256];
};

uint64_t rows_revision(const struct rows *rows)
{
    return rows->revision;
}

const char *rows_reason(const struct rows *rows)
{
    return rows->reason;
}

static enum store_status unavailable(struct rows *rows)
{
    snprintf(rows->reason, sizeof(rows->reason), "the store's database: %s",
             sqlite3_errmsg(rows->db));
    return STORE_UNAVAILABLE;
}

static void bind_slice(sqlite3_stmt *statement, int at, struct slice bytes)
{
    /* A NULL pointer would bind NULL, which is not an empty value. */
    sqlite3_bind_blob64(statement, at, bytes.data ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *statement, int at, uint64_t number)
{
    sqlite3_bind_int64(statement, at, (sqlite3_int64)number);
}

/* Runs a statement that yields no rows, and makes it ready for the next time. */
static enum store_status run(struct rows *rows, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    enum store_status status =
        result == SQLITE_DONE || result == SQLITE_ROW ? STORE_OK : unavailable(rows);
    sqlite3_reset(statement);
    return status;
}

static struct slice column(sqlite3_stmt *statement, int at, struct arena *arena)
{
    size_t size = (size_t)sqlite3_column_bytes(statement, at);
    struct slice bytes = slice_of(sqlite3_column_blob(statement, at), size);
    return slice_of(arena_copy(arena, bytes), size);
}

static struct store_entry entry_of(sqlite3_stmt *statement, struct arena *arena)
{
    return (struct store_entry){.key = column(statement, 0, arena),
                                .value = column(statement, 1, arena),
                                .create_revision = (uint64_t)sqlite3_column_int64(statement, 2),
                                .revision = (uint64_t)sqlite3_column_int64(statement, 3),
                                .lease = (uint64_t)sqlite3_column_int64(statement, 4)};
}

/* --- opening -------------------------------------------------------------------------------------------------- */

static bool set_up(struct rows *rows, const char *path, struct error *error)
{
    static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                                  "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;";
    int result = sqlite3_exec(rows->db, pragmas, NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(rows->db, schema, NULL, NULL, NULL);
    if (result == SQLITE_BUSY) {
        error_set(error, "TUL4001", "%s is in use by another process", path);
        error_fix(error, "is another tulled running on the same data directory?");
        return false;
    }
    for (int i = 0; i < STATEMENTS && result == SQLITE_OK; i++)
        result = sqlite3_prepare_v3(rows->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &rows->statements[i], NULL);
    if (result == SQLITE_OK)
        return true;
    error_set(error, "TUL4002", "%s is not a store that can be read: %s", path,
              sqlite3_errmsg(rows->db));
    error_fix(error, "restore it from a backup, or move it away to begin with an empty store");
    return false;
}

static bool is_whole(struct rows *rows, const char *path, struct error *error)
{
    sqlite3_stmt *check = NULL;
    bool whole =
        sqlite3_prepare_v2(rows->db, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW &&
        strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    if (!whole) {
        error_set(error, "TUL4002", "%s is damaged", path);
        error_why(error, "%s", sqlite3_errmsg(rows->db));
        error_fix(error, "restore it from a backup, or move it away to begin with an empty store");
    }
    sqlite3_finalize(check);
    return whole;
}

static uint64_t read_meta(struct rows *rows, const char *name)
{
    sqlite3_stmt *statement = NULL;
    uint64_t value = 0;
    sqlite3_prepare_v2(rows->db, "SELECT value FROM meta WHERE name = ?1", -1, &statement, NULL);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

bool rows_open(const char *path, size_t history, struct rows **out, struct error *error)
{
    owned(rows) rows = mem_new(struct rows);
    rows->history = history ? history : 100000;
    mode_t before = umask(0077);
    int result = sqlite3_open_v2(path, &rows->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    umask(before);
    if (result != SQLITE_OK) {
        error_set(error, "TUL4003", "cannot open the store %s: %s", path, sqlite3_errmsg(rows->db));
        return false;
    }
    sqlite3_limit(rows->db, SQLITE_LIMIT_LENGTH, 16 * STORE_VALUE_MAX);
    if (!set_up(rows, path, error) || !is_whole(rows, path, error))
        return false;
    /* A new store stands at revision 1: 0 means "now" to those who list and watch. */
    rows->revision = rows->committed = MAX(read_meta(rows, "revision"), (uint64_t)1);
    rows->cut = read_meta(rows, "cut");
    *out = give(rows);
    return true;
}

void rows_close(struct rows *rows)
{
    if (!rows)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(rows->statements[i]);
    sqlite3_close(rows->db);
    mem_free(rows);
}

/* --- writing -------------------------------------------------------------------------------------------------- */

enum store_status rows_begin(struct rows *rows)
{
    return run(rows, rows->statements[BEGIN]);
}

static enum store_status set_meta(struct rows *rows, const char *name, uint64_t value)
{
    sqlite3_bind_text(rows->statements[SET_META], 1, name, -1, SQLITE_STATIC);
    bind_u64(rows->statements[SET_META], 2, value);
    return run(rows, rows->statements[SET_META]);
}

/* Cuts the log in steps, so that it is rare. */
static enum store_status cut_log(struct rows *rows)
{
    if (rows->revision < rows->cut + rows->history + rows->history / 8 + 1)
        return STORE_OK;
    uint64_t cut = rows->revision - rows->history;
    bind_u64(rows->statements[CUT], 1, cut);
    enum store_status status = run(rows, rows->statements[CUT]);
    if (status == STORE_OK)
        status = set_meta(rows, "cut", cut);
    if (status == STORE_OK)
        rows->cut = cut;
    return status;
}

enum store_status rows_commit(struct rows *rows)
{
    uint64_t cut = rows->cut;
    enum store_status status = STORE_OK;
    if (rows->revision != rows->committed)
        status = set_meta(rows, "revision", rows->revision);
    if (status == STORE_OK)
        status = cut_log(rows);
    if (status == STORE_OK)
        status = run(rows, rows->statements[COMMIT]);
    if (status != STORE_OK) {
        rows->cut = cut;
        rows_rollback(rows);
        return status;
    }
    rows->committed = rows->revision;
    return STORE_OK;
}

void rows_rollback(struct rows *rows)
{
    /* A full disk may have rolled back already; then this fails, and that is well. */
    sqlite3_step(rows->statements[ROLLBACK]);
    sqlite3_reset(rows->statements[ROLLBACK]);
    rows->revision = rows->committed;
}

/* The entry at key; false when there is none. */
static bool find(struct rows *rows, struct slice key, struct arena *arena,
                 struct store_entry *entry)
{
    sqlite3_stmt *get = rows->statements[GET];
    bind_slice(get, 1, key);
    bool is_there = sqlite3_step(get) == SQLITE_ROW;
    if (is_there)
        *entry = entry_of(get, arena);
    sqlite3_reset(get);
    return is_there;
}

static enum store_status write_log(struct rows *rows, uint64_t id, const struct store_entry *now,
                                   const struct store_entry *was)
{
    sqlite3_stmt *log = rows->statements[LOG];
    sqlite3_clear_bindings(log);
    bind_u64(log, 1, id);
    bind_slice(log, 2, now ? now->key : was->key);
    if (now) {
        bind_slice(log, 3, now->value);
        bind_u64(log, 4, now->create_revision);
        bind_u64(log, 5, now->lease);
    }
    if (was) {
        bind_slice(log, 6, was->value);
        bind_u64(log, 7, was->create_revision);
        bind_u64(log, 8, was->revision);
        bind_u64(log, 9, was->lease);
    }
    return run(rows, log);
}

struct change {
    struct rows *rows;
    struct arena *arena;
    struct rows_events *events;
    uint64_t revision;
    uint64_t position;
};

static void add_event(struct change *change, const struct store_event *event)
{
    struct rows_events *events = change->events;
    if ((events->count & (events->count - 1)) == 0) { /* full: zero, or a power of two */
        struct store_event *more =
            arena_calloc(change->arena, events->count ? events->count * 2 : 1, sizeof(*more));
        if (events->count)
            memcpy(more, events->items, events->count * sizeof(*more));
        events->items = more;
    }
    events->items[events->count++] = *event;
}

static enum store_status apply_put(struct change *change, const struct store_put *put)
{
    struct rows *rows = change->rows;
    struct store_entry was;
    bool existed = find(rows, put->key, change->arena, &was);
    struct store_entry now = {.key = slice_of(arena_copy(change->arena, put->key), put->key.size),
                              .value =
                                  slice_of(arena_copy(change->arena, put->value), put->value.size),
                              .create_revision = existed ? was.create_revision : change->revision,
                              .revision = change->revision,
                              .lease = put->lease};
    sqlite3_stmt *statement = rows->statements[PUT];
    bind_slice(statement, 1, now.key);
    bind_slice(statement, 2, now.value);
    bind_u64(statement, 3, now.create_revision);
    bind_u64(statement, 4, now.revision);
    bind_u64(statement, 5, now.lease);
    enum store_status status = run(rows, statement);
    if (status == STORE_OK)
        status = write_log(rows, change->revision << LOG_SHIFT | change->position++, &now,
                           existed ? &was : NULL);
    if (status == STORE_OK)
        add_event(change,
                  &(struct store_event){STORE_EVENT_PUT, now, existed ? was.value : SLICE_NONE});
    return status;
}

static enum store_status apply_delete(struct change *change, struct slice key)
{
    struct rows *rows = change->rows;
    struct store_entry was;
    if (!find(rows, key, change->arena, &was))
        return STORE_OK;
    bind_slice(rows->statements[DELETE], 1, key);
    enum store_status status = run(rows, rows->statements[DELETE]);
    if (status == STORE_OK)
        status = write_log(rows, change->revision << LOG_SHIFT | change->position++, NULL, &was);
    if (status == STORE_OK) {
        was.revision = change->revision;
        add_event(change, &(struct store_event){STORE_EVENT_DELETE, was, SLICE_NONE});
    }
    return status;
}

static enum store_status check_txn(struct rows *rows, const struct store_txn *txn,
                                   struct arena *arena, struct store_written *written)
{
    if (txn->compare_count > STORE_TXN_MAX || txn->put_count > STORE_TXN_MAX ||
        txn->delete_count > STORE_TXN_MAX)
        return STORE_TOO_LARGE;
    for (size_t i = 0; i < txn->put_count; i++)
        if (txn->puts[i].key.size > STORE_KEY_MAX || txn->puts[i].value.size > STORE_VALUE_MAX)
            return STORE_TOO_LARGE;
    for (size_t i = 0; i < txn->compare_count; i++) {
        struct store_entry entry = {.revision = 0};
        if (!find(rows, txn->compares[i].key, arena, &entry))
            entry.revision = 0;
        if (entry.revision != txn->compares[i].revision) {
            written->conflict = i;
            return STORE_CONFLICT;
        }
    }
    return STORE_OK;
}

/* Within the group a savepoint, because a write that fails half way must leave nothing. */
enum store_status rows_txn(struct rows *rows, const struct store_txn *txn, struct arena *arena,
                           struct rows_events *events, struct store_written *written)
{
    size_t events_before = events->count;
    written->revision = rows->revision;
    enum store_status status = check_txn(rows, txn, arena, written);
    if (status != STORE_OK)
        return status;
    struct change change = {rows, arena, events, rows->revision + 1, 0};
    if (sqlite3_exec(rows->db, "SAVEPOINT one", NULL, NULL, NULL) != SQLITE_OK)
        return unavailable(rows);
    for (size_t i = 0; i < txn->put_count && status == STORE_OK; i++)
        status = apply_put(&change, &txn->puts[i]);
    for (size_t i = 0; i < txn->delete_count && status == STORE_OK; i++)
        status = apply_delete(&change, txn->deletes[i]);
    if (status != STORE_OK) {
        sqlite3_exec(rows->db, "ROLLBACK TO one", NULL, NULL, NULL);
        events->count = events_before;
    } else if (change.position > 0) {
        written->revision = rows->revision = change.revision;
    }
    sqlite3_exec(rows->db, "RELEASE one", NULL, NULL, NULL);
    return status;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

/* The smallest key that is greater than every key with this prefix. */
static struct slice prefix_end(struct slice prefix, struct arena *arena)
{
    char *end = arena_copy(arena, prefix);
    size_t size = prefix.size;
    while (size > 0 && (unsigned char)end[size - 1] == UCHAR_MAX)
        size--;
    if (size > 0)
        end[size - 1] = (char)(end[size - 1] + 1);
    /* Keys are texts, so a byte 0xff is above all of them. */
    return size > 0 ? slice_of(end, size) : SLICE("\xff");
}

static void bind_range(sqlite3_stmt *statement, struct slice prefix, struct slice after,
                       struct arena *arena)
{
    bind_slice(statement, 1, after);
    bind_slice(statement, 2, prefix);
    bind_slice(statement, 3, prefix_end(prefix, arena));
}

static enum store_status check_revision(struct rows *rows, uint64_t revision)
{
    if (revision > rows->revision) {
        snprintf(rows->reason, sizeof(rows->reason),
                 "revision %llu is not reached yet; the store is at %llu",
                 (unsigned long long)revision, (unsigned long long)rows->revision);
        return STORE_FUTURE;
    }
    if (revision < rows->cut) {
        snprintf(rows->reason, sizeof(rows->reason),
                 "revision %llu is older than the history, which begins after %llu",
                 (unsigned long long)revision, (unsigned long long)rows->cut);
        return STORE_COMPACTED;
    }
    return STORE_OK;
}

void rows_list(struct rows *rows, const struct store_list *list, struct arena *arena,
               struct store_page *page)
{
    *page = (struct store_page){.revision = list->revision ? list->revision : rows->revision};
    page->status = list->revision ? check_revision(rows, list->revision) : STORE_OK;
    page->reason = rows->reason;
    if (page->status != STORE_OK)
        return;
    bool is_now = page->revision == rows->revision;
    sqlite3_stmt *select = rows->statements[is_now ? LIST : LIST_AT];
    bind_range(select, list->prefix, list->after, arena);
    bind_u64(select, 4, list->limit + 1);
    if (!is_now)
        bind_u64(select, 5, page->revision);
    struct store_entry *entries = NULL;
    size_t room = 0;
    int result;
    while ((result = sqlite3_step(select)) == SQLITE_ROW) {
        if (page->count == list->limit) {
            page->has_more = true;
            break;
        }
        if (page->count == room) {
            room = room ? room * 2 : 16;
            struct store_entry *more = arena_calloc(arena, room, sizeof(*more));
            if (page->count)
                memcpy(more, entries, page->count * sizeof(*more));
            entries = more;
        }
        entries[page->count++] = entry_of(select, arena);
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        page->status = unavailable(rows);
    sqlite3_reset(select);
    page->entries = entries;
}

void rows_get(struct rows *rows, struct slice key, struct arena *arena, struct store_page *page)
{
    struct store_entry *entry = arena_new(arena, struct store_entry);
    *page = (struct store_page){.revision = rows->revision, .entries = entry};
    page->count = find(rows, key, arena, entry) ? 1 : 0;
}

void rows_history(struct rows *rows, struct slice prefix, uint64_t from, struct arena *arena,
                  struct store_watched *past)
{
    *past = (struct store_watched){.revision = rows->revision, .reason = rows->reason};
    past->status = from ? check_revision(rows, from) : STORE_OK;
    if (past->status != STORE_OK || from == 0)
        return;
    struct rows_events events = {0};
    struct change change = {.rows = rows, .arena = arena, .events = &events};
    sqlite3_stmt *select = rows->statements[HISTORY];
    bind_range(select, prefix, SLICE_NONE, arena);
    bind_u64(select, 4, from);
    int result;
    while ((result = sqlite3_step(select)) == SQLITE_ROW) {
        bool is_put = sqlite3_column_type(select, 1) != SQLITE_NULL;
        struct store_event event = {.kind = is_put ? STORE_EVENT_PUT : STORE_EVENT_DELETE,
                                    .entry = entry_of(select, arena)};
        struct slice was = column(select, 5, arena);
        if (is_put)
            event.previous = was;
        else
            event.entry.value = was;
        add_event(&change, &event);
    }
    if (result != SQLITE_DONE)
        past->status = unavailable(rows);
    sqlite3_reset(select);
    past->events = events.items;
    past->count = events.count;
}

/* --- leases --------------------------------------------------------------------------------------------------- */

void rows_each_lease(struct rows *rows, void (*visit)(void *to, uint64_t lease, uint32_t ttl_ms),
                     void *to)
{
    sqlite3_stmt *select = rows->statements[LEASES];
    while (sqlite3_step(select) == SQLITE_ROW)
        visit(to, (uint64_t)sqlite3_column_int64(select, 0),
              (uint32_t)sqlite3_column_int64(select, 1));
    sqlite3_reset(select);
}

enum store_status rows_add_lease(struct rows *rows, uint32_t ttl_ms, uint64_t *lease)
{
    bind_u64(rows->statements[ADD_LEASE], 1, ttl_ms);
    enum store_status status = run(rows, rows->statements[ADD_LEASE]);
    if (status == STORE_OK)
        *lease = (uint64_t)sqlite3_last_insert_rowid(rows->db);
    return status;
}

enum store_status rows_end_lease(struct rows *rows, uint64_t lease, struct arena *arena,
                                 struct slice **keys, size_t *count)
{
    sqlite3_stmt *select = rows->statements[LEASE_KEYS];
    size_t room = 0;
    *keys = NULL;
    *count = 0;
    bind_u64(select, 1, lease);
    while (sqlite3_step(select) == SQLITE_ROW) {
        if (*count == room) {
            room = room ? room * 2 : 16;
            struct slice *more = arena_calloc(arena, room, sizeof(*more));
            if (*count)
                memcpy(more, *keys, *count * sizeof(*more));
            *keys = more;
        }
        (*keys)[(*count)++] = column(select, 0, arena);
    }
    sqlite3_reset(select);
    bind_u64(rows->statements[DROP_LEASE], 1, lease);
    return run(rows, rows->statements[DROP_LEASE]);
}
