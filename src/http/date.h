/*
 * date: the Date header's form (RFC 9110 5.6.7). Callers keep the text for the second it holds.
 */
#pragma once

#include "base/slice.h"

enum { HTTP_DATE_SIZE = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL, of seconds since 1970. */
void http_date_format(int64_t wall_s, char text[HTTP_DATE_SIZE + 1]);
/* The preferred form only; false when it is none. */
MUST_USE bool http_date_parse(struct slice text, int64_t *wall_s);
