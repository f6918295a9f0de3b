/*
 * table: columns for people. The columns of a command are its contract: -o wide adds on the right, never reorders.
 *
 * Cells are copied. Numbers stand right, text left; nothing is cut.
 */
#pragma once

#include "base/attributes.h"

struct options;
struct table;

/* Titles separated by '|'; one that begins with '>' is right-aligned: "NAME|>RPS". */
struct table *table_create(const char *titles);
void table_destroy(struct table *table);
OWNED(table, table_destroy)
/* Fills the next cell of the row under way; "-" for NULL and empty. The row ends by itself after its last cell. */
void table_cell(struct table *table, const char *format, ...) PRINTF(2, 3);
size_t table_rows(const struct table *table);
/* To stdout; -o name: only the cells under NAME. */
void table_print(const struct table *table, const struct options *options);
