/*
 * uring: the back end over io_uring: the ring, waiting, and who is told.
 *
 * Single issuer, deferred task run: the kernel does its part only inside our enter, once a turn. The ring is made
 * disabled and enabled by the first thread that waits, for loops are made on one thread and run on another.
 */
#include "io/uring_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include "io/acceptor_internal.h"
#include "io/conn_internal.h"
#include "io/epoll_internal.h"
#include "io/loop_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SUBMISSIONS = 256,
    COMPLETIONS = 2048,
    MESSAGES = 32,
    SUBMIT_TRIES = 1000,
    SETUP = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
};

struct message {
    struct msghdr header;
    struct iovec iovecs[URING_IOVECS];
};

struct uring_state {
    struct io_uring ring;
    struct uring_buffers buffers;
    struct list leaving;
    unsigned ready; /* reports of this turn */
    unsigned message_count;
    bool is_enabled;
    bool is_polling;  /* the epoll instance */
    bool is_trimming; /* blocks are to go back when no report is unread */
    struct message messages[MESSAGES];
};

static uint64_t name_of(enum uring_operation operation, const struct conn *conn)
{
    return (uintptr_t)conn | operation;
}

/* --- making ---------------------------------------------------------------------------------- */

static void close_ring(struct uring_state *state)
{
    io_uring_queue_exit(&state->ring);
    uring_buffers_fini(&state->buffers);
}

static int open_ring(struct uring_state *state)
{
    struct io_uring_params params = {.flags = SETUP, .cq_entries = COMPLETIONS};
    int error = io_uring_queue_init_params(SUBMISSIONS, &state->ring, &params);
    if (error)
        return error;
    error = uring_buffers_init(&state->buffers, &state->ring);
    if (error)
        close_ring(state);
    return error;
}

static int uring_open(struct loop *loop)
{
    struct uring_state *state = mem_new(struct uring_state);
    int error = open_ring(state);
    if (!error && (error = epoll_open(loop)) != 0)
        close_ring(state);
    if (error) {
        mem_free(state);
        return error;
    }
    list_init(&state->leaving);
    loop->uring = state;
    return 0;
}

/* What was never submitted: descriptors that were to be closed are closed here. */
static void give_up_entries(struct uring_state *state)
{
    struct io_uring_sq *sq = &state->ring.sq;
    /* What the kernel has not taken; an entry's index is its position (liburing maps them one to one). */
    for (unsigned at = __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE); at != sq->sqe_tail; at++) {
        const struct io_uring_sqe *entry = &sq->sqes[at & sq->ring_mask];
        if (entry->opcode == IORING_OP_CLOSE)
            close(entry->fd);
    }
}

static void uring_close(struct loop *loop)
{
    struct uring_state *state = loop->uring;
    /* Another thread than the one that ran the loop may submit nothing. */
    if (io_uring_submit_and_get_events(&state->ring) < 0)
        give_up_entries(state);
    io_uring_queue_exit(&state->ring);
    while (!list_is_empty(&state->leaving)) {
        struct conn *conn = LIST_ENTRY(state->leaving.next, struct conn, run.node);
        while (conn->operations > 0)
            conn_operation_ends(conn);
    }
    uring_buffers_fini(&state->buffers);
    epoll_close(loop);
    mem_free(state);
}

/* --- entries --------------------------------------------------------------------------------- */

static void submit(struct uring_state *state)
{
    io_uring_submit(&state->ring);
    if (io_uring_sq_ready(&state->ring) == 0)
        state->message_count = 0;
}

struct io_uring_sqe *uring_entry(struct loop *loop)
{
    struct uring_state *state = loop->uring;
    if (state->message_count == MESSAGES)
        submit(state);
    struct io_uring_sqe *entry = io_uring_get_sqe(&state->ring);
    for (int tries = 0; UNLIKELY(!entry); tries++) {
        if (tries == SUBMIT_TRIES)
            abort(); /* the kernel has no memory for a ring that it gave us */
        if (tries > 0)
            io_uring_get_events(&state->ring);
        submit(state);
        entry = io_uring_get_sqe(&state->ring);
    }
    return entry;
}

void uring_name(struct io_uring_sqe *entry, enum uring_operation operation, struct conn *conn)
{
    io_uring_sqe_set_data64(entry, name_of(operation, conn));
    if (operation == URING_NOTHING)
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void uring_cancel(struct loop *loop, enum uring_operation operation, struct conn *conn)
{
    struct io_uring_sqe *entry = uring_entry(loop);
    io_uring_prep_cancel64(entry, name_of(operation, conn), 0);
    uring_name(entry, URING_NOTHING, NULL);
}

struct msghdr *uring_message(struct loop *loop)
{
    struct uring_state *state = loop->uring;
    if (state->message_count == MESSAGES)
        return NULL;
    struct message *message = &state->messages[state->message_count++];
    message->header = (struct msghdr){.msg_iov = message->iovecs};
    return &message->header;
}

struct list *uring_leaving(struct loop *loop)
{
    return &loop->uring->leaving;
}

struct uring_buffers *uring_buffers_of(struct loop *loop)
{
    return &loop->uring->buffers;
}

/* --- the turn -------------------------------------------------------------------------------- */

static void enable(struct uring_state *state)
{
    if (io_uring_register((unsigned)state->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0))
        abort(); /* cannot fail on a ring that is disabled */
    state->is_enabled = true;
}

/* One shot, so that what a budget leaves behind is reported again. */
static void poll_epoll(struct loop *loop)
{
    if (loop->uring->is_polling)
        return;
    struct io_uring_sqe *entry = uring_entry(loop);
    io_uring_prep_poll_add(entry, epoll_descriptor(loop), POLLIN);
    uring_name(entry, URING_READY, NULL);
    loop->uring->is_polling = true;
}

static bool must_enter(const struct io_uring *ring)
{
    const unsigned called = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
    return io_uring_sq_ready(ring) > 0 || (flags & called) != 0;
}

static void enter(struct loop *loop, uint64_t wait_us)
{
    struct io_uring *ring = &loop->uring->ring;
    if (wait_us == 0 || io_uring_cq_ready(ring) > 0) {
        if (must_enter(ring))
            io_uring_submit_and_get_events(ring);
        return;
    }
    int result;
    if (wait_us == WAIT_FOREVER) {
        result = io_uring_submit_and_wait(ring, 1);
    } else {
        uint64_t spent_us = clock_now_us() - loop->now_us;
        uint64_t left_us = wait_us > spent_us ? wait_us - spent_us : 0;
        struct __kernel_timespec until = {.tv_sec = (int64_t)(left_us / 1000000),
                                          .tv_nsec = (long long)(left_us % 1000000 * 1000)};
        struct io_uring_cqe *first;
        result = io_uring_submit_and_wait_timeout(ring, &first, 1, &until, NULL);
    }
    /* ETIME or EINTR, as after a stop: what came meanwhile has not been taken in. */
    if (result < 0 && must_enter(ring))
        io_uring_submit_and_get_events(ring);
}

static size_t uring_lent(const struct loop *loop)
{
    return loop->uring->buffers.lent;
}

static void uring_wait(struct loop *loop, uint64_t wait_us)
{
    struct uring_state *state = loop->uring;
    if (UNLIKELY(!state->is_enabled))
        enable(state);
    poll_epoll(loop);
    uring_buffers_fill_all(&state->buffers, loop->blocks);
    atomic_store_explicit(&loop->stats.lent, uring_lent(loop), memory_order_relaxed);
    enter(loop, wait_us);
    if (io_uring_sq_ready(&state->ring) == 0)
        state->message_count = 0;
    state->ready = io_uring_cq_ready(&state->ring);
    loop_set_now(loop, clock_now_us());
}

static size_t report(struct loop *loop, const struct io_uring_cqe *cqe)
{
    enum uring_operation operation = (enum uring_operation)(cqe->user_data & URING_OPERATION_MASK);
    if (operation == URING_NOTHING)
        return 0;
    if (operation == URING_READY) {
        loop->uring->is_polling = false;
        epoll_collect(loop);
        return epoll_dispatch(loop);
    }
    struct conn *conn =
        (struct conn *)(uintptr_t)(cqe->user_data & ~(uint64_t)URING_OPERATION_MASK);
    uring_conn_reports(conn, operation, cqe->res, cqe->flags);
    return 1;
}

/*
 * All of them, though the next wait lends some again: those lie together, while each of these may be all that keeps its slab.
 */
static void trim_buffers(struct uring_state *state)
{
    if (!state->is_trimming || io_uring_cq_ready(&state->ring) > 0 || must_enter(&state->ring))
        return;
    state->is_trimming = false;
    uring_buffers_withdraw(&state->buffers);
}

/* Only what had been reported when the turn began, for handlers submit, and what is submitted reports. */
static size_t uring_dispatch(struct loop *loop)
{
    struct uring_state *state = loop->uring;
    size_t count = 0;
    for (unsigned left = state->ready; left > 0; left--) {
        struct io_uring_cqe *cqe;
        if (io_uring_peek_cqe(&state->ring, &cqe))
            break;
        struct io_uring_cqe copy = {
            .user_data = cqe->user_data, .res = cqe->res, .flags = cqe->flags};
        io_uring_cqe_seen(&state->ring, cqe);
        count += report(loop, &copy);
    }
    state->ready = 0;
    if (UNLIKELY(state->is_trimming))
        trim_buffers(state);
    return count;
}

/* At once where that may be, so that the pool, which is trimmed next, has them back. */
static void uring_trim(struct loop *loop)
{
    loop->uring->is_trimming = true;
    trim_buffers(loop->uring);
}

/* What the last turn wrote leaves also when no turn follows. */
static void uring_end(struct loop *loop)
{
    submit(loop->uring);
}

const struct loop_ops uring_loop_ops = {
    .open = uring_open,
    .close = uring_close,
    .wait = uring_wait,
    .dispatch = uring_dispatch,
    .wake = epoll_wake,
    .accept_start = epoll_accept_start,
    .accept_stop = epoll_accept_stop,
    .accepted_close = epoll_accepted_close,
    .trim = uring_trim,
    .lent = uring_lent,
    .end = uring_end,
    .conns = &uring_conn_ops,
};
