/*
 * view: what one class of proxies should hold, a table a type; immutable and counted.
 *
 * A type whose table is NULL is *unknown*: the server stays silent about it, for an empty answer would delete what a
 * proxy has. An empty table is knowledge: there is nothing of this type.
 */
#pragma once

#include "base/attributes.h"
#include "xds/blob_table.h"
#include "xds/resource_type.h"

struct view;

/* Takes references of its own to the tables. generation is for people: it rises with each view of a class. */
struct view *view_create(struct blob_table *const tables[RESOURCE_TYPES], uint64_t generation);
struct view *view_ref(const struct view *view);
/* Accepts NULL. */
void view_unref(const struct view *view);
/* NULL = unknown. Borrowed for as long as the view is. view may be NULL. */
const struct blob_table *view_table(const struct view *view, enum resource_type type);
uint64_t view_generation(const struct view *view);
