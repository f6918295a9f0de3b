/*
 * format_writer: runs the program of a compiled format over the record of an exchange or tunnel.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct arena;
struct clock_text;
struct exchange;
struct format;
struct record;

/* Where a line is written: fixed memory; what does not fit is cut at a whole value. */
struct line {
    char *start, *at, *end;
    struct clock_text *clock; /* of the last line, which mostly began in the same second */
    bool is_cut;
};
void format_render(const struct format *format, const struct record *record, struct line *line);

/* A header's value or a reply's body, into the arena. False when memory is refused. */
MUST_USE bool format_write(const struct format *format, const struct exchange *exchange,
                           struct arena *arena, struct slice *out);
