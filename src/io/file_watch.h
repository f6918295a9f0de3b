/*
 * file_watch: tells when a file or the files of a folder may have changed (inotify).
 *
 * It watches the folder, not the file, so that replacing by rename and Kubernetes' symlink swap are seen, and
 * reports a change once it is quiet for FILE_WATCH_QUIET_MS. The reader decides what changed, by reading.
 */
#pragma once

#include "base/attributes.h"

struct file_watch;
struct loop;

enum {
    FILE_WATCH_QUIET_MS = 50,
    FILE_WATCH_LATEST_MS = 1000
}; /* reported after the latter even without quiet */

typedef void file_watch_on_change(void *owner);

/* path names a file (which may not exist yet) in an existing folder, or a folder. 0 or a negative errno. */
MUST_USE int file_watch_create(struct loop *loop, const char *path, file_watch_on_change *on_change,
                               void *owner, struct file_watch **out);
/* Accepts NULL. */
void file_watch_destroy(struct file_watch *watch);
OWNED(file_watch, file_watch_destroy)
