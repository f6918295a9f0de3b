#include "control/model/feed.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/store/store.h"
#include "io/loop.h"

enum { RETRY_MS = 1000, PAGE = 1000 };

struct feed {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct feed_listener listener;
    uint64_t ticket;
    uint64_t revision;  /* of the list under way, or up to which everything was seen */
    struct map *seen;   /* keys of the list under way; NULL: watching */
    struct map *others; /* keys that are no object's */
    char *after;
    bool ready, degraded;
    struct timer retry;
};

static void list_next(struct feed *feed);

static bool is_wanted(const struct feed *feed, struct slice key)
{
    const char *const *prefix = feed->listener.others;
    for (; prefix && *prefix; prefix++)
        if (slice_starts_with(key, slice_str(*prefix)))
            return true;
    return !prefix;
}

static void put(struct feed *feed, const struct store_entry *entry)
{
    struct object_key parts;
    if (!object_key_parse(entry->key, &parts)) {
        if (!is_wanted(feed, entry->key))
            return;
        map_put(feed->others, entry->key, feed);
        feed->listener.on_other(feed->listener.owner, entry->key, entry->value);
        return;
    }
    owned(object) object = NULL;
    owned_error error = {0};
    if (!object_load(entry->key, entry->value, entry->revision, &object, &error)) {
        owned_str text = error_text(&error, true);
        log_warning("model", "%.*s stays as it was: %s", SLICE_ARG(entry->key), text);
        return;
    }
    if (object->problems.count > 0)
        log_warning("model", "%s: %s%s", object->key.data, object->problems.items[0].what,
                    object->disabled ? "; it does not act" : "");
    if (model_put(feed->model, object))
        feed->listener.on_object(feed->listener.owner, parts.kind);
}

static void drop(struct feed *feed, struct slice key)
{
    struct object_key parts;
    if (object_key_parse(key, &parts)) {
        if (model_remove(feed->model, key))
            feed->listener.on_object(feed->listener.owner, parts.kind);
        return;
    }
    if (map_remove(feed->others, key))
        feed->listener.on_other(feed->listener.owner, key, SLICE_NONE);
}

static void on_retry(struct timer *timer)
{
    list_next(CONTAINER_OF(timer, struct feed, retry));
}

/* From the beginning, after a while. */
static void start_over(struct feed *feed, const char *reason, uint64_t delay_ms)
{
    if (delay_ms > 0 && !feed->degraded)
        log_error("model", "the store does not answer: %s; what is known stays", reason);
    feed->degraded = delay_ms > 0;
    map_destroy(feed->seen);
    feed->seen = map_create();
    feed->revision = 0;
    mem_free(feed->after);
    feed->after = NULL;
    loop_timer_start(feed->loop, &feed->retry, delay_ms, on_retry);
}

static void on_watched(void *owner, const struct store_watched *watched)
{
    struct feed *feed = owner;
    if (watched->status != STORE_OK) {
        start_over(feed, watched->reason, watched->status == STORE_COMPACTED ? 0 : RETRY_MS);
        return;
    }
    for (size_t i = 0; i < watched->count; i++) {
        const struct store_event *event = &watched->events[i];
        if (event->kind == STORE_EVENT_PUT)
            put(feed, &event->entry);
        else
            drop(feed, event->entry.key);
    }
    feed->revision = watched->revision;
}

struct missing {
    const struct map *seen;
    VECTOR(char *) keys;
};

static void note_missing(const struct object *object, void *to)
{
    struct missing *missing = to;
    if (!map_get(missing->seen, object->key))
        vector_push(&missing->keys, slice_to_str(object->key));
}

/* What is here and was not in the list has gone while nobody watched. */
static void drop_missing(struct feed *feed)
{
    struct missing missing = {.seen = feed->seen};
    model_each(feed->model, note_missing, &missing);
    struct map_iterator it = {0};
    while (map_next(feed->others, &it)) {
        if (!map_get(feed->seen, it.key))
            vector_push(&missing.keys, slice_to_str(it.key));
    }
    VECTOR_EACH(key, &missing.keys)
    {
        drop(feed, slice_str(*key));
        mem_free(*key);
    }
    vector_fini(&missing.keys);
}

static void on_page(void *owner, const struct store_page *page)
{
    struct feed *feed = owner;
    if (page->status != STORE_OK) {
        start_over(feed, page->reason, page->status == STORE_COMPACTED ? 0 : RETRY_MS);
        return;
    }
    feed->degraded = false;
    feed->revision = page->revision;
    for (size_t i = 0; i < page->count; i++) {
        map_put(feed->seen, page->entries[i].key, feed);
        put(feed, &page->entries[i]);
    }
    if (page->has_more && page->count > 0) {
        mem_free(feed->after);
        feed->after = slice_to_str(page->entries[page->count - 1].key);
        list_next(feed);
        return;
    }
    drop_missing(feed);
    map_destroy(feed->seen);
    feed->seen = NULL;
    feed->ticket = store_watch(feed->store, SLICE_NONE, feed->revision, on_watched, feed);
    if (feed->ready)
        return;
    feed->ready = true;
    feed->listener.on_ready(feed->listener.owner);
}

static void list_next(struct feed *feed)
{
    struct store_list list = {
        .after = slice_str(feed->after), .revision = feed->revision, .limit = PAGE};
    feed->ticket = store_list(feed->store, &list, on_page, feed);
}

struct feed *feed_create(struct loop *loop, struct store *store, struct model *model,
                         const struct feed_listener *listener)
{
    struct feed *feed = mem_new(struct feed);
    *feed = (struct feed){.loop = loop,
                          .store = store,
                          .model = model,
                          .listener = *listener,
                          .seen = map_create(),
                          .others = map_create()};
    list_next(feed);
    return feed;
}

void feed_destroy(struct feed *feed)
{
    if (!feed)
        return;
    store_cancel(feed->store, feed->ticket);
    loop_timer_stop(feed->loop, &feed->retry);
    map_destroy(feed->seen);
    map_destroy(feed->others);
    mem_free(feed->after);
    mem_free(feed);
}

bool feed_is_ready(const struct feed *feed)
{
    return feed->ready;
}

bool feed_is_degraded(const struct feed *feed)
{
    return feed->degraded;
}
