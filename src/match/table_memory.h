/*
 * table_memory: what a compiled table owns: one arena, and the regular expressions that it uses.
 *
 * A table is built once, read by any thread, and freed whole. Everything that match/ and build/ compile lives
 * in the table_memory of the object that it belongs to.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "base/vector.h"

struct regex;

struct table_memory {
    struct arena arena;
    VECTOR(struct regex *) regexes;
};

void table_memory_init(struct table_memory *memory);
void table_memory_fini(struct table_memory *memory);

/* A NUL-terminated copy; the empty slice stays empty and costs nothing. */
struct slice table_memory_copy(struct table_memory *memory, struct slice text);
/* The same in lower case (ASCII). */
struct slice table_memory_copy_lower(struct table_memory *memory, struct slice text);
/* Compiled once for equal patterns of one table; NULL with an error. */
MUST_USE const struct regex *table_memory_regex(struct table_memory *memory, struct slice pattern,
                                                bool ignore_case, struct error *error);
