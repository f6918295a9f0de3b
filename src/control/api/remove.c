/* delete and deletecollection. */
#include "control/api/operation_internal.h"

#include "base/vector.h"
#include "control/model/object.h"

#include <inttypes.h>

enum { ATTEMPTS_MAX = 8, REMOVE_BATCH = STORE_TXN_MAX / 2 };

static void ask(struct operation *operation);

static void not_found(struct operation *operation)
{
    operation_fail(operation, 404, "%s \"%.*s\" not found",
                   status_resource(operation_kind(operation), &operation->arena),
                   SLICE_ARG(operation->request.name));
}

static bool check_source(struct operation *operation, const struct value *stored)
{
    struct slice source = object_source(stored);
    if (source.size == 0)
        return true;
    return fail(&operation->failure, &operation->arena, 409,
                "%s \"%.*s\" comes from the file %.*s; delete that file instead",
                status_resource(operation_kind(operation), &operation->arena),
                SLICE_ARG(tree_text(stored, "metadata.name")), SLICE_ARG(slice_from(source, 4)));
}

/* The preconditions of DeleteOptions. */
static bool check_conditions(struct operation *operation, const struct value *stored)
{
    struct slice uid = tree_text(operation->wanted, "preconditions.uid");
    struct slice revision = tree_text(operation->wanted, "preconditions.resourceVersion");
    const char *current = arena_format(&operation->arena, "%" PRIu64, operation->stored_revision);
    operation->conditional = revision.size > 0;
    if ((uid.size == 0 || slice_equals(uid, tree_text(stored, "metadata.uid"))) &&
        (revision.size == 0 || slice_equals_str(revision, current)))
        return true;
    return fail(&operation->failure, &operation->arena, 409,
                "Precondition failed: the object is another one, or was changed");
}

static void answer(struct operation *operation)
{
    struct slice uid = tree_text(operation->presented, "metadata.uid");
    operation_reply(operation, 200,
                    status_of_success(operation_kind(operation), operation->request.name, uid,
                                      &operation->arena));
}

static void on_removed(void *owner, const struct store_written *written)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (written->status == STORE_OK)
        answer(operation);
    else if (written->status == STORE_CONFLICT && !operation->conditional &&
             ++operation->attempts < ATTEMPTS_MAX)
        ask(operation);
    else
        operation_fail_store(operation, written->status, written->reason);
}

static void on_stored(void *owner, const struct store_page *page)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        operation_fail_store(operation, page->status, page->reason);
        return;
    }
    struct value *stored =
        page->count ? present_read(page->entries[0].value, &operation->arena) : NULL;
    if (!stored) {
        not_found(operation);
        return;
    }
    operation->stored_revision = page->entries[0].revision;
    operation->presented = stored;
    if (!check_source(operation, stored) || !check_conditions(operation, stored)) {
        operation_refuse(operation);
        return;
    }
    if (operation->request.dry_run) {
        answer(operation);
        return;
    }
    struct store_compare compare = {operation->key, operation->stored_revision};
    struct store_txn txn = {
        .compares = &compare, .compare_count = 1, .deletes = &operation->key, .delete_count = 1};
    operation->ticket = store_txn(operation->api->store, &txn, on_removed, operation);
}

static void ask(struct operation *operation)
{
    operation->ticket = store_get(operation->api->store, operation->key, on_stored, operation);
}

/* --- a collection ------------------------------------------------------------------------------------------------ */

static void ask_page(struct operation *operation);

static void on_batch_removed(void *owner, const struct store_written *written)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (written->status == STORE_CONFLICT && ++operation->attempts < ATTEMPTS_MAX)
        operation->request.after = SLICE_NONE; /* somebody changed one: look again */
    else if (written->status != STORE_OK) {
        operation_fail_store(operation, written->status, written->reason);
        return;
    }
    ask_page(operation);
}

/* What the selector lets through, up to a batch. False when one of them belongs to a file. */
static bool gather(struct operation *operation, const struct store_page *page,
                   struct store_compare *compares, struct slice *keys, size_t *count)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct store_entry *entry = &page->entries[i];
        struct value *document = present_read(entry->value, &operation->arena);
        if (!document || !selector_matches(&operation->request.selector, document))
            continue;
        if (!check_source(operation, document))
            return false;
        keys[*count] = entry->key;
        compares[(*count)++] = (struct store_compare){entry->key, entry->revision};
    }
    return true;
}

static void on_page(void *owner, const struct store_page *page)
{
    struct operation *operation = owner;
    struct store_compare compares[REMOVE_BATCH];
    struct slice keys[REMOVE_BATCH];
    size_t count = 0;
    operation->ticket = 0;
    if (page->status != STORE_OK) {
        operation_fail_store(operation, page->status, page->reason);
        return;
    }
    if (!gather(operation, page, compares, keys, &count)) {
        operation_refuse(operation);
        return;
    }
    if (page->count == 0 || (count == 0 && !page->has_more)) {
        answer(operation);
        return;
    }
    struct slice last = page->entries[page->count - 1].key;
    operation->request.after = slice_of(arena_copy(&operation->arena, last), last.size);
    if (count == 0 || operation->request.dry_run) {
        ask_page(operation);
        return;
    }
    struct store_txn txn = {
        .compares = compares, .compare_count = count, .deletes = keys, .delete_count = count};
    operation->ticket = store_txn(operation->api->store, &txn, on_batch_removed, operation);
}

static void ask_page(struct operation *operation)
{
    struct request *request = &operation->request;
    struct store_list list = {
        .prefix = object_key_prefix(request->kind, request->name_space, &operation->arena),
        .after = request->after,
        .limit = REMOVE_BATCH};
    operation->ticket = store_list(operation->api->store, &list, on_page, operation);
}

void remove_start(struct operation *operation)
{
    struct request *request = &operation->request;
    if (operation->body.size > 0 && !operation_read_body(operation, &operation->wanted))
        return;
    const struct value *dry = value_get(operation->wanted, "dryRun");
    request->dry_run = request->dry_run || (dry && dry->kind == VALUE_LIST && dry->count > 0);
    if (request->verb == VERB_DELETE_COLLECTION) {
        ask_page(operation);
        return;
    }
    operation->key =
        object_key_make(request->kind, request->name_space, request->name, &operation->arena);
    ask(operation);
}
