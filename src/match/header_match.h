/*
 * header_match: one header against a condition, as envoy.config.route.v3.HeaderMatcher means it.
 *
 * A condition on a header that is absent is not met, also when it is inverted, unless a missing header counts as
 * empty; only the presence condition speaks about absence itself.
 */
#pragma once

#include "base/attributes.h"
#include "match/request.h"
#include "match/string_match.h"

enum header_match_kind { HEADER_MATCH_PRESENT, HEADER_MATCH_STRING, HEADER_MATCH_RANGE };

struct header_match {
    struct header_key key;
    enum header_match_kind kind : 8;
    bool present; /* PRESENT: what is asked for */
    bool invert;
    bool missing_is_empty;
    struct string_match string;
    int64_t first, end; /* RANGE: [first, end) */
};

enum { HEADER_VALUES_MAX = 1000 };

bool header_match_test(const struct header_match *match, const struct match_request *request);
/*
 * For access control, where a header that stands twice must not hide one value behind another. any: the condition is met as
 * a whole or by one of the values between commas. Otherwise: as a whole and, inverted, by each of them. With more than
 * HEADER_VALUES_MAX values the answer is `any`, which is the safe one.
 */
bool header_match_values(const struct header_match *match, const struct match_request *request,
                         bool any);
/* All of them. */
bool header_match_all(const struct header_match *matches, size_t count,
                      const struct match_request *request);
