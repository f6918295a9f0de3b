#include "control/ca/key_file_internal.h"

#include "base/memory.h"
#include "tls/certificate.h"
#include "tls/key_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void key_file_fini(struct key_file *file)
{
    key_pair_destroy(file->key);
    buffer_fini(&file->der);
    *file = (struct key_file){0};
}

bool key_file_complain(struct error *error, const char *path, const char *what, int negative_errno)
{
    error_set(error, NULL, "%s %s: %s", path, what, strerror(-negative_errno));
    error_at(error, "%s", path);
    return false;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define owned_fd __attribute__((cleanup(close_fd))) int

/* 0 or a negative errno; -EPERM: others may read it. */
static int read_private(const char *path, struct buffer *text)
{
    owned_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0)
        return -errno;
    if (!S_ISREG(about.st_mode) || about.st_size > KEY_FILE_BYTES_MAX)
        return -EINVAL;
    if (about.st_mode & 077)
        return -EPERM;
    /* All room at once, so that growing leaves no copy of the key behind. */
    size_t size = (size_t)about.st_size;
    char *to = buffer_reserve(text, size + 1);
    ssize_t got = read(fd, to, size);
    if (got < 0)
        return -errno;
    text->size += (size_t)got;
    return 0;
}

static bool parse(struct key_file *file, struct slice text, struct error *error)
{
    struct certificate_summary summary;
    owned_buffer public_key = {0}, certified = {0};
    size_t cursor = 0;
    if (!key_pair_parse(text, &file->key, error))
        return false;
    if (!certificate_next(text, &cursor, &file->der, error))
        return error_set(error, NULL, "there is no certificate behind the key");
    if (!certificate_summarize(buffer_slice(&file->der), &summary, error))
        return false;
    file->not_before_s = summary.not_before_s;
    file->not_after_s = summary.not_after_s;
    bool is_ca = summary.is_ca;
    certificate_summary_fini(&summary);
    key_pair_write_public_der(file->key, &public_key);
    if (!certificate_public_key(buffer_slice(&file->der), &certified) ||
        !slice_equals(buffer_slice(&public_key), buffer_slice(&certified)))
        return error_set(error, NULL, "the key does not belong to the certificate");
    return is_ca || error_set(error, NULL, "the certificate is no authority's");
}

enum key_file_read key_file_read(struct key_file *file, const char *folder, const char *name,
                                 struct error *error)
{
    owned_str path = str_format("%s/%s", folder, name);
    owned_key_buffer text = {0};
    int failed = read_private(path, &text);
    if (failed == -ENOENT)
        return KEY_FILE_MISSING;
    if (failed == -EPERM) {
        error_set(error, NULL, "%s may be read by others than its owner", path);
        error_why(error, "whoever has this key can be anyone in the mesh");
        error_fix(error, "chmod 600 %s, and think about who may have copied it", path);
        return KEY_FILE_BAD;
    }
    if (failed) {
        key_file_complain(error, path, "cannot be read", failed);
        return KEY_FILE_BAD;
    }
    owned_error inner = {0};
    if (parse(file, buffer_slice(&text), &inner))
        return KEY_FILE_READ;
    error_set(error, NULL, "%s: %s", path, inner.what);
    error_why(error, "a new authority would be trusted by nobody, so none is made");
    error_fix(error, "restore the file from a backup of the data directory");
    key_file_fini(file);
    return KEY_FILE_BAD;
}

bool key_file_exists(const char *folder, const char *name)
{
    owned_str path = str_format("%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t done = write(fd, bytes.data, bytes.size);
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0)
            slice_take(&bytes, (size_t)done);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int write_new(const char *path, mode_t mode, struct slice text)
{
    unlink(path); /* what a crash left behind */
    owned_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return -errno;
    return write_all(fd, text);
}

static int sync_folder(const char *folder)
{
    owned_fd fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* A new file beside the old one, then its name: at every moment one of them is there, whole. */
static bool replace_file(const char *folder, const char *name, mode_t mode, struct slice text,
                         struct error *error)
{
    owned_str path = str_format("%s/%s", folder, name);
    owned_str fresh = str_format("%s/%s.new", folder, name);
    int failed = write_new(fresh, mode, text);
    if (!failed && rename(fresh, path) < 0)
        failed = -errno;
    if (!failed)
        failed = sync_folder(folder);
    if (!failed)
        return true;
    unlink(fresh);
    key_file_complain(error, path, "cannot be written", failed);
    error_fix(error, "make room and give this user the right to write in %s", folder);
    return false;
}

bool key_file_write(const struct key_file *file, const char *folder, const char *name,
                    struct error *error)
{
    owned_key_buffer text = {0};
    buffer_reserve(&text, 8192 + 2 * file->der.size);
    key_pair_write_pem(file->key, &text);
    certificate_write_pem(buffer_slice(&file->der), &text);
    return replace_file(folder, name, 0600, buffer_slice(&text), error);
}

bool key_file_write_public(const char *folder, const char *name, struct slice text,
                           struct error *error)
{
    return replace_file(folder, name, 0644, text, error);
}

bool key_file_lock(const char *folder, int *lock, struct error *error)
{
    struct stat about;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return key_file_complain(error, folder, "cannot be made", -errno);
    if (stat(folder, &about) < 0)
        return key_file_complain(error, folder, "cannot be looked at", -errno);
    if (about.st_mode & 022) {
        error_set(error, NULL, "others may write in %s", folder);
        error_why(error, "they could put their own root there");
        error_fix(error, "chmod 700 %s", folder);
        return false;
    }
    *lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return key_file_complain(error, folder, "cannot be opened", -errno);
    if (flock(*lock, LOCK_EX) < 0) {
        close(*lock);
        return key_file_complain(error, folder, "cannot be locked", -errno);
    }
    return true;
}
