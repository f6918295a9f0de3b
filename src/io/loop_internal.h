/*
 * loop_internal: the insides of a loop, and the table by which a back end serves it.
 */
#pragma once

#include "base/chain.h"
#include "base/object_pool.h"
#include "base/slab_heap.h"
#include "io/loop.h"
#include "io/splice_internal.h"

#include <stdatomic.h>

struct acceptor;
struct conn_ops;
struct epoll_state;
struct sim;
struct uring_state;

/* What a back end does. Only `wake` may be called from other threads. */
struct loop_ops {
    int (*open)(struct loop *loop);
    void (*close)(struct loop *loop);
    /* Waits at most wait_us (0 = polls, WAIT_FOREVER), collects what is ready and sets the time. */
    void (*wait)(struct loop *loop, uint64_t wait_us);
    /* Reports what was collected; the number of events. */
    size_t (*dispatch)(struct loop *loop);
    void (*wake)(struct loop *loop);
    int (*accept_start)(struct acceptor *acceptor);
    void (*accept_stop)(struct acceptor *acceptor);
    void (*accepted_close)(struct loop *loop, int fd);
    /* These may be NULL: gives back what is lent to the kernel beyond the usual; how many bytes of blocks are; the loop ends. */
    void (*trim)(struct loop *loop);
    size_t (*lent)(const struct loop *loop);
    void (*end)(struct loop *loop);
    const struct conn_ops *conns;
};
#define WAIT_FOREVER UINT64_MAX

extern const struct loop_ops epoll_loop_ops;
extern const struct loop_ops sim_loop_ops;
extern const struct loop_ops uring_loop_ops;

enum {
    OBJECT_CLASS_BYTES = 16,
    OBJECT_CLASSES = LOOP_OBJECT_BYTES / OBJECT_CLASS_BYTES,
    TRIM_AFTER_MS = 5000,
    TRIMS = 2,
    CONNS_OF_A_BURST = 64,
    SPARE_CHAINS = 16,
    STARVED_RETRY_MS = 10,
};

struct loop {
    const struct loop_ops *ops;
    union {
        struct epoll_state *epoll;
        struct sim *sim;
    };
    struct uring_state *uring; /* beside epoll */
    uint64_t now_us, now_ms;   /* of this turn: loop_set_now */
    int64_t wall_offset_us;    /* wall time minus now_us */
    uint64_t wall_read_us;     /* when that was found */
    struct wheel *wheel;
    uint64_t next_due_ms; /* a lower bound: a stopped timer may leave it behind */
    bool
        has_let_timers_wait; /* for one turn, in which what came while the thread stood still is heard */
    struct block_pool *blocks;
    struct memory_budget *budget;
    struct handle_table *handles;
    struct random random;
    struct object_pool objects[OBJECT_CLASSES];
    struct slab_heap heap;
    struct chain *spare_chains[SPARE_CHAINS]; /* empty ones, so that most loans touch nothing */
    unsigned spare_chain_count;

    struct list run;       /* tasks of this turn */
    struct list next_turn; /* tasks of the next one */
    struct list flush;
    struct list reap;
    struct list starved; /* tasks of conns that wait for memory */
    struct list closing; /* conns that are closed and not yet done */
    struct timer starved_timer;
    struct timer trim_timer;
    size_t trim_held;   /* bytes held when the timer was started */
    size_t trim_blocks; /* of them blocks: a change starts the timer */
    unsigned trims_left;
    uint64_t conns_most, conns_least; /* since the timer was last started for them */
    bool trims_heap;    /* many conns have come or gone: what is free on the heap goes, too, */
    bool trims_program; /* they have gone: with the pages of the code that served them */

    void (*on_trim)(void *owner);
    void *on_trim_owner;
    void (*on_turn)(void *owner);
    void *on_turn_owner;
    uint64_t turn; /* its number */
    unsigned accepts_left;
    enum memory_pressure pressure;
    struct list pressure_watches;
    struct loop_stats stats;
    enum loop_backend backend;
    char *name;
    struct pipe_pool pipes;
    int spare_fd; /* given up for a moment when descriptors run out */

    /* Shared with other threads. */
    _Atomic(struct mail *) inbox; /* newest first */
    atomic_bool is_asleep;
    atomic_bool is_woken;
    atomic_bool is_stopping;
};

/* A counter has one writer: no read-modify-write on the bus. */
static inline void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}
static inline void count_down(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) - 1,
                          memory_order_relaxed);
}

static inline void loop_set_now(struct loop *loop, uint64_t now_us)
{
    loop->now_us = now_us;
    loop->now_ms = now_us / 1000;
}

/* Empty chains for bytes that wait, lent while there are some; NULL when the budget refuses. */
struct chain *loop_chain_borrow(struct loop *loop);
void loop_chain_return(struct loop *loop, struct chain *chain);
/* The task waits until memory is back and is then run. */
void loop_starve(struct loop *loop, struct task *task);
/* Something is to be done without waiting for the back end. */
bool loop_has_work(const struct loop *loop);
