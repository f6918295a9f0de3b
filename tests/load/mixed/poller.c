#include "poller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256 };

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

void poller_init(struct poller *poller)
{
    *poller = (struct poller){.fd = epoll_create1(EPOLL_CLOEXEC)};
    if (poller->fd < 0)
        die("epoll");
}

void poller_watch(struct poller *poller, struct watched *watched, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = watched};
    watched->interest = interest;
    if (epoll_ctl(poller->fd, EPOLL_CTL_ADD, watched->fd, &event) != 0)
        die("epoll_ctl");
}

void poller_want(struct poller *poller, struct watched *watched, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = watched};
    if (watched->fd < 0 || watched->interest == interest)
        return;
    watched->interest = interest;
    if (epoll_ctl(poller->fd, EPOLL_CTL_MOD, watched->fd, &event) != 0)
        die("epoll_ctl");
}

void poller_close(struct poller *poller, struct watched *watched, bool resets)
{
    struct linger linger = {.l_onoff = 1};
    if (watched->fd < 0)
        return;
    if (resets)
        (void)setsockopt(watched->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(watched->fd);
    watched->fd = -1;
    watched->next_gone = poller->gone;
    poller->gone = watched;
}

static void tell_gone(struct poller *poller)
{
    struct watched *gone = poller->gone;
    poller->gone = NULL;
    while (gone) {
        struct watched *next = gone->next_gone;
        gone->on_gone(gone);
        gone = next;
    }
}

void poller_turn(struct poller *poller, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller->fd, events, EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        struct watched *watched = events[i].data.ptr;
        if (watched->fd >= 0)
            watched->on_ready(watched, events[i].events);
    }
    tell_gone(poller);
}

bool send_some(int fd, uint8_t *bytes, size_t *size)
{
    ssize_t sent = *size > 0 ? send(fd, bytes, *size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    *size -= (size_t)sent;
    memmove(bytes, bytes + sent, *size);
    return true;
}
