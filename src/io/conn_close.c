/*
 * conn_close: what a conn does after its owner has left: the last bytes, the lingering, the reaping.
 *
 * Closing a TCP socket over unread input sends a reset, which can destroy our last words before the peer has
 * read them. A lingering conn therefore sends FIN and discards. After CONN_LINGER_BYTES it stops reading and only
 * waits: the peer's window closes, and it finds our answer when it looks.
 */
#include "io/conn_internal.h"
#include "io/splice_internal.h"

#include <assert.h>

struct closing {
    struct list node; /* in the loop's list */
    struct timer timer;
    struct conn *conn;
    uint64_t sent; /* when the timer was started: bytes that move buy time */
    size_t discarded;
    uint32_t wait_ms; /* for the next byte to leave, and then for the peer to close */
    enum conn_close how;
};

static void on_reap(struct task *task)
{
    struct conn *conn = CONTAINER_OF(task, struct conn, flush);
    loop_chain_return(conn->loop, conn->out);
    loop_chain_return(conn->loop, conn->kept);
    loop_object_free(conn->loop, conn, sizeof(*conn));
}

static void reap(struct conn *conn)
{
    if (!conn->is_released || conn->operations > 0)
        return;
    loop_task_cancel(&conn->run);
    loop_task_cancel(&conn->flush);
    task_init(&conn->flush, on_reap);
    loop_reap_later(conn->loop, &conn->flush);
}

static void forget_closing(struct conn *conn)
{
    if (!conn->closing)
        return;
    loop_timer_stop(conn->loop, &conn->closing->timer);
    list_remove(&conn->closing->node);
    loop_object_free(conn->loop, conn->closing, sizeof(*conn->closing));
    conn->closing = NULL;
}

void conn_release(struct conn *conn, bool abort)
{
    if (conn->is_released)
        return;
    loop_task_cancel(&conn->run);
    loop_task_cancel(&conn->flush);
    conn->loop->ops->conns->release(conn, abort);
    conn->is_released = true;
    forget_closing(conn);
    reap(conn);
}

void conn_detached(struct conn *conn)
{
    splice_end(conn->splice);
    splice_end(conn->splice_in);
    conn->is_closed = conn->is_released = true;
    count_down(&conn->loop->stats.conns);
    reap(conn);
}

void conn_operation_ends(struct conn *conn)
{
    assert(conn->operations > 0);
    conn->operations--;
    reap(conn);
}

static void on_closing_timer(struct timer *timer)
{
    struct closing *closing = CONTAINER_OF(timer, struct closing, timer);
    struct conn *conn = closing->conn;
    if (conn->out && conn->sent != closing->sent) {
        closing->sent = conn->sent;
        loop_timer_start(conn->loop, timer, closing->wait_ms, on_closing_timer);
        return;
    }
    /* Bytes that never left must not look like a clean end. */
    conn_release(conn, conn->out != NULL);
}

static bool start_closing(struct conn *conn, enum conn_close how, uint32_t wait_ms)
{
    struct closing *closing = loop_object_new(conn->loop, sizeof(*closing));
    if (!closing)
        return false;
    *closing = (struct closing){.conn = conn, .sent = conn->sent, .wait_ms = wait_ms, .how = how};
    conn->closing = closing;
    list_push_back(&conn->loop->closing, &closing->node);
    loop_timer_start(conn->loop, &closing->timer, wait_ms, on_closing_timer);
    return true;
}

bool conn_close_discards(const struct conn *conn)
{
    return conn->closing && conn->closing->how == CONN_LINGER && !conn->is_read_over &&
           conn->closing->discarded < CONN_LINGER_BYTES;
}

void conn_close_discard(struct conn *conn, size_t size)
{
    if (conn->closing)
        conn->closing->discarded += size;
}

void conn_close_step(struct conn *conn)
{
    if (conn->is_released || (conn->out && !conn->is_write_over))
        return;
    if (!conn->closing || conn->closing->how == CONN_CLOSE || conn->is_read_over ||
        (conn->is_write_over && conn->write_error)) {
        conn_release(conn, false);
        return;
    }
    if (conn->is_write_over)
        return;
    conn->loop->ops->conns->finish(conn);
    conn->is_write_over = true;
    loop_timer_start(conn->loop, &conn->closing->timer, conn->closing->wait_ms, on_closing_timer);
}

/*
 * The last bytes and the end behind them, in this call and not at the end of the turn: who looked whether the peer says
 * something, and heard nothing, must not be overtaken by it.
 */
static void close_at_once(struct conn *conn)
{
    enum { SEND, END, STEPS };
    for (int step = SEND; step < STEPS && !conn->is_released && task_is_queued(&conn->flush);
         step++) {
        loop_task_cancel(&conn->flush);
        conn->flush.run(&conn->flush);
    }
}

static void close_within(struct conn *conn, enum conn_close how, uint32_t wait_ms)
{
    assert(!conn->is_closed);
    splice_end(conn->splice);
    splice_end(conn->splice_in);
    if (conn->has_lost_bytes)
        how = CONN_ABORT;
    conn->is_closed = true;
    conn->is_reading = false;
    count_down(&conn->loop->stats.conns);
    loop_task_cancel(&conn->run);
    loop_chain_return(conn->loop, conn->kept);
    conn->kept = NULL;

    bool is_dead = conn->is_connecting || (conn->is_read_over && conn->read_error) ||
                   (conn->is_write_over && conn->write_error);
    bool has_said_all = conn->is_write_over || (how == CONN_CLOSE && !conn->out);
    bool has_heard_all = how == CONN_CLOSE || conn->is_read_over;
    if (how == CONN_ABORT || is_dead || (has_said_all && has_heard_all) ||
        !start_closing(conn, how, wait_ms)) {
        conn_release(conn, how == CONN_ABORT || (conn->out && !conn->is_connecting));
        return;
    }
    loop_flush_later(conn->loop, &conn->flush);
    if (how == CONN_CLOSE)
        close_at_once(conn);
    if (how == CONN_LINGER && conn->is_readable)
        loop_run_later(conn->loop, &conn->run);
}

void conn_close(struct conn *conn, enum conn_close how)
{
    if (conn)
        close_within(conn, how, CONN_LINGER_MS);
}

void conn_linger(struct conn *conn, uint32_t wait_ms)
{
    close_within(conn, CONN_LINGER, wait_ms);
}

void conn_close_all(struct loop *loop)
{
    LIST_EACH_SAFE(node, after, &loop->closing)
    {
        struct conn *conn = LIST_ENTRY(node, struct closing, node)->conn;
        conn_release(conn, conn->out != NULL);
    }
}
