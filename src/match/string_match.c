#include "match/string_match.h"

#include "match/regex.h"
#include "match/table_memory.h"

static bool is_literal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '-' || c == '_' || c == ':' || c == '@' || c == '=' || c == ',' || c == ' ';
}

static bool all_literal(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_literal(text.data[i]))
            return false;
    }
    return true;
}

/* Most patterns that people write are no more than a literal with ".*" at an end, which needs no automaton. */
static enum string_match_kind simplify(struct slice *pattern)
{
    struct slice p = *pattern;
    if (slice_equals(p, SLICE(".*")))
        return STRING_MATCH_ANY;
    if (slice_equals(p, SLICE(".+")))
        return STRING_MATCH_SOME;
    if (slice_ends_with(p, SLICE(".*"))) {
        *pattern = slice_first(p, p.size - 2);
        if (all_literal(*pattern))
            return STRING_MATCH_PREFIX;
    }
    if (slice_starts_with(p, SLICE(".*"))) {
        *pattern = slice_from(p, 2);
        if (all_literal(*pattern))
            return STRING_MATCH_SUFFIX;
    }
    *pattern = p;
    return all_literal(p) ? STRING_MATCH_EXACT : STRING_MATCH_REGEX;
}

bool string_match_build(struct string_match *match, enum string_match_kind kind, struct slice text,
                        bool ignore_case, struct table_memory *memory, struct error *error)
{
    bool one_line = false;
    if (kind == STRING_MATCH_REGEX) {
        const struct regex *regex = table_memory_regex(memory, text, ignore_case, error);
        if (!regex)
            return false;
        kind = simplify(&text);
        one_line = kind != STRING_MATCH_EXACT && kind != STRING_MATCH_REGEX;
        *match = (struct string_match){.kind = kind, .regex = regex};
    } else {
        if (text.size > STRING_MATCH_MAX_BYTES)
            return error_set(error, NULL, "the pattern has %zu bytes, and the limit is %d",
                             text.size, STRING_MATCH_MAX_BYTES);
        if (text.size == 0 && kind != STRING_MATCH_EXACT && kind != STRING_MATCH_ANY &&
            kind != STRING_MATCH_SOME)
            return error_set(error, NULL, "an empty prefix, suffix or infix matches everything");
        *match = (struct string_match){.kind = kind};
    }
    match->ignore_case = ignore_case;
    match->one_line = one_line;
    match->text =
        ignore_case ? table_memory_copy_lower(memory, text) : table_memory_copy(memory, text);
    return true;
}

static inline char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* text is in lower case already. */
static bool equals_lower(const char *value, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (lower(value[i]) != text.data[i])
            return false;
    }
    return true;
}

static inline bool equals_at(const struct string_match *match, const char *value)
{
    if (match->ignore_case)
        return equals_lower(value, match->text);
    return match->text.size == 0 || memcmp(value, match->text.data, match->text.size) == 0;
}

static bool contains(const struct string_match *match, struct slice value)
{
    if (!match->ignore_case)
        return slice_find(value, match->text) != SIZE_MAX;
    /* Patterns are short and written by operators, so the plain search is linear enough: its cost is bounded by the
     * product of a configured length and the value's. */
    for (size_t i = 0; i + match->text.size <= value.size; i++) {
        if (equals_lower(value.data + i, match->text))
            return true;
    }
    return false;
}

bool string_match_test(const struct string_match *match, struct slice value)
{
    size_t size = match->text.size;
    if (match->one_line && slice_find_byte(value, '\n') != value.size)
        return regex_matches(match->regex, value);
    switch (match->kind) {
    case STRING_MATCH_EXACT: return value.size == size && equals_at(match, value.data);
    case STRING_MATCH_PREFIX: return value.size >= size && equals_at(match, value.data);
    case STRING_MATCH_SUFFIX:
        return value.size >= size &&
               (size == 0 || equals_at(match, value.data + value.size - size));
    case STRING_MATCH_CONTAINS: return contains(match, value);
    case STRING_MATCH_REGEX: return regex_matches(match->regex, value);
    case STRING_MATCH_ANY: return true;
    case STRING_MATCH_SOME: return value.size > 0;
    }
    return false;
}
