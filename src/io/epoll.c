/*
 * epoll: the back end over real sockets: waiting, waking, foreign descriptors.
 *
 * Every registration carries a generation-counted name, not a pointer: a report that is late (a descriptor's file may
 * outlive its close in a child that has not called exec yet) finds nobody.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "io/acceptor_internal.h"
#include "io/calls_internal.h"
#include "io/conn_internal.h"
#include "io/epoll_internal.h"
#include "io/loop_internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EPOLL_BATCH = 256 };

struct epoll_state {
    int fd;
    int wake_fd; /* edge-triggered and never read: each write is an edge */
    int ready_count;
    struct epoll_event ready[EPOLL_BATCH];
};

int epoll_open(struct loop *loop)
{
    struct epoll_state *state = mem_new(struct epoll_state);
    struct epoll_event on_wake = {.events = EPOLLIN | EPOLLET, .data.u64 = 0};
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    state->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (state->fd < 0 || state->wake_fd < 0 ||
        epoll_ctl(state->fd, EPOLL_CTL_ADD, state->wake_fd, &on_wake)) {
        int error = -errno;
        if (state->fd >= 0)
            close(state->fd);
        if (state->wake_fd >= 0)
            close(state->wake_fd);
        mem_free(state);
        return error;
    }
    loop->epoll = state;
    loop_set_now(loop, clock_now_us());
    loop->wall_read_us = loop->now_us;
    loop->wall_offset_us = clock_wall_us() - (int64_t)loop->now_us;
    return 0;
}

void epoll_close(struct loop *loop)
{
    close(loop->epoll->wake_fd);
    close(loop->epoll->fd);
    mem_free(loop->epoll);
}

enum { EXACT_WAIT_US = 100 * 1000 };

static int wait_ms_of(const struct loop *loop, uint64_t wait_us)
{
    if (wait_us == 0)
        return 0;
    if (wait_us == WAIT_FOREVER)
        return -1;
    /* The turn that ends now has taken time of its own, for which a long wait is no less exact. */
    uint64_t spent_us = wait_us < EXACT_WAIT_US ? clock_now_us() - loop->now_us : 0;
    uint64_t left_us = wait_us > spent_us ? wait_us - spent_us : 0;
    return (int)MIN((left_us + 999) / 1000, (uint64_t)60000);
}

void epoll_collect(struct loop *loop)
{
    struct epoll_state *state = loop->epoll;
    int count = call_epoll_wait(state->fd, state->ready, EPOLL_BATCH, 0);
    state->ready_count = count > 0 ? count : 0;
}

int epoll_descriptor(const struct loop *loop)
{
    return loop->epoll->fd;
}

static void epoll_wait_for(struct loop *loop, uint64_t wait_us)
{
    struct epoll_state *state = loop->epoll;
    int count = call_epoll_wait(state->fd, state->ready, EPOLL_BATCH, wait_ms_of(loop, wait_us));
    if (UNLIKELY(count < 0)) /* EINTR, as after a stop: it did not look what is ready */
        epoll_collect(loop);
    else
        state->ready_count = count;
    loop_set_now(loop, clock_now_us());
}

size_t epoll_dispatch(struct loop *loop)
{
    struct epoll_state *state = loop->epoll;
    size_t count = 0;
    for (int i = 0; i < state->ready_count; i++) {
        struct source *source = handle_get(loop->handles, state->ready[i].data.u64);
        if (!source)
            continue;
        source->on_events(source, state->ready[i].events);
        count++;
    }
    state->ready_count = 0;
    return count;
}

void epoll_wake(struct loop *loop)
{
    uint64_t one = 1;
    /* It can only fail when the counter is full, and then an edge has been given already. */
    ssize_t written = write(loop->epoll->wake_fd, &one, sizeof(one));
    (void)written;
}

int epoll_add(struct loop *loop, int fd, uint32_t events, struct source *source, handle *name)
{
    *name = handle_new(loop->handles, source);
    struct epoll_event event = {.events = events, .data.u64 = *name};
    if (epoll_ctl(loop->epoll->fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    int error = -errno;
    handle_drop(loop->handles, *name);
    *name = 0;
    return error;
}

int epoll_change(struct loop *loop, int fd, uint32_t events, handle name)
{
    struct epoll_event event = {.events = events, .data.u64 = name};
    return epoll_ctl(loop->epoll->fd, EPOLL_CTL_MOD, fd, &event) ? -errno : 0;
}

void epoll_remove(struct loop *loop, int fd, handle *name)
{
    epoll_ctl(loop->epoll->fd, EPOLL_CTL_DEL, fd, NULL);
    handle_drop(loop->handles, *name);
    *name = 0;
}

/* --- foreign descriptors --------------------------------------------------------------------- */

static uint32_t epoll_events_of(unsigned events)
{
    return (events & LOOP_READABLE ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
           (events & LOOP_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

static void on_watch_events(struct source *source, uint32_t events)
{
    struct watch *watch = CONTAINER_OF(source, struct watch, source);
    unsigned ready = (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP) ? LOOP_READABLE : 0) |
                     (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? LOOP_WRITABLE : 0) |
                     (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP) ? LOOP_HANGUP : 0);
    watch->on_ready(watch, ready);
}

int loop_watch(struct loop *loop, struct watch *watch, int fd, unsigned events,
               void (*on_ready)(struct watch *, unsigned ready))
{
    if (loop->backend == LOOP_SIM)
        return -ENOTSUP;
    *watch = (struct watch){.source = {on_watch_events}, .fd = fd, .on_ready = on_ready};
    return epoll_add(loop, fd, epoll_events_of(events), &watch->source, &watch->name);
}

int loop_watch_change(struct loop *loop, struct watch *watch, unsigned events)
{
    assert(watch->name);
    return epoll_change(loop, watch->fd, epoll_events_of(events), watch->name);
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
    if (watch->name)
        epoll_remove(loop, watch->fd, &watch->name);
}

const struct loop_ops epoll_loop_ops = {
    .open = epoll_open,
    .close = epoll_close,
    .wait = epoll_wait_for,
    .dispatch = epoll_dispatch,
    .wake = epoll_wake,
    .accept_start = epoll_accept_start,
    .accept_stop = epoll_accept_stop,
    .accepted_close = epoll_accepted_close,
    .conns = &epoll_conn_ops,
};
