/*
 * strategic: Kubernetes' strategic merge patch, for the core kinds.
 *
 * As a merge patch, but some lists are merged item by item: those whose items have a name by which they are told apart (a
 * Service's ports by "port"), and some lists of words (finalizers). `$patch`, `$retainKeys`, `$setElementOrder/x` and
 * `$deleteFromPrimitiveList/x` are understood.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "pb/document.h"
#include "pb/type.h"

/* `type` is of the whole object. False when a directive is malformed. */
MUST_USE bool strategic_patch(const struct value *target, const struct value *patch,
                              const struct pb_type *type, struct arena *arena, struct value **out,
                              struct error *error);
/* How a list is merged: by this key of its items; "" for a list of words; NULL when it is replaced whole. */
const char *strategic_merge_key(const struct pb_type *type, struct slice field);
