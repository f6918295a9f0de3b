#include "control/conditions/conditions.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/conditions/status_document.h"
#include "control/push/lane.h"
#include "control/store/store.h"
#include "io/loop.h"

/* Reads and writes that are under way at once: the store commits them together. */
enum { WRITES_MAX = 32, CONFLICT_MS = 100, RETRY_MS = 2000 };

struct conditions {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct findings_sources sources;
    struct lane lane;
    struct timer due;
    struct list queue;   /* watched objects whose answers changed */
    struct map *watched; /* by key */
    struct list wanting; /* watched objects whose status is to be written */
    size_t under_way, with_findings;
    uint64_t writes;
    bool started;
};

struct watched {
    struct reader reader;
    struct list wanting;
    struct timer retry;
    struct conditions *conditions;
    char *key;
    struct arena arena; /* of the findings */
    struct findings findings;
    uint64_t ticket; /* a read or write under way; 0: none */
    bool again;      /* it changed meanwhile */
};

static void write_wanted(struct conditions *conditions);

/* --- writing one --------------------------------------------------------------------------------------------------------- */

static void want(struct watched *watched)
{
    struct conditions *conditions = watched->conditions;
    if (watched->ticket) {
        watched->again = true;
        return;
    }
    loop_timer_stop(conditions->loop, &watched->retry);
    if (list_is_empty(&watched->wanting))
        list_push_back(&conditions->wanting, &watched->wanting);
}

static void on_retry(struct timer *timer)
{
    struct watched *watched = CONTAINER_OF(timer, struct watched, retry);
    want(watched);
    write_wanted(watched->conditions);
}

static void done(struct watched *watched, uint64_t retry_ms)
{
    struct conditions *conditions = watched->conditions;
    watched->ticket = 0;
    conditions->under_way--;
    if (retry_ms > 0)
        loop_timer_start(conditions->loop, &watched->retry, retry_ms, on_retry);
    else if (watched->again)
        want(watched);
    watched->again = false;
    write_wanted(conditions);
}

static void on_written(void *owner, const struct store_written *written)
{
    struct watched *watched = owner;
    watched->conditions->writes += written->status == STORE_OK;
    if (written->status != STORE_OK && written->status != STORE_CONFLICT)
        log_warning("conditions", "the status of %s cannot be written: %s", watched->key,
                    written->reason);
    done(watched, written->status == STORE_OK         ? 0
                  : written->status == STORE_CONFLICT ? CONFLICT_MS
                                                      : RETRY_MS);
}

/* True when a write is under way. */
static bool write_status(struct watched *watched, const struct store_entry *entry)
{
    struct conditions *conditions = watched->conditions;
    struct arena arena = {0};
    struct value *stored, *document = NULL;
    owned_error ignored = {0};
    /* The reader keeps pieces of the text that it is given. */
    struct slice text = slice_of(arena_copy(&arena, entry->value), entry->value.size);
    if (document_read_json(text, watched->key, NULL, &arena, &stored, &ignored) &&
        stored->kind == VALUE_OBJECT)
        document =
            status_document(stored, &watched->findings, loop_wall_us(conditions->loop), &arena);
    if (document) {
        owned_buffer bytes = {0};
        value_write_json(document, false, &bytes);
        struct slice key = slice_str(watched->key);
        struct store_compare compare = {key, entry->revision};
        struct store_put put = {key, buffer_slice(&bytes), entry->lease};
        struct store_txn txn = {
            .compares = &compare, .compare_count = 1, .puts = &put, .put_count = 1};
        watched->ticket = store_txn(conditions->store, &txn, on_written, watched);
    }
    arena_fini(&arena);
    return document;
}

static void on_read(void *owner, const struct store_page *page)
{
    struct watched *watched = owner;
    if (page->status != STORE_OK) {
        done(watched, RETRY_MS);
        return;
    }
    if (page->count == 0 || !write_status(watched, &page->entries[0]))
        done(watched, 0);
}

/* By the document that the model has: what is true already needs no look into the store. */
static bool is_true_already(const struct watched *watched, const struct object *object)
{
    struct arena arena = {0};
    bool same = !status_document(object->document, &watched->findings, 0, &arena);
    arena_fini(&arena);
    return same;
}

static void write_wanted(struct conditions *conditions)
{
    while (conditions->under_way < WRITES_MAX && !list_is_empty(&conditions->wanting)) {
        struct watched *watched = CONTAINER_OF(conditions->wanting.next, struct watched, wanting);
        list_remove(&watched->wanting);
        const struct object *object = model_get(conditions->model, slice_str(watched->key));
        if (!object || is_true_already(watched, object))
            continue;
        conditions->under_way++;
        watched->ticket = store_get(conditions->store, slice_str(watched->key), on_read, watched);
    }
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

static void look(struct watched *watched)
{
    struct conditions *conditions = watched->conditions;
    const struct object *object = model_get(conditions->model, slice_str(watched->key));
    if (!object)
        return;
    reader_begin(model_facts(conditions->model), &watched->reader);
    conditions->with_findings -= watched->findings.count > 0;
    arena_fini(&watched->arena);
    watched->arena = (struct arena){0};
    findings_of(&conditions->sources, &watched->reader, object, &watched->arena,
                &watched->findings);
    conditions->with_findings += watched->findings.count > 0;
    want(watched);
}

static void set_timer(struct conditions *conditions);

static void on_due(struct timer *timer)
{
    struct conditions *conditions = CONTAINER_OF(timer, struct conditions, due);
    uint64_t now_ms = loop_now_ms(conditions->loop);
    if (lane_due_ms(&conditions->lane) > now_ms) {
        set_timer(conditions);
        return;
    }
    (void)lane_take(&conditions->lane, now_ms);
    struct reader *reader;
    while ((reader = facts_take(&conditions->queue)))
        look(CONTAINER_OF(reader, struct watched, reader));
    write_wanted(conditions);
}

static void set_timer(struct conditions *conditions)
{
    uint64_t now_ms = loop_now_ms(conditions->loop), due_ms = lane_due_ms(&conditions->lane);
    if (due_ms != UINT64_MAX)
        loop_timer_start(conditions->loop, &conditions->due, due_ms > now_ms ? due_ms - now_ms : 0,
                         on_due);
}

void conditions_note(struct conditions *conditions)
{
    if (!conditions->started || list_is_empty(&conditions->queue))
        return;
    lane_note(&conditions->lane, loop_now_ms(conditions->loop));
    set_timer(conditions);
}

void conditions_start(struct conditions *conditions)
{
    conditions->started = true;
    conditions_note(conditions);
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static void watched_destroy(struct watched *watched)
{
    struct conditions *conditions = watched->conditions;
    if (watched->ticket) {
        store_cancel(conditions->store, watched->ticket);
        conditions->under_way--;
    }
    loop_timer_stop(conditions->loop, &watched->retry);
    list_remove(&watched->wanting);
    conditions->with_findings -= watched->findings.count > 0;
    reader_fini(model_facts(conditions->model), &watched->reader);
    arena_fini(&watched->arena);
    mem_free(watched->key);
    mem_free(watched);
}

static bool is_watched(const struct object *object)
{
    return object->problems.count > 0 || object->kind == KIND_VIRTUAL_SERVICE ||
           object->kind == KIND_DESTINATION_RULE || object->kind == KIND_SERVICE_ENTRY ||
           object->kind == KIND_SERVICE;
}

static void on_change(void *owner, const struct object *before, const struct object *now)
{
    struct conditions *conditions = owner;
    struct slice key = (now ? now : before)->key;
    struct watched *watched = map_get(conditions->watched, key);
    if (!now) {
        if (watched)
            watched_destroy(map_remove(conditions->watched, key));
        return;
    }
    if (!watched && !is_watched(now))
        return;
    if (!watched) {
        watched = mem_new(struct watched);
        watched->conditions = conditions;
        watched->key = slice_to_str(key);
        list_init(&watched->wanting);
        reader_init_in(&watched->reader, &conditions->queue);
        map_put(conditions->watched, key, watched);
    }
    facts_queue(model_facts(conditions->model), &watched->reader);
}

struct conditions *conditions_create(struct loop *loop, struct store *store, struct model *model,
                                     const struct findings_sources *sources,
                                     const struct conditions_options *options)
{
    struct conditions *conditions = mem_new(struct conditions);
    *conditions = (struct conditions){
        .loop = loop, .store = store, .model = model, .sources = *sources, .watched = map_create()};
    lane_init(&conditions->lane, options->quiet_ms ? options->quiet_ms : 300,
              options->most_ms ? options->most_ms : 5000, false);
    list_init(&conditions->queue);
    list_init(&conditions->wanting);
    model_listen(model, on_change, conditions);
    return conditions;
}

void conditions_destroy(struct conditions *conditions)
{
    if (!conditions)
        return;
    model_unlisten(conditions->model, conditions);
    loop_timer_stop(conditions->loop, &conditions->due);
    struct map_iterator it = {0};
    while (map_next(conditions->watched, &it))
        watched_destroy(it.value);
    map_destroy(conditions->watched);
    mem_free(conditions);
}

struct conditions_report conditions_report(const struct conditions *conditions)
{
    return (struct conditions_report){
        .objects = conditions->with_findings,
        .writes = conditions->writes,
        .settled = list_is_empty(&conditions->queue) && list_is_empty(&conditions->wanting) &&
                   conditions->under_way == 0 && !conditions->lane.pending};
}
