#include "match/header_match.h"

static bool in_range(const struct header_match *match, struct slice value)
{
    int64_t number;
    return slice_to_i64(value, &number) && number >= match->first && number < match->end;
}

static bool value_holds(const struct header_match *match, struct slice value)
{
    bool holds = match->kind == HEADER_MATCH_RANGE ? in_range(match, value)
                                                   : string_match_test(&match->string, value);
    return holds != match->invert;
}

bool header_match_values(const struct header_match *match, const struct match_request *request,
                         bool any)
{
    struct slice rest = SLICE_NONE, one;
    bool whole = header_match_test(match, request);
    bool is_plain = match->kind == HEADER_MATCH_PRESENT || (!any && !match->invert) || whole == any;
    if (is_plain || match_request_header(request, &match->key, &rest) != HEADER_LOOKUP_FOUND ||
        slice_find_byte(rest, ',') == rest.size)
        return whole;
    for (unsigned i = 0; rest.size > 0; i++) {
        slice_cut(rest, ',', &one, &rest);
        if (i == HEADER_VALUES_MAX || value_holds(match, slice_trim(one)) == any)
            return any;
    }
    return whole;
}

bool header_match_test(const struct header_match *match, const struct match_request *request)
{
    struct slice value = SLICE_NONE;
    enum header_lookup lookup = match_request_header(request, &match->key, &value);
    if (lookup == HEADER_LOOKUP_LOST)
        return false; /* the caller refuses the request: *request->lost is set */
    if (match->kind == HEADER_MATCH_PRESENT)
        return ((lookup == HEADER_LOOKUP_FOUND) == match->present) != match->invert;
    if (lookup == HEADER_LOOKUP_ABSENT) {
        if (!match->missing_is_empty)
            return false;
        value = SLICE("");
    }
    return value_holds(match, value);
}

bool header_match_all(const struct header_match *matches, size_t count,
                      const struct match_request *request)
{
    for (size_t i = 0; i < count; i++) {
        if (!header_match_test(&matches[i], request))
            return false;
    }
    return true;
}
