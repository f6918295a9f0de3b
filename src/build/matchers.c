#include "build/matchers_internal.h"

#include "build/header_keys.h"
#include "build/values_internal.h"
#include "match/regex.h"

enum { MATCHERS_MAX = 256 }; /* conditions of one rule */

static struct slice regex_text(const Envoy__Type__Matcher__V3__RegexMatcher *message)
{
    return slice_str(pb_str(message->regex));
}

bool build_string_match(struct builder *b, const char *field, const StringMatcherMessage *message,
                        struct string_match *out)
{
    if (!message)
        return build_fail_at(b, field, "this is required");
    if (!build_enter(b, field) || !build_honours(b, message, "exact", "prefix", "suffix",
                                                 "safe_regex", "contains", "ignore_case"))
        return false;
    enum string_match_kind kind;
    struct slice text;
    bool ignore_case = PB_GET(message, ignore_case, false);
    switch ((int)message->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        kind = STRING_MATCH_EXACT;
        text = slice_str(pb_str(message->exact));
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        kind = STRING_MATCH_PREFIX;
        text = slice_str(pb_str(message->prefix));
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        kind = STRING_MATCH_SUFFIX;
        text = slice_str(pb_str(message->suffix));
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        kind = STRING_MATCH_CONTAINS;
        text = slice_str(pb_str(message->contains));
        break;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX:
        kind = STRING_MATCH_REGEX;
        text = regex_text(message->safe_regex);
        ignore_case = false; /* "no effect on safe_regex", as Envoy documents it */
        break;
    default:
        return build_fail(b, "say what to match: exact, prefix, suffix, contains or safe_regex");
    }
    if (!build_ok(b, string_match_build(out, kind, text, ignore_case, b->memory, b->error)))
        return false;
    build_leave(b);
    return true;
}

bool build_header_key(struct builder *b, const char *field, const char *name,
                      struct header_key *out)
{
    if (header_keys_build(out, slice_str(pb_str(name)), b->memory))
        return true;
    return build_fail_at(b, field, "'%.64s' is no header name", pb_str(name));
}

static bool build_deprecated(struct builder *b, const char *field, enum string_match_kind kind,
                             struct slice text, struct header_match *out)
{
    out->kind = HEADER_MATCH_STRING;
    return build_ok_at(b, field,
                       string_match_build(&out->string, kind, text, false, b->memory, b->error));
}

static bool build_range(struct builder *b, const Envoy__Type__V3__Int64Range *range,
                        struct header_match *out)
{
    out->kind = HEADER_MATCH_RANGE;
    out->first = PB_GET(range, start, 0);
    out->end = PB_GET(range, end, 0);
    return out->first < out->end || build_fail_at(b, "range_match", "the range is empty");
}

#define SPECIFIER(name) ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_##name

bool build_header_match(struct builder *b, const HeaderMatcherMessage *message,
                        struct header_match *out)
{
    *out = (struct header_match){.kind = HEADER_MATCH_PRESENT, .present = true};
    if (!build_honours(b, message, "name", "exact_match", "range_match", "present_match",
                       "prefix_match", "suffix_match", "safe_regex_match", "contains_match",
                       "string_match", "invert_match", "treat_missing_header_as_empty") ||
        !build_header_key(b, "name", message->name, &out->key))
        return false;
    out->invert = PB_GET(message, invert_match, false);
    out->missing_is_empty = PB_GET(message, treat_missing_header_as_empty, false);
    switch ((int)message->header_match_specifier_case) {
    case SPECIFIER(_NOT_SET): return true;
    case SPECIFIER(PRESENT_MATCH): out->present = message->present_match; return true;
    case SPECIFIER(RANGE_MATCH): return build_range(b, message->range_match, out);
    case SPECIFIER(STRING_MATCH):
        out->kind = HEADER_MATCH_STRING;
        return build_string_match(b, "string_match", message->string_match, &out->string);
    case SPECIFIER(EXACT_MATCH):
        return build_deprecated(b, "exact_match", STRING_MATCH_EXACT,
                                slice_str(message->exact_match), out);
    case SPECIFIER(PREFIX_MATCH):
        return build_deprecated(b, "prefix_match", STRING_MATCH_PREFIX,
                                slice_str(message->prefix_match), out);
    case SPECIFIER(SUFFIX_MATCH):
        return build_deprecated(b, "suffix_match", STRING_MATCH_SUFFIX,
                                slice_str(message->suffix_match), out);
    case SPECIFIER(CONTAINS_MATCH):
        return build_deprecated(b, "contains_match", STRING_MATCH_CONTAINS,
                                slice_str(message->contains_match), out);
    case SPECIFIER(SAFE_REGEX_MATCH):
        return build_deprecated(b, "safe_regex_match", STRING_MATCH_REGEX,
                                regex_text(message->safe_regex_match), out);
    default: return build_fail(b, "this kind of match does not act here yet");
    }
}

static bool check_count(struct builder *b, const char *field, size_t count)
{
    return count <= MATCHERS_MAX ||
           build_fail_at(b, field, "there are %zu conditions, and the limit is %d", count,
                         MATCHERS_MAX);
}

bool build_header_matches(struct builder *b, const char *field,
                          HeaderMatcherMessage *const *messages, size_t count,
                          const struct header_match **out)
{
    if (!check_count(b, field, count))
        return false;
    struct header_match *matches = build_array(b, struct header_match, count);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, field, i) || !build_header_match(b, messages[i], &matches[i]))
            return false;
        build_leave(b);
    }
    *out = matches;
    return true;
}

static bool build_query_match(struct builder *b, const QueryMatcherMessage *message,
                              struct query_match *out)
{
    if (!build_honours(b, message, "name", "string_match", "present_match") ||
        !build_required(b, "name", message->name, 1024))
        return false;
    *out = (struct query_match){
        .name = build_text(b, message->name), .is_presence = true, .present = true};
    switch ((int)message->query_parameter_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER__NOT_SET:
        return true;
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH:
        out->present = message->present_match;
        return true;
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH:
        out->is_presence = false;
        return build_string_match(b, "string_match", message->string_match, &out->string);
    default: return build_fail(b, "this kind of match does not act here yet");
    }
}

bool build_query_matches(struct builder *b, const char *field, QueryMatcherMessage *const *messages,
                         size_t count, const struct query_match **out)
{
    if (count > QUERY_MATCH_MAX)
        return build_fail_at(b, field, "there are %zu conditions, and the limit is %d", count,
                             QUERY_MATCH_MAX);
    struct query_match *matches = build_array(b, struct query_match, count);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, field, i) || !build_query_match(b, messages[i], &matches[i]))
            return false;
        build_leave(b);
    }
    *out = matches;
    return true;
}

bool build_substitute(struct builder *b, const char *field, const SubstituteMessage *message,
                      const struct regex **regex, struct slice *substitution)
{
    if (!build_enter(b, field))
        return false;
    if (!message->pattern)
        return build_fail_at(b, "pattern", "this is required");
    *regex = table_memory_regex(b->memory, regex_text(message->pattern), false, b->error);
    if (!build_ok_at(b, "pattern", *regex != NULL))
        return false;
    *substitution = build_text(b, pb_str(message->substitution));
    if (!build_ok_at(b, "substitution", regex_check_substitution(*regex, *substitution, b->error)))
        return false;
    build_leave(b);
    return true;
}
