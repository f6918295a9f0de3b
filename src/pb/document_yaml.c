/* YAML by libyaml's events, into a tree, with every cost bounded: libyaml itself has no limits. */
#include "base/map.h"
#include "base/memory.h"
#include "pb/document.h"
#include "pb/number_internal.h"
#include "pb/yaml_internal.h"

#include <yaml.h>

enum { FEW_MEMBERS = 16 };

/* A list or object that is open. */
struct open_value {
    struct value *value;
    struct slice anchor;
    struct slice key; /* of an object: the member that comes next, when has_key */
    uint32_t key_line, key_column;
    bool has_key;
    size_t values_before; /* the reader's count when it opened */
    struct map *members;  /* of an object with more than FEW_MEMBERS: its keys */
};

struct anchor {
    struct slice name;
    struct value *value;
    size_t values;
    struct anchor *next;
};

struct reader {
    const struct text_limits *limits;
    const char *name;
    struct arena *arena;
    struct error *error;
    struct value **documents; /* in the arena, room for powers of two */
    size_t document_count;
    size_t values, alias_values;
    struct anchor *anchors; /* of this document, newest first */
    struct value *root;
    size_t depth;
    struct open_value open[DOCUMENT_MAX_DEPTH];
};

enum value_kind yaml_resolve(struct slice plain, char *json, size_t *json_size)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const yes[] = {"y",  "Y",  "yes",  "Yes",  "YES", "on",
                                      "On", "ON", "true", "True", "TRUE"};
    static const char *const no[] = {"n",   "N",   "no",    "No",    "NO",   "off",
                                     "Off", "OFF", "false", "False", "FALSE"};
    for (size_t i = 0; i < COUNT(nulls); i++)
        if (slice_equals_str(plain, nulls[i]))
            return VALUE_NULL;
    for (size_t i = 0; i < COUNT(yes); i++)
        if (slice_equals_str(plain, yes[i]) || slice_equals_str(plain, no[i])) {
            *json_size =
                (size_t)sprintf(json, "%s", slice_equals_str(plain, yes[i]) ? "true" : "false");
            return VALUE_BOOL;
        }
    return number_from_yaml(plain, json, json_size) ? VALUE_NUMBER : VALUE_STRING;
}

static bool refuse_at(struct reader *r, yaml_mark_t mark, const char *code, const char *format, ...)
    PRINTF(4, 5);
static bool refuse_at(struct reader *r, yaml_mark_t mark, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str what = str_format_v(format, args);
    va_end(args);
    error_set(r->error, code, "%s", what);
    error_at(r->error, "%s:%zu:%zu", r->name, mark.line + 1, mark.column + 1);
    return false;
}

static struct slice event_slice(struct reader *r, const yaml_char_t *text, size_t size)
{
    struct slice bytes = slice_of(text, size);
    return slice_of(arena_copy(r->arena, bytes), size);
}

static bool count_value(struct reader *r, yaml_mark_t mark)
{
    if (++r->values > r->limits->max_values)
        return refuse_at(r, mark, "TUL0003", "there are more than %zu values",
                         r->limits->max_values);
    return true;
}

/* Keys are few in most objects; where they are many they are looked up, not compared one by one. */
static struct value *find_member(struct open_value *object, struct slice key)
{
    if (!object->members && object->value->count < FEW_MEMBERS)
        return value_get_slice(object->value, key);
    if (!object->members) {
        object->members = map_create_hostile();
        VALUE_EACH(member, object->value)
        map_put(object->members, member->key, member);
    }
    return map_get(object->members, key);
}

/* Gives a finished or opening value its place: in the open list or object, or as the document itself. */
static void attach(struct reader *r, struct value *value)
{
    if (r->depth == 0) {
        r->root = value;
        return;
    }
    struct open_value *parent = &r->open[r->depth - 1];
    if (parent->value->kind == VALUE_OBJECT) {
        value->key = parent->key;
        value->key_line = parent->key_line;
        value->key_column = parent->key_column;
        parent->has_key = false;
        if (parent->members)
            map_put(parent->members, value->key, value);
    }
    value_append(parent->value, value);
}

static bool take_key(struct reader *r, const yaml_event_t *event)
{
    struct open_value *object = &r->open[r->depth - 1];
    struct slice key = event_slice(r, event->data.scalar.value, event->data.scalar.length);
    if (memchr(key.data, 0, key.size))
        return refuse_at(r, event->start_mark, "TUL0001", "a name holds a NUL character");
    const struct value *same = find_member(object, key);
    if (same)
        return refuse_at(r, event->start_mark, "TUL0004",
                         "\"%.*s\" is there twice, first in line %u", SLICE_ARG(key),
                         same->key_line);
    object->key = key;
    object->key_line = (uint32_t)event->start_mark.line + 1;
    object->key_column = (uint32_t)event->start_mark.column + 1;
    object->has_key = true;
    return true;
}

static bool at_key(const struct reader *r)
{
    return r->depth > 0 && r->open[r->depth - 1].value->kind == VALUE_OBJECT &&
           !r->open[r->depth - 1].has_key;
}

static void remember_anchor(struct reader *r, struct slice name, struct value *value, size_t values)
{
    if (name.size == 0 || r->limits->max_alias_values == 0)
        return;
    struct anchor *anchor = arena_new(r->arena, struct anchor);
    *anchor = (struct anchor){name, value, values, r->anchors};
    r->anchors = anchor;
}

static struct slice anchor_name(struct reader *r, const yaml_char_t *anchor)
{
    return anchor ? event_slice(r, anchor, strlen((const char *)anchor)) : SLICE_NONE;
}

/* YAML's own tags for what a scalar is anyway; anything else is a program's private matter. */
static bool read_tag(struct reader *r, const yaml_event_t *event, const yaml_char_t *tag,
                     bool *string)
{
    *string = false;
    if (!tag)
        return true;
    if (strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, YAML_STR_TAG) == 0) {
        *string = true;
        return true;
    }
    static const char *const known[] = {YAML_NULL_TAG,  YAML_BOOL_TAG, YAML_INT_TAG,
                                        YAML_FLOAT_TAG, YAML_SEQ_TAG,  YAML_MAP_TAG};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp((const char *)tag, known[i]) == 0)
            return true;
    return refuse_at(r, event->start_mark, "TUL0001", "the tag %.60s is not supported",
                     (const char *)tag);
}

static struct value *place(struct value *value, const yaml_event_t *event)
{
    value->line = (uint32_t)event->start_mark.line + 1;
    value->column = (uint32_t)event->start_mark.column + 1;
    return value;
}

static bool take_scalar(struct reader *r, const yaml_event_t *event)
{
    bool string;
    if (!read_tag(r, event, event->data.scalar.tag, &string))
        return false;
    if (at_key(r))
        return take_key(r, event);
    if (!count_value(r, event->start_mark))
        return false;
    struct slice text = slice_of(event->data.scalar.value, event->data.scalar.length);
    if (memchr(text.data, 0, text.size))
        return refuse_at(r, event->start_mark, "TUL0001", "a string holds a NUL character");
    char json[NUMBER_MAX_BYTES + 8];
    size_t json_size = 0;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    enum value_kind kind = plain && !string ? yaml_resolve(text, json, &json_size) : VALUE_STRING;
    struct value *value = place(value_new(r->arena, kind), event);
    value->quoted = !plain;
    struct slice meaning = kind == VALUE_STRING ? text : slice_of(json, json_size);
    value->text = slice_of(arena_copy(r->arena, meaning), meaning.size);
    if (kind != VALUE_STRING && !slice_equals(meaning, text))
        value->raw = slice_of(arena_copy(r->arena, text), text.size);
    attach(r, value);
    remember_anchor(r, anchor_name(r, event->data.scalar.anchor), value, 1);
    return true;
}

static bool open_value(struct reader *r, const yaml_event_t *event, enum value_kind kind,
                       const yaml_char_t *anchor, const yaml_char_t *tag)
{
    bool string;
    if (!read_tag(r, event, tag, &string))
        return false;
    if (at_key(r))
        return refuse_at(r, event->start_mark, "TUL0001", "a name is expected here, not %s",
                         kind == VALUE_LIST ? "a list" : "an object");
    if (r->depth >= r->limits->max_depth || r->depth >= DOCUMENT_MAX_DEPTH)
        return refuse_at(r, event->start_mark, "TUL0003",
                         "lists and objects are nested more than %zu deep", r->limits->max_depth);
    if (!count_value(r, event->start_mark))
        return false;
    struct value *value = place(value_new(r->arena, kind), event);
    attach(r, value);
    r->open[r->depth++] = (struct open_value){
        .value = value, .anchor = anchor_name(r, anchor), .values_before = r->values - 1};
    return true;
}

static void close_value(struct reader *r)
{
    struct open_value *closed = &r->open[--r->depth];
    map_destroy(closed->members);
    remember_anchor(r, closed->anchor, closed->value, r->values - closed->values_before);
}

/* Deep, so that no two places share a value. NULL when it would nest too deep. */
static struct value *copy_value(struct reader *r, const struct value *value, size_t depth)
{
    bool nested = value->kind == VALUE_LIST || value->kind == VALUE_OBJECT;
    if (nested && depth == 0)
        return NULL;
    struct value *copy = arena_new(r->arena, struct value);
    *copy = *value;
    copy->first = copy->last = copy->next = NULL;
    copy->count = 0;
    VALUE_EACH(child, value)
    {
        struct value *copied = copy_value(r, child, depth - 1);
        if (!copied)
            return NULL;
        value_append(copy, copied);
    }
    return copy;
}

static bool take_alias(struct reader *r, const yaml_event_t *event)
{
    if (r->limits->max_alias_values == 0)
        return refuse_at(r, event->start_mark, "TUL0005",
                         "aliases (*%s) are not supported; write the value out",
                         (const char *)event->data.alias.anchor);
    if (at_key(r))
        return refuse_at(r, event->start_mark, "TUL0005", "an alias cannot be a name");
    struct slice name = slice_str((const char *)event->data.alias.anchor);
    const struct anchor *anchor = r->anchors;
    while (anchor && !slice_equals(anchor->name, name))
        anchor = anchor->next;
    if (!anchor) /* also one that stands within what it names */
        return refuse_at(r, event->start_mark, "TUL0005", "there is no anchor &%.*s before here",
                         SLICE_ARG(name));
    r->alias_values += anchor->values;
    r->values += anchor->values;
    if (r->alias_values > r->limits->max_alias_values || r->values > r->limits->max_values)
        return refuse_at(r, event->start_mark, "TUL0005", "aliases add more than %zu values",
                         r->limits->max_alias_values);
    struct value *copy = copy_value(r, anchor->value, r->limits->max_depth - r->depth);
    if (!copy)
        return refuse_at(r, event->start_mark, "TUL0003",
                         "lists and objects are nested more than %zu deep", r->limits->max_depth);
    copy->key = SLICE_NONE;
    attach(r, copy);
    return true;
}

static void end_document(struct reader *r)
{
    r->anchors = NULL;
    if (r->root && !(r->root->kind == VALUE_NULL && r->root->raw.size == 0)) {
        if ((r->document_count & (r->document_count - 1)) == 0) {
            struct value **grown =
                arena_calloc(r->arena, MAX(2 * r->document_count, (size_t)1), sizeof(*grown));
            if (r->document_count)
                memcpy(grown, r->documents, r->document_count * sizeof(*grown));
            r->documents = grown;
        }
        r->documents[r->document_count++] = r->root;
    }
    r->root = NULL;
}

static bool take_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return take_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_value(r, event, VALUE_LIST, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_value(r, event, VALUE_OBJECT, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: close_value(r); return true;
    case YAML_ALIAS_EVENT: return take_alias(r, event);
    case YAML_DOCUMENT_END_EVENT: end_document(r); return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT: break;
    }
    return true;
}

/* libyaml compares every %TAG directive with all before it; nobody who configures a mesh writes one. */
static bool check_directives(struct reader *r, struct slice text)
{
    size_t line = 0;
    for (size_t at = 0; at < text.size; line++) {
        struct slice rest = slice_from(text, at);
        if (slice_starts_with(rest, SLICE("%TAG")))
            return refuse_at(r, (yaml_mark_t){0, line, 0}, "TUL0001",
                             "%%TAG directives are not supported");
        at += slice_find_byte(rest, '\n') + 1;
    }
    return true;
}

static bool tell_parser_error(struct reader *r, const yaml_parser_t *parser)
{
    yaml_mark_t mark = parser->problem_mark;
    const char *problem = parser->problem ? parser->problem : "it cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        error_set(r->error, "TUL0001", "this is not YAML: %s, at byte %zu", problem,
                  parser->problem_offset);
        error_at(r->error, "%s", r->name);
        return false;
    }
    if (parser->context)
        return refuse_at(r, mark, "TUL0001", "this is not YAML: %s, %s in line %zu", problem,
                         parser->context, parser->context_mark.line + 1);
    return refuse_at(r, mark, "TUL0001", "this is not YAML: %s", problem);
}

static bool read_events(struct reader *r, yaml_parser_t *parser)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    while (type != YAML_STREAM_END_EVENT) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return tell_parser_error(r, parser);
        type = event.type;
        bool taken = take_event(r, &event);
        yaml_event_delete(&event);
        if (!taken)
            return false;
    }
    return true;
}

static bool read_yaml(struct reader *r, struct slice text)
{
    if (text.size > r->limits->max_bytes) {
        error_set(r->error, "TUL0003", "the text has %zu bytes, more than the limit of %zu",
                  text.size, r->limits->max_bytes);
        error_at(r->error, "%s", r->name);
        return false;
    }
    if (!check_directives(r, text))
        return false;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.data ? text.data : ""),
                                 text.size);
    bool read = read_events(r, &parser);
    yaml_parser_delete(&parser);
    while (r->depth > 0)
        map_destroy(r->open[--r->depth].members);
    return read;
}

static bool looks_like_json(struct slice text)
{
    while (text.size > 0 && strchr(" \t\r\n", text.data[0]))
        text = slice_from(text, 1);
    return text.size > 0 && (text.data[0] == '{' || text.data[0] == '[');
}

bool document_read_yaml(struct slice text, const char *name, const struct text_limits *limits,
                        struct arena *arena, struct documents *out, struct error *error)
{
    owned_error wrong = {0};
    struct reader r = {
        .limits = limits ? limits : &TEXT_LIMITS, .name = name, .arena = arena, .error = &wrong};
    if (read_yaml(&r, text)) {
        *out = (struct documents){r.documents, r.document_count};
        return true;
    }
    /* JSON that libyaml cannot read, such as surrogate pairs, loses its places and nothing else. */
    struct value *json;
    if (looks_like_json(text) && document_read_json(text, name, limits, arena, &json, NULL)) {
        out->items = arena_calloc(arena, 1, sizeof(struct value *));
        out->items[0] = json;
        out->count = 1;
        return true;
    }
    if (error)
        error_move(error, &wrong);
    return false;
}
