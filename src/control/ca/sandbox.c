#include "control/ca/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void sandbox_leave_descriptors(int fd)
{
    int nothing = open("/dev/null", O_RDWR);
    struct rlimit none = {0, 0};
    if (fd != SANDBOX_SOCKET)
        dup2(fd, SANDBOX_SOCKET);
    if (nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
    }
    close_range(SANDBOX_SOCKET + 1, ~0U, 0);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}

/* Talking over what is open, memory, time, randomness, and ending. */
static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(write),          SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),       SCMP_SYS(sendto),         SCMP_SYS(sendmsg),
    SCMP_SYS(close),         SCMP_SYS(mmap),           SCMP_SYS(munmap),
    SCMP_SYS(mremap),        SCMP_SYS(mprotect),       SCMP_SYS(madvise),
    SCMP_SYS(brk),           SCMP_SYS(futex),          SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),   SCMP_SYS(clock_nanosleep),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),        SCMP_SYS(gettid),         SCMP_SYS(sched_yield),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),     SCMP_SYS(restart_syscall),
};

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    int failed = 0;
    for (size_t i = 0; i < COUNT(allowed) && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (!failed)
        failed = seccomp_load(filter); /* sets no_new_privs by itself */
    seccomp_release(filter);
    return failed;
}

/* A sandbox that does not hold is worse than none that is known of. */
static bool holds(void)
{
    int network = socket(AF_INET, SOCK_STREAM, 0);
    bool denied = network < 0 && errno == EPERM;
    int file = open("/etc/passwd", O_RDONLY);
    denied = denied && file < 0 && errno == EPERM;
    return denied && fork() < 0 && errno == EPERM;
}

bool sandbox_enter(struct error *error)
{
    int failed = load_filter();
    if (!failed && holds())
        return true;
    error_set(error, NULL, "the signing process cannot be shut in: %s",
              failed ? strerror(-failed) : "the filter does not hold");
    error_why(error, "it holds the key that every identity of the mesh hangs on");
    error_fix(
        error,
        "run on a kernel with seccomp (CONFIG_SECCOMP_FILTER), in a container that allows it");
    return false;
}
