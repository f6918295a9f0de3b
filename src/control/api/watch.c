/* Watches: what is there, then every change of it, until the client goes, is too slow, or its time has passed. */
#include "control/api/operation_internal.h"

#include "base/memory.h"
#include "control/api/table.h"

#include <inttypes.h>

enum {
    WATCH_BACKLOG_MAX = 4 << 20, /* bytes that a client may leave unread before it is cut off */
    WATCH_STALL_MS = 60 * 1000,  /* without taking any of them */
    WATCH_BOOKMARK_MS = 60 * 1000,
    WATCH_TIMEOUT_S = 3600, /* when the client names none */
};

struct watching {
    struct operation *operation;
    struct slice prefix;
    enum present_form form;
    uint64_t ticket;    /* of the store's watch */
    uint64_t revision;  /* everything up to here was told */
    uint64_t listed;    /* the first list's, while it is read */
    struct slice after; /* its last key so far */
    struct timer timeout, bookmark;
    bool ends; /* the answer is complete or broken off */
};

static void close_watch(struct watching *watching, bool broken)
{
    if (watching->ends)
        return;
    watching->ends = true;
    if (broken)
        rpc_exchange_reset(watching->operation->exchange);
    else
        rpc_exchange_finish(watching->operation->exchange);
}

static void send_event(struct watching *watching, const char *type, struct value *object,
                       struct arena *arena)
{
    struct rpc_exchange *exchange = watching->operation->exchange;
    if (watching->ends)
        return;
    owned_buffer text = {0};
    struct value *event = value_new(arena, VALUE_OBJECT);
    tree_put_str(event, "type", type, arena);
    tree_put(event, "object", tree_share(object, arena), arena);
    value_write_json(event, false, &text);
    buffer_append_byte(&text, '\n');
    if (!rpc_exchange_write(exchange, buffer_slice(&text)) ||
        rpc_exchange_backlog(exchange) > WATCH_BACKLOG_MAX)
        close_watch(watching, true); /* it begins anew from its last revision, or lists */
}

static void send_object(struct watching *watching, const char *type, const struct value *document,
                        uint64_t revision, struct arena *arena)
{
    struct operation *operation = watching->operation;
    struct request *request = &operation->request;
    struct value *object =
        present_object(document, request->kind, request->version, revision, arena);
    if (watching->form == PRESENT_TABLE) {
        struct value *rows, *table = table_begin(request->kind, revision, NULL, arena, &rows);
        value_append(rows, table_row(request->kind, object, request->include_object,
                                     operation_now_s(operation), arena));
        object = table;
    } else if (watching->form == PRESENT_METADATA) {
        object = present_metadata(object, arena);
    }
    send_event(watching, type, object, arena);
}

static void send_failure(struct watching *watching, unsigned code, const char *message)
{
    struct operation *operation = watching->operation;
    struct failure failure = {.code = code, .message = message};
    send_event(
        watching, "ERROR",
        status_of_failure(&failure, operation_kind(operation), SLICE_NONE, &operation->arena),
        &operation->arena);
    close_watch(watching, false);
}

/* Nothing but a revision; `initial_end` marks the end of what was there. */
static void send_bookmark(struct watching *watching, bool initial_end)
{
    struct request *request = &watching->operation->request;
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *object = value_new(&arena, VALUE_OBJECT);
    tree_put_str(object, "kind", kind_schema(request->kind)->kind, &arena);
    tree_put_str(object, "apiVersion", present_api_version(request->kind, request->version, &arena),
                 &arena);
    struct value *metadata = tree_put_object(object, "metadata", &arena);
    tree_put_str(metadata, "resourceVersion", arena_format(&arena, "%" PRIu64, watching->revision),
                 &arena);
    if (initial_end) {
        struct value *annotations = tree_put_object(metadata, "annotations", &arena);
        tree_put_str(annotations, "k8s.io/initial-events-end", "true", &arena);
    }
    if (watching->form == PRESENT_TABLE) {
        struct value *rows,
            *table = table_begin(request->kind, watching->revision, NULL, &arena, &rows);
        value_append(rows, table_row(request->kind, object, "", 0, &arena));
        object = table;
    }
    send_event(watching, "BOOKMARK", object, &arena);
    arena_fini(&arena);
}

/* A change counts for a watcher as what it does to the selection. */
static void tell(struct watching *watching, const struct store_event *event)
{
    const struct selector *selector = &watching->operation->request.selector;
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *now =
        event->kind == STORE_EVENT_PUT ? present_read(event->entry.value, &arena) : NULL;
    struct slice old = event->kind == STORE_EVENT_PUT ? event->previous : event->entry.value;
    struct value *was = old.size > 0 ? present_read(old, &arena) : NULL;
    bool is_in = now && selector_matches(selector, now);
    bool was_in = was && selector_matches(selector, was);
    if (is_in)
        send_object(watching, was_in ? "MODIFIED" : "ADDED", now, event->entry.revision, &arena);
    else if (was_in)
        send_object(watching, "DELETED", was, event->entry.revision, &arena);
    arena_fini(&arena);
}

static void on_watched(void *owner, const struct store_watched *watched)
{
    struct watching *watching = owner;
    if (watched->status != STORE_OK) {
        watching->ticket = 0;
        if (watched->status == STORE_COMPACTED)
            send_failure(watching, 410, "too old resource version");
        else
            send_failure(watching, 503, store_status_name(watched->status));
        return;
    }
    for (size_t i = 0; i < watched->count && !watching->ends; i++)
        tell(watching, &watched->events[i]);
    watching->revision = MAX(watching->revision, watched->revision);
    if (watched->count == 0 && watching->operation->request.bookmarks)
        send_bookmark(watching, false);
}

static void on_bookmark_due(struct timer *timer)
{
    struct watching *watching = CONTAINER_OF(timer, struct watching, bookmark);
    struct api *api = watching->operation->api;
    uint64_t stalled = rpc_exchange_stalled_since_ms(watching->operation->exchange);
    if (stalled != UINT64_MAX && loop_now_ms(api->loop) - stalled > WATCH_STALL_MS) {
        close_watch(watching, true);
        return;
    }
    if (watching->ticket)
        store_progress(api->store, watching->ticket);
    loop_timer_start(api->loop, timer, WATCH_BOOKMARK_MS, on_bookmark_due);
}

static void on_timeout(struct timer *timer)
{
    struct watching *watching = CONTAINER_OF(timer, struct watching, timeout);
    if (watching->operation->request.bookmarks && watching->ticket)
        send_bookmark(watching, false);
    close_watch(watching, false);
}

static void follow(struct watching *watching, uint64_t from)
{
    struct api *api = watching->operation->api;
    watching->revision = from;
    watching->ticket = store_watch(api->store, watching->prefix, from, on_watched, watching);
    loop_timer_start(api->loop, &watching->bookmark, WATCH_BOOKMARK_MS, on_bookmark_due);
}

/* --- what is there ----------------------------------------------------------------------------------------------- */

static void on_listed(void *owner, const struct store_page *page);

static void ask_page(struct watching *watching)
{
    struct operation *operation = watching->operation;
    struct store_list list = {
        .prefix = watching->prefix, .after = watching->after, .revision = watching->listed};
    operation->ticket = store_list(operation->api->store, &list, on_listed, watching);
}

static void on_listed(void *owner, const struct store_page *page)
{
    struct watching *watching = owner;
    struct operation *operation = watching->operation;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        send_failure(watching, page->status == STORE_COMPACTED ? 410 : 503,
                     store_status_name(page->status));
        return;
    }
    for (size_t i = 0; i < page->count && !watching->ends; i++) {
        struct arena arena;
        arena_init(&arena, NULL);
        struct value *document = present_read(page->entries[i].value, &arena);
        if (document && selector_matches(&operation->request.selector, document))
            send_object(watching, "ADDED", document, page->entries[i].revision, &arena);
        arena_fini(&arena);
    }
    watching->listed = page->revision;
    if (watching->ends)
        return;
    if (page->has_more) {
        struct slice last = page->entries[page->count - 1].key;
        watching->after = slice_of(arena_copy(&operation->arena, last), last.size);
        ask_page(watching);
        return;
    }
    follow(watching, page->revision);
    if (operation->request.initial_events)
        send_bookmark(watching, true);
}

void watch_start(struct operation *operation)
{
    struct request *request = &operation->request;
    struct api *api = operation->api;
    struct watching *watching = mem_new(struct watching);
    operation->watching = watching;
    watching->operation = operation;
    watching->form = operation_form(operation);
    watching->prefix = object_key_prefix(request->kind, request->name_space, &operation->arena);
    struct rpc_header header = {SLICE("content-type"), SLICE("application/json")};
    rpc_exchange_start(operation->exchange, 200, &header, 1);
    uint64_t timeout_s = request->timeout_s
                             ? MIN(request->timeout_s, (uint64_t)WATCH_TIMEOUT_S * 24)
                             : (uint64_t)WATCH_TIMEOUT_S;
    loop_timer_start(api->loop, &watching->timeout, timeout_s * 1000, on_timeout);
    if (request->has_revision && !request->initial_events)
        follow(watching, request->revision);
    else
        ask_page(watching);
}

void watch_drain(struct operation *operation)
{
    if (operation->watching)
        close_watch(operation->watching, false);
}

void watch_end(struct operation *operation)
{
    struct watching *watching = operation->watching;
    if (!watching)
        return;
    struct api *api = operation->api;
    if (watching->ticket)
        store_cancel(api->store, watching->ticket);
    loop_timer_stop(api->loop, &watching->timeout);
    loop_timer_stop(api->loop, &watching->bookmark);
    mem_free(watching);
    operation->watching = NULL;
}
