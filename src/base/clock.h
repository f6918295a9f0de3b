/*
 * clock: monotonic microseconds for durations, wall time for people. Loops read it once a turn and hand the time
 * down as an argument; nothing on the request path calls these.
 */
#pragma once

#include "base/attributes.h"

struct buffer;

uint64_t clock_now_us(void);
/* Microseconds since 1970. */
int64_t clock_wall_us(void);
/* 2026-01-31T12:00:00.123Z into at least 25 bytes; returns the length (24). Years 0 to 9999. */
size_t clock_format(int64_t wall_us, char *text);
/* The same, for moments that mostly lie in one second: of the others' text only the milliseconds change. Begins zeroed. */
struct clock_text {
    int64_t second;
    char text[25];
};
size_t clock_format_again(struct clock_text *last, int64_t wall_us, char *text);
/* RFC 3339 to microseconds since 1970; false when it is not one. */
MUST_USE bool clock_parse(const char *text, int64_t *wall_us);
