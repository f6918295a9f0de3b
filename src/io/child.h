/*
 * child: processes that we start, and how they end.
 */
#pragma once

#include "base/attributes.h"

#include <sys/types.h>

struct child;
struct loop;

/* child_fd in the new process is a copy of our_fd. All other descriptors are closed there. */
struct child_fd {
    int our_fd;
    int child_fd;
};
struct child_options {
    const char *const
        *argv; /* NULL-terminated; argv[0] is looked up in PATH when it holds no slash */
    const char *const *env; /* NULL-terminated; NULL = ours */
    const char *folder;     /* working directory; NULL = ours */
    const struct child_fd
        *fds; /* 0, 1 and 2 that are not named here are /dev/null, ours and ours */
    unsigned fd_count;
    int death_signal;     /* sent to it when our thread ends; 0 = none */
    bool is_group_leader; /* own process group, so that child_kill reaches its children */
    unsigned clone_flags; /* CLONE_NEWUSER, CLONE_NEWNET...; 0 = none */
    /* Runs in the child before exec; only async-signal-safe calls. Non-zero ends it: -errno becomes child_create's result. */
    int (*prepare)(void *argument);
    void *argument;
};
/* status as of waitpid: WIFEXITED and so on. */
typedef void child_on_exit(void *owner, struct child *child, int status);

/* 0 or a negative errno, also of exec itself (-ENOENT: no such program). Blocks until exec has happened. */
MUST_USE int child_create(struct loop *loop, const struct child_options *options,
                          child_on_exit *on_exit, void *owner, struct child **out);
pid_t child_pid(const struct child *child);
/* By pidfd, so never to a stranger who got the number; to the whole group of a group leader. 0 or a negative errno. */
MUST_USE int child_kill(struct child *child, int signal);
bool child_is_running(const struct child *child);
/* Forgets a child that ended; kills one that did not (SIGKILL) and waits for it. Accepts NULL. */
void child_destroy(struct child *child);
