/*
 * acceptor_internal: what an acceptor is to the back ends.
 */
#pragma once

#include "io/listener.h"
#include "io/loop.h"

struct acceptor {
    struct source source;
    struct loop *loop;
    acceptor_on_accept *on_accept;
    void *owner;
    struct task run; /* goes on accepting, or is reaped */
    struct pressure_watch pressure;
    handle name;       /* for hand-over */
    handle event_name; /* at epoll; 0 while paused */
    int fd;
    bool is_paused;
    bool is_pressed; /* paused by memory pressure */
    bool is_exempt;
    bool is_closed;
};

void acceptor_deliver(struct acceptor *acceptor, int fd, const struct address *peer);
bool acceptor_is_accepting(const struct acceptor *acceptor);

int epoll_accept_start(struct acceptor *acceptor);
void epoll_accept_stop(struct acceptor *acceptor);
void epoll_accepted_close(struct loop *loop, int fd);
