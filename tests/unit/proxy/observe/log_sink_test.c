#include "proxy/observe/log_sink.h"

#include "base/memory.h"

#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/log_sink.XXXXXX";

static char *path_of(const char *name)
{
    return str_format("%s/%s", directory, name);
}

static char *make_pipe(const char *name)
{
    char *path = path_of(name);
    CHECK(mkfifo(path, 0600) == 0);
    return path;
}

/* Waits for bytes, 10 s at most. */
static void expect(int fd, const char *text)
{
    char got[256] = "";
    size_t size = 0;
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    while (size < strlen(text) && poll(&waiting, 1, 10000) == 1) {
        ssize_t more = read(fd, got + size, sizeof(got) - 1 - size);
        CHECK(more > 0);
        size += (size_t)more;
    }
    CHECK(strcmp(got, text) == 0, "\"%s\" instead of \"%s\"", got, text);
}

/* The worker that opens it would hang for ever: this test would, too. */
TEST(log_sink_does_not_wait_for_the_reader_of_a_pipe)
{
    CHECK(mkdtemp(directory) != NULL);
    owned_str path = make_pipe("unread");
    struct log_sink *sink = log_sink_create();
    struct log_ring *ring = log_sink_add_ring(sink);
    int file = log_sink_file(sink, slice_str(path));
    CHECK(file >= 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    log_sink_reopen(sink);
    /* What the writer meets before it has reopened is lost. */
    for (struct pollfd waiting = {.fd = reader, .events = POLLIN}; poll(&waiting, 1, 20) == 0;)
        CHECK(log_ring_write(ring, file, SLICE("kept\n")));
    char got[5];
    CHECK(read(reader, got, sizeof(got)) == 5 && memcmp(got, "kept\n", 5) == 0);
    log_sink_destroy(sink);
    close(reader);
    CHECK(unlink(path) == 0);
}

TEST(log_sink_ends_although_the_reader_of_a_pipe_stalls)
{
    enum { LINES = 3000 }; /* 180 KB: more than a pipe holds, less than a ring */
    owned_str path = make_pipe("stalled");
    struct log_sink *sink = log_sink_create();
    struct log_ring *ring = log_sink_add_ring(sink);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    int file = log_sink_file(sink, slice_str(path));
    for (int i = 0; i < LINES; i++)
        CHECK(log_ring_write(ring, file,
                             SLICE("123456789 123456789 123456789 123456789 12345678\n")));
    log_sink_destroy(sink);
    close(reader);
    CHECK(unlink(path) == 0);
}

TEST(log_sink_writes_on_into_a_file_that_was_moved)
{
    owned_str path = path_of("log");
    owned_str moved = path_of("log.1");
    struct log_sink *sink = log_sink_create();
    struct log_ring *ring = log_sink_add_ring(sink);
    int file = log_sink_file(sink, slice_str(path));
    CHECK(log_sink_file(sink, slice_str(path)) == file, "one path is one file");
    CHECK(rename(path, moved) == 0);
    CHECK(log_ring_write(ring, file, SLICE("one\n")));
    log_sink_destroy(sink);
    int fd = open(moved, O_RDONLY);
    expect(fd, "one\n");
    close(fd);
    CHECK(unlink(moved) == 0 && rmdir(directory) == 0);
}
