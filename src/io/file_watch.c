#include "io/file_watch.h"

#include "base/memory.h"
#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_EVENTS = IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_MOVED_TO | IN_MOVED_FROM |
                  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF,
    RETRY_MS = 1000, /* to watch a folder that has gone */
};

struct file_watch {
    struct watch readable;
    struct timer timer;
    struct loop *loop;
    char *folder;
    char *file; /* NULL: the whole folder */
    file_watch_on_change *on_change;
    void *owner;
    int fd;
    int folder_id;      /* -1: the folder has gone */
    uint64_t latest_ms; /* of a report that is due */
    bool is_changed;
};

static void on_timer(struct timer *timer);

static int watch_folder(struct file_watch *watch)
{
    watch->folder_id = inotify_add_watch(watch->fd, watch->folder, FILE_EVENTS | IN_ONLYDIR);
    return watch->folder_id < 0 ? -errno : 0;
}

static void report_soon(struct file_watch *watch)
{
    uint64_t now_ms = loop_now_ms(watch->loop);
    if (!watch->is_changed) {
        watch->is_changed = true;
        watch->latest_ms = now_ms + FILE_WATCH_LATEST_MS;
    }
    uint64_t left_ms = watch->latest_ms > now_ms ? watch->latest_ms - now_ms : 0;
    loop_timer_start(watch->loop, &watch->timer, MIN(left_ms, (uint64_t)FILE_WATCH_QUIET_MS),
                     on_timer);
}

/* Names that begin with two dots are how Kubernetes swaps the files of a volume: ..data is a link to all of them. */
static bool concerns(const struct file_watch *watch, const struct inotify_event *event)
{
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_Q_OVERFLOW))
        return true;
    if (event->len == 0)
        return false;
    return !watch->file || strcmp(event->name, watch->file) == 0 ||
           strncmp(event->name, "..", 2) == 0;
}

static void read_event(struct file_watch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_IGNORED) {
        if (event->wd == watch->folder_id)
            watch->folder_id = -1;
    } else if (event->mask & IN_MOVE_SELF) {
        inotify_rm_watch(watch->fd, watch->folder_id); /* it is not the folder of this name now */
    }
    if (concerns(watch, event))
        report_soon(watch);
}

static void on_readable(struct watch *readable, unsigned ready)
{
    (void)ready;
    struct file_watch *watch = CONTAINER_OF(readable, struct file_watch, readable);
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t got = read(watch->fd, bytes, sizeof(bytes));
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *event = (const void *)(bytes + at);
        read_event(watch, event);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
}

static void on_timer(struct timer *timer)
{
    struct file_watch *watch = CONTAINER_OF(timer, struct file_watch, timer);
    bool was_gone = watch->folder_id < 0;
    bool is_back = was_gone && watch_folder(watch) == 0;
    if (was_gone && !is_back)
        loop_timer_start(watch->loop, timer, RETRY_MS, on_timer);
    if (!watch->is_changed && !is_back)
        return;
    watch->is_changed = false;
    watch->on_change(watch->owner); /* may destroy the watch */
}

static void split_path(struct file_watch *watch, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        watch->folder = str_copy(path);
        return;
    }
    const char *slash = strrchr(path, '/');
    watch->file = str_copy(slash ? slash + 1 : path);
    if (!slash)
        watch->folder = str_copy(".");
    else
        watch->folder = str_copy_n(path, slash == path ? 1 : (size_t)(slash - path));
}

int file_watch_create(struct loop *loop, const char *path, file_watch_on_change *on_change,
                      void *owner, struct file_watch **out)
{
    owned(file_watch) watch = mem_new(struct file_watch);
    watch->loop = loop;
    watch->on_change = on_change;
    watch->owner = owner;
    split_path(watch, path);
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        return -errno;
    int error = watch_folder(watch);
    if (!error)
        error = loop_watch(loop, &watch->readable, watch->fd, LOOP_READABLE, on_readable);
    if (error)
        return error;
    *out = give(watch);
    return 0;
}

void file_watch_destroy(struct file_watch *watch)
{
    if (!watch)
        return;
    loop_timer_stop(watch->loop, &watch->timer);
    loop_unwatch(watch->loop, &watch->readable);
    if (watch->fd >= 0)
        close(watch->fd);
    mem_free(watch->folder);
    mem_free(watch->file);
    mem_free(watch);
}
