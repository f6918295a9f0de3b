#include "cli/run/probe.h"

#include "base/memory.h"
#include "cli/run/pod.h"
#include "io/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 10, ANSWER_S = 2 };

struct probe {
    struct watch watch;
    struct loop *loop;
    pid_t pid;
    int pidfd;
    void (*on_end)(void *owner, bool is_ready);
    void *owner;
};

/* --- in the new process ------------------------------------------------------------------------------------------- */

static bool answers(int fd, const char *request, size_t size)
{
    char head[16] = {0};
    size_t got = 0;
    ssize_t piece;
    if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
        return false;
    while (got < 12 && (piece = recv(fd, head + got, 12 - got, 0)) > 0)
        got += (size_t)piece;
    return got == 12 && memcmp(head, "HTTP/1.", 7) == 0 && (head[9] == '2' || head[9] == '3');
}

static bool try(uint16_t port, const char *request, size_t size)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = ANSWER_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    bool is_ready = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                    (size == 0 || answers(fd, request, size));
    close(fd);
    return is_ready;
}

static void NORETURN be_probe(struct pod *pod, uint16_t port, const char *request, size_t size,
                              unsigned timeout_s)
{
    struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (pod_enter_service(pod) != 0)
        _exit(2);
    for (unsigned i = 0; i < timeout_s * (1000 / PAUSE_MS); i++) {
        if (try(port, request, size))
            _exit(0);
        nanosleep(&pause, NULL);
    }
    _exit(1);
}

/* --- in ours ------------------------------------------------------------------------------------------------------ */

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void on_ended(struct watch *watch, unsigned ready)
{
    (void)ready;
    struct probe *probe = CONTAINER_OF(watch, struct probe, watch);
    int status = reap(probe->pid);
    probe->pid = 0;
    loop_unwatch(probe->loop, watch);
    probe->on_end(probe->owner, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int probe_create(struct loop *loop, struct pod *pod, uint16_t port, const char *path,
                 unsigned timeout_s, void (*on_end)(void *owner, bool is_ready), void *owner,
                 struct probe **out)
{
    owned_str request =
        path ? str_format("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
             : str_copy("");
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        be_probe(pod, port, request, strlen(request), timeout_s);
    struct probe *probe = mem_new(struct probe);
    *probe = (struct probe){
        .loop = loop, .pid = pid, .pidfd = pidfd_open(pid, 0), .on_end = on_end, .owner = owner};
    int failure = probe->pidfd < 0
                      ? -errno
                      : loop_watch(loop, &probe->watch, probe->pidfd, LOOP_READABLE, on_ended);
    if (failure)
        probe_destroy(probe);
    else
        *out = probe;
    return failure;
}

void probe_destroy(struct probe *probe)
{
    if (!probe)
        return;
    if (probe->pid > 0) {
        kill(probe->pid, SIGKILL);
        reap(probe->pid);
    }
    loop_unwatch(probe->loop, &probe->watch);
    if (probe->pidfd >= 0)
        close(probe->pidfd);
    mem_free(probe);
}
