#include "io/conn.h"

#include "io/conn_internal.h"
#include "io/listener.h"
#include "io/splice_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const struct conn_ops *ops(const struct conn *conn)
{
    return conn->loop->ops->conns;
}

/* --- telling the owner ----------------------------------------------------------------------- */

static void tell_read_over(struct conn *conn)
{
    if (conn->is_read_end_told)
        return;
    conn->is_read_end_told = true;
    if (conn->read_error)
        conn->events->on_error(conn->owner, conn->read_error);
    else
        conn->events->on_read_end(conn->owner);
}

static void tell_write_over(struct conn *conn)
{
    if (conn->is_write_end_told)
        return;
    conn->is_write_end_told = true;
    if (conn->events->on_write_end)
        conn->events->on_write_end(conn->owner, conn->write_error);
    else if (conn->write_error && conn->is_read_end_told && !conn->read_error)
        conn->events->on_error(conn->owner, conn->write_error); /* nothing else would tell */
}

static bool may_deliver(const struct conn *conn)
{
    return conn->is_reading && !conn->is_closed && !conn->kept;
}

static void drop_chain(struct conn *conn, struct chain **chain)
{
    loop_chain_return(conn->loop, *chain);
    *chain = NULL;
}

/* What was kept while reading was off goes out first, block by block, as long as the owner reads. */
static void deliver_kept(struct conn *conn)
{
    while (conn->kept && conn->is_reading && !conn->is_closed) {
        struct segment first = *chain_segment(conn->kept, 0);
        block_ref(first.block);
        chain_consume(conn->kept, first.size);
        if (chain_is_empty(conn->kept))
            drop_chain(conn, &conn->kept);
        conn->events->on_bytes(conn->owner, first.block, first.data, first.size);
    }
}

static void on_run(struct task *task)
{
    struct conn *conn = CONTAINER_OF(task, struct conn, run);
    deliver_kept(conn);
    if (conn->is_read_over && may_deliver(conn))
        tell_read_over(conn);
    else if (!conn->is_read_over && conn_wants_bytes(conn))
        ops(conn)->receive(conn);
    else if (!conn->is_closed && ops(conn)->watch_end)
        ops(conn)->watch_end(conn);
}

/* --- making ---------------------------------------------------------------------------------- */

static void on_flush(struct task *task);

static struct conn *conn_new(struct loop *loop, unsigned flags, const struct conn_events *events,
                             void *owner)
{
    struct conn *conn = loop_object_new(loop, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->loop = loop;
    conn->events = events;
    conn->owner = owner;
    conn->fd = -1;
    conn->is_exempt = flags & CONN_EXEMPT;
    conn->has_two_queues = flags & CONN_SHORT_CUT;
    conn->is_writable = true;
    conn->large_blocks = CONN_LARGE_BLOCKS;
    task_init(&conn->run, on_run);
    task_init(&conn->flush, on_flush);
    count(&loop->stats.conns, 1);
    return conn;
}

static void conn_discard(struct conn *conn)
{
    count_down(&conn->loop->stats.conns);
    loop_object_free(conn->loop, conn, sizeof(*conn));
}

struct conn *conn_adopt(struct loop *loop, int fd, unsigned flags, const struct conn_events *events,
                        void *owner)
{
    struct conn *conn = conn_new(loop, flags, events, owner);
    if (!conn) {
        accepted_close(loop, fd);
        return NULL;
    }
    conn->fd = fd;
    if (ops(conn)->adopt(conn)) {
        accepted_close(loop, fd);
        conn_discard(conn);
        return NULL;
    }
    return conn;
}

int conn_connect(struct loop *loop, const struct conn_connect_options *options,
                 const struct conn_events *events, void *owner, struct conn **out)
{
    struct conn *conn = conn_new(loop, options->flags, events, owner);
    if (!conn) {
        if (options->fd > 0)
            accepted_close(loop, options->fd);
        return -ENOMEM;
    }
    conn->is_connecting = true;
    int error = ops(conn)->connect(conn, options);
    if (error) {
        conn_discard(conn);
        return error;
    }
    *out = conn;
    return 0;
}

void conn_set_owner(struct conn *conn, const struct conn_events *events, void *owner)
{
    conn->events = events;
    conn->owner = owner;
}

struct loop *conn_loop(const struct conn *conn)
{
    return conn->loop;
}

/* --- receiving ------------------------------------------------------------------------------- */

void conn_read_start(struct conn *conn)
{
    assert(!conn->is_closed);
    if (conn->is_reading)
        return;
    conn->is_reading = true;
    if (conn->kept || conn->is_read_over || conn->is_readable)
        loop_run_later(conn->loop, &conn->run);
}

void conn_read_stop(struct conn *conn)
{
    conn->is_reading = false;
}

void conn_read_room(struct conn *conn, size_t room)
{
    conn->large_blocks = (uint8_t)MIN(room / BLOCK_LARGE_BYTES + 1, (size_t)CONN_LARGE_BLOCKS);
}

bool conn_is_reading(const struct conn *conn)
{
    return conn->is_reading;
}

bool conn_wants_bytes(const struct conn *conn)
{
    return conn->is_closed ? conn_close_discards(conn) : conn->is_reading;
}

size_t conn_turn_allowance(const struct conn *conn)
{
    if (conn->turn != (uint32_t)conn->loop->turn)
        return LOOP_CONN_BYTES;
    return conn->turn_bytes < LOOP_CONN_BYTES ? LOOP_CONN_BYTES - conn->turn_bytes : 0;
}

static void count_received(struct conn *conn, size_t size)
{
    conn->received += size;
    if (conn->turn != (uint32_t)conn->loop->turn) {
        conn->turn = (uint32_t)conn->loop->turn;
        conn->turn_bytes = 0;
    }
    conn->turn_bytes += (uint32_t)size;
}

static void keep(struct conn *conn, struct block *block, const char *data, size_t size)
{
    if (!conn->kept)
        conn->kept = loop_chain_borrow(conn->loop);
    if (conn->kept) {
        chain_append_block(conn->kept, block, data, size);
        return;
    }
    /* Bytes are lost, so the stream is. */
    block_unref(block);
    conn_broken(conn, ENOMEM);
}

void conn_received_bytes(struct conn *conn, struct block *block, const char *data, size_t size)
{
    count_received(conn, size);
    if (may_deliver(conn)) {
        conn->events->on_bytes(conn->owner, block, data, size);
    } else if (conn->is_closed) {
        block_unref(block);
        conn_close_discard(conn, size);
    } else if (!conn->is_read_over) {
        keep(conn, block, data, size);
    } else {
        block_unref(block);
    }
}

/*
 * The end of a read may fill little of its block, which would then be held for a few bytes as long as a slow reader likes:
 * credit counts bytes, so a block must be worth its bytes. Less than half is copied into small blocks; without any, it stays.
 */
void conn_received_block(struct conn *conn, struct block *block, size_t size)
{
    size_t at = 0;
    while (size < block->capacity / 2 && at < size) {
        struct block *small = block_alloc(conn->loop->blocks, BLOCK_SMALL);
        if (!small)
            break;
        size_t piece = MIN(size - at, (size_t)small->capacity);
        memcpy(small->bytes, block->bytes + at, piece);
        at += piece;
        conn_received_bytes(conn, small, small->bytes, piece);
    }
    if (at < size)
        conn_received_bytes(conn, block, block->bytes + at, size - at);
    else
        block_unref(block);
}

void conn_received_end(struct conn *conn)
{
    if (conn->is_read_over)
        return;
    conn->is_read_over = true;
    /* The kernel tells of a reset once; where a write heard it, reading sees a mere end. */
    if (conn->is_write_over && conn->write_error)
        conn->read_error = conn->write_error == EPIPE ? ECONNRESET : conn->write_error;
    if (conn->is_closed)
        conn_close_step(conn);
    else if (may_deliver(conn))
        tell_read_over(conn);
}

void conn_starved(struct conn *conn)
{
    loop_starve(conn->loop, &conn->run);
}

/* --- sending --------------------------------------------------------------------------------- */

static void write_over(struct conn *conn, int error)
{
    conn->is_write_over = true;
    conn->write_error = (uint16_t)error;
    if (conn->splice_in)
        splice_resume(conn->splice_in); /* whatever else comes is the owner's to drop */
    if (!conn->is_sending)
        drop_chain(conn, &conn->out);
}

static void on_flush(struct task *task)
{
    struct conn *conn = CONTAINER_OF(task, struct conn, flush);
    if (conn->is_write_over) {
        if (!conn->is_closed)
            tell_write_over(conn);
    } else if (conn->is_connecting || conn->is_sending) {
        return; /* comes back when that has reported */
    } else if (conn->out) {
        ops(conn)->send(conn);
    } else if (conn->is_closed) {
        conn_close_step(conn);
    } else if (conn->is_ending) {
        ops(conn)->finish(conn);
        conn->is_write_over = true;
        tell_write_over(conn);
    }
}

static bool open_out(struct conn *conn)
{
    assert(!conn->is_ending && !conn->is_closed);
    if (conn->is_write_over)
        return false;
    if (!conn->out && !(conn->out = loop_chain_borrow(conn->loop))) {
        write_over(conn, ENOMEM);
        loop_flush_later(conn->loop, &conn->flush);
        return false;
    }
    if (conn->is_writable && !conn->is_connecting)
        loop_flush_later(conn->loop, &conn->flush);
    return true;
}

void conn_write(struct conn *conn, struct chain *bytes)
{
    if (chain_is_empty(bytes))
        return;
    if (open_out(conn))
        chain_gather(conn->out, bytes);
    else
        chain_fini(bytes);
}

void conn_write_block(struct conn *conn, struct block *block, const char *data, size_t size)
{
    if (open_out(conn))
        chain_append_block(conn->out, block, data, size);
    else
        block_unref(block);
}

void conn_write_end(struct conn *conn)
{
    assert(!conn->is_ending && !conn->is_closed);
    conn->is_ending = true;
    loop_flush_later(conn->loop, &conn->flush);
}

bool conn_has_news(const struct conn *conn)
{
    return !conn->is_released && ops(conn)->has_news(conn);
}

bool conn_is_unheard(const struct conn *conn, uint64_t sent)
{
    size_t unacknowledged;
    /* A write that met a reset behind FIN has heard EPIPE; without FIN the reset may have left bytes that were read. */
    bool has_failed = conn->write_error ? conn->write_error != EPIPE : conn->read_error != 0;
    if (conn->is_released || conn->is_ending || conn->has_two_queues || has_failed)
        return false;
    uint64_t given = conn->sent - sent + (conn->is_sending ? conn_backlog(conn) : 0);
    return ops(conn)->unacknowledged(conn, &unacknowledged) && unacknowledged >= given;
}

size_t conn_backlog(const struct conn *conn)
{
    return conn->out ? conn->out->size : 0;
}

void conn_sent_bytes(struct conn *conn, size_t size)
{
    conn->sent += size;
    if (!conn->out)
        return;
    chain_consume(conn->out, size);
    if (chain_is_empty(conn->out) || conn->is_write_over)
        drop_chain(conn, &conn->out);
    /* More waits, or a FIN, or the end of a close. */
    if (conn->out || conn->is_ending || conn->is_closed)
        loop_flush_later(conn->loop, &conn->flush);
    else if (conn->splice_in)
        splice_resume(conn->splice_in);
    if (size > 0 && !conn->is_closed && conn->events->on_written)
        conn->events->on_written(conn->owner, size);
}

/* --- how it ends ----------------------------------------------------------------------------- */

void conn_connected(struct conn *conn)
{
    conn->is_connecting = false;
    if (conn->out || conn->is_ending || conn->is_closed)
        loop_flush_later(conn->loop, &conn->flush);
    if (!conn->is_closed)
        conn->events->on_connected(conn->owner);
}

void conn_refused(struct conn *conn, int error)
{
    if (conn->is_write_over)
        return;
    write_over(conn, error);
    if (conn->is_closed) {
        conn_close_step(conn);
        return;
    }
    if (conn->is_reading)
        loop_run_later(conn->loop, &conn->run);
    tell_write_over(conn);
}

void conn_broken(struct conn *conn, int error)
{
    bool was_connecting = conn->is_connecting;
    conn->is_connecting = false;
    if (!conn->is_read_over) {
        conn->is_read_over = true;
        conn->read_error = (uint16_t)error;
    }
    if (!conn->is_write_over)
        write_over(conn, error);
    if (conn->is_closed)
        conn_close_step(conn);
    else if (was_connecting || (may_deliver(conn) && !conn->is_read_end_told))
        tell_read_over(conn);
    else
        tell_write_over(conn);
}

void conn_operation_begins(struct conn *conn)
{
    conn->operations++;
}

/* --- the rest -------------------------------------------------------------------------------- */

int conn_detach(struct conn *conn, struct chain *unread)
{
    if (conn->out || conn->is_connecting || conn->is_closed)
        return -EBUSY;
    int fd = ops(conn)->detach(conn);
    if (fd < 0)
        return fd;
    if (conn->kept)
        chain_move(unread, conn->kept);
    conn_detached(conn);
    return fd;
}

struct address conn_local_address(const struct conn *conn)
{
    return conn->is_released ? (struct address){0} : ops(conn)->local_address(conn);
}

struct address conn_peer_address(const struct conn *conn)
{
    return conn->is_released ? (struct address){0} : ops(conn)->peer_address(conn);
}

int conn_original_destination(const struct conn *conn, struct address *out)
{
    return conn->is_released ? -ENOTCONN : ops(conn)->original_destination(conn, out);
}

uint64_t conn_id(const struct conn *conn)
{
    return conn->is_released ? 0 : ops(conn)->id(conn);
}

uint64_t conn_received(const struct conn *conn)
{
    return conn->received;
}

uint64_t conn_sent(const struct conn *conn)
{
    return conn->sent;
}

int conn_fd(const struct conn *conn)
{
    return conn->loop->backend != LOOP_SIM && !conn->is_released ? conn->fd : -1;
}
