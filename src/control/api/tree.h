/*
 * tree: documents changed by making new ones: members are shared, never written to.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "pb/document.h"

/* A node of its own over the same children, to stand elsewhere. */
struct value *tree_share(const struct value *value, struct arena *arena);
/* The object with this member replaced in its place, or appended; NULL takes it out. object may be NULL: an empty one. */
struct value *tree_with(const struct value *object, const char *key, struct value *member,
                        struct arena *arena);
struct value *tree_with_slice(const struct value *object, struct slice key, struct value *member,
                              struct arena *arena);
/* Appends a member to an object that is being made. */
void tree_put_str(struct value *object, const char *key, const char *text, struct arena *arena);
void tree_put_slice(struct value *object, const char *key, struct slice text, struct arena *arena);
void tree_put_i64(struct value *object, const char *key, int64_t number, struct arena *arena);
void tree_put_bool(struct value *object, const char *key, bool truth, struct arena *arena);
void tree_put(struct value *object, const char *key, struct value *member, struct arena *arena);
struct value *tree_put_object(struct value *object, const char *key, struct arena *arena);
struct value *tree_put_list(struct value *object, const char *key, struct arena *arena);
/* By "metadata.name"; NULL when there is none. */
const struct value *tree_at(const struct value *object, const char *path);
/* The text there, or an empty slice. */
struct slice tree_text(const struct value *object, const char *path);
