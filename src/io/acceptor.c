#include "io/acceptor_internal.h"

#include "base/memory.h"
#include "io/epoll_internal.h"
#include "io/loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

/* --- common to all back ends ----------------------------------------------------------------- */

bool acceptor_is_accepting(const struct acceptor *acceptor)
{
    return !acceptor->is_closed && !acceptor->is_paused && !acceptor->is_pressed;
}

void acceptor_deliver(struct acceptor *acceptor, int fd, const struct address *peer)
{
    count(&acceptor->loop->stats.accepted, 1);
    acceptor->on_accept(acceptor->owner, fd, peer);
}

/* Starting and stopping at the back end follows from the flags; a failed start is tried again on resume. */
static int apply(struct acceptor *acceptor, bool was_accepting)
{
    bool is_accepting = acceptor_is_accepting(acceptor);
    if (is_accepting == was_accepting)
        return 0;
    if (is_accepting)
        return acceptor->loop->ops->accept_start(acceptor);
    acceptor->loop->ops->accept_stop(acceptor);
    return 0;
}

static void on_pressure(struct pressure_watch *watch, enum memory_pressure level)
{
    struct acceptor *acceptor = CONTAINER_OF(watch, struct acceptor, pressure);
    bool was_accepting = acceptor_is_accepting(acceptor);
    acceptor->is_pressed = level >= MEMORY_STOP_ACCEPTING && !acceptor->is_exempt;
    int error = apply(acceptor, was_accepting);
    (void)error; /* the next change of pressure or a resume tries again */
}

static void on_run(struct task *task);

int acceptor_create(struct loop *loop, int fd, acceptor_on_accept *on_accept, void *owner,
                    struct acceptor **out)
{
    struct acceptor *acceptor = mem_new(struct acceptor);
    acceptor->loop = loop;
    acceptor->fd = fd;
    acceptor->on_accept = on_accept;
    acceptor->owner = owner;
    task_init(&acceptor->run, on_run);
    int error = loop->ops->accept_start(acceptor);
    if (error) {
        mem_free(acceptor);
        return error;
    }
    acceptor->name = handle_new(loop->handles, acceptor);
    acceptor->is_pressed = loop->pressure >= MEMORY_STOP_ACCEPTING;
    if (acceptor->is_pressed)
        loop->ops->accept_stop(acceptor);
    loop_watch_pressure(loop, &acceptor->pressure, on_pressure);
    *out = acceptor;
    return 0;
}

static void on_reap(struct task *task)
{
    mem_free(CONTAINER_OF(task, struct acceptor, run));
}

void acceptor_destroy(struct acceptor *acceptor)
{
    if (!acceptor)
        return;
    assert(!acceptor->is_closed);
    if (acceptor_is_accepting(acceptor))
        acceptor->loop->ops->accept_stop(acceptor);
    acceptor->is_closed = true;
    loop_unwatch_pressure(&acceptor->pressure);
    handle_drop(acceptor->loop->handles, acceptor->name);
    loop_task_cancel(&acceptor->run);
    task_init(&acceptor->run, on_reap);
    loop_reap_later(acceptor->loop, &acceptor->run);
}

void acceptor_pause(struct acceptor *acceptor)
{
    bool was_accepting = acceptor_is_accepting(acceptor);
    acceptor->is_paused = true;
    int error = apply(acceptor, was_accepting);
    (void)error; /* stopping cannot fail */
}

int acceptor_resume(struct acceptor *acceptor)
{
    bool was_accepting = acceptor_is_accepting(acceptor);
    acceptor->is_paused = false;
    return apply(acceptor, was_accepting);
}

void acceptor_set_exempt(struct acceptor *acceptor)
{
    acceptor->is_exempt = true;
    on_pressure(&acceptor->pressure, acceptor->loop->pressure);
}

handle acceptor_name(const struct acceptor *acceptor)
{
    return acceptor->name;
}

void accepted_close(struct loop *loop, int fd)
{
    loop->ops->accepted_close(loop, fd);
}

/* --- hand-over ------------------------------------------------------------------------------- */

struct handed_over {
    struct mail mail;
    struct loop *loop;
    handle acceptor;
    int fd;
    struct address peer;
};

static void drop_handed_over(struct mail *mail)
{
    struct handed_over *parcel = CONTAINER_OF(mail, struct handed_over, mail);
    close(parcel->fd);
    mem_free(parcel);
}

static void deliver_handed_over(struct mail *mail)
{
    struct handed_over *parcel = CONTAINER_OF(mail, struct handed_over, mail);
    struct acceptor *acceptor = handle_get(parcel->loop->handles, parcel->acceptor);
    if (acceptor) {
        acceptor_deliver(acceptor, parcel->fd, &parcel->peer);
        mem_free(parcel);
    } else {
        drop_handed_over(mail);
    }
}

void acceptor_hand_over(struct loop *to, handle acceptor, int fd, const struct address *peer)
{
    struct handed_over *parcel = mem_new(struct handed_over);
    parcel->mail = (struct mail){.deliver = deliver_handed_over, .drop = drop_handed_over};
    parcel->loop = to;
    parcel->acceptor = acceptor;
    parcel->fd = fd;
    parcel->peer = *peer;
    loop_post(to, &parcel->mail);
}

/* --- over epoll ------------------------------------------------------------------------------ */

/*
 * Out of descriptors, a connection that waits would keep the listener readable and the loop spinning. The spare
 * descriptor makes room to accept it and to tell its peer by closing it.
 */
static void shed(struct acceptor *acceptor)
{
    struct loop *loop = acceptor->loop;
    count(&loop->stats.accept_refused, 1);
    if (loop->spare_fd < 0)
        return;
    close(loop->spare_fd);
    int fd = accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* What accept says of a connection that died while it waited: not the listener's trouble. */
static bool is_peers_trouble(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM: return true;
    default: return false;
    }
}

static bool accept_one(struct acceptor *acceptor)
{
    struct sockaddr_storage any;
    socklen_t size = sizeof(any);
    int fd = accept4(acceptor->fd, (struct sockaddr *)&any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        struct address peer = address_from((struct sockaddr *)&any, size);
        acceptor_deliver(acceptor, fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        shed(acceptor);
        return false;
    }
    return is_peers_trouble(errno);
}

static void accept_some(struct acceptor *acceptor)
{
    while (acceptor_is_accepting(acceptor)) {
        if (!loop_take_accept(acceptor->loop)) {
            loop_run_next_turn(acceptor->loop, &acceptor->run);
            return;
        }
        if (!accept_one(acceptor))
            return;
    }
}

static void on_run(struct task *task)
{
    accept_some(CONTAINER_OF(task, struct acceptor, run));
}

static void on_acceptor_events(struct source *source, uint32_t events)
{
    (void)events;
    struct acceptor *acceptor = CONTAINER_OF(source, struct acceptor, source);
    if (!task_is_queued(&acceptor->run))
        accept_some(acceptor);
}

/* Level-triggered: what a budget leaves behind is reported again. */
int epoll_accept_start(struct acceptor *acceptor)
{
    if (acceptor->loop->spare_fd < 0)
        acceptor->loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    acceptor->source.on_events = on_acceptor_events;
    return epoll_add(acceptor->loop, acceptor->fd, EPOLLIN, &acceptor->source,
                     &acceptor->event_name);
}

void epoll_accept_stop(struct acceptor *acceptor)
{
    if (acceptor->event_name)
        epoll_remove(acceptor->loop, acceptor->fd, &acceptor->event_name);
    loop_task_cancel(&acceptor->run);
}

void epoll_accepted_close(struct loop *loop, int fd)
{
    (void)loop;
    close(fd);
}
