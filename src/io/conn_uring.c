/*
 * conn_uring: conns over kernel sockets, by io_uring.
 *
 * A multishot receive stays armed while the owner reads; a stop costs nothing until bytes come all the same,
 * which are kept and the receive cancelled. Bulk is received a large block at a time, armed anew after each: a multishot receive
 * takes all that its group was lent before a stop is heard (uring_internal.h says what that may be).
 *
 * Where no receive is armed, the epoll instance tells that the peer is gone. A conn that is closed lives until its
 * operations have reported; its descriptor is closed by the ring too, after the cancellations, so that the number is
 * not used again before.
 *
 * `is_readable` means: no receive is armed, so a start of reading must ask.
 */
#include "io/conn_internal.h"
#include "io/epoll_internal.h"
#include "io/socket.h"
#include "io/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL_READS_IN_A_ROW = 8 }; /* after so many, bulk is over */

/* --- the peer is gone ------------------------------------------------------------------------ */

static void on_gone(struct source *source, uint32_t events)
{
    struct conn *conn = CONTAINER_OF(source, struct conn, source);
    if (conn->is_released || conn->is_receiving)
        return; /* the receive tells */
    if (conn->is_closed) {
        if (events & (EPOLLERR | EPOLLHUP))
            conn_broken(conn, ECONNRESET);
        else
            conn_received_end(conn);
    } else if ((events & EPOLLERR) && !conn->is_write_over) {
        int error = socket_take_error(conn->fd);
        conn_refused(conn, error ? error : ECONNRESET);
    }
}

/* No receive is armed, so nothing else would tell. */
static void uring_watch_end(struct conn *conn)
{
    const uint32_t events = (uint32_t)EPOLLRDHUP | EPOLLET;
    if (conn->is_released || conn->is_receiving || conn->is_connecting)
        return;
    int error = 0;
    if (!conn->name) {
        conn->source.on_events = on_gone;
        error = epoll_add(conn->loop, conn->fd, events, &conn->source, &conn->name);
    } else if (conn->is_closed) { /* an end that came before is told again */
        error = epoll_change(conn->loop, conn->fd, events, conn->name);
    }
    (void)error; /* without kernel memory the next read or write tells */
}

/* --- receiving ------------------------------------------------------------------------------- */

static void uring_receive(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (conn->is_receiving || conn->is_released || conn->is_connecting)
        return;
    if (UNLIKELY(conn_is_pressed(conn))) {
        conn_starved(conn);
        return;
    }
    struct uring_buffers *buffers = uring_buffers_of(loop);
    unsigned group = conn->is_reading_large ? uring_buffers_large_group(buffers)
                                            : uring_buffers_small_group(buffers);
    if (!uring_buffers_fill(buffers, group, loop->blocks)) {
        uring_buffers_leave(buffers, group);
        conn_starved(conn);
        return;
    }
    struct io_uring_sqe *entry = uring_entry(loop);
    if (group == URING_LARGE_GROUP)
        io_uring_prep_recv(entry, conn->fd, NULL, BLOCK_LARGE_CAPACITY, 0);
    else
        io_uring_prep_recv_multishot(entry, conn->fd, NULL, 0, 0);
    uring_name(entry, URING_RECEIVE, conn);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = (uint16_t)group;
    conn->group = (uint8_t)group;
    conn->is_receiving = true;
    conn->is_readable = false;
    conn_operation_begins(conn);
}

static bool receives_large(const struct conn *conn)
{
    return conn->group == URING_LARGE_GROUP;
}

static void stop_receiving(struct conn *conn)
{
    if (conn->is_cancelling || !conn->is_receiving)
        return;
    conn->is_cancelling = true;
    uring_cancel(conn->loop, URING_RECEIVE, conn);
}

/* Full small blocks are bulk: the next receive uses large ones, until messages are small again. */
static void judge_size(struct conn *conn, size_t size)
{
    if (!receives_large(conn)) {
        conn->is_reading_large = size == BLOCK_SMALL_CAPACITY;
    } else if (size >= BLOCK_SMALL_CAPACITY) {
        conn->small_reads = 0;
    } else if (++conn->small_reads == SMALL_READS_IN_A_ROW) {
        conn->small_reads = 0;
        conn->is_reading_large = false;
    }
}

static void received(struct conn *conn, struct block *block, int result)
{
    if (result > 0 && !conn->is_released) {
        judge_size(conn, (size_t)result);
        if (receives_large(conn))
            conn_received_block(conn, block, (size_t)result);
        else
            conn_received_bytes(conn, block, block->bytes, (size_t)result);
        return;
    }
    block_unref(block);
    if (conn->is_released)
        return;
    if (result == 0)
        conn_received_end(conn);
    else if (result != -ENOBUFS && result != -ECANCELED && result != -EINTR && result != -EAGAIN)
        conn_broken(conn, -result);
}

static void receive_on(struct conn *conn)
{
    if (conn->is_released || conn->is_connecting)
        return;
    if (conn->is_read_over) {
        if (!conn->is_write_over)
            uring_watch_end(conn);
    } else if (conn_wants_bytes(conn)) {
        uring_receive(conn);
    } else {
        uring_watch_end(conn);
    }
}

static void report_receive(struct conn *conn, int result, uint32_t flags)
{
    bool goes_on = flags & IORING_CQE_F_MORE;
    struct uring_buffers *buffers = uring_buffers_of(conn->loop);
    struct block *block = NULL;
    if (flags & IORING_CQE_F_BUFFER)
        block = uring_buffers_take(buffers, conn->group, flags >> IORING_CQE_BUFFER_SHIFT);
    if (!goes_on) {
        uring_buffers_leave(buffers, conn->group);
        conn->is_receiving = conn->is_cancelling = false;
        conn->is_readable = true;
        /* Others spoke in this turn. Who took all by itself has become bulk, and it was not small blocks that it lacked. */
        if (result == -ENOBUFS && !conn->is_reading_large)
            uring_buffers_lacked(buffers, conn->group);
    }
    received(conn, block, result);
    if (!goes_on) {
        receive_on(conn);
        conn_operation_ends(conn);
    } else if (!conn->is_released &&
               (!conn_wants_bytes(conn) || conn->is_reading_large != receives_large(conn) ||
                UNLIKELY(conn_is_pressed(conn)))) {
        stop_receiving(conn);
    }
}

/* --- sending --------------------------------------------------------------------------------- */

/*
 * The last words leave by a call of their own: who is closed has left when the turn is over, and another may take its place under
 * a limit that workers share.
 */
static bool sent_at_once(struct conn *conn)
{
    struct iovec pieces[URING_IOVECS];
    struct msghdr message = {.msg_iov = pieces,
                             .msg_iovlen = chain_iovecs(conn->out, pieces, URING_IOVECS)};
    ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0)
        return false; /* an entry waits for room, or tells what is wrong */
    conn_sent_bytes(conn, (size_t)sent);
    return true;
}

static void uring_send(struct conn *conn)
{
    if (conn->is_closed && sent_at_once(conn))
        return;
    struct io_uring_sqe *entry = uring_entry(conn->loop);
    struct msghdr *message = conn->out->count > 1 ? uring_message(conn->loop) : NULL;
    if (message) {
        message->msg_iovlen = chain_iovecs(conn->out, message->msg_iov, URING_IOVECS);
        io_uring_prep_sendmsg(entry, conn->fd, message, MSG_NOSIGNAL);
    } else {
        struct slice first = chain_front(conn->out);
        io_uring_prep_send(entry, conn->fd, first.data, first.size, MSG_NOSIGNAL);
    }
    uring_name(entry, URING_SEND, conn);
    conn->is_sending = true;
    conn_operation_begins(conn);
}

static void report_send(struct conn *conn, int result)
{
    conn->is_sending = false;
    if (conn->is_released)
        ;
    else if (result >= 0)
        conn_sent_bytes(conn, (size_t)result);
    else if (conn->is_write_over) /* it was refused before, and the bytes were still ours */
        conn_sent_bytes(conn, 0);
    else if (result == -EINTR || result == -EAGAIN || result == -ECANCELED)
        loop_flush_later(conn->loop, &conn->flush);
    else
        conn_refused(conn, -result);
    conn_operation_ends(conn);
}

static void uring_finish(struct conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
}

/* --- making and ending ----------------------------------------------------------------------- */

static int uring_adopt(struct conn *conn)
{
    conn->is_readable = true;
    /* When the owner does not read by the end of this turn, the end of the peer is watched for. */
    loop_run_later(conn->loop, &conn->run);
    return 0;
}

static int uring_connect(struct conn *conn, const struct conn_connect_options *options)
{
    conn->fd = conn_socket_connect(options);
    if (conn->fd < 0)
        return conn->fd;
    struct io_uring_sqe *entry = uring_entry(conn->loop);
    io_uring_prep_poll_add(entry, conn->fd, POLLOUT);
    uring_name(entry, URING_CONNECT, conn);
    conn_operation_begins(conn);
    return 0;
}

static void report_connect(struct conn *conn, int result)
{
    if (!conn->is_released) {
        int error = result < 0 ? -result : 0;
        if (result > 0 && result & (POLLERR | POLLHUP)) {
            error = socket_take_error(conn->fd);
            error = error ? error : ECONNREFUSED;
        }
        if (error) {
            conn_broken(conn, error);
        } else {
            conn->is_readable = true;
            loop_run_later(conn->loop, &conn->run);
            conn_connected(conn);
        }
    }
    conn_operation_ends(conn);
}

/* A receive that is armed holds the socket until the next enter, but the peer hears of the end at once: hence the FIN. */
static void uring_release(struct conn *conn, bool abort)
{
    struct loop *loop = conn->loop;
    if (abort)
        socket_reset_on_close(conn->fd);
    else if (!conn->is_write_over)
        uring_finish(conn);
    handle_drop(loop->handles, conn->name);
    stop_receiving(conn);
    if (conn->is_sending)
        uring_cancel(loop, URING_SEND, conn);
    if (conn->operations > conn->is_receiving + conn->is_sending)
        uring_cancel(loop, URING_CONNECT, conn);
    struct io_uring_sqe *entry = uring_entry(loop);
    io_uring_prep_close(entry, conn->fd);
    uring_name(entry, URING_NOTHING, NULL);
    if (conn->operations > 0)
        list_push_back(uring_leaving(loop), &conn->run.node);
}

/* A receive that is armed would bring bytes to nobody. */
static int uring_detach(struct conn *conn)
{
    if (conn->operations > 0)
        return -EBUSY;
    if (conn->name)
        epoll_remove(conn->loop, conn->fd, &conn->name);
    return conn->fd;
}

void uring_conn_reports(struct conn *conn, enum uring_operation operation, int result,
                        uint32_t flags)
{
    switch (operation) {
    case URING_RECEIVE: report_receive(conn, result, flags); return;
    case URING_SEND: report_send(conn, result); return;
    case URING_CONNECT: report_connect(conn, result); return;
    case URING_NOTHING:
    case URING_READY:
    case URING_OPERATION_MASK: return;
    }
}

const struct conn_ops uring_conn_ops = {
    .adopt = uring_adopt,
    .connect = uring_connect,
    .receive = uring_receive,
    .watch_end = uring_watch_end,
    .send = uring_send,
    .finish = uring_finish,
    .release = uring_release,
    .detach = uring_detach,
    .local_address = conn_socket_local_address,
    .peer_address = conn_socket_peer_address,
    .original_destination = conn_socket_original_destination,
    .id = conn_socket_id,
    .has_news = conn_socket_has_news,
    .unacknowledged = conn_socket_unacknowledged,
};
