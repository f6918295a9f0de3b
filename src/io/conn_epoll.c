/*
 * conn_epoll: conns over kernel sockets, edge-triggered.
 *
 * A descriptor is registered once, for everything, and never changed: what the owner wants is a bit here, so pausing
 * costs no system call. A read that comes back short has emptied the socket, unless an end or an error came
 * with the event; then only the next read can tell.
 */
#include "io/calls_internal.h"
#include "io/conn_internal.h"
#include "io/epoll_internal.h"
#include "io/socket.h"
#include "io/sockmap.h"
#include "io/splice_internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    IOVECS_MAX = 64,
    HUNG_UP = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
    CONN_EPOLL_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
};

/* --- receiving ------------------------------------------------------------------------------- */

/* Deals with what a read returned that brought no bytes; true when it is worth to read again. */
static bool read_brought_nothing(struct conn *conn, ssize_t got)
{
    if (got == 0) {
        conn->is_readable = false;
        conn_received_end(conn);
    } else if (errno == EINTR) {
        return true;
    } else if (errno == EAGAIN) {
        conn->is_readable = false;
    } else {
        conn->is_readable = false;
        conn_broken(conn, errno);
    }
    return false;
}

static void read_brought(struct conn *conn, size_t got, size_t asked)
{
    if (got < asked && !conn->is_hung_up && !conn->has_two_queues)
        conn->is_readable = false;
}

/* One small block serves a message of usual size with one call. */
static bool receive_small(struct conn *conn)
{
    struct block *block = block_alloc(conn->loop->blocks, BLOCK_SMALL);
    if (!block) {
        conn_starved(conn);
        return false;
    }
    size_t asked = block->capacity;
    ssize_t got = call_recv(conn->fd, block->bytes, asked, 0);
    if (got <= 0) {
        block_unref(block);
        return read_brought_nothing(conn, got);
    }
    conn->is_reading_large = (size_t)got == asked;
    read_brought(conn, (size_t)got, asked);
    conn_received_bytes(conn, block, block->bytes, (size_t)got);
    return true;
}

static size_t borrow_large(const struct conn *conn, struct block **blocks, struct iovec *iovecs)
{
    size_t count = 0;
    while (count < conn->large_blocks &&
           (blocks[count] = block_alloc(conn->loop->blocks, BLOCK_LARGE))) {
        iovecs[count] = (struct iovec){blocks[count]->bytes, blocks[count]->capacity};
        count++;
    }
    return count;
}

/* Bulk comes 64 KB a call; the blocks that stay empty go back to the pool. Apart, as its tables would be made for all. */
__attribute__((noinline)) static bool receive_large(struct conn *conn)
{
    struct block *blocks[CONN_LARGE_BLOCKS];
    struct iovec iovecs[CONN_LARGE_BLOCKS];
    size_t count = borrow_large(conn, blocks, iovecs);
    if (count == 0) {
        conn->is_reading_large = false; /* the next read takes a small one */
        return true;
    }
    size_t asked = 0;
    for (size_t i = 0; i < count; i++)
        asked += iovecs[i].iov_len;
    ssize_t got = readv(conn->fd, iovecs, (int)count);
    int error = errno;
    size_t left = got > 0 ? (size_t)got : 0;
    if (left > 0) {
        conn->is_reading_large = left >= BLOCK_SMALL_BYTES;
        read_brought(conn, left, asked);
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = MIN(left, iovecs[i].iov_len);
        left -= size;
        if (size > 0)
            conn_received_block(conn, blocks[i], size);
        else
            block_unref(blocks[i]);
    }
    errno = error;
    return got > 0 || read_brought_nothing(conn, got);
}

static void epoll_receive(struct conn *conn)
{
    if (UNLIKELY(conn->splice != NULL) && !splice_receive(conn))
        return;
    while (conn->is_readable && conn_wants_bytes(conn)) {
        if (conn_turn_allowance(conn) < BLOCK_SMALL_BYTES) {
            loop_run_next_turn(conn->loop, &conn->run);
            return;
        }
        if (UNLIKELY(conn_is_pressed(conn))) {
            conn_starved(conn);
            return;
        }
        if (!(conn->is_reading_large ? receive_large(conn) : receive_small(conn)))
            return;
        if (UNLIKELY(conn->splice != NULL) && !splice_receive(conn))
            return;
    }
    /* A closed conn has discarded enough and knows that the peer has left. */
    if (conn->is_closed && !conn->is_released && conn->is_hung_up)
        conn_received_end(conn);
}

/* --- sending --------------------------------------------------------------------------------- */

__attribute__((noinline)) static ssize_t send_segments(struct conn *conn, size_t *asked)
{
    struct iovec iovecs[IOVECS_MAX];
    struct msghdr message = {.msg_iov = iovecs,
                             .msg_iovlen = chain_iovecs(conn->out, iovecs, IOVECS_MAX)};
    *asked = 0;
    for (size_t i = 0; i < message.msg_iovlen; i++)
        *asked += iovecs[i].iov_len;
    return call_sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_some(struct conn *conn, size_t *asked)
{
    if (conn->out->count > 1)
        return send_segments(conn, asked);
    struct slice only = chain_front(conn->out);
    *asked = only.size;
    return call_send(conn->fd, only.data, only.size, MSG_NOSIGNAL);
}

static void epoll_send(struct conn *conn)
{
    size_t asked;
    if (!conn->is_writable)
        return;
    ssize_t sent = send_some(conn, &asked);
    if (sent >= 0) {
        conn->is_writable = (size_t)sent == asked;
        conn_sent_bytes(conn, (size_t)sent);
    } else if (errno == EAGAIN) {
        conn->is_writable = false;
    } else if (errno == EINTR) {
        loop_flush_later(conn->loop, &conn->flush);
    } else {
        conn->is_readable = conn->is_hung_up = true; /* what came before can still be read */
        conn_refused(conn, errno);
    }
}

static void epoll_finish(struct conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
}

/* --- events ---------------------------------------------------------------------------------- */

COLD static void on_connect_events(struct conn *conn, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        int error = socket_take_error(conn->fd);
        conn_broken(conn, error ? error : ECONNREFUSED);
    } else if (events & EPOLLOUT) {
        conn_connected(conn);
    }
}

static void on_closed_events(struct conn *conn, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP))
        conn_broken(conn, ECONNRESET);
    else
        epoll_receive(conn);
}

COLD static void tell_gone(struct conn *conn)
{
    int error = socket_take_error(conn->fd);
    conn_refused(conn, error ? error : ECONNRESET);
}

static void on_conn_events(struct source *source, uint32_t events)
{
    struct conn *conn = CONTAINER_OF(source, struct conn, source);
    if (conn->is_released)
        return;
    if (events & (EPOLLIN | HUNG_UP))
        conn->is_readable = true;
    if (events & HUNG_UP)
        conn->is_hung_up = true;
    if ((events & EPOLLOUT) && !conn->is_writable) {
        conn->is_writable = true;
        if (conn->out)
            loop_flush_later(conn->loop, &conn->flush);
        else if (conn->splice_in)
            splice_resume(conn->splice_in);
    }
    if (UNLIKELY(conn->is_connecting))
        on_connect_events(conn, events);
    if (UNLIKELY(conn->is_closed)) {
        on_closed_events(conn, events);
        return;
    }
    if (conn->is_readable && conn->is_reading && !conn->kept && !conn->is_connecting)
        epoll_receive(conn);
    /* Where reading is off or over, nothing else would tell. */
    if ((events & EPOLLERR) && !conn->is_closed && !conn->is_write_over &&
        (conn->is_read_over || !conn->is_reading))
        tell_gone(conn);
}

/* --- making and ending ----------------------------------------------------------------------- */

static int epoll_adopt(struct conn *conn)
{
    conn->source.on_events = on_conn_events;
    return epoll_add(conn->loop, conn->fd, (uint32_t)CONN_EPOLL_EVENTS | EPOLLET, &conn->source,
                     &conn->name);
}

static int prepare_socket(int fd, const struct conn_connect_options *options)
{
    int error = 0;
    if (options->mark)
        error = socket_set(fd, SOL_SOCKET, SO_MARK, (int)options->mark);
    if (!error && options->is_transparent)
        error = socket_set_transparent(fd, &options->to);
    /* Without the short cut it is a connection all the same. */
    if (!error && options->sockmap)
        (void)!sockmap_claim(options->sockmap, fd);
    if (error || !address_is_set(&options->from))
        return error;
    /* The kernel picks the port at connect, when it knows the peer: 64 K of them per peer. */
    if (address_is_ip(&options->from) && address_port(&options->from) == 0)
        error = socket_set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (!error && bind(fd, &options->from.any, options->from.size))
        error = -errno;
    return error;
}

int conn_socket_connect(const struct conn_connect_options *options)
{
    int fd = options->fd > 0 ? options->fd : socket_open(&options->to, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int error = prepare_socket(fd, options);
    if (!error && connect(fd, &options->to.any, options->to.size) && errno != EINPROGRESS)
        error = -errno;
    if (error)
        close(fd);
    return error ? error : fd;
}

static int epoll_connect(struct conn *conn, const struct conn_connect_options *options)
{
    conn->fd = conn_socket_connect(options);
    if (conn->fd < 0)
        return conn->fd;
    int error = epoll_adopt(conn);
    if (error)
        close(conn->fd);
    return error;
}

static void epoll_release(struct conn *conn, bool abort)
{
    if (abort)
        socket_reset_on_close(conn->fd);
    handle_drop(conn->loop->handles, conn->name);
    close(conn->fd);
}

static int epoll_detach(struct conn *conn)
{
    epoll_remove(conn->loop, conn->fd, &conn->name);
    return conn->fd;
}

struct address conn_socket_local_address(const struct conn *conn)
{
    return socket_local_address(conn->fd);
}

struct address conn_socket_peer_address(const struct conn *conn)
{
    return socket_peer_address(conn->fd);
}

int conn_socket_original_destination(const struct conn *conn, struct address *out)
{
    return socket_original_destination(conn->fd, out);
}

uint64_t conn_socket_id(const struct conn *conn)
{
    return socket_cookie(conn->fd);
}

bool conn_socket_has_news(const struct conn *conn)
{
    char byte;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EINTR);
}

bool conn_socket_unacknowledged(const struct conn *conn, size_t *bytes)
{
    int queued;
    const struct address local = socket_local_address(conn->fd);
    if (!address_is_ip(&local) || ioctl(conn->fd, SIOCOUTQ, &queued) || queued < 0)
        return false;
    *bytes = (size_t)queued;
    return true;
}

const struct conn_ops epoll_conn_ops = {
    .adopt = epoll_adopt,
    .connect = epoll_connect,
    .receive = epoll_receive,
    .send = epoll_send,
    .finish = epoll_finish,
    .release = epoll_release,
    .detach = epoll_detach,
    .local_address = conn_socket_local_address,
    .peer_address = conn_socket_peer_address,
    .original_destination = conn_socket_original_destination,
    .id = conn_socket_id,
    .has_news = conn_socket_has_news,
    .unacknowledged = conn_socket_unacknowledged,
};

/* --- options --------------------------------------------------------------------------------- */

int conn_set_keepalive(struct conn *conn, unsigned idle_s, unsigned interval_s, unsigned probes)
{
    int fd = conn_fd(conn);
    if (fd < 0)
        return 0;
    int error = socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (!error && idle_s)
        error = socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle_s);
    if (!error && interval_s)
        error = socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)interval_s);
    if (!error && probes)
        error = socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)probes);
    return error;
}
