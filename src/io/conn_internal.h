/*
 * conn_internal: a conn's state, and the operations by which a back end moves its bytes.
 *
 * Completion style: conn.c asks (receive, send, finish), the back end reports (conn_received, conn_sent...), from
 * within a phase of the loop. An operation that reports later counts in `operations`, and holds the memory.
 */
#pragma once

#include "io/conn.h"
#include "io/loop_internal.h"

struct closing;
struct splice;

struct conn {
    struct source source;
    struct loop *loop;
    const struct conn_events *events;
    void *owner;
    handle name;        /* at the back end */
    struct task run;    /* deliver what is kept, then receive */
    struct task flush;  /* send; after close: reap */
    struct chain *out;  /* NULL while nothing waits to be sent */
    struct chain *kept; /* received while reading was off; NULL when none */
    struct closing *closing;
    struct splice *splice;    /* out of what is received here; NULL: none */
    struct splice *splice_in; /* into here */
    uint64_t received, sent;
    int fd;
    uint32_t turn; /* in which turn_bytes were read */
    uint32_t turn_bytes;
    uint16_t operations; /* under way in the back end */
    uint16_t read_error; /* how reading ended, when is_read_over; 0: FIN */
    uint16_t write_error;

    /* What the owner wants. */
    bool is_reading : 1;
    bool is_ending : 1; /* FIN after `out` */
    bool is_closed : 1;
    bool is_exempt : 1;
    bool has_two_queues : 1; /* CONN_SHORT_CUT */
    /* Where the directions stand. */
    bool is_connecting : 1;
    bool is_read_over : 1;
    bool is_read_end_told : 1;
    bool is_write_over : 1; /* FIN is out, or the peer takes no more */
    bool is_write_end_told : 1;
    bool is_released : 1; /* the descriptor is gone */
    /* The back end's own. */
    bool is_readable : 1;
    bool is_writable : 1;
    bool is_hung_up : 1; /* RDHUP, HUP or ERR was seen: a short read proves nothing */
    bool is_reading_large : 1;
    bool is_sending : 1;     /* a send is under way */
    bool has_lost_bytes : 1; /* that it should have sent: a close must not look well */
    bool is_receiving : 1;
    bool is_cancelling : 1; /* the receive */
    uint8_t small_reads;    /* in a row, into large blocks */
    uint8_t large_blocks;   /* that a read may fill */
    uint8_t group;          /* io_uring's, of whose blocks the receive takes */
};

/* A read fills at most so many large blocks: the conn's share of a turn. */
enum { CONN_LARGE_BLOCKS = 4 };

struct conn_ops {
    /* Registers conn->fd. 0 or a negative errno. */
    int (*adopt)(struct conn *conn);
    /* Makes a socket or takes options->fd, and starts connecting; reports by conn_connected or conn_broken. */
    int (*connect)(struct conn *conn, const struct conn_connect_options *options);
    /* is_reading has become true, or what was put off is to go on. */
    void (*receive)(struct conn *conn);
    /* The owner does not read: the end of the peer is to be told all the same. NULL: it always is. */
    void (*watch_end)(struct conn *conn);
    /* conn->out holds bytes. */
    void (*send)(struct conn *conn);
    /* Sends FIN. */
    void (*finish)(struct conn *conn);
    /* Closes the descriptor, with a reset when `abort`. Operations under way still report. */
    void (*release)(struct conn *conn, bool abort);
    /* Gives the descriptor away. */
    int (*detach)(struct conn *conn);
    struct address (*local_address)(const struct conn *conn);
    struct address (*peer_address)(const struct conn *conn);
    int (*original_destination)(const struct conn *conn, struct address *out);
    uint64_t (*id)(const struct conn *conn);
    bool (*has_news)(const struct conn *conn);
    /* How many of the bytes that were sent, also by a send under way, the peer's system has not acknowledged. False: unknown. */
    bool (*unacknowledged)(const struct conn *conn, size_t *bytes);
};
extern const struct conn_ops epoll_conn_ops;
extern const struct conn_ops sim_conn_ops;
extern const struct conn_ops uring_conn_ops;

/* --- of kernel sockets, whatever moves their bytes -------------------------------------------- */

/* A descriptor that connects, or a negative errno; options->fd is closed then. */
MUST_USE int conn_socket_connect(const struct conn_connect_options *options);
struct address conn_socket_local_address(const struct conn *conn);
struct address conn_socket_peer_address(const struct conn *conn);
int conn_socket_original_destination(const struct conn *conn, struct address *out);
uint64_t conn_socket_id(const struct conn *conn);
bool conn_socket_has_news(const struct conn *conn);
bool conn_socket_unacknowledged(const struct conn *conn, size_t *bytes);

/* --- reports from the back end --------------------------------------------------------------- */

void conn_connected(struct conn *conn);
/* Takes over the reference to block. */
void conn_received_bytes(struct conn *conn, struct block *block, const char *data, size_t size);
/* The same from the front of a block, whichever its size. */
void conn_received_block(struct conn *conn, struct block *block, size_t size);
void conn_received_end(struct conn *conn);
void conn_sent_bytes(struct conn *conn, size_t size);
/* The peer takes no more; reading may go on. */
void conn_refused(struct conn *conn, int error);
/* Both directions are over. */
void conn_broken(struct conn *conn, int error);
/* A read found no memory; the conn comes back by itself. */
void conn_starved(struct conn *conn);
void conn_operation_begins(struct conn *conn);
void conn_operation_ends(struct conn *conn);

/* True while the back end should bring more: the owner reads, or a closed conn discards what comes. */
bool conn_wants_bytes(const struct conn *conn);
/* Memory is short: reading waits, unless the conn is exempt. */
static inline bool conn_is_pressed(const struct conn *conn)
{
    return conn->loop->pressure >= MEMORY_PAUSE_READS && !conn->is_exempt;
}
/* Bytes that may still be read in this turn. */
size_t conn_turn_allowance(const struct conn *conn);

/* --- conn_close.c ---------------------------------------------------------------------------- */

/* A closed conn moves on: something was sent, received or ended. */
void conn_close_step(struct conn *conn);
void conn_close_discard(struct conn *conn, size_t size);
bool conn_close_discards(const struct conn *conn);
/* The loop ends: what lingers on it lingers no more. */
void conn_close_all(struct loop *loop);
/* The descriptor was given away: nothing is left to do but to reap. */
void conn_detached(struct conn *conn);
/* Frees it at the end of the turn in which its last operation has reported. */
void conn_release(struct conn *conn, bool abort);
