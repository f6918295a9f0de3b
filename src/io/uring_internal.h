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
 * Blocks of the loop's pool, lent to the kernel under a number, in groups. A receive takes blocks out of the group that it was
 * armed on; a block that was reported is the receiver's, and another takes its place before the next wait.
 *
 * What a conn can bring after its owner said stop is bounded by its group, whatever the timing:
 *
 *   small blocks: a multishot receive takes as many as the group holds. Of a group at most URING_GROUP_BLOCKS are lent or wait to
 *     be reported, for a number is lent again only when its report was read; and the cancellation that a stop sends is
 *     submitted before the kernel may take what was lent since. 16 x 2 KiB = 32 KiB.
 *   large blocks: a receive takes one, and the next is armed only while the owner reads. 16 KiB.
 *
 * A conn has one receive armed, so it is the larger of the two: 32 KiB, over what the owner lets wait by its own count.
 */
enum {
    URING_GROUP_BLOCKS = 16,      /* a power of two */
    URING_SMALL_GROUPS_FIRST = 2, /* and as long as few conns speak at once */
    URING_SMALL_GROUPS = 16,
    URING_LARGE_GROUP = URING_SMALL_GROUPS,
    URING_GROUPS,
};
struct uring_group {
    struct io_uring_buf_ring *ring; /* a page; NULL: never used */
    struct block *blocks[URING_GROUP_BLOCKS];
    uint16_t spare[URING_GROUP_BLOCKS]; /* numbers without a block */
    unsigned spare_count;
    unsigned wanted; /* how many the kernel should have */
};
struct uring_buffers {
    struct io_uring *uring;
    struct uring_group groups[URING_GROUPS];
    uint32_t thin;         /* groups that may have less than is wanted, a bit each */
    unsigned small_groups; /* in use */
    unsigned next_group;   /* of those, by turns */
    unsigned large_receivers;
    size_t lent; /* bytes of blocks that the kernel has */
};

/* 0 or a negative errno; fini in any case, after the ring has gone. */
MUST_USE int uring_buffers_init(struct uring_buffers *buffers, struct io_uring *uring);
void uring_buffers_fini(struct uring_buffers *buffers);
/* The group for a receive that is about to be armed. */
unsigned uring_buffers_small_group(struct uring_buffers *buffers);
unsigned uring_buffers_large_group(struct uring_buffers *buffers);
/* It is armed no more. */
void uring_buffers_leave(struct uring_buffers *buffers, unsigned group);
/* A receive found its group empty: there shall be more small blocks, for more conns that speak at once. */
void uring_buffers_lacked(struct uring_buffers *buffers, unsigned group);
/* Takes out what the kernel has filled. */
MUST_USE struct block *uring_buffers_take(struct uring_buffers *buffers, unsigned group,
                                          unsigned block);
/* Makes up for what was taken, as far as the pool gives blocks; false when the kernel has none at all. */
bool uring_buffers_fill(struct uring_buffers *buffers, unsigned group, struct block_pool *pool);
void uring_buffers_fill_all(struct uring_buffers *buffers, struct block_pool *pool);
/* Takes all blocks back, and wants as few as in the beginning; only while no report is unread. */
void uring_buffers_withdraw(struct uring_buffers *buffers);

struct uring_buffers *uring_buffers_of(struct loop *loop);
