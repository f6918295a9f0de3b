/* Trees to JSON, by hand because it is a page, and to YAML by libyaml's emitter, which knows what must be quoted. */
#include "pb/document.h"
#include "pb/number_internal.h"
#include "pb/yaml_internal.h"

#include <stdlib.h>
#include <yaml.h>

static void new_line(struct buffer *out, bool pretty, size_t depth)
{
    if (!pretty)
        return;
    buffer_append_byte(out, '\n');
    for (size_t i = 0; i < depth; i++)
        buffer_append(out, "  ", 2);
}

static void write_text(struct buffer *out, struct slice text)
{
    buffer_append_byte(out, '"');
    buffer_append_json(out, text);
    buffer_append_byte(out, '"');
}

static void write_json(const struct value *value, bool pretty, size_t depth, struct buffer *out)
{
    switch (value->kind) {
    case VALUE_NULL: buffer_append_str(out, "null"); return;
    case VALUE_BOOL:
    case VALUE_NUMBER: buffer_append_slice(out, value->text); return;
    case VALUE_STRING: write_text(out, value->text); return;
    case VALUE_LIST:
    case VALUE_OBJECT: break;
    }
    bool object = value->kind == VALUE_OBJECT;
    buffer_append_byte(out, object ? '{' : '[');
    VALUE_EACH(child, value)
    {
        new_line(out, pretty, depth + 1);
        if (object) {
            write_text(out, child->key);
            buffer_append_str(out, pretty ? ": " : ":");
        }
        write_json(child, pretty, depth + 1, out);
        if (child->next)
            buffer_append_byte(out, ',');
    }
    if (value->first)
        new_line(out, pretty, depth);
    buffer_append_byte(out, object ? '}' : ']');
}

void value_write_json(const struct value *value, bool pretty, struct buffer *out)
{
    write_json(value, pretty, 0, out);
    if (pretty)
        buffer_append_byte(out, '\n');
}

static int write_bytes(void *out, unsigned char *bytes, size_t size)
{
    buffer_append(out, bytes, size);
    return 1;
}

/* The emitter can only run out of memory. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
    if (!yaml_emitter_emit(emitter, event))
        abort();
}

static void emit_scalar(yaml_emitter_t *emitter, struct slice text, bool string)
{
    char json[NUMBER_MAX_BYTES + 8];
    size_t size;
    bool plain = !string || yaml_resolve(text, json, &size) == VALUE_STRING;
    yaml_scalar_style_t style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    if (plain)
        style = memchr(text.data, '\n', text.size) ? YAML_LITERAL_SCALAR_STYLE
                                                   : YAML_PLAIN_SCALAR_STYLE;
    yaml_event_t event;
    if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text.data,
                                      (int)text.size, plain, 1, style))
        abort();
    emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, const struct value *value)
{
    yaml_event_t event;
    if (value->kind == VALUE_NULL) {
        emit_scalar(emitter, SLICE("null"), false);
    } else if (value->kind == VALUE_LIST) {
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                             value->first ? YAML_BLOCK_SEQUENCE_STYLE
                                                          : YAML_FLOW_SEQUENCE_STYLE);
        emit(emitter, &event);
        VALUE_EACH(item, value)
        emit_value(emitter, item);
        yaml_sequence_end_event_initialize(&event);
        emit(emitter, &event);
    } else if (value->kind == VALUE_OBJECT) {
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                            value->first ? YAML_BLOCK_MAPPING_STYLE
                                                         : YAML_FLOW_MAPPING_STYLE);
        emit(emitter, &event);
        VALUE_EACH(member, value)
        {
            emit_scalar(emitter, member->key, true);
            emit_value(emitter, member);
        }
        yaml_mapping_end_event_initialize(&event);
        emit(emitter, &event);
    } else {
        emit_scalar(emitter, value->text, value->kind == VALUE_STRING);
    }
}

void value_write_yaml(const struct value *value, struct buffer *out)
{
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&emitter))
        abort();
    yaml_emitter_set_output(&emitter, write_bytes, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&emitter, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&emitter, &event);
    emit_value(&emitter, value);
    yaml_document_end_event_initialize(&event, 1);
    emit(&emitter, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&emitter, &event);
    yaml_emitter_delete(&emitter);
}
