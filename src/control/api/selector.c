#include "control/api/selector.h"

#include "control/api/tree.h"

enum term_kind { TERM_IN, TERM_NOT_IN, TERM_EXISTS, TERM_ABSENT };

struct selector_term {
    enum term_kind kind;
    bool field; /* key is "metadata.name", say; else a label */
    struct slice key;
    struct slice *values;
    size_t value_count;
};

static struct slice trim(struct slice s)
{
    return slice_trim(s);
}

static bool refuse(struct error *error, struct slice text, const char *why)
{
    return error_set(error, NULL, "\"%.*s\" is no selector: %s", SLICE_ARG(text), why);
}

/* Label keys and values: letters, digits, and - _ . / between them. */
static bool is_word(struct slice word, bool may_be_empty)
{
    if (word.size > 253 + 1 + 63 || (word.size == 0 && !may_be_empty))
        return false;
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.' || c == '/'))
            return false;
    }
    return true;
}

static struct selector_term *add_term(struct selector *selector, struct arena *arena)
{
    if (selector->count == SELECTOR_TERMS_MAX)
        return NULL;
    if (!selector->terms)
        selector->terms = arena_calloc(arena, SELECTOR_TERMS_MAX, sizeof(*selector->terms));
    return &selector->terms[selector->count++];
}

static void set_one(struct selector_term *term, struct slice value, struct arena *arena)
{
    term->values = arena_new(arena, struct slice);
    term->values[0] = value;
    term->value_count = 1;
}

/* "(a,b)" into the term's values. */
static bool read_set(struct selector_term *term, struct slice list, struct arena *arena)
{
    list = trim(list);
    if (list.size < 2 || list.data[0] != '(' || list.data[list.size - 1] != ')')
        return false;
    list = slice_of(list.data + 1, list.size - 2);
    term->values = arena_calloc(arena, SELECTOR_VALUES_MAX, sizeof(*term->values));
    struct slice value;
    bool more;
    do {
        more = slice_cut(list, ',', &value, &list);
        value = trim(value);
        if (term->value_count == SELECTOR_VALUES_MAX || !is_word(value, true))
            return false;
        term->values[term->value_count++] = value;
    } while (more);
    return true;
}

/* "key in (a,b)" or "key notin (a,b)". */
static bool read_set_term(struct selector_term *term, struct slice text, struct arena *arena)
{
    struct slice rest;
    if (!slice_cut(text, ' ', &term->key, &rest))
        return false;
    rest = trim(rest);
    if (slice_starts_with(rest, SLICE("notin"))) {
        term->kind = TERM_NOT_IN;
        return read_set(term, slice_from(rest, 5), arena);
    }
    term->kind = TERM_IN;
    return slice_starts_with(rest, SLICE("in")) && read_set(term, slice_from(rest, 2), arena);
}

static bool read_term(struct selector_term *term, struct slice text, struct arena *arena)
{
    size_t equals = slice_find_byte(text, '=');
    text = trim(text);
    if (slice_find_byte(text, '(') < text.size)
        return read_set_term(term, text, arena) && is_word(term->key, false);
    if (equals == text.size || slice_find_byte(text, '=') == text.size) {
        bool absent = text.size > 0 && text.data[0] == '!';
        term->kind = absent ? TERM_ABSENT : TERM_EXISTS;
        term->key = trim(slice_from(text, absent));
        return is_word(term->key, false);
    }
    struct slice key, value;
    (void)slice_cut(text, '=', &key, &value);
    term->kind = TERM_IN;
    if (key.size > 0 && key.data[key.size - 1] == '!') {
        term->kind = TERM_NOT_IN;
        key.size--;
    } else if (value.size > 0 && value.data[0] == '=') {
        value = slice_from(value, 1);
    }
    term->key = trim(key);
    value = trim(value);
    set_one(term, value, arena);
    return is_word(term->key, false) && is_word(value, true);
}

/* Cuts at the next comma that stands outside parentheses. */
static bool next_term(struct slice *rest, struct slice *term)
{
    unsigned depth = 0;
    size_t i = 0;
    for (; i < rest->size && (depth > 0 || rest->data[i] != ','); i++)
        depth = rest->data[i] == '('            ? depth + 1
                : rest->data[i] == ')' && depth ? depth - 1
                                                : depth;
    *term = slice_first(*rest, i);
    bool more = i < rest->size;
    *rest = more ? slice_from(*rest, i + 1) : SLICE_NONE;
    return more;
}

static bool read_terms(struct selector *selector, struct slice text, bool field,
                       struct arena *arena, struct error *error)
{
    if (text.size > SELECTOR_BYTES_MAX)
        return error_set(error, NULL, "a selector is longer than %d bytes", SELECTOR_BYTES_MAX);
    struct slice rest = text, one;
    bool more = trim(text).size > 0;
    while (more) {
        more = next_term(&rest, &one);
        struct selector_term *term = add_term(selector, arena);
        if (!term)
            return error_set(error, NULL, "a selector has more than %d terms", SELECTOR_TERMS_MAX);
        if (!read_term(term, one, arena))
            return refuse(error, text, "use key=value, key!=value, key in (a,b), key or !key");
        term->field = field;
    }
    return true;
}

bool selector_read_labels(struct selector *selector, struct slice text, struct arena *arena,
                          struct error *error)
{
    return read_terms(selector, text, false, arena, error);
}

bool selector_read_fields(struct selector *selector, struct slice text, struct arena *arena,
                          struct error *error)
{
    size_t first = selector->count;
    if (!read_terms(selector, text, true, arena, error))
        return false;
    for (size_t i = first; i < selector->count; i++) {
        const struct selector_term *term = &selector->terms[i];
        bool known = slice_equals_str(term->key, "metadata.name") ||
                     slice_equals_str(term->key, "metadata.namespace");
        if (!known || term->kind == TERM_EXISTS || term->kind == TERM_ABSENT)
            return refuse(error, text,
                          "fields are selected by metadata.name=NAME and "
                          "metadata.namespace=NAMESPACE");
        if (term->kind == TERM_IN && term->value_count == 1 &&
            slice_equals_str(term->key, "metadata.name"))
            selector->name = term->values[0];
    }
    return true;
}

static bool term_holds(const struct selector_term *term, const struct value *value)
{
    bool present = value && value->kind == VALUE_STRING, listed = false;
    for (size_t i = 0; present && i < term->value_count; i++)
        listed = listed || slice_equals(term->values[i], value->text);
    switch (term->kind) {
    case TERM_IN: return listed;
    case TERM_NOT_IN: return !listed;
    case TERM_EXISTS: return present;
    case TERM_ABSENT: return !present;
    }
    return false;
}

bool selector_matches(const struct selector *selector, const struct value *document)
{
    const struct value *labels = tree_at(document, "metadata.labels");
    for (size_t i = 0; i < selector->count; i++) {
        const struct selector_term *term = &selector->terms[i];
        const struct value *value =
            term->field ? value_get_slice(value_get(document, "metadata"),
                                          slice_from(term->key, sizeof("metadata.") - 1))
                        : value_get_slice(labels, term->key);
        if (!term_holds(term, value))
            return false;
    }
    return true;
}
