/*
 * name: a resource's name with its hash, made once when something that refers to it is built, so that
 * looking it up in a snapshot hashes nothing.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "base/slice.h"

enum { NAME_MAX_BYTES = 4096 };

struct name {
    struct slice text; /* NUL-terminated */
    uint64_t hash;
};

static inline uint64_t name_hash(struct slice text)
{
    return hash64(text, 0);
}
/* Borrows the text. */
static inline struct name name_of(struct slice text)
{
    return (struct name){text, name_hash(text)};
}
static inline bool name_is_set(const struct name *name)
{
    return name->text.size > 0;
}
static inline bool name_equals(const struct name *a, const struct name *b)
{
    return a->hash == b->hash && slice_equals(a->text, b->text);
}

/* Names of other resources that a built object cannot work without. */
struct name_list {
    const struct name *items;
    size_t count;
};
