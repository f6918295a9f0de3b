#include "proxy/observe/log_sink.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RINGS_MAX = 256, PAUSE_NS = 5000000, QUIET_ROUNDS = 20, LAST_ROUNDS = 100 };

/* Before each line: how long it is and where it goes. */
struct mark {
    uint32_t size;
    int32_t file; /* -1: padding to the ring's end */
};

struct log_ring {
    struct log_sink *sink;
    _Atomic uint64_t written; /* bytes ever put in; the worker's */
    _Atomic uint64_t read;    /* the writer's */
    char bytes[LOG_RING_BYTES];
};

struct log_file {
    char *path; /* never changes */
    size_t path_size;
    int fd;
};

struct log_sink {
    struct thread *thread;
    int wake;
    _Atomic bool is_asleep, is_ending, wants_reopen;
    struct log_ring *rings[RINGS_MAX];
    _Atomic unsigned ring_count;
    pthread_mutex_t lock; /* of files' descriptors, and of adding one */
    struct log_file files[LOG_FILES_MAX];
    _Atomic int file_count; /* none is ever taken away */
};

/* --- files ---------------------------------------------------------------------------------------------------- */

/* A pipe that nobody reads must not hold the worker that opens it: it is no log until a reader is there and we reopen. */
static int open_file(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return dup(STDOUT_FILENO);
    if (strcmp(path, "/dev/stderr") == 0)
        return dup(STDERR_FILENO);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

static int find_file(struct log_sink *sink, struct slice path)
{
    int count = atomic_load_explicit(&sink->file_count, memory_order_acquire);
    for (int i = 0; i < count; i++)
        if (slice_equals(path, slice_of(sink->files[i].path, sink->files[i].path_size)))
            return i;
    return -1;
}

static int add_file(struct log_sink *sink, struct slice path)
{
    int count = sink->file_count;
    if (count == LOG_FILES_MAX)
        return -1;
    struct log_file *file = &sink->files[count];
    file->path = slice_to_str(path);
    file->path_size = path.size;
    file->fd = open_file(file->path);
    if (file->fd < 0)
        log_warning("observe", "the access log %s cannot be opened: %s", file->path,
                    strerror(errno));
    sink->file_count = count + 1;
    return count;
}

int log_sink_file(struct log_sink *sink, struct slice path)
{
    int found = find_file(sink, path);
    if (LIKELY(found >= 0))
        return found;
    pthread_mutex_lock(&sink->lock);
    found = find_file(sink, path); /* another worker may have been first */
    if (found < 0)
        found = add_file(sink, path);
    pthread_mutex_unlock(&sink->lock);
    return found;
}

void log_sink_reopen(struct log_sink *sink)
{
    atomic_store(&sink->wants_reopen, true);
    (void)!eventfd_write(sink->wake, 1);
}

static void reopen(struct log_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    for (int i = 0; i < sink->file_count; i++) {
        int fd = open_file(sink->files[i].path);
        if (fd < 0)
            continue; /* the old file is better than none */
        if (sink->files[i].fd >= 0)
            close(sink->files[i].fd);
        sink->files[i].fd = fd;
    }
    pthread_mutex_unlock(&sink->lock);
}

static int descriptor_of(struct log_sink *sink, int file)
{
    pthread_mutex_lock(&sink->lock);
    int fd = file >= 0 && file < sink->file_count ? sink->files[file].fd : -1;
    pthread_mutex_unlock(&sink->lock);
    return fd;
}

/* --- the writer ----------------------------------------------------------------------------------------------- */

/* A reader that stalls holds the writer, and so fills the rings; when the process ends it is waited for half a second. */
static void write_all(const struct log_sink *sink, int fd, struct iovec *pieces, int count)
{
    int last_rounds = LAST_ROUNDS;
    while (fd >= 0 && count > 0) {
        ssize_t written = writev(fd, pieces, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            if (atomic_load(&sink->is_ending) && last_rounds-- == 0)
                return;
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
            continue;
        }
        if (written < 0)
            return; /* full disk, closed pipe: the lines are lost, the proxy goes on */
        while (count > 0 && (size_t)written >= pieces->iov_len) {
            written -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (char *)pieces->iov_base + written;
            pieces->iov_len -= (size_t)written;
        }
    }
}

/* Everything that is whole in one ring; runs of lines for one file go out together. */
static bool drain(struct log_sink *sink, struct log_ring *ring)
{
    enum { PIECES = 64 };
    struct iovec pieces[PIECES];
    int count = 0, file = -1;
    uint64_t at = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&ring->written, memory_order_acquire);
    bool had_any = at != end;
    while (at != end) {
        struct mark mark;
        memcpy(&mark, ring->bytes + at % LOG_RING_BYTES, sizeof(mark));
        if (mark.file >= 0) {
            if (count == PIECES || (count > 0 && mark.file != file)) {
                write_all(sink, descriptor_of(sink, file), pieces, count);
                count = 0;
            }
            file = mark.file;
            pieces[count++] =
                (struct iovec){ring->bytes + at % LOG_RING_BYTES + sizeof(mark), mark.size};
        }
        at += (sizeof(mark) + mark.size + 7) & ~(uint64_t)7;
    }
    write_all(sink, descriptor_of(sink, file), pieces, count);
    atomic_store_explicit(&ring->read, at, memory_order_release);
    return had_any;
}

static bool drain_all(struct log_sink *sink)
{
    bool had_any = false;
    unsigned count = atomic_load(&sink->ring_count);
    for (unsigned i = 0; i < count; i++)
        had_any |= drain(sink, sink->rings[i]);
    return had_any;
}

static void run_writer(void *argument)
{
    struct log_sink *sink = argument;
    int quiet = 0;
    while (!atomic_load(&sink->is_ending)) {
        if (atomic_exchange(&sink->wants_reopen, false))
            reopen(sink);
        quiet = drain_all(sink) ? 0 : quiet + 1;
        if (quiet <= QUIET_ROUNDS) {
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
            continue;
        }
        /* A line that comes between the look and the sleep sees the flag and wakes us. */
        atomic_store(&sink->is_asleep, true);
        if (!drain_all(sink) && !atomic_load(&sink->is_ending)) {
            eventfd_t ignored;
            (void)!eventfd_read(sink->wake, &ignored);
        }
        atomic_store(&sink->is_asleep, false);
        quiet = 0;
    }
    drain_all(sink);
}

/* --- the workers ---------------------------------------------------------------------------------------------- */

bool log_ring_write(struct log_ring *ring, int file, struct slice line)
{
    uint64_t at = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    size_t needed = (sizeof(struct mark) + line.size + 7) & ~(size_t)7;
    size_t to_end = LOG_RING_BYTES - at % LOG_RING_BYTES;
    size_t padding = needed > to_end ? to_end : 0;
    if (at + padding + needed - read > LOG_RING_BYTES)
        return false;
    if (padding) {
        struct mark skip = {(uint32_t)(padding - sizeof(skip)), -1};
        memcpy(ring->bytes + at % LOG_RING_BYTES, &skip, sizeof(skip));
        at += padding;
    }
    struct mark mark = {(uint32_t)line.size, file};
    memcpy(ring->bytes + at % LOG_RING_BYTES, &mark, sizeof(mark));
    memcpy(ring->bytes + at % LOG_RING_BYTES + sizeof(mark), line.data, line.size);
    atomic_store(&ring->written, at + needed);
    if (UNLIKELY(atomic_load(&ring->sink->is_asleep)))
        (void)!eventfd_write(ring->sink->wake, 1);
    return true;
}

struct log_ring *log_sink_add_ring(struct log_sink *sink)
{
    unsigned count = atomic_load(&sink->ring_count);
    struct log_ring *ring = mem_new(struct log_ring);
    ring->sink = sink;
    sink->rings[count] = ring;
    atomic_store(&sink->ring_count, count + 1);
    return ring;
}

struct log_sink *log_sink_create(void)
{
    struct log_sink *sink = mem_new(struct log_sink);
    pthread_mutex_init(&sink->lock, NULL);
    sink->wake = eventfd(0, EFD_CLOEXEC);
    if (sink->wake < 0 || thread_create("access-log", run_writer, sink, &sink->thread) != 0)
        log_error("observe", "access logs cannot be written: %s", strerror(errno));
    return sink;
}

void log_sink_destroy(struct log_sink *sink)
{
    if (!sink)
        return;
    atomic_store(&sink->is_ending, true);
    (void)!eventfd_write(sink->wake, 1);
    thread_destroy(sink->thread);
    for (unsigned i = 0; i < sink->ring_count; i++)
        mem_free(sink->rings[i]);
    for (int i = 0; i < sink->file_count; i++) {
        if (sink->files[i].fd >= 0)
            close(sink->files[i].fd);
        mem_free(sink->files[i].path);
    }
    close(sink->wake);
    pthread_mutex_destroy(&sink->lock);
    mem_free(sink);
}
