#include "build/header_edits.h"

#include "base/buffer.h"
#include "build/edits_internal.h"
#include "build/matchers_internal.h"
#include "build/values_internal.h"

#include <stdlib.h>

/* CFG-13: what configuration writes into a head never ends a line. */
static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool build_key(struct builder *b, const char *field, const char *name,
                      struct header_key *key)
{
    if (!build_header_key(b, field, name, key))
        return false;
    return key->source == HEADER_KEY_FIELD ||
           build_fail_at(b, field, "'%s' cannot be edited: use the route's own rewrites", name);
}

static bool build_kind(struct builder *b, const HeaderValueOptionMessage *message,
                       enum header_edit_kind *kind)
{
    static const enum header_edit_kind kinds[] = {HEADER_EDIT_APPEND, HEADER_EDIT_ADD_IF_ABSENT,
                                                  HEADER_EDIT_SET, HEADER_EDIT_SET_IF_PRESENT};
    uint32_t action = (uint32_t)PB_GET(message, append_action, 0);
    if (message->append && action != 0)
        return build_fail_at(b, "append", "append and append_action exclude each other");
    if (action >= COUNT(kinds))
        return build_fail_at(b, "append_action", "%u is no action", action);
    *kind = message->append && !message->append->value ? HEADER_EDIT_SET : kinds[action];
    return true;
}

static bool literals_are_clean(const struct format *format)
{
    for (uint32_t i = 0; i < format->count; i++) {
        if (format->steps[i].field == FORMAT_LITERAL && !is_clean(format->steps[i].text))
            return false;
    }
    return true;
}

static bool build_value(struct builder *b, struct slice text, struct header_edit *edit)
{
    struct format *format = arena_new(&b->memory->arena, struct format);
    if (!build_ok_at(b, "header.value",
                     format_build_text(format, text, b->options, b->memory, b->error)))
        return false;
    if (!literals_are_clean(format))
        return build_fail_at(b, "header.value", "a header value holds no control characters");
    format->omit_empty = true;
    if (!format_is_literal(format, &edit->value))
        edit->format = format;
    return true;
}

static bool build_addition(struct builder *b, const HeaderValueOptionMessage *message,
                           struct header_edit *edit)
{
    if (!build_honours(b, message, "header", "append", "append_action", "keep_empty_value"))
        return false;
    if (!message->header)
        return build_fail_at(b, "header", "this is required");
    *edit = (struct header_edit){.keep_empty = PB_GET(message, keep_empty_value, false),
                                 .value = SLICE("")};
    enum header_edit_kind kind = HEADER_EDIT_APPEND;
    if (!build_kind(b, message, &kind) ||
        !build_key(b, "header.key", message->header->key, &edit->key))
        return false;
    edit->kind = kind;
    edit->name = build_text(b, message->header->key);
    struct slice value = slice_str(pb_str(message->header->value));
    if (value.size == 0 && message->header->has_raw_value)
        value = pb_bytes(message->header->raw_value);
    return build_value(b, value, edit);
}

bool build_header_edits(struct builder *b, const struct edit_messages *messages,
                        struct header_edits *out)
{
    size_t count = messages->add_count + messages->remove_count;
    if (count > HEADER_EDITS_MAX)
        return build_fail_at(b, messages->add_field, "there are %zu edits, and the limit is %d",
                             count, HEADER_EDITS_MAX);
    struct header_edit *edits = build_array(b, struct header_edit, count);
    for (size_t i = 0; i < messages->remove_count; i++) {
        edits[i] = (struct header_edit){.kind = HEADER_EDIT_REMOVE, .value = SLICE("")};
        if (!build_enter_at(b, messages->remove_field, i) ||
            !build_key(b, NULL, messages->remove[i], &edits[i].key))
            return false;
        edits[i].name = edits[i].key.name;
        build_leave(b);
    }
    for (size_t i = 0; i < messages->add_count; i++) {
        if (!build_enter_at(b, messages->add_field, i) ||
            !build_addition(b, messages->add[i], &edits[messages->remove_count + i]))
            return false;
        build_leave(b);
    }
    *out = (struct header_edits){edits, count};
    return true;
}

static bool read_file(struct builder *b, const char *path, size_t most, struct slice *bytes)
{
    *bytes = SLICE("");
    if (!build_required(b, "filename", path, 4096))
        return false;
    if (!b->options->here)
        return true;
    owned_buffer text = {0};
    int error = buffer_read_file(&text, path, most);
    if (error)
        return build_fail_at(b, "filename", "%s: %s", path, strerror(-error));
    *bytes = table_memory_copy(b->memory, buffer_slice(&text));
    return true;
}

static bool read_environment(struct builder *b, const char *name, struct slice *bytes)
{
    *bytes = SLICE("");
    if (!build_required(b, "environment_variable", name, 256))
        return false;
    const char *value = b->options->here ? getenv(name) : "";
    if (!value)
        return build_fail_at(b, "environment_variable", "%s is not set", name);
    *bytes = build_text(b, value);
    return true;
}

bool build_data_source(struct builder *b, const char *field, const DataSourceMessage *message,
                       size_t most, struct slice *bytes)
{
    if (!build_enter(b, field) ||
        !build_honours(b, message, "filename", "inline_bytes", "inline_string",
                       "environment_variable", "watched_directory"))
        return false;
    bool ok = true;
    switch ((int)message->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        *bytes = table_memory_copy(b->memory, pb_bytes(message->inline_bytes));
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        *bytes = build_text(b, pb_str(message->inline_string));
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME:
        ok = read_file(b, message->filename, most, bytes);
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE:
        ok = read_environment(b, message->environment_variable, bytes);
        break;
    default: return build_fail(b, "say where the bytes are: inline_string, inline_bytes, filename");
    }
    if (ok && bytes->size > most)
        return build_fail(b, "there are %zu bytes, and the limit is %zu", bytes->size, most);
    if (ok)
        build_leave(b);
    return ok;
}

bool build_format(struct builder *b, const char *field, const FormatStringMessage *message,
                  struct format *out)
{
    if (!build_enter(b, field) ||
        !build_honours(b, message, "text_format", "json_format", "text_format_source",
                       "omit_empty_values", "content_type", "formatters", "json_format_options"))
        return false;
    struct slice text = SLICE_NONE;
    bool omit = PB_GET(message, omit_empty_values, false), ok = true;
    switch ((int)message->format_case) {
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        text = slice_str(pb_str(message->text_format));
        break;
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE:
        ok = build_data_source(b, "text_format_source", message->text_format_source,
                               FORMAT_MAX_BYTES, &text);
        break;
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT: break;
    default: return build_fail(b, "say which format: text_format_source or json_format");
    }
    if (!ok)
        return false;
    if (text.data)
        ok = build_ok(b, format_build_text(out, text, b->options, b->memory, b->error));
    else
        ok = build_ok_at(
            b, "json_format",
            format_build_json(out, message->json_format, omit, b->options, b->memory, b->error));
    if (!ok)
        return false;
    out->omit_empty = omit;
    out->content_type = build_text(b, pb_str(message->content_type));
    build_leave(b);
    return true;
}
