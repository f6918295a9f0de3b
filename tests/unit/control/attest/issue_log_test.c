#include "control/attest/issue_log.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "control/ca/signer.h"
#include "control/store/sqlite.h"
#include "io/loop.h"

#include "test.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    size_t written, listed;
};

static void on_written(void *owner, const struct store_written *written)
{
    CHECK(written->status == STORE_OK, "%s", written->reason);
    ((struct fixture *)owner)->written++;
}

static void on_page(void *owner, const struct store_page *page)
{
    struct fixture *f = owner;
    f->listed = page->count;
    for (size_t i = 0; i < page->count; i++)
        CHECK(slice_find(page->entries[i].value, SLICE("/over")) == SIZE_MAX, "%.*s",
              SLICE_ARG(page->entries[i].key));
}

static void put(struct fixture *f, unsigned number, const char *name, int64_t end_s)
{
    struct issue_record record = {.spiffe_id = slice_str(name), .not_after_s = end_s};
    snprintf(record.serial, sizeof(record.serial), "%032x", number * 2654435761u);
    owned_buffer value = {0};
    owned_str key = issue_log_entry(&record, &value);
    struct store_put put = {slice_str(key), buffer_slice(&value), 0};
    store_txn(f->store, &(struct store_txn){.puts = &put, .put_count = 1}, on_written, f);
}

TEST(records_go_some_time_after_their_certificates)
{
    struct fixture f = {0};
    struct error error = {0};
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f.loop) == 0);
    CHECK(
        sqlite_store_open(f.loop, &(struct sqlite_options){.path = ":memory:"}, &f.store, &error));
    struct issue_log *log = issue_log_create(f.loop, f.store);
    int64_t now_s = loop_wall_us(f.loop) / 1000000;
    enum { OVER = 300, ALIVE = 30 };
    for (unsigned i = 0; i < OVER; i++)
        put(&f, i, "spiffe://cluster.local/over", now_s - ISSUE_LOG_KEEP_S - 10);
    for (unsigned i = OVER; i < OVER + ALIVE; i++)
        put(&f, i, "spiffe://cluster.local/ended", now_s - ISSUE_LOG_KEEP_S + 60 + i % 2 * 86400);
    struct store_put odd = {SLICE(ISSUE_LOG_PREFIX "odd"), SLICE("[]"), 0};
    store_txn(f.store, &(struct store_txn){.puts = &odd, .put_count = 1}, on_written, &f);
    for (int i = 0; i < 3000 && f.written <= OVER + ALIVE; i++)
        loop_turn(f.loop, 5);
    issue_log_sweep(log);
    for (int i = 0; i < 3000 && issue_log_is_sweeping(log); i++)
        loop_turn(f.loop, 5);
    CHECK(!issue_log_is_sweeping(log));
    store_list(f.store, &(struct store_list){.prefix = SLICE(ISSUE_LOG_PREFIX)}, on_page, &f);
    for (int i = 0; i < 3000 && f.listed == 0; i++)
        loop_turn(f.loop, 5);
    CHECK(f.listed == ALIVE + 1, "%zu: what cannot be read is kept", f.listed);
    issue_log_destroy(log);
    store_close(f.store);
    loop_settle(f.loop);
    loop_destroy(f.loop);
}
