#include "control/conditions/keeper.h"

#include "base/buffer.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/store/store.h"
#include "control/translate/fallbacks.h"
#include "io/loop.h"

enum { RETRY_MS = 1000 };

/* What is to be written of one object. */
struct wish {
    struct list node;
    char *key;      /* in the store */
    char *document; /* NULL: the key is to go */
};

struct keeper {
    struct loop *loop;
    struct store *store;
    struct fallbacks *fallbacks;
    struct list wishes; /* in the order in which they came; the later of two for one key counts */
    struct wish *under_way; /* no longer in the list */
    uint64_t ticket;
    struct task write;
    struct timer retry;
};

static void wish_destroy(struct wish *wish)
{
    if (!wish)
        return;
    list_remove(&wish->node);
    mem_free(wish->key);
    mem_free(wish->document);
    mem_free(wish);
}

static void on_retry(struct timer *timer)
{
    struct keeper *keeper = CONTAINER_OF(timer, struct keeper, retry);
    loop_run_later(keeper->loop, &keeper->write);
}

static void on_written(void *owner, const struct store_written *written)
{
    struct keeper *keeper = owner;
    keeper->ticket = 0;
    if (written->status == STORE_OK || written->status == STORE_TOO_LARGE) {
        wish_destroy(keeper->under_way);
        keeper->under_way = NULL;
        loop_run_later(keeper->loop, &keeper->write);
        return;
    }
    log_warning("conditions", "what is kept of a refused object cannot be written: %s",
                written->reason);
    list_push_front(&keeper->wishes, &keeper->under_way->node);
    keeper->under_way = NULL;
    loop_timer_start(keeper->loop, &keeper->retry, RETRY_MS, on_retry);
}

static void write_next(struct task *task)
{
    struct keeper *keeper = CONTAINER_OF(task, struct keeper, write);
    if (keeper->ticket || timer_is_running(&keeper->retry) || list_is_empty(&keeper->wishes))
        return;
    struct wish *wish = LIST_ENTRY(keeper->wishes.next, struct wish, node);
    struct slice key = slice_str(wish->key);
    struct store_put put = {.key = key};
    struct store_txn txn = {0};
    list_remove(&wish->node);
    if (wish->document) {
        put.value = slice_str(wish->document);
        txn = (struct store_txn){.puts = &put, .put_count = 1};
    } else {
        txn = (struct store_txn){.deletes = &key, .delete_count = 1};
    }
    keeper->under_way = wish;
    keeper->ticket = store_txn(keeper->store, &txn, on_written, keeper);
}

static void on_change(void *owner, struct slice key, const struct object *held)
{
    struct keeper *keeper = owner;
    struct wish *wish = mem_new(struct wish);
    wish->key = str_format(KEEPER_PREFIX "%.*s", SLICE_ARG(key));
    if (held) {
        struct buffer text = {0};
        value_write_json(held->document, false, &text);
        wish->document = buffer_take(&text);
    }
    list_push_back(&keeper->wishes, &wish->node);
    loop_run_later(keeper->loop, &keeper->write);
}

bool keeper_see(struct keeper *keeper, struct slice key, struct slice value)
{
    struct slice prefix = SLICE(KEEPER_PREFIX);
    if (!slice_starts_with(key, prefix))
        return false;
    owned(object) version = NULL;
    owned_error error = {0};
    if (!value.data)
        return true;
    if (object_load(slice_from(key, prefix.size), value, 0, &version, &error))
        fallbacks_restore(keeper->fallbacks, version);
    else
        log_warning("conditions", "%.*s is not used: %s", SLICE_ARG(key),
                    error.what ? error.what : "it cannot be read");
    return true;
}

void keeper_start(struct keeper *keeper)
{
    fallbacks_tidy(keeper->fallbacks);
}

struct keeper *keeper_create(struct loop *loop, struct store *store, struct fallbacks *fallbacks)
{
    struct keeper *keeper = mem_new(struct keeper);
    *keeper = (struct keeper){.loop = loop, .store = store, .fallbacks = fallbacks};
    list_init(&keeper->wishes);
    task_init(&keeper->write, write_next);
    fallbacks_listen(fallbacks, on_change, keeper);
    return keeper;
}

void keeper_destroy(struct keeper *keeper)
{
    if (!keeper)
        return;
    fallbacks_listen(keeper->fallbacks, NULL, NULL);
    store_cancel(keeper->store, keeper->ticket);
    loop_task_cancel(&keeper->write);
    loop_timer_stop(keeper->loop, &keeper->retry);
    wish_destroy(keeper->under_way);
    LIST_EACH_SAFE(node, after, &keeper->wishes)
    wish_destroy(LIST_ENTRY(node, struct wish, node));
    mem_free(keeper);
}
