/* The contract of every back end, here over SQLite: what a fault-free store and one that is killed owe their callers. */
#include "control/store/store.h"

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/vector.h"
#include "control/store/sqlite.h"
#include "io/loop.h"

#include "test.h"

#include <fcntl.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct store *store;
    char path[64];
    size_t history;
    /* The last answers. */
    bool answered;
    enum store_status status;
    uint64_t revision, lease;
    size_t count, conflict;
    bool has_more;
    char last_key[64], last_value[64];
    struct buffer seen; /* keys and values of a page, or events of watches */
};

static void open_store(struct fixture *f)
{
    struct error error = {0};
    struct sqlite_options options = {.path = f->path, .history = f->history};
    CHECK(sqlite_store_open(f->loop, &options, &f->store, &error), "%s", error.what);
}

static void begin(struct fixture *f, size_t history)
{
    *f = (struct fixture){.history = history};
    struct loop_options options = {.name = "test", .backend = LOOP_EPOLL};
    CHECK(loop_create(&options, &f->loop) == 0);
    snprintf(f->path, sizeof(f->path), "/tmp/tulle-store-XXXXXX");
    int fd = mkstemp(f->path);
    CHECK(fd >= 0);
    close(fd);
    open_store(f);
}

static void end(struct fixture *f)
{
    store_close(f->store);
    loop_settle(f->loop);
    loop_destroy(f->loop);
    buffer_fini(&f->seen);
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < COUNT(endings); i++) {
        owned_str path = str_format("%s%s", f->path, endings[i]);
        unlink(path);
    }
}

static void reopen(struct fixture *f)
{
    store_close(f->store);
    loop_settle(f->loop);
    open_store(f);
}

static void wait_answer(struct fixture *f)
{
    for (int i = 0; i < 5000 && !f->answered; i++)
        loop_turn(f->loop, 10);
    CHECK(f->answered, "the store does not answer");
    f->answered = false;
}

static void on_written(void *owner, const struct store_written *written)
{
    struct fixture *f = owner;
    f->answered = true;
    f->status = written->status;
    f->revision = written->revision;
    f->conflict = written->conflict;
}

static void on_page(void *owner, const struct store_page *page)
{
    struct fixture *f = owner;
    f->answered = true;
    f->status = page->status;
    f->revision = page->revision;
    f->count = page->count;
    f->has_more = page->has_more;
    buffer_reset(&f->seen);
    for (size_t i = 0; i < page->count; i++) {
        buffer_format(&f->seen, "%.*s=%.*s ", SLICE_ARG(page->entries[i].key),
                      SLICE_ARG(page->entries[i].value));
        snprintf(f->last_key, sizeof(f->last_key), "%.*s", SLICE_ARG(page->entries[i].key));
    }
}

static void on_leased(void *owner, const struct store_leased *leased)
{
    struct fixture *f = owner;
    f->answered = true;
    f->status = leased->status;
    f->lease = leased->lease;
}

static enum store_status put_with(struct fixture *f, const char *key, const char *value,
                                  uint64_t lease)
{
    struct store_put put = {slice_str(key), slice_str(value), lease};
    store_txn(f->store, &(struct store_txn){.puts = &put, .put_count = 1}, on_written, f);
    wait_answer(f);
    return f->status;
}

static enum store_status put(struct fixture *f, const char *key, const char *value)
{
    return put_with(f, key, value, 0);
}

static enum store_status delete (struct fixture *f, const char *key) {
    struct slice name = slice_str(key);
    store_txn(f->store, &(struct store_txn){.deletes = &name, .delete_count = 1}, on_written, f);
    wait_answer(f);
    return f->status;
}

static const char *list_at(struct fixture *f, const char *prefix, uint64_t revision)
{
    store_list(f->store, &(struct store_list){.prefix = slice_str(prefix), .revision = revision},
               on_page, f);
    wait_answer(f);
    return f->seen.data ? f->seen.data : "";
}

TEST(store_writes_and_lists_by_prefix)
{
    struct fixture f;
    begin(&f, 0);
    CHECK(put(&f, "a/1", "x") == STORE_OK);
    CHECK(put(&f, "a/2", "y") == STORE_OK);
    CHECK(put(&f, "b/1", "z") == STORE_OK);
    CHECK(f.revision == 4, "a new store stands at 1");
    CHECK(strcmp(list_at(&f, "a/", 0), "a/1=x a/2=y ") == 0, "%s", f.seen.data);
    CHECK(delete (&f, "a/1") == STORE_OK);
    CHECK(delete (&f, "a/1") == STORE_OK, "an absent key is deleted already");
    CHECK(f.revision == 5, "and that is no change");
    CHECK(strcmp(list_at(&f, "", 0), "a/2=y b/1=z ") == 0, "%s", f.seen.data);
    end(&f);
}

TEST(store_lists_as_of_an_old_revision_also_after_a_restart)
{
    struct fixture f;
    begin(&f, 0);
    put(&f, "k/a", "1");
    put(&f, "k/b", "1");
    uint64_t then = f.revision;
    put(&f, "k/a", "2");
    delete (&f, "k/b");
    put(&f, "k/c", "1");
    put(&f, "k/a", "3");
    for (int round = 0; round < 2; round++) {
        CHECK(strcmp(list_at(&f, "k/", then), "k/a=1 k/b=1 ") == 0, "%s", f.seen.data);
        CHECK(strcmp(list_at(&f, "k/", then + 2), "k/a=2 ") == 0, "%s", f.seen.data);
        CHECK(strcmp(list_at(&f, "k/", 0), "k/a=3 k/c=1 ") == 0, "%s", f.seen.data);
        reopen(&f);
    }
    list_at(&f, "k/", 100);
    CHECK(f.status == STORE_FUTURE);
    end(&f);
}

TEST(store_pages_are_consistent_while_writes_go_on)
{
    struct fixture f;
    begin(&f, 0);
    char key[16];
    for (int i = 0; i < 25; i++) {
        snprintf(key, sizeof(key), "k/%02d", i);
        put(&f, key, "1");
    }
    uint64_t revision = 0;
    size_t total = 0;
    f.last_key[0] = '\0';
    f.has_more = true;
    while (f.has_more) {
        store_list(f.store,
                   &(struct store_list){.prefix = SLICE("k/"),
                                        .after = slice_str(f.last_key),
                                        .revision = revision,
                                        .limit = 10},
                   on_page, &f);
        wait_answer(&f);
        CHECK(f.status == STORE_OK);
        CHECK(strstr(f.seen.data, "=2") == NULL, "a page shows a later write: %s", f.seen.data);
        revision = f.revision;
        total += f.count;
        char last[64];
        bool more = f.has_more;
        memcpy(last, f.last_key, sizeof(last));
        for (int i = 0; i < 25; i++) {
            snprintf(key, sizeof(key), "k/%02d", i);
            put(&f, key, "2");
        }
        memcpy(f.last_key, last, sizeof(last));
        f.has_more = more;
    }
    CHECK(total == 25);
    end(&f);
}

TEST(store_compares_before_it_writes)
{
    struct fixture f;
    begin(&f, 0);
    struct store_compare absent = {SLICE("k"), 0};
    struct store_put value = {SLICE("k"), SLICE("1"), 0};
    struct store_txn create = {
        .compares = &absent, .compare_count = 1, .puts = &value, .put_count = 1};
    store_txn(f.store, &create, on_written, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_OK);
    uint64_t first = f.revision;
    store_txn(f.store, &create, on_written, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_CONFLICT && f.conflict == 0 && f.revision == first);
    struct store_compare right = {SLICE("k"), first};
    store_txn(
        f.store,
        &(struct store_txn){.compares = &right, .compare_count = 1, .puts = &value, .put_count = 1},
        on_written, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_OK && f.revision == first + 1);
    end(&f);
}

TEST(store_refuses_one_byte_more)
{
    struct fixture f;
    begin(&f, 0);
    char *value = mem_calloc(STORE_VALUE_MAX + 2, 1);
    memset(value, 'v', STORE_VALUE_MAX + 1);
    CHECK(put(&f, "k", value) == STORE_TOO_LARGE);
    value[STORE_VALUE_MAX] = '\0';
    CHECK(put(&f, "k", value) == STORE_OK);
    char *key = mem_calloc(STORE_KEY_MAX + 2, 1);
    memset(key, 'k', STORE_KEY_MAX + 1);
    CHECK(put(&f, key, "v") == STORE_TOO_LARGE);
    key[STORE_KEY_MAX] = '\0';
    CHECK(put(&f, key, "v") == STORE_OK);
    mem_free(value);
    mem_free(key);
    end(&f);
}

/* --- watches -------------------------------------------------------------------------------------------------- */

struct watcher {
    struct fixture *f;
    uint64_t ticket;
    struct buffer events;
    uint64_t revision;
    enum store_status status;
    size_t bookmarks;
};

static void on_watched(void *owner, const struct store_watched *watched)
{
    struct watcher *w = owner;
    w->status = watched->status;
    CHECK(watched->status != STORE_OK || watched->revision >= w->revision, "revisions go back");
    w->revision = watched->revision;
    w->bookmarks += watched->status == STORE_OK && watched->count == 0;
    for (size_t i = 0; i < watched->count; i++) {
        const struct store_event *event = &watched->events[i];
        buffer_format(&w->events, "%c%llu:%.*s=%.*s ", event->kind == STORE_EVENT_PUT ? '+' : '-',
                      (unsigned long long)event->entry.revision, SLICE_ARG(event->entry.key),
                      SLICE_ARG(event->entry.value));
    }
    w->f->answered = true;
}

static void watch_from(struct watcher *w, struct fixture *f, const char *prefix, uint64_t from)
{
    *w = (struct watcher){.f = f};
    w->ticket = store_watch(f->store, slice_str(prefix), from, on_watched, w);
    wait_answer(f);
}

static void catch_up(struct watcher *w)
{
    size_t before = w->bookmarks;
    store_progress(w->f->store, w->ticket);
    for (int i = 0; i < 1000 && w->bookmarks == before; i++)
        loop_turn(w->f->loop, 10);
    w->f->answered = false;
    CHECK(w->bookmarks > before);
}

TEST(store_watch_from_a_list_misses_nothing_and_repeats_nothing)
{
    struct fixture f;
    struct watcher w;
    begin(&f, 0);
    put(&f, "k/a", "1");
    list_at(&f, "k/", 0);
    uint64_t listed = f.revision;
    put(&f, "k/a", "2");
    put(&f, "j/a", "1");
    watch_from(&w, &f, "k/", listed);
    put(&f, "k/b", "1");
    delete (&f, "k/a");
    catch_up(&w);
    CHECK(buffer_equals(&w.events, "+3:k/a=2 +5:k/b=1 -6:k/a=2 "), "%s", w.events.data);
    CHECK(w.revision == 6);
    store_cancel(f.store, w.ticket);
    put(&f, "k/c", "1");
    CHECK(!strstr(w.events.data, "k/c"), "a cancelled watch is silent");
    buffer_fini(&w.events);
    end(&f);
}

TEST(store_says_when_history_is_gone)
{
    struct fixture f;
    struct watcher w;
    begin(&f, 8);
    char value[16];
    for (int i = 0; i < 40; i++) {
        snprintf(value, sizeof(value), "%d", i);
        put(&f, "k/a", value);
    }
    watch_from(&w, &f, "k/", 1);
    CHECK(w.status == STORE_COMPACTED);
    list_at(&f, "k/", 1);
    CHECK(f.status == STORE_COMPACTED);
    buffer_fini(&w.events);
    watch_from(&w, &f, "k/", 39);
    CHECK(w.status == STORE_OK);
    CHECK(buffer_equals(&w.events, "+40:k/a=38 +41:k/a=39 "), "%s", w.events.data);
    buffer_fini(&w.events);
    end(&f);
}

/* Random writes, restarts and new watches from where the last one stood: together they tell every change once. */
TEST(store_tells_every_change_once_across_restarts)
{
    struct fixture f;
    struct watcher w;
    struct random random;
    random_seed(&random, 7);
    begin(&f, 0);
    struct buffer expected = {0}, told = {0};
    char key[16], value[16];
    bool exists[8] = {false};
    char values[8][16];
    watch_from(&w, &f, "k/", 0);
    for (int i = 0; i < 400; i++) {
        size_t which = (size_t)random_below(&random, 8);
        snprintf(key, sizeof(key), "k/%zu", which);
        if (random_below(&random, 3) == 0) {
            delete (&f, key);
            if (exists[which])
                buffer_format(&expected, "-%llu:%s=%s ", (unsigned long long)f.revision, key,
                              values[which]);
            exists[which] = false;
        } else {
            snprintf(value, sizeof(value), "%d", i);
            put(&f, key, value);
            buffer_format(&expected, "+%llu:%s=%s ", (unsigned long long)f.revision, key, value);
            exists[which] = true;
            memcpy(values[which], value, sizeof(value));
        }
        if (random_below(&random, 40) == 0) {
            uint64_t stood = w.revision;
            buffer_append_slice(&told, buffer_slice(&w.events));
            buffer_fini(&w.events);
            reopen(&f);
            watch_from(&w, &f, "k/", stood);
        }
    }
    catch_up(&w);
    buffer_append_slice(&told, buffer_slice(&w.events));
    CHECK(buffer_equals(&told, expected.data));
    buffer_fini(&w.events);
    buffer_fini(&told);
    buffer_fini(&expected);
    end(&f);
}

/* --- leases --------------------------------------------------------------------------------------------------- */

TEST(store_ends_what_a_lease_held)
{
    struct fixture f;
    struct watcher w;
    begin(&f, 0);
    store_grant(f.store, 1000, on_leased, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_OK);
    uint64_t lease = f.lease;
    CHECK(put_with(&f, "k/a", "1", lease) == STORE_OK);
    CHECK(put_with(&f, "k/b", "1", lease + 9) == STORE_NO_LEASE);
    watch_from(&w, &f, "k/", 0);
    for (int i = 0; i < 500 && !w.events.size; i++)
        loop_turn(f.loop, 10);
    CHECK(buffer_equals(&w.events, "-3:k/a=1 "), "%s", w.events.data);
    f.answered = false;
    store_keep_alive(f.store, lease, on_leased, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_NO_LEASE);
    buffer_fini(&w.events);
    end(&f);
}

TEST(store_gives_a_lease_its_full_time_again_after_a_restart)
{
    struct fixture f;
    begin(&f, 0);
    store_grant(f.store, 3600000, on_leased, &f);
    wait_answer(&f);
    uint64_t lease = f.lease;
    put_with(&f, "k/a", "1", lease);
    reopen(&f);
    CHECK(strcmp(list_at(&f, "k/", 0), "k/a=1 ") == 0);
    store_keep_alive(f.store, lease, on_leased, &f);
    wait_answer(&f);
    CHECK(f.status == STORE_OK);
    store_revoke(f.store, lease, on_leased, &f);
    wait_answer(&f);
    list_at(&f, "k/", 0);
    CHECK(f.count == 0);
    end(&f);
}

/* --- files ---------------------------------------------------------------------------------------------------- */

TEST(store_refuses_a_second_process)
{
    struct fixture f;
    begin(&f, 0);
    put(&f, "k", "v");
    struct store *second;
    struct error error = {0};
    CHECK(!sqlite_store_open(f.loop, &(struct sqlite_options){.path = f.path}, &second, &error));
    CHECK(strcmp(error.code, "TUL4001") == 0, "%s", error.what);
    error_fini(&error);
    end(&f);
}

TEST(store_refuses_a_damaged_file)
{
    struct fixture f;
    begin(&f, 0);
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k/%d", i);
        put(&f, key, "a value of some length, so that there are several pages");
    }
    store_close(f.store);
    loop_settle(f.loop);
    int fd = open(f.path, O_RDWR | O_CLOEXEC);
    char rubbish[4096];
    memset(rubbish, 0x5a, sizeof(rubbish));
    for (off_t at = 4096; at < 65536; at += 4096)
        CHECK(pwrite(fd, rubbish, sizeof(rubbish), at) == sizeof(rubbish));
    close(fd);
    struct error error = {0};
    CHECK(!sqlite_store_open(f.loop, &(struct sqlite_options){.path = f.path}, &f.store, &error));
    CHECK(strcmp(error.code, "TUL4002") == 0, "%s", error.what);
    error_fini(&error);
    f.store = NULL;
    end(&f);
}
