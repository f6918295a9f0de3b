#include "cli/run/folder.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MAX_FOLDERS = 16, TAIL_MAX = 64 << 10 };

bool folder_make(const char *path, struct error *error)
{
    owned_str part = str_copy(path);
    for (char *at = part + 1;; at++) {
        char here = *at;
        if (here != '/' && here != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return error_set(error, "TUL1211", "cannot make %s: %s", part, strerror(errno));
        *at = here;
        if (here == '\0')
            return true;
    }
}

/* nftw knows no argument; commands run on one thread. */
static const char *kept;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    if (kept && strcmp(path, kept) == 0)
        return 0;
    (void)remove(path);
    return 0;
}

void folder_remove(const char *path, bool whole)
{
    kept = whole ? NULL : path;
    (void)nftw(path, remove_one, OPEN_MAX_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int folder_lock(const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    bool is_held = fd >= 0 && errno == EWOULDBLOCK;
    if (is_held) {
        error_set(error, "TUL1213", "this mesh runs already: %s is in use", path);
        error_fix(error, "stop the other one, or set TULLE_HOME to another folder");
    } else {
        error_set(error, "TUL1211", "cannot open %s: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool folder_link(const char *link, const char *target, struct error *error)
{
    owned_str fresh = str_format("%s.%d", link, getpid());
    (void)unlink(fresh);
    if (symlink(target, fresh) == 0 && rename(fresh, link) == 0)
        return true;
    error_set(error, "TUL1211", "cannot link %s: %s", link, strerror(errno));
    (void)unlink(fresh);
    return false;
}

void folder_unlink(const char *link, const char *target)
{
    char path[PATH_MAX];
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    if (size > 0 && slice_equals_str(slice_of(path, (size_t)size), target))
        (void)unlink(link);
}

char *folder_of_program(void)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size <= 0)
        return str_copy(".");
    path[size] = '\0';
    return str_copy(dirname(path));
}

char *folder_tail(const char *path, unsigned lines)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return str_copy("");
    off_t size = lseek(fd, 0, SEEK_END), from = size > TAIL_MAX ? size - TAIL_MAX : 0;
    char *text = mem_calloc(1, TAIL_MAX + 1);
    ssize_t got = pread(fd, text, TAIL_MAX, from);
    close(fd);
    char *at = text + MAX(got, 0);
    while (at > text && at[-1] == '\n')
        *--at = '\0';
    for (unsigned seen = 0; at > text; at--)
        if (at[-1] == '\n' && ++seen == lines)
            break;
    char *tail = str_copy(at);
    mem_free(text);
    return tail;
}
