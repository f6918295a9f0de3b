/*
 * loop: one thread's event loop, and the clock, memory and queues of what lives on it.
 *
 * Everything on a loop belongs to the loop's thread; only loop_post, loop_wake and loop_stop may be called from
 * elsewhere. A turn goes: wait, inbox, events, run queue, timers, flush, reap. What came while the thread had no
 * processor is heard before a timer calls it silence. Callbacks come only from here, so no call ever calls its caller
 * back; what is closed in a turn keeps its memory until the end of that turn.
 *
 * The embedded structs (timer, task, mail, watch, pressure_watch) are zeroed before first use and must be stopped,
 * cancelled or delivered before their owner goes.
 */
#pragma once

#include "base/attributes.h"
#include "base/block.h"
#include "base/handle.h"
#include "base/list.h"
#include "base/random.h"
#include "base/wheel.h"

struct loop;

enum loop_backend {
    LOOP_EPOLL,
    LOOP_SIM,      /* in memory, seeded, simulated time: io/sim.h */
    LOOP_IO_URING, /* where the kernel allows it; loop_create says otherwise */
};

struct loop_options {
    const char *name; /* for logs and thread names; copied */
    enum loop_backend backend;
    struct memory_budget *budget; /* must outlive the loop; NULL = unlimited */
    uint64_t seed;                /* of loop_random and the simulation; 0 = from the kernel */
};

/* 0 or a negative errno. */
MUST_USE int loop_create(const struct loop_options *options, struct loop **out);
/* Nothing may be open on it any more; what was closed is reaped here. Mail that was not delivered is dropped. */
void loop_destroy(struct loop *loop);
OWNED(loop, loop_destroy)

/* Turns until loop_stop. The calling thread becomes the loop's thread. */
void loop_run(struct loop *loop);
/* Any thread. The turn that is under way is finished. */
void loop_stop(struct loop *loop);
/* One turn that waits at most wait_ms (simulated time jumps instead). False when it found nothing at all to do. */
bool loop_turn(struct loop *loop, uint64_t wait_ms);
/* Turns until there is nothing to do at once: no ready event, task or flush; timers in the future stay. For tests. */
void loop_settle(struct loop *loop);

/* 0, or the negative errno by which the kernel (too old, seccomp, sysctl) refuses io_uring as we need it. */
MUST_USE int loop_may_use_io_uring(void);
/* "epoll", "io_uring", "sim". */
const char *loop_backend_name(enum loop_backend backend);
enum loop_backend loop_backend(const struct loop *loop);
/* Counts turns: what is written in a turn leaves at its end. */
uint64_t loop_turn_number(const struct loop *loop);
/* The time of this turn, monotonic; costs no call. */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_now_us(const struct loop *loop);
/* The time of this turn in microseconds since 1970, for people. Simulated loops start at 2026-01-01. */
int64_t loop_wall_us(const struct loop *loop);
struct block_pool *loop_blocks(const struct loop *loop);
/* Memory of any size for libraries; to be given back before the loop ends. */
struct slab_heap *loop_heap(struct loop *loop);
/* Bytes of blocks lent out, without those that the back end holds ready for the kernel. */
size_t loop_blocks_in_use(const struct loop *loop);
struct memory_budget *loop_memory(const struct loop *loop);
struct random *loop_random(struct loop *loop);
/*
 * Objects that peers drive (connections, streams, transports): zeroed, at most LOOP_OBJECT_BYTES, from slabs charged to
 * the budget; NULL when it refuses. The size must be the same at the free.
 */
enum { LOOP_OBJECT_BYTES = 2048 };
MUST_USE void *loop_object_new(struct loop *loop, size_t size);
void loop_object_free(struct loop *loop, void *object, size_t size);
/* Names for what may be gone when an answer arrives (DATA-PLANE "Life and death"). */
struct handle_table *loop_handles(const struct loop *loop);

/* --- timers ------------------------------------------------------------------------------------------------- */

/* Fires once, delay_ms or a little more from this turn on. Starting a running timer moves it. */
void loop_timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms,
                      void (*on_due)(struct timer *));
/* Harmless when it does not run. */
void loop_timer_stop(struct loop *loop, struct timer *timer);

/* --- tasks -------------------------------------------------------------------------------------------------- */

struct task {
    struct list node; /* next == NULL or itself: not queued */
    void (*run)(struct task *task);
};
static inline void task_init(struct task *task, void (*run)(struct task *))
{
    *task = (struct task){.run = run};
}
static inline bool task_is_queued(const struct task *task)
{
    return task->node.next && task->node.next != &task->node;
}
/* Runs in this turn's run phase, or in the next turn's when that is past; queueing twice is queueing once. */
void loop_run_later(struct loop *loop, struct task *task);
/* Runs in the next turn, whose wait is then zero: for what a budget cut off. */
void loop_run_next_turn(struct loop *loop, struct task *task);
/* Runs once in the flush phase, after all events and tasks of the turn. */
void loop_flush_later(struct loop *loop, struct task *task);
/* Runs at the end of the turn, when nothing can report to the owner any more: here memory is freed. */
void loop_reap_later(struct loop *loop, struct task *task);
/* Takes it off whichever queue it stands in. */
void loop_task_cancel(struct task *task);

/* Called at the top of every turn, before the inbox: where a worker adopts a new snapshot. */
void loop_on_turn(struct loop *loop, void (*on_turn)(void *owner), void *owner);

/* Called when many connections have come or gone and it has been calm since, before the heap's free pages go back. */
void loop_on_trim(struct loop *loop, void (*on_trim)(void *owner), void *owner);

/* --- other threads ------------------------------------------------------------------------------------------ */

struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail);
    void (*drop)(struct mail *mail); /* the loop ended before delivery; may be NULL */
};
/* Any thread: deliver runs on the loop's thread, in order of posting per sender. The loop owns it until then. */
void loop_post(struct loop *loop, struct mail *mail);
/* Any thread: makes the loop take a turn soon; many wake-ups are one. */
void loop_wake(struct loop *loop);

/* --- foreign descriptors (c-ares, inotify, netlink, signals; never our byte connections) --------------------- */

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2, LOOP_HANGUP = 4 };

/* What the event phase calls; embedded first in everything that the back end reports on. */
struct source {
    void (*on_events)(struct source *source, uint32_t events);
};
struct watch {
    struct source source;
    handle name; /* 0: not watched */
    int fd;
    void (*on_ready)(struct watch *watch, unsigned ready);
};
/* Level-triggered. 0 or a negative errno; -ENOTSUP on a simulated loop. The descriptor stays the caller's. */
MUST_USE int loop_watch(struct loop *loop, struct watch *watch, int fd, unsigned events,
                        void (*on_ready)(struct watch *, unsigned ready));
MUST_USE int loop_watch_change(struct loop *loop, struct watch *watch, unsigned events);
/* Before the descriptor is closed. Harmless when it is not watched. */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* --- budgets ------------------------------------------------------------------------------------------------ */

enum {
    LOOP_CONN_BYTES = 64 * 1024, /* read from one connection in one turn */
    LOOP_CONN_MESSAGES = 32,     /* messages or frames of one connection in one turn */
    LOOP_TURN_ACCEPTS = 64,
    LOOP_TURN_HANDSHAKES = 4,
    LOOP_SLOW_TURN_MS = 10,
};
/* True when this turn has one more to give; else come back by loop_run_next_turn. */
MUST_USE bool loop_take_accept(struct loop *loop);

/* Told once when the level changes, up or down, at the top of a turn. */
struct pressure_watch {
    struct list node;
    void (*on_pressure)(struct pressure_watch *watch, enum memory_pressure level);
};
enum memory_pressure loop_pressure(const struct loop *loop);
void loop_watch_pressure(struct loop *loop, struct pressure_watch *watch,
                         void (*on_pressure)(struct pressure_watch *, enum memory_pressure));
void loop_unwatch_pressure(struct pressure_watch *watch);

/* --- what it counted (one writer; others load relaxed) -------------------------------------------------------- */

enum loop_phase {
    LOOP_INBOX,
    LOOP_EVENTS,
    LOOP_RUN,
    LOOP_TIMERS,
    LOOP_FLUSH,
    LOOP_REAP,
    LOOP_PHASES
};
extern const char *const loop_phase_names[LOOP_PHASES];

struct loop_stats {
    _Atomic uint64_t turns;
    _Atomic uint64_t waits; /* turns that slept */
    _Atomic uint64_t events;
    _Atomic uint64_t
        slow_turns[LOOP_PHASES]; /* turns over LOOP_SLOW_TURN_MS, by the phase that took longest */
    _Atomic uint64_t slowest_turn_us;
    _Atomic uint64_t conns; /* open now */
    _Atomic uint64_t accepted;
    _Atomic uint64_t accept_refused; /* accepted and closed again: no descriptor or no memory */
    _Atomic uint64_t reads_starved;  /* reads put off for want of memory */
    _Atomic uint64_t
        lent; /* bytes of blocks that the back end held ready for the kernel when it last waited */
};
const struct loop_stats *loop_stats(const struct loop *loop);
