/*
 * revise: what is stored when someone writes an object: server-owned metadata, generation, status kept apart.
 *
 * Pure. Everybody who writes goes through here: the API, the directory importer, controllers.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "control/model/kind.h"
#include "pb/document.h"

struct admitted;

enum revise_part {
    REVISE_OBJECT, /* all but status, which stays as it was */
    REVISE_STATUS, /* status alone */
};
struct revision_maker {
    int64_t now_s;   /* Unix seconds */
    const char *uid; /* for a new object: 36 characters */
    struct slice
        source; /* "dir:PATH" of an importer, else empty: the annotation is kept as stored */
};
/*
 * The document to store, in the arena, or NULL when it equals what is stored. `stored` is NULL for a new object. `wanted` is
 * not changed; it was admitted.
 */
struct value *object_revise(const struct value *stored, const struct value *wanted,
                            const struct admitted *admitted, enum revise_part part,
                            const struct revision_maker *maker, struct arena *arena);
/* The same members with the same values, in any order of members. */
bool value_means_the_same(const struct value *a, const struct value *b);
