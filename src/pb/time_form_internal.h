/*
 * time_form: durations and times as text, in each of the forms that our formats use.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "pb/type.h"

struct span {
    int64_t seconds;
    int32_t nanos; /* of a duration: same sign as seconds; of a time: never negative */
};

enum { SPAN_TEXT = 64 };

/* `form` is JSON_DURATION, JSON_DURATION_GO or JSON_DURATION_GEP2257. Within protobuf's range of 10,000 years. */
MUST_USE bool duration_from_text(struct slice text, enum json_form form, struct span *span);
/* A span that is out of range is written as the nearest that is in it. */
void duration_to_text(struct span span, enum json_form form, char text[SPAN_TEXT]);
/* What the form looks like: "such as \"1m30s\"". */
const char *duration_example(enum json_form form);

/* RFC 3339, years 1 to 9999. Nanoseconds; more digits are refused. */
MUST_USE bool time_from_text(struct slice text, struct span *span);
/* With as many fraction digits as needed of 0, 3, 6 and 9 (JSON_TIMESTAMP), none (JSON_TIME) or six (JSON_MICRO_TIME). */
void time_to_text(struct span span, enum json_form form, char text[SPAN_TEXT]);
