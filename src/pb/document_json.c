/* Strict JSON by jansson, whose cost is bounded before it begins. */
#include "pb/document.h"

/* Depth and number of values, counted without parsing: what jansson would recurse into and allocate. */
static bool scan_json(struct slice text, const struct text_limits *limits, struct error *error)
{
    size_t depth = 0, values = 1;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (quoted) {
            if (c == '\\')
                i++;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
            values++;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
        if (depth > limits->max_depth)
            return error_set(error, "TUL0003", "lists and objects are nested more than %zu deep",
                             limits->max_depth);
        if (values > limits->max_values)
            return error_set(error, "TUL0003", "there are more than %zu values",
                             limits->max_values);
    }
    return true;
}

bool document_read_json(struct slice text, const char *name, const struct text_limits *limits,
                        struct arena *arena, struct value **out, struct error *error)
{
    if (!limits)
        limits = &TEXT_LIMITS;
    if (text.size > limits->max_bytes) {
        error_set(error, "TUL0003", "the text has %zu bytes, more than the limit of %zu", text.size,
                  limits->max_bytes);
        error_at(error, "%s", name);
        return false;
    }
    if (!scan_json(text, limits, error)) {
        error_at(error, "%s", name);
        return false;
    }
    json_error_t wrong;
    json_t *json = json_loadb(text.data ? text.data : "", text.size,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &wrong);
    if (!json) {
        error_set(error, "TUL0001", "this is not JSON: %s", wrong.text);
        error_at(error, "%s:%d:%d", name, wrong.line, wrong.column);
        return false;
    }
    *out = value_from_json(json, arena);
    json_decref(json);
    if (!*out) /* the scan leaves this to malformed text only, which jansson has refused */
        return error_set(error, "TUL0003", "lists and objects are nested too deep");
    return true;
}
