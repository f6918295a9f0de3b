/*
 * poller: sockets by epoll, level-triggered, in one thread. What ends within a turn is told of at the turn's end, when no
 * event can reach it any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watched {
    int fd; /* -1: closed */
    uint32_t interest;
    void (*on_ready)(struct watched *watched, uint32_t events);
    void (*on_gone)(struct watched *watched); /* at the end of the turn in which it was closed */
    struct watched *next_gone;
};

struct poller {
    int fd;
    struct watched *gone;
};

void poller_init(struct poller *poller);
/* One turn: waits at most so long, and tells all that is ready. */
void poller_turn(struct poller *poller, int wait_ms);
void poller_watch(struct poller *poller, struct watched *watched, uint32_t interest);
/* Costs nothing where it is what it was. */
void poller_want(struct poller *poller, struct watched *watched, uint32_t interest);
/* Closes it; `resets` tells the peer by RST. */
void poller_close(struct poller *poller, struct watched *watched, bool resets);

/* Sends what there is; false when the connection is broken. What is left, moves to the front. */
bool send_some(int fd, uint8_t *bytes, size_t *size);

/* Prints why, and ends the program. */
void die(const char *what) __attribute__((noreturn));
