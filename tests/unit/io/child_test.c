#include "io/child.h"

#include "base/buffer.h"
#include "io/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct ended {
    int count, status;
};

static void on_exit_of(void *owner, struct child *child, int status)
{
    struct ended *ended = owner;
    CHECK(!child_is_running(child), "-");
    ended->count++;
    ended->status = status;
}

static struct child *start(struct loop *loop, struct ended *ended, const char *script, int out_fd)
{
    struct child *child;
    const char *argv[] = {"sh", "-c", script, NULL};
    struct child_fd fds[] = {{out_fd, 1}};
    struct child_options options = {.argv = argv, .fds = fds, .fd_count = out_fd >= 0};
    CHECK(child_create(loop, &options, on_exit_of, ended, &child) == 0, "%s", script);
    return child;
}

TEST(child_ends_with_its_status)
{
    struct loop *loop = loop_for_test();
    struct ended ended = {0};
    struct child *child = start(loop, &ended, "exit 7", -1);
    CHECK(child_pid(child) > 0, "-");
    WAIT_FOR(loop, ended.count == 1);
    CHECK(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 7, "%x", ended.status);
    CHECK(child_kill(child, SIGTERM) == -ESRCH, "-");
    child_destroy(child);
    loop_destroy(loop);
}

TEST(child_that_cannot_start_is_an_error)
{
    struct loop *loop = loop_for_test();
    struct child *child;
    const char *argv[] = {"/no/such/program", NULL};
    struct child_options options = {.argv = argv};
    CHECK(child_create(loop, &options, on_exit_of, NULL, &child) == -ENOENT, "-");
    argv[0] = "/etc/passwd";
    CHECK(child_create(loop, &options, on_exit_of, NULL, &child) == -EACCES, "-");
    options.argv = (const char *[]){"sh", NULL};
    options.folder = "/no/such/folder";
    CHECK(child_create(loop, &options, on_exit_of, NULL, &child) == -ENOENT, "-");
    loop_destroy(loop);
}

static int refuse(void *argument)
{
    return *(int *)argument;
}

TEST(child_prepare_may_refuse)
{
    struct loop *loop = loop_for_test();
    struct child *child;
    int error = -EPERM;
    struct child_options options = {
        .argv = (const char *[]){"true", NULL}, .prepare = refuse, .argument = &error};
    CHECK(child_create(loop, &options, on_exit_of, NULL, &child) == -EPERM, "-");
    loop_destroy(loop);
}

static void read_all(int fd, struct buffer *text)
{
    ssize_t got;
    char *at;
    while (at = buffer_reserve(text, 4096), (got = read(fd, at, 4096)) > 0)
        text->size += (size_t)got;
    buffer_append_byte(text, '\n');
}

/* Only what is named is inherited; standard input is /dev/null. */
TEST(child_inherits_only_what_is_named)
{
    struct loop *loop = loop_for_test();
    struct ended ended = {0};
    struct buffer text = {0};
    int pipe_fds[2], leaked = open("/dev/zero", O_RDONLY); /* without O_CLOEXEC on purpose */
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0 && leaked >= 0, "-");
    struct child *child =
        start(loop, &ended, "for f in /proc/$$/fd/*; do readlink $f; done | sort | uniq; cat",
              pipe_fds[1]);
    close(pipe_fds[1]);
    read_all(pipe_fds[0], &text);
    CHECK(!strstr(text.data, "/dev/zero"), "%s", text.data);
    CHECK(!strstr(text.data, "eventpoll") && !strstr(text.data, "eventfd"), "%s", text.data);
    CHECK(strstr(text.data, "/dev/null"), "%s", text.data);
    WAIT_FOR(loop, ended.count == 1);
    child_destroy(child);
    close(pipe_fds[0]);
    close(leaked);
    buffer_fini(&text);
    loop_destroy(loop);
}

/* Descriptors that change places must not overwrite one another. */
TEST(child_descriptors_may_change_places)
{
    struct loop *loop = loop_for_test();
    struct ended ended = {0};
    struct child *child;
    struct buffer one = {0}, two = {0};
    int a[2], b[2];
    CHECK(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0, "-");
    struct child_fd fds[] = {{a[1], b[1]}, {b[1], a[1]}};
    owned_buffer script = {0};
    buffer_format(&script, "echo to-b >&%d; echo to-a >&%d", a[1], b[1]);
    struct child_options options = {
        .argv = (const char *[]){"bash", "-c", script.data, NULL}, .fds = fds, .fd_count = 2};
    CHECK(child_create(loop, &options, on_exit_of, &ended, &child) == 0, "-");
    close(a[1]);
    close(b[1]);
    read_all(a[0], &one);
    read_all(b[0], &two);
    CHECK(buffer_equals(&one, "to-a\n\n"), "%s", one.data);
    CHECK(buffer_equals(&two, "to-b\n\n"), "%s", two.data);
    child_destroy(child);
    close(a[0]);
    close(b[0]);
    buffer_fini(&one);
    buffer_fini(&two);
    loop_destroy(loop);
}

TEST(child_group_is_killed_as_a_whole)
{
    struct loop *loop = loop_for_test();
    struct ended ended = {0};
    struct child *child;
    struct buffer text = {0};
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0, "-");
    struct child_fd map[] = {{fds[1], 1}};
    struct child_options options = {
        .argv = (const char *[]){"sh", "-c", "sleep 100 & echo up; wait", NULL},
        .fds = map,
        .fd_count = 1,
        .death_signal = SIGKILL,
        .is_group_leader = true};
    CHECK(child_create(loop, &options, on_exit_of, &ended, &child) == 0, "-");
    close(fds[1]);
    char up[3];
    CHECK(read(fds[0], up, 3) == 3, "-");
    CHECK(child_kill(child, SIGTERM) == 0, "-");
    read_all(fds[0], &text); /* ends when the last of the group has ended */
    WAIT_FOR(loop, ended.count == 1);
    CHECK(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGTERM, "%x", ended.status);
    child_destroy(child);
    close(fds[0]);
    buffer_fini(&text);
    loop_destroy(loop);
}

TEST(child_is_killed_when_forgotten)
{
    struct loop *loop = loop_for_test();
    struct ended ended = {0};
    /* exec: a shell that had forked by now would leave its own child behind, with our standard error. */
    struct child *child = start(loop, &ended, "exec sleep 100", -1);
    pid_t pid = child_pid(child);
    child_destroy(child);
    CHECK(kill(pid, 0) < 0 && errno == ESRCH, "waited for");
    loop_turn(loop, 0);
    CHECK(ended.count == 0, "no event after the end");
    loop_destroy(loop);
}
