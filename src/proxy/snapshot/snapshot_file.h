/*
 * snapshot_file: the last good configuration on disk, to start from when the control plane is away.
 *
 * Written whole to a new file, synced and renamed, so that a reader finds the old one or the new one. Holds the messages as they
 * came, with names and versions; never private keys. A file that is too large, cut short, changed or from another
 * version of the format is refused, with the reason. Both functions block: helper threads call them.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "proxy/snapshot/intake.h"

struct snapshot;

enum { SNAPSHOT_FILE_MAX = 256 << 20 };

/* The snapshot must be held (publisher_hold). 0600. Returns the bytes written, or 0 with an error. */
MUST_USE size_t snapshot_file_save(const struct snapshot *snapshot, const char *path,
                                   struct error *error);

struct snapshot_file {
    struct arena arena;            /* what the updates point into */
    struct intake_update *updates; /* in the order in which they are to be taken in */
    size_t count;
    int64_t saved_s; /* Unix seconds */
};
/* A missing file is an error too; `missing` tells it apart and may be NULL. */
MUST_USE bool snapshot_file_load(const char *path, struct snapshot_file *file, bool *missing,
                                 struct error *error);
/* The same from memory; nothing points into the bytes afterwards. */
MUST_USE bool snapshot_file_parse(struct slice bytes, struct snapshot_file *file,
                                  struct error *error);
void snapshot_file_fini(struct snapshot_file *file);
