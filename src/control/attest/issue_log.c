#include "control/attest/issue_log.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "control/ca/signer.h"
#include "control/store/store.h"
#include "io/loop.h"
#include "pb/document.h"

enum { SWEEP_MS = 600 * 1000, PAGE = STORE_TXN_MAX };

struct issue_log {
    struct loop *loop;
    struct store *store;
    struct timer sweep;
    uint64_t ticket; /* a list or a deletion under way; 0: none */
    char *after;     /* the last key of the page under way; NULL: from the start */
    bool has_more;
};

char *issue_log_entry(const struct issue_record *record, struct buffer *value)
{
    buffer_append_str(value, "{\"spiffeId\":\"");
    buffer_append_json(value, record->spiffe_id);
    buffer_format(value, "\",\"notBefore\":%lld,\"notAfter\":%lld}",
                  (long long)record->not_before_s, (long long)record->not_after_s);
    return str_format(ISSUE_LOG_PREFIX "%s", record->serial);
}

static void on_due(struct timer *timer)
{
    issue_log_sweep(CONTAINER_OF(timer, struct issue_log, sweep));
}

static void end_sweep(struct issue_log *log)
{
    mem_free(log->after);
    log->after = NULL;
    loop_timer_start(log->loop, &log->sweep, SWEEP_MS, on_due);
}

/* What cannot be read is kept: somebody may still make sense of it. */
static bool is_over(const struct store_entry *entry, int64_t now_s)
{
    struct arena arena = {0};
    struct value *record;
    owned_error ignored = {0};
    int64_t end_s = 0;
    struct slice text = slice_of(arena_copy(&arena, entry->value), entry->value.size);
    bool is_known = document_read_json(text, "record", NULL, &arena, &record, &ignored) &&
                    value_get(record, "notAfter") &&
                    value_to_i64(value_get(record, "notAfter"), &end_s);
    arena_fini(&arena);
    return is_known && end_s + ISSUE_LOG_KEEP_S < now_s;
}

static void next_page(struct issue_log *log);

static void on_deleted(void *owner, const struct store_written *written)
{
    struct issue_log *log = owner;
    log->ticket = 0;
    if (written->status != STORE_OK)
        log_warning("ca", "the issue log cannot be shortened: %s", written->reason);
    if (written->status == STORE_OK && log->has_more)
        next_page(log);
    else
        end_sweep(log);
}

static void on_page(void *owner, const struct store_page *page)
{
    struct issue_log *log = owner;
    struct slice over[PAGE];
    size_t count = 0;
    int64_t now_s = loop_wall_us(log->loop) / 1000000;
    log->ticket = 0;
    log->has_more = page->status == STORE_OK && page->has_more && page->count > 0;
    for (size_t i = 0; page->status == STORE_OK && i < page->count && count < PAGE; i++) {
        if (is_over(&page->entries[i], now_s))
            over[count++] = page->entries[i].key;
    }
    if (log->has_more) {
        mem_free(log->after);
        log->after = slice_to_str(page->entries[page->count - 1].key);
    }
    if (count > 0)
        log->ticket =
            store_txn(log->store, &(struct store_txn){.deletes = over, .delete_count = count},
                      on_deleted, log);
    else if (log->has_more)
        next_page(log);
    else
        end_sweep(log);
}

static void next_page(struct issue_log *log)
{
    struct store_list list = {
        .prefix = SLICE(ISSUE_LOG_PREFIX), .after = slice_str(log->after), .limit = PAGE};
    log->ticket = store_list(log->store, &list, on_page, log);
}

void issue_log_sweep(struct issue_log *log)
{
    if (log->ticket)
        return;
    loop_timer_stop(log->loop, &log->sweep);
    next_page(log);
}

bool issue_log_is_sweeping(const struct issue_log *log)
{
    return log->ticket != 0;
}

struct issue_log *issue_log_create(struct loop *loop, struct store *store)
{
    struct issue_log *log = mem_new(struct issue_log);
    *log = (struct issue_log){.loop = loop, .store = store};
    loop_timer_start(loop, &log->sweep, SWEEP_MS, on_due);
    return log;
}

void issue_log_destroy(struct issue_log *log)
{
    if (!log)
        return;
    if (log->ticket)
        store_cancel(log->store, log->ticket);
    loop_timer_stop(log->loop, &log->sweep);
    mem_free(log->after);
    mem_free(log);
}
