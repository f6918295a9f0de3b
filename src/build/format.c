#include "build/format.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "base/vector.h"
#include "build/format_operators_internal.h"
#include "build/header_keys.h"
#include "match/table_memory.h"

#include <stdio.h>
#include <stdlib.h>

struct parser {
    VECTOR(struct format_step) steps;
    struct buffer literal; /* what has been read since the last step */
    enum format_context context;
    const struct build_options *options;
    struct table_memory *memory;
    struct error *error;
    size_t attributes; /* CEL attributes within each other: at most one */
};

static bool push(struct parser *p, struct format_step step)
{
    if (p->steps.count == FORMAT_MAX_STEPS)
        return error_set(p->error, NULL, "a format has at most %d parts", FORMAT_MAX_STEPS);
    vector_push(&p->steps, step);
    return true;
}

static bool flush_literal(struct parser *p)
{
    if (p->literal.size == 0)
        return true;
    static const char padding[FORMAT_LITERAL_PADDING] = {0};
    size_t size = p->literal.size;
    buffer_append(&p->literal, padding, sizeof(padding));
    struct slice text = table_memory_copy(p->memory, buffer_slice(&p->literal));
    text.size = size;
    buffer_reset(&p->literal);
    return push(p, (struct format_step){
                       .field = FORMAT_LITERAL, .text = text, .max_bytes = FORMAT_NO_LIMIT});
}

static void append_literal(struct parser *p, struct slice text)
{
    if (p->context == FORMAT_IN_TEXT)
        buffer_append_slice(&p->literal, text);
    else
        buffer_append_json(&p->literal, text);
}

/* An operator as it was written: %NAME(argument):length% */
struct operator_text {
    struct slice whole, name, argument;
    bool has_argument;
    uint16_t max_bytes;
};

static bool is_name_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* ":12%" or "%" at the front of `rest`; the number in *length. */
static bool read_end(struct slice *rest, uint64_t *length)
{
    struct slice s = *rest, digits;
    if (s.size > 0 && s.data[0] == ':') {
        struct slice after;
        if (!slice_cut(slice_from(s, 1), '%', &digits, &after) ||
            !slice_to_u64(digits, FORMAT_NO_LIMIT - 1, length) || *length == 0)
            return false;
        *rest = after;
        return true;
    }
    if (s.size == 0 || s.data[0] != '%')
        return false;
    *rest = slice_from(s, 1);
    return true;
}

/* An argument ends at the first ")" that an end follows, since time formats hold parentheses and percent signs. */
static bool read_argument(struct operator_text *o, struct slice *rest, uint64_t *length)
{
    for (size_t i = 1; i < rest->size; i++) {
        if (rest->data[i] != ')')
            continue;
        struct slice after = slice_from(*rest, i + 1);
        if (!read_end(&after, length))
            continue;
        o->has_argument = true;
        o->argument = slice_of(rest->data + 1, i - 1);
        *rest = after;
        return true;
    }
    return false;
}

/* *text stands behind the first "%". */
static bool read_operator(struct slice *text, struct operator_text *o)
{
    struct slice start = *text;
    size_t size = 0;
    uint64_t length = FORMAT_NO_LIMIT;
    while (size < text->size && is_name_byte(text->data[size]))
        size++;
    *o = (struct operator_text){.name = slice_take(text, size)};
    if (size == 0 || text->size == 0)
        return false;
    if (text->data[0] == '(' ? !read_argument(o, text, &length) : !read_end(text, &length))
        return false;
    o->max_bytes = (uint16_t)length;
    o->whole = slice_of(start.data - 1, (size_t)(text->data - start.data) + 1);
    return true;
}

static bool refuse(struct parser *p, const struct operator_text *o, const char *why)
{
    return error_set(p->error, NULL, "%.*s: %s", SLICE_ARG(o->whole), why);
}

static bool header_of(struct parser *p, const struct operator_text *o, struct slice name,
                      const struct header_key **out)
{
    struct header_key *key = arena_new(&p->memory->arena, struct header_key);
    if (!header_keys_build(key, name, p->memory))
        return refuse(p, o, "this is no header name");
    *out = key;
    return true;
}

static bool read_headers(struct parser *p, const struct operator_text *o, struct format_step *step)
{
    struct slice first, second;
    bool has_other = slice_cut(o->argument, '?', &first, &second);
    if (!o->has_argument || first.size == 0)
        return refuse(p, o, "a header name is missing: %REQ(NAME)%");
    return header_of(p, o, first, &step->header) &&
           (!has_other || header_of(p, o, second, &step->other));
}

/* "a:b:c": the first is the text, the rest the path. */
static bool read_path(struct parser *p, const struct operator_text *o, struct slice argument,
                      struct format_step *step)
{
    struct slice first, rest = argument, keys[FORMAT_MAX_PATH];
    size_t count = 0;
    bool more = slice_cut(rest, ':', &first, &rest);
    if (first.size == 0)
        return refuse(p, o, "a namespace is missing: NAMESPACE:KEY");
    while (more) {
        if (count == FORMAT_MAX_PATH)
            return refuse(p, o, "there are too many keys");
        more = slice_cut(rest, ':', &keys[count++], &rest);
    }
    step->text = table_memory_copy(p->memory, first);
    struct slice *path = count ? arena_calloc(&p->memory->arena, count, sizeof(*path)) : NULL;
    for (size_t i = 0; i < count; i++)
        path[i] = table_memory_copy(p->memory, keys[i]);
    step->path = path;
    step->path_count = (uint8_t)count;
    return true;
}

static bool read_any_metadata(struct parser *p, const struct operator_text *o,
                              struct format_step *step)
{
    static const struct {
        struct slice kind;
        enum format_field field;
    } kinds[] = {
        {SLICE("DYNAMIC"), FORMAT_DYNAMIC_METADATA},
        {SLICE("CLUSTER"), FORMAT_CLUSTER_METADATA},
        {SLICE("ROUTE"), FORMAT_ROUTE_METADATA},
        {SLICE("UPSTREAM_HOST"), FORMAT_UPSTREAM_METADATA},
        {SLICE("LISTENER"), FORMAT_LISTENER_METADATA},
    };
    struct slice kind, rest;
    slice_cut(o->argument, ':', &kind, &rest);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (slice_equals(kind, kinds[i].kind)) {
            step->field = kinds[i].field;
            return read_path(p, o, rest, step);
        }
    }
    return refuse(p, o, "the kind is one of DYNAMIC, CLUSTER, ROUTE, UPSTREAM_HOST and LISTENER");
}

static bool read_state(struct parser *p, const struct operator_text *o, struct format_step *step)
{
    struct slice key, style;
    bool has_style = slice_cut(o->argument, ':', &key, &style);
    if (key.size == 0)
        return refuse(p, o, "a key is missing");
    step->text = table_memory_copy(p->memory, key);
    step->style = FORMAT_STYLE_TYPED;
    if (!has_style || slice_equals(style, SLICE("TYPED")))
        return true;
    step->style = FORMAT_STYLE_PLAIN;
    return slice_equals(style, SLICE("PLAIN")) || refuse(p, o, "the style is TYPED or PLAIN");
}

static bool read_grpc(struct parser *p, const struct operator_text *o, struct format_step *step)
{
    struct slice style = o->argument;
    step->style = FORMAT_STYLE_CAMEL_STRING;
    if (!o->has_argument || slice_equals(style, SLICE("CAMEL_STRING")))
        return true;
    step->style = FORMAT_STYLE_SNAKE_STRING;
    if (slice_equals(style, SLICE("SNAKE_STRING")))
        return true;
    step->style = FORMAT_STYLE_NUMBER;
    return slice_equals(style, SLICE("NUMBER")) ||
           refuse(p, o, "the style is CAMEL_STRING, SNAKE_STRING or NUMBER");
}

static bool read_which_path(struct parser *p, const struct operator_text *o,
                            struct format_step *step)
{
    struct slice query, which = SLICE("");
    slice_cut(o->argument, ':', &query, &which);
    if (query.size == 0)
        query = SLICE("WQ");
    if (!slice_equals(query, SLICE("WQ")) && !slice_equals(query, SLICE("NQ")))
        return refuse(p, o, "the first argument is WQ or NQ");
    step->text = table_memory_copy(p->memory, query);
    step->style = FORMAT_STYLE_DEFAULT;
    if (which.size == 0 || slice_equals(which, SLICE("ORIG_OR_PATH")))
        return true;
    step->style = FORMAT_STYLE_PATH;
    if (slice_equals(which, SLICE("PATH")))
        return true;
    step->style = FORMAT_STYLE_ORIGINAL_PATH;
    return slice_equals(which, SLICE("ORIG")) ||
           refuse(p, o, "the second argument is PATH, ORIG or ORIG_OR_PATH");
}

static bool literal_value(struct parser *p, const struct operator_text *o, struct slice text)
{
    if (text.size > o->max_bytes)
        text.size = o->max_bytes;
    if (p->context != FORMAT_AS_VALUE) {
        append_literal(p, text.size > 0 ? text : SLICE("-"));
        return true;
    }
    buffer_append_byte(&p->literal, '"');
    append_literal(p, text.size > 0 ? text : SLICE("-"));
    buffer_append_byte(&p->literal, '"');
    return true;
}

static bool environment(struct parser *p, const struct operator_text *o)
{
    if (!o->has_argument || o->argument.size == 0 ||
        slice_find_byte(o->argument, '=') != o->argument.size)
        return refuse(p, o, "the name of a variable is missing: %ENVIRONMENT(NAME)%");
    if (p->options->hides_environment)
        return refuse(p, o, "the environment of a proxy is not for those whose requests it serves");
    owned_str name = slice_to_str(o->argument);
    const char *value = p->options->here ? getenv(name) : NULL;
    return literal_value(p, o, slice_str(value ? value : ""));
}

static bool add_operator(struct parser *p, const struct operator_text *o);

/* An attribute becomes the operator that writes the same; anything else would need an interpreter. */
static bool attribute(struct parser *p, const struct operator_text *o)
{
    char text[HEADER_NAME_MAX + 8];
    struct slice cel = slice_trim(o->argument), prefix = SLICE("request.headers['");
    const char *same = format_of_attribute(cel);
    if (!same && slice_starts_with(cel, prefix) && slice_ends_with(cel, SLICE("']")) &&
        cel.size < HEADER_NAME_MAX + prefix.size) {
        struct slice name = slice_of(cel.data + prefix.size, cel.size - prefix.size - 2);
        snprintf(text, sizeof(text), "REQ(%.*s)", SLICE_ARG(name));
        same = text;
    }
    if (!same || p->attributes++ > 0)
        return refuse(
            p, o, "only plain attributes such as request.method can be written, no expressions");
    owned_str whole = str_format("%s%%", same);
    struct slice rest = slice_str(whole);
    struct operator_text inner;
    bool ok = read_operator(&rest, &inner) && rest.size == 0;
    inner.whole = o->whole;
    inner.max_bytes = o->max_bytes;
    ok = ok ? add_operator(p, &inner) : refuse(p, o, "this is no attribute");
    p->attributes--;
    return ok;
}

/* strftime's conversions that take no modifier, and Envoy's own for fractions: %f, %1f to %9f, %s, %1s to %9s, %E3f. */
static bool take_conversion(struct slice *rest)
{
    static const char conversions[] = "aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ%f";
    char c = rest->size > 0 ? (char)slice_take_byte(rest) : '\0';
    if (c == 'E') {
        if (!slice_starts_with(*rest, SLICE("3f")))
            return false;
        *rest = slice_from(*rest, 2);
        return true;
    }
    if (c >= '1' && c <= '9') {
        char after = rest->size > 0 ? (char)slice_take_byte(rest) : '\0';
        return after == 'f' || after == 's';
    }
    return c != '\0' && strchr(conversions, c);
}

static bool check_time_format(struct parser *p, const struct operator_text *o)
{
    struct slice rest = o->argument;
    while (rest.size > 0) {
        if (slice_take_byte(&rest) == '%' && !take_conversion(&rest))
            return refuse(p, o, "this is no time format");
    }
    return true;
}

static bool fill_step(struct parser *p, const struct operator_text *o,
                      enum format_argument argument, struct format_step *step)
{
    switch (argument) {
    case FORMAT_ARG_NONE:
        return !o->has_argument || o->argument.size == 0 ||
               refuse(p, o, "this operator takes no argument");
    case FORMAT_ARG_TIME:
        step->text = table_memory_copy(p->memory, o->argument);
        return check_time_format(p, o);
    case FORMAT_ARG_HEADER: return read_headers(p, o, step);
    case FORMAT_ARG_METADATA: return read_path(p, o, o->argument, step);
    case FORMAT_ARG_ANY_METADATA: return read_any_metadata(p, o, step);
    case FORMAT_ARG_STATE: return read_state(p, o, step);
    case FORMAT_ARG_GRPC: return read_grpc(p, o, step);
    case FORMAT_ARG_PATH: return read_which_path(p, o, step);
    case FORMAT_ARG_HOSTNAME:
    case FORMAT_ARG_ENVIRONMENT:
    case FORMAT_ARG_CEL: break;
    }
    return false;
}

static bool add_operator(struct parser *p, const struct operator_text *o)
{
    const struct format_operator *known = format_operator_find(o->name);
    if (!known) {
        const char *near = format_operator_near(o->name);
        return error_set(p->error, NULL, "%%%.*s%% is no operator%s%s%s", SLICE_ARG(o->name),
                         near ? "; did you mean %" : "", near ? near : "", near ? "%?" : "");
    }
    switch (known->argument) {
    case FORMAT_ARG_HOSTNAME: return literal_value(p, o, p->options->hostname);
    case FORMAT_ARG_ENVIRONMENT: return environment(p, o);
    case FORMAT_ARG_CEL: return attribute(p, o);
    default: break;
    }
    struct format_step step = {.field = known->field,
                               .part = known->part,
                               .context = p->context,
                               .max_bytes = o->max_bytes};
    return flush_literal(p) && fill_step(p, o, known->argument, &step) && push(p, step);
}

/* One operator and nothing else. */
static bool is_one_operator(struct slice text, struct operator_text *o)
{
    if (text.size < 2 || text.data[0] != '%' || text.data[1] == '%')
        return false;
    text = slice_from(text, 1);
    return read_operator(&text, o) && text.size == 0;
}

static bool parse(struct parser *p, struct slice text)
{
    while (text.size > 0) {
        size_t percent = slice_find_byte(text, '%');
        append_literal(p, slice_take(&text, percent));
        if (text.size == 0)
            break;
        struct slice from = text;
        text = slice_from(text, 1);
        if (text.size > 0 && text.data[0] == '%') {
            append_literal(p, slice_take(&text, 1));
            continue;
        }
        struct operator_text o;
        if (!read_operator(&text, &o))
            return error_set(p->error, NULL,
                             "'%.*s' begins no operator; a percent sign is written %%%%",
                             (int)MIN(from.size, (size_t)32), from.data);
        if (!add_operator(p, &o))
            return false;
    }
    return true;
}

static bool parser_finish(struct parser *p, struct format *format, bool ok)
{
    ok = ok && flush_literal(p);
    if (ok) {
        struct format_step *steps = NULL;
        if (p->steps.count > 0) {
            steps = arena_calloc(&p->memory->arena, p->steps.count, sizeof(*steps));
            memcpy(steps, p->steps.items, p->steps.count * sizeof(*steps));
        }
        format->steps = steps;
        format->count = (uint32_t)p->steps.count;
    }
    vector_fini(&p->steps);
    buffer_fini(&p->literal);
    return ok;
}

bool format_build_text(struct format *format, struct slice text,
                       const struct build_options *options, struct table_memory *memory,
                       struct error *error)
{
    if (text.size > FORMAT_MAX_BYTES)
        return error_set(error, NULL, "the format has %zu bytes, and the limit is %d", text.size,
                         FORMAT_MAX_BYTES);
    struct parser p = {.options = options, .memory = memory, .error = error};
    *format = (struct format){0};
    return parser_finish(&p, format, parse(&p, text));
}

static bool add_value(struct parser *p, const Google__Protobuf__Value *value, size_t depth);

static bool add_member(struct parser *p, struct slice name, bool is_named)
{
    if (!flush_literal(p))
        return false;
    owned_buffer text = {0};
    if (is_named) {
        buffer_append_byte(&text, '"');
        buffer_append_json(&text, name);
        buffer_append_str(&text, "\":");
    }
    struct slice kept = table_memory_copy(p->memory, buffer_slice(&text));
    return push(p, (struct format_step){
                       .field = FORMAT_MEMBER, .text = kept, .max_bytes = FORMAT_NO_LIMIT});
}

static bool add_object(struct parser *p, const Google__Protobuf__Struct *object, size_t depth)
{
    if (depth > FORMAT_MAX_DEPTH)
        return error_set(p->error, NULL, "a JSON format nests at most %d deep", FORMAT_MAX_DEPTH);
    buffer_append_byte(&p->literal, '{');
    for (size_t i = 0; i < object->n_fields; i++) {
        const char *name = object->fields[i]->key ? object->fields[i]->key : "";
        if (!add_member(p, slice_str(name), true))
            return false;
        if (!add_value(p, object->fields[i]->value, depth)) {
            error_prefix(p->error, "%s", name);
            return false;
        }
    }
    buffer_append_byte(&p->literal, '}');
    return true;
}

static bool add_list(struct parser *p, const Google__Protobuf__ListValue *list, size_t depth)
{
    if (depth > FORMAT_MAX_DEPTH)
        return error_set(p->error, NULL, "a JSON format nests at most %d deep", FORMAT_MAX_DEPTH);
    buffer_append_byte(&p->literal, '[');
    for (size_t i = 0; i < list->n_values; i++) {
        if (!add_member(p, SLICE(""), false) || !add_value(p, list->values[i], depth))
            return false;
    }
    buffer_append_byte(&p->literal, ']');
    return true;
}

static bool add_string(struct parser *p, struct slice text)
{
    struct operator_text o;
    if (is_one_operator(text, &o)) {
        p->context = FORMAT_AS_VALUE;
        bool ok = add_operator(p, &o);
        p->context = FORMAT_IN_STRING;
        return ok;
    }
    buffer_append_byte(&p->literal, '"');
    bool ok = parse(p, text);
    buffer_append_byte(&p->literal, '"');
    return ok;
}

static bool add_value(struct parser *p, const Google__Protobuf__Value *value, size_t depth)
{
    switch ((int)(value ? value->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET)) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return add_string(p, slice_str(value->string_value));
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return add_object(p, value->struct_value, depth + 1);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE: return add_list(p, value->list_value, depth + 1);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        buffer_append_str(&p->literal, value->bool_value ? "true" : "false");
        return true;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        if (!__builtin_isfinite(value->number_value))
            return error_set(p->error, NULL, "a number is not finite");
        buffer_format(&p->literal, "%.17g", value->number_value);
        return true;
    default: buffer_append_str(&p->literal, "null"); return true;
    }
}

bool format_build_json(struct format *format, const Google__Protobuf__Struct *object,
                       bool omit_empty, const struct build_options *options,
                       struct table_memory *memory, struct error *error)
{
    struct parser p = {
        .options = options, .memory = memory, .error = error, .context = FORMAT_IN_STRING};
    *format = (struct format){.is_json = true, .omit_empty = omit_empty};
    bool ok = add_object(&p, object, 1);
    buffer_append_byte(&p.literal, '\n');
    return parser_finish(&p, format, ok);
}

bool format_is_literal(const struct format *format, struct slice *text)
{
    if (format->count > 1 || (format->count == 1 && format->steps[0].field != FORMAT_LITERAL))
        return false;
    *text = format->count > 0 ? format->steps[0].text : SLICE("");
    return true;
}
