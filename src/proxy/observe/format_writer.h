/*
 * format_writer: runs the program of a compiled format over an exchange or tunnel.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct arena;
struct exchange;
struct format;

/* A header's value or a reply's body, into the arena. False when memory is refused. What is missing is left out (headers). */
MUST_USE bool format_write(const struct format *format, const struct exchange *exchange, struct arena *arena,
                           struct slice *out);
