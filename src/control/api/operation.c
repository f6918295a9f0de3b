#include "control/api/operation_internal.h"

#include "base/memory.h"
#include "control/api/table.h"

#include <stdarg.h>

const struct pb_kind *operation_kind(const struct operation *operation)
{
    return operation->request.target == TARGET_OBJECTS ? kind_schema(operation->request.kind)
                                                       : NULL;
}

int64_t operation_now_s(const struct operation *operation)
{
    return loop_wall_us(operation->api->loop) / 1000000;
}

void operation_reply(struct operation *operation, unsigned code, const struct value *answer)
{
    owned_buffer text = {0};
    value_write_json(answer, false, &text);
    buffer_append_byte(&text, '\n');
    struct rpc_header headers[2] = {{SLICE("content-type"), SLICE("application/json")}};
    size_t count = 1;
    if (operation->warning)
        headers[count++] = (struct rpc_header){SLICE("warning"), slice_str(operation->warning)};
    rpc_exchange_reply_with(operation->exchange, code, headers, count, buffer_slice(&text));
}

void operation_refuse(struct operation *operation)
{
    struct slice name = operation->request.name;
    if (name.size == 0)
        name = tree_text(operation->wanted, "metadata.name");
    operation_reply(
        operation, operation->failure.code,
        status_of_failure(&operation->failure, operation_kind(operation), name, &operation->arena));
}

void operation_fail(struct operation *operation, unsigned code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str text = str_format_v(format, args);
    va_end(args);
    fail(&operation->failure, &operation->arena, code, "%s", text);
    operation_refuse(operation);
}

void operation_fail_store(struct operation *operation, enum store_status status, const char *reason)
{
    reason = reason ? reason : store_status_name(status);
    switch (status) {
    case STORE_COMPACTED:
        operation_fail(operation, 410, "The resourceVersion is too old: %s", reason);
        return;
    case STORE_FUTURE:
        fail(&operation->failure, &operation->arena, 504, "Too large resource version: %s", reason);
        operation_refuse(operation);
        return;
    case STORE_TOO_LARGE: operation_fail(operation, 413, "%s", reason); return;
    case STORE_NO_LEASE: operation_fail(operation, 404, "%s", reason); return;
    case STORE_CONFLICT:
        operation_fail(operation, 409,
                       "the object has been modified; please apply your changes to "
                       "the latest version and try again");
        return;
    case STORE_OK:
    case STORE_UNAVAILABLE: break;
    }
    operation_fail(operation, 503, "%s", reason);
}

enum present_form operation_form(const struct operation *operation)
{
    return present_form_of(rpc_exchange_header(operation->exchange, "accept"));
}

void operation_reply_object(struct operation *operation, unsigned code,
                            const struct value *presented, uint64_t revision)
{
    struct arena *arena = &operation->arena;
    enum kind kind = operation->request.kind;
    struct value *rows, *table;
    switch (operation_form(operation)) {
    case PRESENT_OBJECT: operation_reply(operation, code, presented); return;
    case PRESENT_METADATA:
        operation_reply(operation, code, present_metadata(presented, arena));
        return;
    case PRESENT_TABLE: break;
    }
    table = table_begin(kind, revision, NULL, arena, &rows);
    value_append(rows, table_row(kind, presented, operation->request.include_object,
                                 operation_now_s(operation), arena));
    operation_reply(operation, code, table);
}

bool operation_read_body(struct operation *operation, struct value **out)
{
    struct slice type = rpc_exchange_header(operation->exchange, "content-type");
    owned_error error = {0};
    bool good;
    if (slice_find(type, SLICE("protobuf")) != SIZE_MAX ||
        slice_find(type, SLICE("cbor")) != SIZE_MAX) {
        operation_fail(operation, 415, "send application/json, not %.*s", SLICE_ARG(type));
        return false;
    }
    if (slice_find(type, SLICE("yaml")) != SIZE_MAX) {
        struct documents documents = {0};
        good = document_read_yaml(operation->body, "request", NULL, &operation->arena, &documents,
                                  &error);
        if (good && documents.count != 1)
            good =
                error_set(&error, NULL, "the body holds %zu documents, not one", documents.count);
        if (good)
            *out = documents.items[0];
    } else {
        good = document_read_json(operation->body, "request", NULL, &operation->arena, out, &error);
    }
    if (!good) {
        owned_str text = error_text(&error, true);
        operation_fail(operation, 400, "the body cannot be read: %s", text);
    }
    return good;
}
