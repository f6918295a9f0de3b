/*
 * conn: bytes in both directions between us and one peer, in completion style.
 *
 * The same on every back end: receiving *gives* the owner references to blocks, sending takes blocks over and
 * returns them when they are out, closing is asynchronous. Events come only from the loop, never from inside a call.
 * A conn costs about 200 bytes while idle and holds no buffer then. Its memory is budgeted.
 *
 * The directions end apart: on_read_end is the peer's FIN, on_write_end our FIN or the peer's refusal of more bytes.
 * on_error ends both. After conn_close no event reaches the owner; until then the conn stays, also after on_error.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "io/address.h"

struct conn;
struct loop;
struct sockmap;

struct conn_events {
    /* A connecting conn is through. Accepted ones are open from the start. */
    void (*on_connected)(void *owner);
    /* `data` lies in `block`; one reference to the block is now the owner's. size > 0. */
    void (*on_bytes)(void *owner, struct block *block, const char *data, size_t size);
    /* So many more bytes were taken by the socket: credit. May be NULL. */
    void (*on_written)(void *owner, size_t size);
    /* The peer sends no more (FIN); everything that it sent was delivered before. */
    void (*on_read_end)(void *owner);
    /*
     * error 0: conn_write_end's FIN is out. Otherwise the peer takes no more bytes (it reset or is gone): what was
     * queued is dropped, but what it sent before can still be read, and on_read_end or on_error follows there.
     * May be NULL.
     */
    void (*on_write_end)(void *owner, int error);
    /* A positive errno: connecting failed, reset, timed out. Bytes received before were delivered if reading was on. */
    void (*on_error)(void *owner, int error);
};

enum {
    CONN_EXEMPT = 1, /* flag: keeps reading under memory pressure (admin, readiness, xDS) */
    CONN_SHORT_CUT =
        2, /* flag: of two queues (io/sockmap.h), so a short read proves nothing; epoll only */
};

/*
 * Takes over an accepted (non-blocking) descriptor; on a simulated loop a descriptor of the simulation. NULL when the
 * memory budget refuses (the descriptor is then closed). Reading is off until conn_read_start.
 */
MUST_USE struct conn *conn_adopt(struct loop *loop, int fd, unsigned flags,
                                 const struct conn_events *events, void *owner);

struct conn_connect_options {
    struct address to;
    struct address from; /* bind to this first when set; port 0 = any */
    uint32_t mark;       /* SO_MARK when not 0 */
    bool is_transparent; /* IP_TRANSPARENT before bind: `from` may be somebody else's address */
    int fd; /* a socket made elsewhere (another network namespace), taken over; 0 or less = none */
    struct sockmap *sockmap; /* claims the socket for the short cut; NULL: by TCP */
    unsigned flags;
};
/*
 * Starts connecting: on_connected or on_error follows. Bytes may be written at once and leave when it is through.
 * 0 or a negative errno (then there is no conn, and options->fd is closed). -ENOMEM: the budget refuses.
 */
MUST_USE int conn_connect(struct loop *loop, const struct conn_connect_options *options,
                          const struct conn_events *events, void *owner, struct conn **out);

/* Changes who hears the events, as when detection is over or a pool lends the conn out. */
void conn_set_owner(struct conn *conn, const struct conn_events *events, void *owner);
struct loop *conn_loop(const struct conn *conn);

/* From the next phase of the loop on, on_bytes, on_read_end and read errors are delivered. */
void conn_read_start(struct conn *conn);
/* From now on none of them is; bytes that arrive all the same are kept for the next start. No system call. */
void conn_read_stop(struct conn *conn);
/* The owner has room for so many bytes: what a read brings over them is less than a large block (over io_uring:
   uring_internal.h). */
void conn_read_room(struct conn *conn, size_t room);
bool conn_is_reading(const struct conn *conn);

/*
 * Whether bytes, an end or an error have come that this loop has not heard of yet: a system call, for who is about to
 * close or to use what has been silent for long.
 */
bool conn_has_news(const struct conn *conn);
/*
 * Whether the peer's TCP has acknowledged none of what followed the first `sent` bytes (conn_sent): a system call. Asked when
 * the peer's end has come, the answer is final: FIN acknowledges what the peer had, so it ended before it could read any of
 * those bytes. False where it cannot be known: after an error, for other sockets than TCP's.
 */
bool conn_is_unheard(const struct conn *conn, uint64_t sent);

/* Takes the chain's bytes over and leaves it empty. All that is written in a turn leaves together at its end. */
void conn_write(struct conn *conn, struct chain *bytes);
/* One block of bytes; takes over the reference (NULL for static bytes). */
void conn_write_block(struct conn *conn, struct block *block, const char *data, size_t size);
/* FIN after what is queued; then on_write_end. Nothing may be written afterwards. */
void conn_write_end(struct conn *conn);
/* Bytes written that the socket did not take yet. */
size_t conn_backlog(const struct conn *conn);

enum conn_close {
    CONN_CLOSE,  /* what is queued still leaves (while it moves within 2 s), then close */
    CONN_LINGER, /* the same, then FIN, then up to 64 KB or 2 s of input are discarded: the peer reads our last words */
    CONN_ABORT,  /* what is queued is dropped and the peer sees a reset */
};
enum { CONN_LINGER_BYTES = 64 * 1024, CONN_LINGER_MS = 2000 };
/* No event comes any more; the memory goes at the end of the turn and after the last operation. Accepts NULL. */
void conn_close(struct conn *conn, enum conn_close how);
/* CONN_LINGER, with another time than CONN_LINGER_MS. */
void conn_linger(struct conn *conn, uint32_t wait_ms);

/*
 * The way out for splice and for hand-over: gives the descriptor away, with bytes read but not delivered in *unread.
 * -EBUSY while bytes are queued or an operation is under way; else the descriptor, and the conn is closed.
 */
MUST_USE int conn_detach(struct conn *conn, struct chain *unread);

/* Asked of the kernel at each call. "None" when the peer is gone. */
struct address conn_local_address(const struct conn *conn);
struct address conn_peer_address(const struct conn *conn);
/* Where a redirected connection wanted to go (SO_ORIGINAL_DST, also v4 on a v6 socket); 0 or a negative errno (-ENOENT:
 * not redirected). */
MUST_USE int conn_original_destination(const struct conn *conn, struct address *out);
/* The kernel's cookie of the socket: unique on this host until reboot. */
uint64_t conn_id(const struct conn *conn);
/* Bytes received and sent so far. */
uint64_t conn_received(const struct conn *conn);
uint64_t conn_sent(const struct conn *conn);
/* -1 on a simulated loop. Borrowed, for options that have no call here. */
int conn_fd(const struct conn *conn);

/* SO_KEEPALIVE with its three parameters; 0 = the kernel's default for that one. */
MUST_USE int conn_set_keepalive(struct conn *conn, unsigned idle_s, unsigned interval_s,
                                unsigned probes);
