/*
 * handle: a name for an object that may be gone when an answer arrives (DNS, helper, dial, another worker).
 *
 * A table maps a 64-bit handle (slot and generation) to a pointer; a stale handle gives NULL. One table a loop,
 * not shared.
 */
#pragma once

#include "base/attributes.h"

typedef uint64_t handle; /* 0 is never a live one */

struct handle_table;
struct handle_table *handle_table_create(void);
void handle_table_destroy(struct handle_table *table);
/* object is not NULL. */
handle handle_new(struct handle_table *table, void *object);
/* NULL when it was dropped. */
void *handle_get(const struct handle_table *table, handle name);
/* After many objects have gone: the table's end, as far as nothing there is live, goes back to the heap. */
void handle_table_trim(struct handle_table *table);
/* Harmless for a stale handle and for 0. */
void handle_drop(struct handle_table *table, handle name);
