#include "io/child.h"

#include "base/memory.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_FDS_MAX = 64 };

struct child {
    struct watch watch; /* its pidfd */
    struct loop *loop;
    child_on_exit *on_exit;
    void *owner;
    pid_t pid;
    bool is_running;
    bool is_group_leader;
};

/* --- in the new process: async-signal-safe calls only, until exec ----------------------------- */

static int reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) ? -errno : 0;
}

static bool names_fd(const struct child_options *options, int fd)
{
    for (unsigned i = 0; i < options->fd_count; i++)
        if (options->fds[i].child_fd == fd)
            return true;
    return false;
}

/* Copies above every number that is wanted, so that no target overwrites a source; then each to its place. */
static int place_fds(const struct child_options *options, int *report_fd)
{
    int copies[CHILD_FDS_MAX];
    int above = 3;
    for (unsigned i = 0; i < options->fd_count; i++)
        above = MAX(above, options->fds[i].child_fd + 1);
    *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, above);
    if (*report_fd < 0)
        return -errno;
    for (unsigned i = 0; i < options->fd_count; i++)
        if ((copies[i] = fcntl(options->fds[i].our_fd, F_DUPFD_CLOEXEC, above)) < 0)
            return -errno;
    if (!names_fd(options, 0)) {
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || (null != 0 && dup2(null, 0) < 0))
            return -errno;
    }
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
        return -errno;
    for (unsigned i = 0; i < options->fd_count; i++)
        if (dup2(copies[i], options->fds[i].child_fd) < 0)
            return -errno;
    return 0;
}

static int prepare(const struct child_options *options, pid_t parent)
{
    if (options->is_group_leader && setpgid(0, 0))
        return -errno;
    if (options->death_signal) {
        if (prctl(PR_SET_PDEATHSIG, options->death_signal))
            return -errno;
        if (getppid() != parent) /* it died before that */
            _exit(127);
    }
    if (options->clone_flags && unshare((int)options->clone_flags))
        return -errno;
    if (options->folder && chdir(options->folder))
        return -errno;
    return options->prepare ? options->prepare(options->argument) : 0;
}

NORETURN static void be_child(const struct child_options *options, pid_t parent, int report_fd)
{
    int error = reset_signals();
    if (!error)
        error = place_fds(options, &report_fd);
    if (!error)
        error = prepare(options, parent);
    if (!error) {
        char *const *argv = (char *const *)(uintptr_t)options->argv;
        char *const *env = (char *const *)(uintptr_t)options->env;
        execvpe(argv[0], argv, env ? env : environ);
        error = -errno;
    }
    ssize_t written = write(report_fd, &error, sizeof(error));
    (void)written;
    _exit(127);
}

/* --- in ours --------------------------------------------------------------------------------- */

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void on_ended(struct watch *watch, unsigned ready)
{
    (void)ready;
    struct child *child = CONTAINER_OF(watch, struct child, watch);
    int status = wait_for(child->pid);
    child->is_running = false;
    loop_unwatch(child->loop, watch);
    child->on_exit(child->owner, child, status);
}

/* Blocks until exec has closed the pipe, or something has gone wrong before it. */
static int read_report(int fd)
{
    int error = 0;
    ssize_t got;
    while ((got = read(fd, &error, sizeof(error))) < 0 && errno == EINTR)
        ;
    close(fd);
    return got == sizeof(error) ? error : 0;
}

static int start(const struct child_options *options, pid_t *pid)
{
    int report[2];
    pid_t parent = getpid();
    if (options->fd_count > CHILD_FDS_MAX)
        return -EINVAL;
    if (pipe2(report, O_CLOEXEC))
        return -errno;
    *pid = fork();
    if (*pid == 0)
        be_child(options, parent, report[1]);
    int error = *pid < 0 ? -errno : 0;
    close(report[1]);
    if (error) {
        close(report[0]);
        return error;
    }
    error = read_report(report[0]);
    if (error)
        wait_for(*pid);
    return error;
}

int child_create(struct loop *loop, const struct child_options *options, child_on_exit *on_exit,
                 void *owner, struct child **out)
{
    pid_t pid = -1;
    int error = start(options, &pid);
    if (error)
        return error;
    struct child *child = mem_new(struct child);
    *child = (struct child){.loop = loop,
                            .on_exit = on_exit,
                            .owner = owner,
                            .pid = pid,
                            .is_running = true,
                            .is_group_leader = options->is_group_leader};
    int fd = pidfd_open(pid, 0);
    error = fd < 0 ? -errno : loop_watch(loop, &child->watch, fd, LOOP_READABLE, on_ended);
    if (error) {
        child->watch.fd = fd;
        child_destroy(child);
        return error;
    }
    *out = child;
    return 0;
}

pid_t child_pid(const struct child *child)
{
    return child->pid;
}

int child_kill(struct child *child, int signal)
{
    if (!child->is_running)
        return -ESRCH;
    /* It was not waited for yet, so its number, and its group's, cannot be anybody else's. */
    int failed = child->is_group_leader ? kill(-child->pid, signal)
                                        : pidfd_send_signal(child->watch.fd, signal, NULL, 0);
    return failed ? -errno : 0;
}

bool child_is_running(const struct child *child)
{
    return child->is_running;
}

void child_destroy(struct child *child)
{
    if (!child)
        return;
    if (child->is_running) {
        kill(child->is_group_leader ? -child->pid : child->pid, SIGKILL);
        wait_for(child->pid);
    }
    loop_unwatch(child->loop, &child->watch);
    if (child->watch.fd >= 0)
        close(child->watch.fd);
    mem_free(child);
}
