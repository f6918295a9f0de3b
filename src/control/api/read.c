/* get and list. */
#include "control/api/operation_internal.h"

#include "base/vector.h"
#include "control/api/table.h"

#include <inttypes.h>

static void on_object(void *owner, const struct store_page *page)
{
    struct operation *operation = owner;
    struct request *request = &operation->request;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        operation_fail_store(operation, page->status, page->reason);
        return;
    }
    struct value *document =
        page->count ? present_read(page->entries[0].value, &operation->arena) : NULL;
    if (!document) {
        operation_fail(operation, 404, "%s \"%.*s\" not found",
                       status_resource(operation_kind(operation), &operation->arena),
                       SLICE_ARG(request->name));
        return;
    }
    uint64_t revision = page->entries[0].revision;
    operation_reply_object(
        operation, 200,
        present_object(document, request->kind, request->version, revision, &operation->arena),
        revision);
}

/* Appends what the selector lets through to a list or table. */
static void append_entry(struct operation *operation, const struct store_entry *entry,
                         enum present_form form, struct value *items)
{
    struct request *request = &operation->request;
    struct arena *arena = &operation->arena;
    struct value *document = present_read(entry->value, arena);
    if (!document || !selector_matches(&request->selector, document))
        return;
    struct value *object =
        present_object(document, request->kind, request->version, entry->revision, arena);
    if (form == PRESENT_TABLE)
        object = table_row(request->kind, object, request->include_object,
                           operation_now_s(operation), arena);
    else if (form == PRESENT_METADATA)
        object = present_metadata(object, arena);
    value_append(items, object);
}

static void on_list(void *owner, const struct store_page *page);

static void ask_page(struct operation *operation)
{
    struct request *request = &operation->request;
    struct store_list list = {
        .prefix = object_key_prefix(request->kind, request->name_space, &operation->arena),
        .after = request->after,
        .revision = request->exact ? request->revision : 0,
        .limit = request->limit};
    operation->ticket = store_list(operation->api->store, &list, on_list, operation);
}

static struct value *begin_list(struct operation *operation, enum present_form form,
                                const struct store_page *page, struct value **items)
{
    struct request *request = &operation->request;
    struct arena *arena = &operation->arena;
    const char *continuation = NULL;
    if (page->has_more && page->count > 0)
        continuation =
            request_continuation(page->revision, page->entries[page->count - 1].key, arena);
    if (form == PRESENT_TABLE)
        return table_begin(request->kind, page->revision, continuation, arena, items);
    struct value *list =
        present_list(request->kind, request->version, page->revision, continuation, arena, items);
    if (form == PRESENT_METADATA) {
        list = tree_with(list, "kind", value_new_string(arena, SLICE("PartialObjectMetadataList")),
                         arena);
        list =
            tree_with(list, "apiVersion", value_new_string(arena, SLICE("meta.k8s.io/v1")), arena);
        list = tree_with(list, "items", *items = value_new(arena, VALUE_LIST), arena);
        *items = value_get(list, "items");
    }
    return list;
}

/*
 * A page of the store's is a page of ours: without a limit from the client it holds STORE_LIST_MAX objects, and what lies
 * beyond comes by the continuation.
 */
static void on_list(void *owner, const struct store_page *page)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        operation_fail_store(operation, page->status, page->reason);
        return;
    }
    struct value *items;
    enum present_form form = operation_form(operation);
    struct value *list = begin_list(operation, form, page, &items);
    for (size_t i = 0; i < page->count; i++)
        append_entry(operation, &page->entries[i], form, items);
    operation_reply(operation, 200, list);
}

void read_start(struct operation *operation)
{
    struct request *request = &operation->request;
    if (request->verb == VERB_LIST) {
        ask_page(operation);
        return;
    }
    operation->key =
        object_key_make(request->kind, request->name_space, request->name, &operation->arena);
    operation->ticket = store_get(operation->api->store, operation->key, on_object, operation);
}
