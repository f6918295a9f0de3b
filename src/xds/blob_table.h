/*
 * blob_table: an immutable table of blobs sorted by name, made from another by editing.
 *
 * Tables share what did not change: a table is an array of counted leaves of at most BLOB_LEAF_MAX blobs, so an edit of
 * one name among ten thousand copies a leaf and an array of leaves, and the difference of two tables skips the leaves
 * that they share. Counted atomically; any thread may read.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "base/slice.h"

struct blob;
struct blob_table;

enum { BLOB_LEAF_MAX = 128 };

/* What a name becomes; blob NULL = it goes. Names in a list of edits are sorted and unique. */
struct blob_edit {
    struct slice name;
    struct blob *blob;
};

/* Empty, one reference. */
struct blob_table *blob_table_create(void);
/* A new table: `from` after the edits. Takes references of its own to the blobs. Edits that change nothing are
 * harmless; when none changes anything the result is `from` itself with one more reference. */
struct blob_table *blob_table_edit(const struct blob_table *from, const struct blob_edit *edits,
                                   size_t count);
struct blob_table *blob_table_ref(const struct blob_table *table);
/* Accepts NULL. */
void blob_table_unref(const struct blob_table *table);

size_t blob_table_count(const struct blob_table *table);
/* Borrowed for as long as the table is; NULL when there is none. */
struct blob *blob_table_find(const struct blob_table *table, struct slice name);
/* The version of the set: equal for equal contents, however the table came about. */
struct hash128 blob_table_version(const struct blob_table *table);

/* struct blob_cursor c = {0}; while ((blob = blob_table_next(table, &c))) ... */
struct blob_cursor {
    size_t leaf, at;
};
struct blob *blob_table_next(const struct blob_table *table, struct blob_cursor *cursor);

/* Every name whose version differs, in order. before or after is NULL where the name is not there. Either table may be
 * NULL (= empty). */
typedef void blob_table_visit(void *to, const struct blob *before, const struct blob *after);
void blob_table_diff(const struct blob_table *old, const struct blob_table *now,
                     blob_table_visit *visit, void *to);
