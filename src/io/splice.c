#include "io/splice.h"

#include "io/conn_internal.h"
#include "io/splice_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    ROUNDS = 4, /* pipes filled in one turn; then others have their turn */
};

struct splice {
    struct conn *from, *to;
    struct spliced moved;
    size_t held;     /* bytes in the pipe */
    int pipe[2];     /* -1: none is lent */
    bool is_refused; /* the kernel cannot splice these descriptors */
};

/* --- pipes ----------------------------------------------------------------------------------- */

void pipe_pool_trim(struct pipe_pool *pool)
{
    while (pool->spare_count > 0) {
        const int *spare = pool->spare[--pool->spare_count];
        close(spare[0]);
        close(spare[1]);
    }
}

static bool borrow_pipe(struct splice *splice)
{
    struct pipe_pool *pool = &splice->from->loop->pipes;
    if (splice->pipe[0] >= 0)
        return true;
    if (pool->lent == SPLICE_PIPES_MOST)
        return false;
    if (pool->spare_count > 0) {
        const int *spare = pool->spare[--pool->spare_count];
        splice->pipe[0] = spare[0];
        splice->pipe[1] = spare[1];
    } else if (pipe2(splice->pipe, O_CLOEXEC | O_NONBLOCK)) {
        splice->pipe[0] = splice->pipe[1] = -1;
        return false;
    } else {
        /* Where the user's share is spent the pipe stays small, and works. */
        int granted = fcntl(splice->pipe[1], F_SETPIPE_SZ, SPLICE_PIPE_BYTES);
        (void)granted;
    }
    pool->lent++;
    return true;
}

/* A pipe with bytes in it is nobody's any more. */
static void return_pipe(struct splice *splice)
{
    struct pipe_pool *pool = &splice->from->loop->pipes;
    if (splice->pipe[0] < 0)
        return;
    pool->lent--;
    if (splice->held == 0 && pool->spare_count < SPLICE_PIPES_SPARE) {
        int *spare = pool->spare[pool->spare_count++];
        spare[0] = splice->pipe[0];
        spare[1] = splice->pipe[1];
    } else {
        close(splice->pipe[0]);
        close(splice->pipe[1]);
    }
    splice->pipe[0] = splice->pipe[1] = -1;
}

static ssize_t splice_bytes(int from, int to, size_t most)
{
    return splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* --- moving ---------------------------------------------------------------------------------- */

enum step { STEP_ON, STEP_WAIT, STEP_GONE /* told the owner: the splice may be, too */ };

static enum step fill(struct splice *splice)
{
    struct conn *from = splice->from;
    ssize_t got = splice_bytes(from->fd, splice->pipe[1], SPLICE_PIPE_BYTES);
    if (got > 0) {
        splice->held = (size_t)got;
        from->received += (size_t)got;
        from->is_reading_large = (size_t)got >= BLOCK_LARGE_BYTES;
        return STEP_ON;
    }
    int error = got < 0 ? errno : 0;
    if (error == EINTR)
        return STEP_ON;
    if (error == EINVAL) {
        splice->is_refused = true;
        return STEP_WAIT;
    }
    from->is_readable = false;
    if (error == EAGAIN)
        return STEP_WAIT;
    return_pipe(splice);
    if (error)
        conn_broken(from, error);
    else
        conn_received_end(from);
    return STEP_GONE;
}

static enum step drain(struct splice *splice)
{
    struct conn *to = splice->to;
    ssize_t put = splice_bytes(splice->pipe[0], to->fd, splice->held);
    if (put > 0) {
        splice->held -= (size_t)put;
        splice->moved.bytes += (size_t)put;
        splice->moved.last_ms = loop_now_ms(to->loop);
        to->sent += (size_t)put;
        return STEP_ON;
    }
    if (put < 0 && errno == EINTR)
        return STEP_ON;
    if (put < 0 && errno == EAGAIN) {
        to->is_writable = false;
        return STEP_WAIT;
    }
    int error = put < 0 ? errno : EPIPE;
    return_pipe(splice); /* with what it holds */
    splice->held = 0;
    to->is_readable = to->is_hung_up = true; /* what came before can still be read */
    conn_refused(to, error);
    return STEP_GONE;
}

static enum step move(struct splice *splice)
{
    for (int round = 0; round < ROUNDS;) {
        enum step step = splice->held > 0 ? drain(splice) : fill(splice);
        if (step != STEP_ON)
            return step;
        if (splice->held == 0) {
            round++;
            if (!splice->from->is_reading_large)
                return STEP_WAIT;
        }
    }
    loop_run_next_turn(splice->from->loop, &splice->from->run);
    return STEP_WAIT;
}

/* The last turn read much: two calls for a message of 4 KB cost more than they save. */
static bool is_bulk(const struct conn *from)
{
    return from->is_reading_large && from->turn_bytes >= BLOCK_LARGE_BYTES;
}

bool splice_receive(struct conn *from)
{
    struct splice *splice = from->splice;
    const struct conn *to = splice->to;
    if (splice->held == 0 && (!is_bulk(from) || splice->is_refused || !from->is_readable))
        return true;
    if (to->is_write_over || !conn_wants_bytes(from) || from->kept)
        return true;
    if (to->out || to->is_connecting || !to->is_writable)
        return false; /* splice_resume follows */
    if (!borrow_pipe(splice))
        return true;
    if (move(splice) == STEP_GONE)
        return false;
    if (splice->held > 0)
        return false;
    return_pipe(splice);
    return !task_is_queued(&from->run);
}

void splice_resume(struct splice *splice)
{
    struct conn *from = splice->from;
    if (splice->held > 0 || from->is_readable)
        loop_run_later(from->loop, &from->run);
}

/* --- making and ending ----------------------------------------------------------------------- */

bool conn_splice(struct conn *from, struct conn *to)
{
    struct loop *loop = from->loop;
    if (loop->backend != LOOP_EPOLL || to->loop != loop || from->splice || to->splice_in ||
        from->is_closed || to->is_closed)
        return false;
    struct splice *splice = loop_object_new(loop, sizeof(*splice));
    if (!splice)
        return false;
    *splice = (struct splice){.from = from, .to = to, .pipe = {-1, -1}};
    from->splice = to->splice_in = splice;
    return true;
}

void splice_end(struct splice *splice)
{
    if (!splice)
        return;
    splice->to->has_lost_bytes |= splice->held > 0;
    return_pipe(splice);
    splice->from->splice = NULL;
    splice->to->splice_in = NULL;
    loop_object_free(splice->from->loop, splice, sizeof(*splice));
}

struct spliced conn_spliced(const struct conn *from)
{
    return from->splice ? from->splice->moved : (struct spliced){0};
}
