/*
 * uring_internal: the io_uring back end's ring and receive buffers, for conn_uring.c.
 *
 * Byte connections go by the ring: multishot receives into provided buffers, sends as queue entries, one enter a turn.
 * What is only watched for readiness (listeners, foreign descriptors, the wake-up) stays with an epoll
 * instance, which the ring polls as one more descriptor.
 */
#pragma once

#include "base/block.h"
#include "io/loop.h"

#include <liburing.h>

/* In the low bits of an entry's user data; the rest is the conn, which its operation keeps alive. */
enum uring_operation {
    URING_NOTHING, /* nobody waits for it */
    URING_READY,   /* the epoll instance has events */
    URING_RECEIVE,
    URING_SEND,
    URING_CONNECT,
    URING_OPERATION_MASK = 7,
};

struct conn;
struct uring_state;

/* An entry to fill in; when the queue is full, what it holds is submitted first. */
struct io_uring_sqe *uring_entry(struct loop *loop);
/* What it reports as; after the prep function, which may clear it. URING_NOTHING reports only failures, to nobody. */
void uring_name(struct io_uring_sqe *entry, enum uring_operation operation, struct conn *conn);
/* For the entry in hand: a message of at most URING_IOVECS pieces, which lives until it is submitted; NULL: there is none. */
enum { URING_IOVECS = 32 };
struct msghdr *uring_message(struct loop *loop);
/* The operation is to end: it reports -ECANCELED, or what it had done before. */
void uring_cancel(struct loop *loop, enum uring_operation operation, struct conn *conn);
/* Conns that are closed and whose operations have not reported. */
struct list *uring_leaving(struct loop *loop);

/* conn_uring.c: an operation of this conn reports. */
void uring_conn_reports(struct conn *conn, enum uring_operation operation, int result,
                        uint32_t flags);

/* --- receive buffers (uring_buffers.c) ------------------------------------------------------- */

/*
 * Blocks of the loop's pool, lent to the kernel under a number. A receive takes one out, which is then the
 * receiver's, and another takes its place before the next wait.
 */
struct uring_buffers {
    struct io_uring_buf_ring *ring;
    struct block **blocks; /* by number */
    uint16_t *spare;       /* numbers without a block */
    unsigned spare_count;
    unsigned entries;   /* a power of two */
    unsigned wanted;    /* how many the kernel should have */
    unsigned receivers; /* receives that are armed on it */
    enum block_size size;
};
enum {
    URING_SMALL_FIRST = 32,
    URING_SMALL_MOST = 256,
    URING_LARGE_MOST = 16,
};

/* The buffers of a size are the ring's group of that number. 0 or a negative errno. */
MUST_USE int uring_buffers_init(struct uring_buffers *buffers, struct io_uring *ring,
                                enum block_size size, unsigned entries);
/* After the ring has gone. */
void uring_buffers_fini(struct uring_buffers *buffers);
/* Takes out what the kernel has filled. */
MUST_USE struct block *uring_buffers_take(struct uring_buffers *buffers, unsigned number);
/* Makes up for what was taken, as far as the pool gives blocks; false when the kernel has none at all. */
bool uring_buffers_fill(struct uring_buffers *buffers, struct block_pool *pool);
/* Takes all blocks back; only while no report is unread. */
void uring_buffers_withdraw(struct uring_buffers *buffers);
/* Bytes of blocks that the kernel has. */
size_t uring_buffers_held(const struct uring_buffers *buffers);
struct uring_buffers *uring_buffers_of(struct loop *loop, enum block_size size);
