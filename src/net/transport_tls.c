/*
 * transport_tls: TLS on a conn: feeding what comes, sealing what goes, and when which end is told.
 *
 * Everything is told from here in the order of the stream: opened bytes first, then close_notify, FIN or the error.
 */
#include "net/transport_internal.h"

#include <assert.h>
#include <errno.h>

enum {
    HANDSHAKE_TIMEOUT_MS = 10000,
    /* Sealed bytes that a conn holds at most; the rest waits as plaintext. */
    SEAL_AHEAD_BYTES = 64 * 1024,
    /* While it holds more than this nothing is sealed: a record for every few bytes of credit would fill a block each. */
    SEAL_AGAIN_BYTES = SEAL_AHEAD_BYTES / 2,
    MEMORY_RETRY_MS = 10,
};

static void flush(struct transport *transport);

/* --- receiving ------------------------------------------------------------------------------- */

static void begin_to_fail(struct transport *transport)
{
    transport->tls->is_failed = true;
    loop_timer_stop(transport->loop, &transport->tls->timer);
    conn_read_stop(transport->conn);
}

/* The alert that says why goes first. */
static void fail(struct transport *transport)
{
    begin_to_fail(transport);
    flush(transport);
    transport_tell_error(transport, TRANSPORT_TLS, 0);
}

static void open_up(struct transport *transport)
{
    transport->is_open = true;
    loop_timer_stop(transport->loop, &transport->tls->timer);
    loop_flush_later(transport->loop, &transport->tls->flush);
    transport->events->on_open(transport->owner);
    if (!transport->is_closed && !transport->is_reading)
        conn_read_stop(transport->conn); /* the handshake had read for itself */
}

static bool may_feed(const struct transport *transport)
{
    const struct transport_tls *tls = transport->tls;
    return !transport->is_closed && !tls->is_failed && !tls->is_ended &&
           (!transport->is_open || transport->is_reading);
}

static void tell_read_end(struct transport *transport, bool truncated)
{
    if (transport->is_read_end_told)
        return;
    transport->is_read_end_told = true;
    transport->events->on_read_end(transport->owner, truncated);
}

/* The last record was opened and the socket has ended too: which end is it? */
static void tell_socket_end(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    if (tls->socket_error) {
        transport_tell_error(transport, TRANSPORT_SOCKET, tls->socket_error);
    } else if (tls->is_input_ended && !transport->is_read_end_told) {
        bool is_proper = tls_session_input_ended(tls->session);
        if (tls_session_has_failed(tls->session))
            fail(transport);
        else
            tell_read_end(transport, !is_proper);
    }
}

/* One feed, and what it brought. True when there is reason to feed again at once. */
static bool feed_once(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    enum tls_feed fed =
        tls_session_feed(tls->session, &tls->cipher_in, &tls->plain_out, LOOP_CONN_BYTES);
    if (tls_session_wants_flush(tls->session))
        loop_flush_later(transport->loop, &transport->tls->flush);
    bool has_opened = !transport->is_open && tls_session_is_open(tls->session);
    if (has_opened)
        open_up(transport);
    bool is_all_told = transport_deliver(transport, &tls->plain_out);
    if (transport->is_closed)
        return false;
    switch (fed) {
    case TLS_FEED_MORE: return has_opened && !chain_is_empty(&tls->cipher_in);
    case TLS_FEED_LIMIT:
    case TLS_FEED_LATER: loop_run_next_turn(transport->loop, &transport->run); return false;
    case TLS_FEED_END:
        tls->is_ended = true;
        if (is_all_told && transport->is_reading)
            tell_read_end(transport, false);
        return false;
    case TLS_FEED_FAILED:
        begin_to_fail(transport);
        if (is_all_told)
            fail(transport);
        return false;
    }
    return false;
}

/* What waits inside, in order, as far as the owner reads. */
static void move_on(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    if (!transport_deliver(transport, &tls->plain_out) || transport->is_closed)
        return;
    while (may_feed(transport) && !task_is_queued(&transport->run) && feed_once(transport))
        ;
    if (transport->is_closed || !chain_is_empty(&tls->plain_out) ||
        task_is_queued(&transport->run) || (transport->is_open && !transport->is_reading))
        return;
    if (tls->is_failed)
        fail(transport);
    else if (tls->is_ended && transport->is_reading)
        tell_read_end(transport, false);
    if (!transport->is_closed && !tls->is_failed)
        tell_socket_end(transport);
}

void transport_tls_run(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    if (!transport->is_open && !tls->is_failed && !conn_is_reading(transport->conn))
        conn_read_start(transport->conn);
    if (tls_session_wants_flush(tls->session))
        loop_flush_later(transport->loop, &transport->tls->flush);
    move_on(transport);
}

bool transport_tls_has_news(const struct transport *transport)
{
    const struct transport_tls *tls = transport->tls;
    return !chain_is_empty(&tls->plain_out) || !chain_is_empty(&tls->cipher_in) || tls->is_ended ||
           tls->is_failed || tls->is_input_ended || tls->socket_error;
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct transport *transport = owner;
    struct transport_tls *tls = transport->tls;
    if (tls->is_ended || tls->is_failed) { /* after close_notify nothing counts (RFC 8446, 6.1) */
        block_unref(block);
        return;
    }
    chain_append_block(&tls->cipher_in, block, data, size);
    if (!task_is_queued(&transport->run))
        move_on(transport);
}

static void on_read_end(void *owner)
{
    struct transport *transport = owner;
    transport->tls->is_input_ended = true;
    if (!task_is_queued(&transport->run))
        move_on(transport);
}

static void on_error(void *owner, int error)
{
    struct transport *transport = owner;
    transport->tls->socket_error = error;
    if (!task_is_queued(&transport->run))
        move_on(transport);
}

/* --- sending --------------------------------------------------------------------------------- */

static void on_retry(struct timer *timer)
{
    struct transport_tls *tls = CONTAINER_OF(timer, struct transport_tls, timer);
    loop_flush_later(tls->transport->loop, &tls->flush);
}

/* Seals at most `limit` bytes (0: all) into the conn. */
static enum tls_flush seal(struct transport *transport, size_t limit)
{
    struct transport_tls *tls = transport->tls;
    struct chain sealed = {0};
    size_t before = tls_session_backlog(tls->session);
    enum tls_flush flushed = tls_session_flush(tls->session, &sealed, limit);
    tls->plain_sealed += before - tls_session_backlog(tls->session);
    conn_write(transport->conn, &sealed);
    return flushed;
}

static bool has_sealed_all(const struct transport_tls *tls)
{
    return tls->is_end_due && tls_session_is_open(tls->session) &&
           !tls_session_wants_flush(tls->session);
}

static void flush(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    size_t backlog = conn_backlog(transport->conn);
    if (tls->is_fin_sent || backlog > SEAL_AGAIN_BYTES)
        return; /* credit brings us back */
    switch (seal(transport, SEAL_AHEAD_BYTES - backlog)) {
    case TLS_FLUSH_LIMIT: return;
    case TLS_FLUSH_NO_MEMORY:
        if (transport->is_open)
            loop_timer_start(transport->loop, &tls->timer, MEMORY_RETRY_MS, on_retry);
        else if (!tls->is_failed)
            loop_run_next_turn(transport->loop, &transport->run);
        return;
    case TLS_FLUSH_DONE: break;
    }
    if (has_sealed_all(tls)) {
        tls->is_fin_sent = true;
        conn_write_end(transport->conn);
    } else if (!transport->is_open && tls_session_wants_flush(tls->session)) {
        loop_run_next_turn(transport->loop, &transport->run); /* the handshake budget is spent */
    }
}

void transport_tls_write(struct transport *transport, struct chain *bytes)
{
    assert(!transport->tls->is_end_due);
    tls_session_write(transport->tls->session, bytes);
    if (transport->is_open)
        loop_flush_later(transport->loop, &transport->tls->flush);
}

void transport_tls_end(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    assert(!tls->is_end_due);
    tls->is_end_due = true;
    tls_session_end(tls->session);
    loop_flush_later(transport->loop, &transport->tls->flush);
}

bool transport_tls_seal_all(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    if (tls->is_fin_sent)
        return true;
    if (!tls->is_end_due && !tls->is_failed) {
        tls->is_end_due = true;
        tls_session_end(tls->session);
    }
    return seal(transport, 0) == TLS_FLUSH_DONE;
}

/* Sealed bytes that left are worth their share of the plaintext; the last ones settle the rest. */
static void on_written(void *owner, size_t size)
{
    struct transport *transport = owner;
    struct transport_tls *tls = transport->tls;
    size_t left = conn_backlog(transport->conn);
    size_t credit =
        left == 0 ? tls->plain_sealed
                  : (size_t)((double)tls->plain_sealed * (double)size / (double)(size + left));
    tls->plain_sealed -= credit;
    if (tls_session_wants_flush(tls->session))
        loop_flush_later(transport->loop, &transport->tls->flush);
    if (credit > 0 && transport->events->on_written)
        transport->events->on_written(transport->owner, credit);
}

static void on_write_end(void *owner, int error)
{
    struct transport *transport = owner;
    if (transport->events->on_write_end)
        transport->events->on_write_end(transport->owner, error);
}

const struct conn_events transport_tls_events = {
    .on_bytes = on_bytes,
    .on_written = on_written,
    .on_read_end = on_read_end,
    .on_write_end = on_write_end,
    .on_error = on_error,
};

/* --- beginning and end ----------------------------------------------------------------------- */

static void on_handshake_timeout(struct timer *timer)
{
    struct transport *transport = CONTAINER_OF(timer, struct transport_tls, timer)->transport;
    begin_to_fail(transport);
    transport_tell_error(transport, TRANSPORT_HANDSHAKE_TIMEOUT, ETIMEDOUT);
}

static void on_flush(struct task *task)
{
    flush(CONTAINER_OF(task, struct transport_tls, flush)->transport);
}

bool transport_tls_begin(struct transport *transport, struct chain *input,
                         const struct transport_options *options)
{
    struct transport_tls *tls = loop_object_new(transport->loop, sizeof(*tls));
    if (!tls)
        return false;
    tls->session = tls_session_create(options->engine, loop_blocks(transport->loop), options->tls);
    if (!tls->session) {
        loop_object_free(transport->loop, tls, sizeof(*tls));
        return false;
    }
    tls->transport = transport;
    task_init(&tls->flush, on_flush);
    transport->tls = tls;
    if (input)
        chain_move(&tls->cipher_in, input);
    loop_timer_start(transport->loop, &tls->timer,
                     options->handshake_timeout_ms ? options->handshake_timeout_ms
                                                   : HANDSHAKE_TIMEOUT_MS,
                     on_handshake_timeout);
    return true;
}

void transport_tls_free(struct transport *transport)
{
    struct transport_tls *tls = transport->tls;
    if (!tls)
        return;
    tls_session_destroy(tls->session);
    chain_fini(&tls->cipher_in);
    chain_fini(&tls->plain_out);
    loop_object_free(transport->loop, tls, sizeof(*tls));
}
