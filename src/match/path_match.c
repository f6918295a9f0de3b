#include "match/path_match.h"

#include "base/buffer.h"
#include "match/regex.h"
#include "match/table_memory.h"

static bool append_segment(struct slice *rest, struct buffer *pattern, struct error *error)
{
    struct slice operator, after;
    if (!slice_cut(*rest, '}', &operator, & after))
        return error_set(error, NULL, "a '{' of the path template is not closed");
    struct slice name, kind = operator;
    if (slice_cut(operator, '=', &name, &kind))
        operator= kind;
    else
        kind = operator;
    if (slice_equals(kind, SLICE("{**")) || slice_equals(kind, SLICE("**")))
        buffer_append_str(pattern, ".*");
    else if (slice_equals(kind, SLICE("{*")) || slice_equals(kind, SLICE("*")) ||
             !memchr(kind.data, '*', kind.size))
        buffer_append_str(pattern, "[^/]+");
    else
        return error_set(error, NULL, "'%.*s}' is no operator of a path template: use {*} or {**}",
                         SLICE_ARG(operator));
    *rest = after;
    return true;
}

/* "/a/{*}/{**}" to "/a/[^/]+/.*". */
static bool template_to_regex(struct slice template, struct buffer *pattern, struct error *error)
{
    while (template.size > 0) {
        char c = template.data[0];
        if (c == '{') {
            if (!append_segment(&template, pattern, error))
                return false;
            continue;
        }
        if (c == '}' || c == '*')
            return error_set(error, NULL, "'%c' stands alone in the path template", c);
        if (strchr("\\.+?()[]|^$", c))
            buffer_append_byte(pattern, '\\');
        buffer_append_byte(pattern, c);
        template = slice_from(template, 1);
    }
    return true;
}

static bool build_template(struct path_match *match, struct slice text, struct table_memory *memory,
                           struct error *error)
{
    owned_buffer pattern = {0};
    if (!template_to_regex(text, &pattern, error))
        return false;
    match->regex = table_memory_regex(memory, buffer_slice(&pattern), match->ignore_case, error);
    match->text = table_memory_copy(memory, text);
    return match->regex != NULL;
}

static bool check_text(enum path_match_kind kind, struct slice text, struct error *error)
{
    if (text.size > PATH_MATCH_MAX_BYTES)
        return error_set(error, NULL, "the path has %zu bytes, and the limit is %d", text.size,
                         PATH_MATCH_MAX_BYTES);
    if (kind == PATH_MATCH_EXACT && text.size == 0)
        return error_set(error, NULL, "an empty path matches nothing");
    if (kind == PATH_MATCH_SEPARATED && (text.size == 0 || text.data[0] != '/'))
        return error_set(error, NULL, "a separated prefix begins with '/'");
    if (kind == PATH_MATCH_SEPARATED && text.data[text.size - 1] == '/')
        return error_set(error, NULL, "a separated prefix does not end with '/'");
    if (slice_find_byte(text, '?') != text.size || slice_find_byte(text, '#') != text.size)
        return error_set(error, NULL, "a path to match has no '?' and no '#'");
    return true;
}

bool path_match_build(struct path_match *match, enum path_match_kind kind, struct slice text,
                      bool ignore_case, struct table_memory *memory, struct error *error)
{
    *match = (struct path_match){.kind = kind, .ignore_case = ignore_case};
    switch (kind) {
    case PATH_MATCH_CONNECT: return true;
    case PATH_MATCH_REGEX:
        match->text = table_memory_copy(memory, text);
        match->regex = table_memory_regex(memory, text, ignore_case, error);
        return match->regex != NULL;
    case PATH_MATCH_TEMPLATE: return build_template(match, text, memory, error);
    case PATH_MATCH_PREFIX:
    case PATH_MATCH_EXACT:
    case PATH_MATCH_SEPARATED: break;
    }
    if (!check_text(kind, text, error))
        return false;
    match->text =
        ignore_case ? table_memory_copy_lower(memory, text) : table_memory_copy(memory, text);
    return true;
}

static inline bool starts_with(const struct path_match *match, struct slice path)
{
    if (path.size < match->text.size)
        return false;
    if (match->text.size == 1 && !match->ignore_case) /* "/" */
        return path.data[0] == match->text.data[0];
    struct slice start = slice_first(path, match->text.size);
    return match->ignore_case ? slice_equals_nocase(start, match->text)
                              : slice_equals(start, match->text);
}

bool path_match_test(const struct path_match *match, struct slice path)
{
    switch (match->kind) {
    case PATH_MATCH_PREFIX: return starts_with(match, path);
    case PATH_MATCH_EXACT: return path.size == match->text.size && starts_with(match, path);
    case PATH_MATCH_SEPARATED:
        return starts_with(match, path) &&
               (path.size == match->text.size || path.data[match->text.size] == '/');
    case PATH_MATCH_REGEX:
    case PATH_MATCH_TEMPLATE: return regex_matches(match->regex, path);
    case PATH_MATCH_CONNECT: return false; /* it is the method that decides */
    }
    return false;
}
