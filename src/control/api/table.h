/*
 * table: objects as rows with a few columns, for kubectl get.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "control/model/kind.h"
#include "pb/document.h"

/* A table without rows, for "rows" to be appended to. */
struct value *table_begin(enum kind kind, uint64_t revision, const char *continuation,
                          struct arena *arena, struct value **rows);
/* `object` is presented already; include is "None", "Object", or anything else for the metadata alone. */
struct value *table_row(enum kind kind, const struct value *object, const char *include,
                        int64_t now_s, struct arena *arena);
/* "5m2s", "47h", "3d4h": as kubectl writes ages. */
const char *age_text(int64_t seconds, struct arena *arena);
