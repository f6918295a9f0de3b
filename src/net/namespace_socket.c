#include "net/namespace_socket.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/address.h"
#include "io/helper.h"
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct making {
    struct job job;
    handle name;    /* stale once nobody wants the socket any more */
    int name_space; /* -1: could not be duplicated, and fd says why */
    int family;
    int fd;
    namespace_socket_on_made *on_made;
    void *owner;
};

/* Helper thread. */
static int make_there(const struct making *making)
{
    struct address like = {.any = {.sa_family = (sa_family_t)making->family},
                           .size = sizeof(struct sockaddr)};
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return -errno;
    if (setns(making->name_space, CLONE_NEWNET)) {
        int error = -errno;
        close(home);
        return error;
    }
    int fd = socket_open(&like, SOCK_STREAM);
    /* A thread that stays away would make every later socket in the wrong place. */
    if (setns(home, CLONE_NEWNET)) {
        log_critical("net", "cannot come back from a network namespace: %s", strerror(errno));
        abort();
    }
    close(home);
    return fd;
}

static void work(struct job *job)
{
    struct making *making = CONTAINER_OF(job, struct making, job);
    if (making->name_space < 0)
        return;
    making->fd = make_there(making);
    close(making->name_space);
}

static void done(struct job *job)
{
    struct making *making = CONTAINER_OF(job, struct making, job);
    struct handle_table *handles = loop_handles(job->loop);
    bool is_wanted = handle_get(handles, making->name);
    if (is_wanted) {
        handle_drop(handles, making->name);
        making->on_made(making->owner, making->fd);
    } else if (making->fd >= 0) {
        close(making->fd);
    }
    mem_free(making);
}

/* The loop ends before the answer. */
static void drop(struct mail *mail)
{
    struct making *making = CONTAINER_OF(mail, struct making, job.mail);
    if (making->fd >= 0)
        close(making->fd);
    mem_free(making);
}

handle namespace_socket_make(struct helper_pool *helpers, struct loop *loop, int name_space,
                             int family, namespace_socket_on_made *on_made, void *owner)
{
    struct making *making = mem_new(struct making);
    making->job = (struct job){.mail = {.drop = drop}, .work = work, .done = done};
    making->family = family;
    making->on_made = on_made;
    making->owner = owner;
    making->name_space = fcntl(name_space, F_DUPFD_CLOEXEC, 3);
    making->fd = making->name_space < 0 ? -errno : -EINTR;
    making->name = handle_new(loop_handles(loop), making);
    handle name = making->name;
    helper_submit(helpers, loop, &making->job);
    return name;
}
