#include "io/signal.h"

#include "base/memory.h"
#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signal_watch {
    struct watch watch;
    struct loop *loop;
    sigset_t set;
    signal_on_signal *on_signal;
    void *owner;
};

static void on_ready(struct watch *watch, unsigned ready)
{
    (void)ready;
    struct signal_watch *signals = CONTAINER_OF(watch, struct signal_watch, watch);
    struct signalfd_siginfo info;
    /* One a report: the callback may destroy the watch. What is left is reported again. */
    if (read(watch->fd, &info, sizeof(info)) == sizeof(info))
        signals->on_signal(signals->owner, (int)info.ssi_signo,
                           info.ssi_code == SI_KERNEL ? 0 : (pid_t)info.ssi_pid);
}

int signal_watch_create(struct loop *loop, const int *signals, signal_on_signal *on_signal,
                        void *owner, struct signal_watch **out)
{
    struct signal_watch *watch = mem_new(struct signal_watch);
    watch->loop = loop;
    watch->on_signal = on_signal;
    watch->owner = owner;
    sigemptyset(&watch->set);
    for (; *signals; signals++)
        sigaddset(&watch->set, *signals);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &watch->set, NULL);
    int fd = signalfd(-1, &watch->set, SFD_CLOEXEC | SFD_NONBLOCK);
    int error = fd < 0 ? -errno : loop_watch(loop, &watch->watch, fd, LOOP_READABLE, on_ready);
    if (error) {
        if (fd >= 0)
            close(fd);
        pthread_sigmask(SIG_UNBLOCK, &watch->set, NULL);
        mem_free(watch);
        return error;
    }
    *out = watch;
    return 0;
}

void signal_watch_destroy(struct signal_watch *watch)
{
    if (!watch)
        return;
    loop_unwatch(watch->loop, &watch->watch);
    close(watch->watch.fd);
    pthread_sigmask(SIG_UNBLOCK, &watch->set, NULL);
    mem_free(watch);
}
