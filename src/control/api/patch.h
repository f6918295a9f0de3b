/*
 * patch: documents changed by merge patch (RFC 7386) and JSON patch (RFC 6902). Pure: what comes in is never changed,
 * and what comes out shares with it.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "pb/document.h"

/* Operations of one JSON patch, and the bytes that its copies may add. */
enum { PATCH_OPERATIONS_MAX = 10000, PATCH_COPIED_BYTES_MAX = 3 << 20 };

/* Never fails: anything is a merge patch. */
struct value *patch_merge(const struct value *target, const struct value *patch,
                          struct arena *arena);

enum patch_status {
    PATCH_DONE,
    PATCH_MALFORMED, /* 400: no patch */
    PATCH_FAILED,    /* 422: a path that is not there, or a test that did not hold */
};
MUST_USE enum patch_status patch_json(const struct value *target, const struct value *patch,
                                      struct arena *arena, struct value **out, struct error *error);
