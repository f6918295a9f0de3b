/*
 * fake_request: a request for tests of matchers, with its fields in a static array.
 */
#pragma once

#include "match/request.h"

struct fake_field {
    const char *name, *value; /* value "<lost>": no memory to join it */
};

UNUSED static enum header_lookup fake_header(const struct match_request *request,
                                             const struct header_key *key, struct slice *value)
{
    for (const struct fake_field *field = request->head; field && field->name; field++) {
        if (!slice_equals_nocase(slice_str(field->name), key->name))
            continue;
        if (strcmp(field->value, "<lost>") == 0)
            return HEADER_LOOKUP_LOST;
        *value = slice_str(field->value);
        return HEADER_LOOKUP_FOUND;
    }
    return HEADER_LOOKUP_ABSENT;
}

/* fields end with a NULL name. */
UNUSED static struct match_request fake_request(const char *target, const struct fake_field *fields)
{
    struct match_request request = {
        .method = SLICE("GET"),
        .scheme = SLICE("http"),
        .authority = SLICE("shop.example.com"),
        .target = slice_str(target),
        .header = fake_header,
        .head = fields,
    };
    if (!slice_cut(request.target, '?', &request.path, &request.query))
        request.query = SLICE_NONE;
    return request;
}
