#include "match/header_match.h"

static bool in_range(const struct header_match *match, struct slice value)
{
    int64_t number;
    return slice_to_i64(value, &number) && number >= match->first && number < match->end;
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
    bool holds = match->kind == HEADER_MATCH_RANGE ? in_range(match, value)
                                                   : string_match_test(&match->string, value);
    return holds != match->invert;
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
