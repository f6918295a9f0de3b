#include "control/store/sqlite.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "control/store/sqlite_rows_internal.h"
#include "control/store/store_internal.h"
#include "io/thread.h"

#include <pthread.h>
#include <string.h>

/*
 * The loop's thread puts requests into a queue; the store's thread takes all that wait, writes them as one group, and posts
 * one mail for the whole group: first the events, then the answers in the order of the requests.
 */

enum { GROUP_MAX = 512 };

struct request {
    struct list node;
    uint64_t ticket;
    enum { ASK_LIST, ASK_GET, ASK_TXN, ASK_WATCH, ASK_PROGRESS, ASK_LEASE } kind;
    struct arena arena; /* everything below is copied into it */
    union {
        struct store_list list;
        struct slice key;
        struct store_txn txn;
        struct {
            struct slice prefix;
            uint64_t from;
        } watch;
        struct {
            enum store_lease_call call;
            uint64_t id;
            uint32_t ttl_ms;
        } lease;
    };
    /* The answer. */
    union {
        struct store_page page;
        struct store_written written;
        struct store_watched past;
        struct store_leased leased;
    };
    char *reason; /* a copy, for what is answered later */
};

struct lease {
    uint64_t id;
    uint32_t ttl_ms;
    uint64_t due_ms;
};

struct sqlite_store {
    struct store store; /* first: the interface */
    struct thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue; /* under the lock */
    bool is_closing;   /* under the lock */
    /* The store's thread only. */
    struct rows *rows;
    VECTOR(struct lease) leases;
    /* Counted: the thread's posts and the owner. The loop's thread only. */
    bool is_closed;
    size_t groups_posted; /* under the lock; mails on their way */
};

/* What one group changed and answered. */
struct group {
    struct mail mail;
    struct sqlite_store *owner;
    struct arena arena;
    struct rows_events events;
    struct list requests;
    uint64_t revision;
};

/* --- the loop's side ------------------------------------------------------------------------------------------ */

static struct sqlite_store *of(struct store *store)
{
    return CONTAINER_OF(store, struct sqlite_store, store);
}

static struct request *request_create(uint64_t ticket, int kind)
{
    struct request *request = mem_new(struct request);
    request->ticket = ticket;
    request->kind = (__typeof__(request->kind))kind;
    arena_init(&request->arena, NULL);
    return request;
}

static void request_destroy(struct request *request)
{
    arena_fini(&request->arena);
    mem_free(request->reason);
    mem_free(request);
}

static void enqueue(struct store *store, struct request *request)
{
    struct sqlite_store *sqlite = of(store);
    pthread_mutex_lock(&sqlite->lock);
    list_push_back(&sqlite->queue, &request->node);
    pthread_cond_signal(&sqlite->wake);
    pthread_mutex_unlock(&sqlite->lock);
}

static struct slice keep(struct request *request, struct slice bytes)
{
    return slice_of(arena_copy(&request->arena, bytes), bytes.size);
}

static void ask_list(struct store *store, uint64_t ticket, const struct store_list *list)
{
    struct request *request = request_create(ticket, ASK_LIST);
    request->list = *list;
    request->list.prefix = keep(request, list->prefix);
    request->list.after = keep(request, list->after);
    enqueue(store, request);
}

static void ask_get(struct store *store, uint64_t ticket, struct slice key)
{
    struct request *request = request_create(ticket, ASK_GET);
    request->key = keep(request, key);
    enqueue(store, request);
}

static void ask_txn(struct store *store, uint64_t ticket, const struct store_txn *txn)
{
    struct request *request = request_create(ticket, ASK_TXN);
    struct store_compare *compares =
        arena_calloc(&request->arena, txn->compare_count + 1, sizeof(*compares));
    struct store_put *puts = arena_calloc(&request->arena, txn->put_count + 1, sizeof(*puts));
    struct slice *deletes = arena_calloc(&request->arena, txn->delete_count + 1, sizeof(*deletes));
    for (size_t i = 0; i < txn->compare_count; i++)
        compares[i] =
            (struct store_compare){keep(request, txn->compares[i].key), txn->compares[i].revision};
    for (size_t i = 0; i < txn->put_count; i++)
        puts[i] = (struct store_put){keep(request, txn->puts[i].key),
                                     keep(request, txn->puts[i].value), txn->puts[i].lease};
    for (size_t i = 0; i < txn->delete_count; i++)
        deletes[i] = keep(request, txn->deletes[i]);
    request->txn = (struct store_txn){compares, txn->compare_count, puts, txn->put_count,
                                      deletes,  txn->delete_count};
    enqueue(store, request);
}

static void ask_watch(struct store *store, uint64_t ticket, struct slice prefix, uint64_t from)
{
    struct request *request = request_create(ticket, ASK_WATCH);
    request->watch.prefix = keep(request, prefix);
    request->watch.from = from;
    enqueue(store, request);
}

static void ask_progress(struct store *store, uint64_t ticket)
{
    enqueue(store, request_create(ticket, ASK_PROGRESS));
}

static void ask_lease(struct store *store, uint64_t ticket, enum store_lease_call call,
                      uint64_t lease, uint32_t ttl_ms)
{
    struct request *request = request_create(ticket, ASK_LEASE);
    request->lease.call = call;
    request->lease.id = lease;
    request->lease.ttl_ms = ttl_ms;
    enqueue(store, request);
}

static void answer(struct store *store, struct request *request, uint64_t revision)
{
    switch (request->kind) {
    case ASK_LIST:
    case ASK_GET: store_page_came(store, request->ticket, &request->page); break;
    case ASK_TXN: store_written_came(store, request->ticket, &request->written); break;
    case ASK_WATCH: store_watch_began(store, request->ticket, &request->past); break;
    case ASK_PROGRESS: store_progress_came(store, request->ticket, revision); break;
    case ASK_LEASE: store_leased_came(store, request->ticket, &request->leased); break;
    }
}

static void store_free(struct sqlite_store *sqlite)
{
    pthread_cond_destroy(&sqlite->wake);
    pthread_mutex_destroy(&sqlite->lock);
    mem_free(sqlite);
}

static void group_free(struct group *group)
{
    struct sqlite_store *sqlite = group->owner;
    LIST_EACH_SAFE(node, after, &group->requests)
    request_destroy(LIST_ENTRY(node, struct request, node));
    arena_fini(&group->arena);
    mem_free(group);
    pthread_mutex_lock(&sqlite->lock);
    bool is_last = --sqlite->groups_posted == 0;
    pthread_mutex_unlock(&sqlite->lock);
    if (is_last && sqlite->is_closed)
        store_free(sqlite);
}

/*
 * A watch's history ends where its request stood in the group, so events of requests before it are in that history and
 * must not be told twice: the group is cut at every watch (see process), and so holds events first, watches last.
 */
static void deliver(struct mail *mail)
{
    struct group *group = CONTAINER_OF(mail, struct group, mail);
    struct store *store = &group->owner->store;
    if (!group->owner->is_closed && group->events.count > 0)
        store_events_came(store, group->events.items, group->events.count, group->revision);
    LIST_EACH(node, &group->requests)
    {
        if (group->owner->is_closed) /* an answer closed the store */
            break;
        answer(store, LIST_ENTRY(node, struct request, node), group->revision);
    }
    group_free(group);
}

static void drop(struct mail *mail)
{
    group_free(CONTAINER_OF(mail, struct group, mail));
}

static void close_store(struct store *store)
{
    struct sqlite_store *sqlite = of(store);
    pthread_mutex_lock(&sqlite->lock);
    sqlite->is_closing = true;
    pthread_cond_signal(&sqlite->wake);
    pthread_mutex_unlock(&sqlite->lock);
    thread_destroy(sqlite->thread);
    store_fini(store);
    vector_fini(&sqlite->leases);
    rows_close(sqlite->rows);
    sqlite->is_closed = true;
    pthread_mutex_lock(&sqlite->lock);
    bool is_last = sqlite->groups_posted == 0;
    pthread_mutex_unlock(&sqlite->lock);
    if (is_last)
        store_free(sqlite);
}

/* --- the store's thread --------------------------------------------------------------------------------------- */

static struct lease *find_lease(struct sqlite_store *sqlite, uint64_t id)
{
    VECTOR_EACH(lease, &sqlite->leases)
    if (lease->id == id)
        return lease;
    return NULL;
}

static void renew(struct lease *lease)
{
    lease->due_ms = clock_now_us() / 1000 + lease->ttl_ms;
}

static void know_lease(void *to, uint64_t id, uint32_t ttl_ms)
{
    struct sqlite_store *sqlite = to;
    struct lease lease = {.id = id, .ttl_ms = ttl_ms};
    renew(&lease);
    vector_push(&sqlite->leases, lease);
}

static bool leases_exist(struct sqlite_store *sqlite, const struct store_txn *txn)
{
    for (size_t i = 0; i < txn->put_count; i++)
        if (txn->puts[i].lease && !find_lease(sqlite, txn->puts[i].lease))
            return false;
    return true;
}

static void write_txn(struct sqlite_store *sqlite, struct group *group, struct request *request)
{
    struct store_written *written = &request->written;
    *written = (struct store_written){.revision = rows_revision(sqlite->rows)};
    if (!leases_exist(sqlite, &request->txn)) {
        written->status = STORE_NO_LEASE;
        written->reason = "the lease has ended";
        return;
    }
    written->status = rows_txn(sqlite->rows, &request->txn, &group->arena, &group->events, written);
    written->reason = request->reason = str_copy(rows_reason(sqlite->rows));
}

/* Deletes what a lease held, in pieces of the size that a transaction may have. */
static enum store_status end_lease(struct sqlite_store *sqlite, struct group *group, uint64_t id)
{
    struct slice *keys;
    size_t count;
    enum store_status status = rows_end_lease(sqlite->rows, id, &group->arena, &keys, &count);
    for (size_t at = 0; at < count && status == STORE_OK; at += STORE_TXN_MAX) {
        struct store_txn txn = {.deletes = keys + at,
                                .delete_count = MIN(count - at, (size_t)STORE_TXN_MAX)};
        struct store_written written;
        status = rows_txn(sqlite->rows, &txn, &group->arena, &group->events, &written);
    }
    struct lease *lease = find_lease(sqlite, id);
    if (lease && status == STORE_OK)
        vector_remove(&sqlite->leases, (size_t)(lease - sqlite->leases.items));
    return status;
}

static void write_lease(struct sqlite_store *sqlite, struct group *group, struct request *request)
{
    struct store_leased *leased = &request->leased;
    uint64_t id = request->lease.id;
    uint32_t ttl_ms = request->lease.ttl_ms;
    enum store_lease_call call = request->lease.call;
    struct lease *lease = find_lease(sqlite, id);
    *leased = (struct store_leased){.lease = id, .reason = "the lease has ended"};
    if (call == STORE_GRANT) {
        leased->status = rows_add_lease(sqlite->rows, ttl_ms, &leased->lease);
        leased->reason = request->reason = str_copy(rows_reason(sqlite->rows));
        if (leased->status == STORE_OK)
            know_lease(sqlite, leased->lease, ttl_ms);
    } else if (!lease) {
        leased->status = STORE_NO_LEASE;
    } else if (call == STORE_KEEP_ALIVE) {
        renew(lease);
    } else {
        leased->status = end_lease(sqlite, group, id);
    }
}

static void perform(struct sqlite_store *sqlite, struct group *group, struct request *request)
{
    switch (request->kind) {
    case ASK_LIST: rows_list(sqlite->rows, &request->list, &request->arena, &request->page); break;
    case ASK_GET: rows_get(sqlite->rows, request->key, &request->arena, &request->page); break;
    case ASK_TXN: write_txn(sqlite, group, request); break;
    case ASK_WATCH:
        rows_history(sqlite->rows, request->watch.prefix, request->watch.from, &request->arena,
                     &request->past);
        break;
    case ASK_PROGRESS: break;
    case ASK_LEASE: write_lease(sqlite, group, request); break;
    }
    if ((request->kind == ASK_LIST && request->page.status != STORE_OK) ||
        (request->kind == ASK_WATCH && request->past.status != STORE_OK)) {
        request->reason = str_copy(rows_reason(sqlite->rows));
        if (request->kind == ASK_LIST)
            request->page.reason = request->reason;
        else
            request->past.reason = request->reason;
    }
}

/* Nothing of the group is true: every answer becomes a failure, and nothing has happened. */
static void fail_group(struct group *group, const char *reason)
{
    group->events.count = 0;
    LIST_EACH(node, &group->requests)
    {
        struct request *request = LIST_ENTRY(node, struct request, node);
        mem_free(request->reason);
        request->reason = str_copy(reason);
        switch (request->kind) {
        case ASK_LIST:
        case ASK_GET:
            request->page =
                (struct store_page){.status = STORE_UNAVAILABLE, .reason = request->reason};
            break;
        case ASK_TXN:
            request->written =
                (struct store_written){.status = STORE_UNAVAILABLE, .reason = request->reason};
            break;
        case ASK_WATCH:
            request->past =
                (struct store_watched){.status = STORE_UNAVAILABLE, .reason = request->reason};
            break;
        case ASK_PROGRESS: break;
        case ASK_LEASE:
            request->leased =
                (struct store_leased){.status = STORE_UNAVAILABLE, .reason = request->reason};
            break;
        }
    }
}

/* What a failed group granted or ended must be known as it was: the tables say. */
static void reread_leases(struct sqlite_store *sqlite)
{
    sqlite->leases.count = 0;
    rows_each_lease(sqlite->rows, know_lease, sqlite);
}

static void expire(struct sqlite_store *sqlite, struct group *group, uint64_t now_ms)
{
    for (size_t i = sqlite->leases.count; i-- > 0;)
        if (sqlite->leases.items[i].due_ms <= now_ms &&
            end_lease(sqlite, group, sqlite->leases.items[i].id) != STORE_OK)
            renew(&sqlite->leases.items[i]);
}

static void process(struct sqlite_store *sqlite, struct group *group)
{
    enum store_status status = rows_begin(sqlite->rows);
    if (status == STORE_OK) {
        expire(sqlite, group, clock_now_us() / 1000);
        LIST_EACH(node, &group->requests)
        perform(sqlite, group, LIST_ENTRY(node, struct request, node));
        status = rows_commit(sqlite->rows);
    }
    if (status != STORE_OK) {
        fail_group(group, rows_reason(sqlite->rows));
        reread_leases(sqlite);
    }
    group->revision = rows_revision(sqlite->rows);
}

static void wait_for_work(struct sqlite_store *sqlite)
{
    uint64_t due_ms = UINT64_MAX, now_ms = clock_now_us() / 1000;
    VECTOR_EACH(lease, &sqlite->leases)
    due_ms = MIN(due_ms, lease->due_ms);
    if (due_ms == UINT64_MAX) {
        pthread_cond_wait(&sqlite->wake, &sqlite->lock);
    } else if (due_ms > now_ms) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + (due_ms - now_ms) * 1000000;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        pthread_cond_timedwait(&sqlite->wake, &sqlite->lock, &until);
    }
}

/* Takes requests up to and including the first watch: see deliver. */
static void take(struct sqlite_store *sqlite, struct group *group)
{
    for (size_t taken = 0; taken < GROUP_MAX && !list_is_empty(&sqlite->queue); taken++) {
        struct list *node = sqlite->queue.next;
        list_remove(node);
        list_push_back(&group->requests, node);
        if (LIST_ENTRY(node, struct request, node)->kind == ASK_WATCH)
            break;
    }
}

static bool has_due_lease(struct sqlite_store *sqlite)
{
    uint64_t now_ms = clock_now_us() / 1000;
    VECTOR_EACH(lease, &sqlite->leases)
    if (lease->due_ms <= now_ms)
        return true;
    return false;
}

static void run_thread(void *argument)
{
    struct sqlite_store *sqlite = argument;
    pthread_mutex_lock(&sqlite->lock);
    for (;;) {
        while (list_is_empty(&sqlite->queue) && !sqlite->is_closing && !has_due_lease(sqlite))
            wait_for_work(sqlite);
        if (list_is_empty(&sqlite->queue) && sqlite->is_closing)
            break;
        struct group *group = mem_new(struct group);
        group->owner = sqlite;
        group->mail.deliver = deliver;
        group->mail.drop = drop;
        arena_init(&group->arena, NULL);
        list_init(&group->requests);
        take(sqlite, group);
        sqlite->groups_posted++;
        pthread_mutex_unlock(&sqlite->lock);
        process(sqlite, group);
        loop_post(sqlite->store.loop, &group->mail);
        pthread_mutex_lock(&sqlite->lock);
    }
    pthread_mutex_unlock(&sqlite->lock);
}

static const struct store_backend backend = {
    .capabilities = {.name = "sqlite", .has_history = true, .is_shared = false},
    .list = ask_list,
    .get = ask_get,
    .txn = ask_txn,
    .watch = ask_watch,
    .progress = ask_progress,
    .lease = ask_lease,
    .close = close_store,
};

bool sqlite_store_open(struct loop *loop, const struct sqlite_options *options, struct store **out,
                       struct error *error)
{
    struct rows *rows;
    if (!rows_open(options->path, options->history, &rows, error))
        return false;
    struct sqlite_store *sqlite = mem_new(struct sqlite_store);
    store_init(&sqlite->store, &backend, loop);
    sqlite->rows = rows;
    list_init(&sqlite->queue);
    pthread_mutex_init(&sqlite->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sqlite->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    rows_each_lease(rows, know_lease, sqlite);
    int failure = thread_create("store", run_thread, sqlite, &sqlite->thread);
    if (failure) {
        error_set(error, "TUL4003", "cannot start the store's thread: %s", strerror(-failure));
        rows_close(rows);
        vector_fini(&sqlite->leases);
        store_free(sqlite);
        return false;
    }
    *out = &sqlite->store;
    return true;
}
