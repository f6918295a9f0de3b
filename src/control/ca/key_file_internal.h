/* key_file_internal: a key and its certificate in one file, written whole or not at all, readable by the owner alone. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

struct key_pair;

enum { KEY_FILE_BYTES_MAX = 1 << 20 };

struct key_file {
    struct key_pair *key;
    struct buffer der; /* the certificate */
    int64_t not_before_s, not_after_s;
};
/* Wipes the key. */
void key_file_fini(struct key_file *file);

enum key_file_read { KEY_FILE_READ, KEY_FILE_MISSING, KEY_FILE_BAD };
/* BAD with an error: unreadable, damaged, key and certificate that do not match, or open to others. */
enum key_file_read key_file_read(struct key_file *file, const char *folder, const char *name,
                                 struct error *error);
bool key_file_exists(const char *folder, const char *name);
/* Mode 0600; on stable storage when it returns true. */
MUST_USE bool key_file_write(const struct key_file *file, const char *folder, const char *name,
                             struct error *error);
/* Mode 0644, for certificates alone. */
MUST_USE bool key_file_write_public(const char *folder, const char *name, struct slice text,
                                    struct error *error);
/* Makes the folder when there is none and keeps other authorities out until *lock is closed. */
MUST_USE bool key_file_lock(const char *folder, int *lock, struct error *error);
/* "PATH what: errno text"; always false. */
bool key_file_complain(struct error *error, const char *path, const char *what, int negative_errno);
