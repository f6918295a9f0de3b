#include "net/namespace_socket.h"

#include "base/memory.h"
#include "io/address.h"
#include "io/helper.h"
#include "io/namespace.h"
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
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

static int open_there(void *argument)
{
    const struct making *making = argument;
    struct address like = {.any = {.sa_family = (sa_family_t)making->family},
                           .size = sizeof(struct sockaddr)};
    return socket_open(&like, SOCK_STREAM);
}

static void work(struct job *job)
{
    struct making *making = CONTAINER_OF(job, struct making, job);
    if (making->name_space < 0)
        return;
    making->fd = namespace_call(making->name_space, open_there, making);
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
