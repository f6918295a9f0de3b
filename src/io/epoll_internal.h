/*
 * epoll_internal: registering with the epoll back end.
 */
#pragma once

#include "io/loop.h"

/* 0 or a negative errno; *name is what the registration is called. */
MUST_USE int epoll_add(struct loop *loop, int fd, uint32_t events, struct source *source,
                       handle *name);
MUST_USE int epoll_change(struct loop *loop, int fd, uint32_t events, handle name);
/* Before the descriptor is closed. */
void epoll_remove(struct loop *loop, int fd, handle *name);

/* --- for the io_uring back end, which keeps an epoll instance for what is only watched -------- */

MUST_USE int epoll_open(struct loop *loop);
void epoll_close(struct loop *loop);
/* Without waiting. */
void epoll_collect(struct loop *loop);
size_t epoll_dispatch(struct loop *loop);
void epoll_wake(struct loop *loop);
int epoll_descriptor(const struct loop *loop);
