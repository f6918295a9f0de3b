#include "cli/run/output.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct output {
    struct watch watch;
    struct loop *loop;
    char *name;
    unsigned width, color;
    bool is_quiet, wants_color;
    int read_fd, write_fd, file;
    struct buffer line;
};

static void say(const struct output *output)
{
    static const char *const colors[] = {"36", "33", "32", "35", "34",
                                         "96", "93", "92", "95", "94"};
    if (output->wants_color)
        printf("\033[%sm%-*s |\033[0m %.*s\n", colors[output->color % COUNT(colors)],
               (int)output->width, output->name, (int)output->line.size, output->line.data);
    else
        printf("%-*s | %.*s\n", (int)output->width, output->name, (int)output->line.size,
               output->line.data);
}

static void end_line(struct output *output)
{
    if (!output->is_quiet && output->line.size > 0)
        say(output);
    buffer_reset(&output->line);
}

static void take(struct output *output, const char *bytes, size_t size)
{
    ssize_t written = write(output->file, bytes, size);
    (void)written; /* a full disk must not stop the program */
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n' || output->line.size == OUTPUT_LINE_MAX)
            end_line(output);
        if (bytes[i] != '\n')
            buffer_append_byte(&output->line, bytes[i]);
    }
    if (!output->is_quiet)
        fflush(stdout);
}

/* At most a few pieces a turn: one program that prints without end does not stop the others. */
static void drain(struct output *output, int pieces)
{
    char piece[16384];
    ssize_t got;
    while (pieces-- > 0 && (got = read(output->read_fd, piece, sizeof(piece))) > 0)
        take(output, piece, (size_t)got);
}

static void on_readable(struct watch *watch, unsigned ready)
{
    (void)ready;
    drain(CONTAINER_OF(watch, struct output, watch), 4);
}

int output_create(struct loop *loop, const struct output_options *options, struct output **out)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    int file = open(options->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    int failure = file < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0 ? -errno : 0;
    struct output *output = mem_new(struct output);
    *output = (struct output){.loop = loop,
                              .name = str_copy(options->name),
                              .width = options->width,
                              .color = options->color,
                              .is_quiet = options->is_quiet,
                              .wants_color = options->wants_color,
                              .read_fd = fds[0],
                              .write_fd = fds[1],
                              .file = file};
    if (!failure)
        failure = loop_watch(loop, &output->watch, fds[0], LOOP_READABLE, on_readable);
    if (failure)
        output_destroy(output);
    else
        *out = output;
    return failure;
}

void output_destroy(struct output *output)
{
    if (!output)
        return;
    drain(output, 64);
    end_line(output);
    loop_unwatch(output->loop, &output->watch);
    close(output->read_fd);
    close(output->write_fd);
    if (output->file >= 0)
        close(output->file);
    buffer_fini(&output->line);
    mem_free(output->name);
    mem_free(output);
}

int output_fd(const struct output *output)
{
    return output->write_fd;
}
