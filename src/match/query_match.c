#include "match/query_match.h"

bool query_find(struct slice query, struct slice name, struct slice *value)
{
    while (query.size > 0) {
        struct slice parameter, key;
        slice_cut(query, '&', &parameter, &query);
        slice_cut(parameter, '=', &key, value);
        if (slice_equals(key, name))
            return true;
    }
    return false;
}

bool query_match_test(const struct query_match *match, struct slice query)
{
    struct slice value;
    bool found = query_find(query, match->name, &value);
    if (match->is_presence)
        return found == match->present;
    return found && string_match_test(&match->string, value);
}
