#include "net/transport.h"

#include "net/transport_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* --- nobody listens yet ---------------------------------------------------------------------- */

static void ignore_open(void *owner)
{
    (void)owner;
}
static void ignore_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    (void)owner;
    (void)data;
    (void)size;
    block_unref(block);
}
static void ignore_end(void *owner, bool truncated)
{
    (void)owner;
    (void)truncated;
}
static void ignore_error(void *owner, const struct transport_failure *failure)
{
    (void)owner;
    (void)failure;
}

const struct transport_events transport_events_none = {.on_open = ignore_open,
                                                       .on_bytes = ignore_bytes,
                                                       .on_read_end = ignore_end,
                                                       .on_error = ignore_error};

/* --- telling the owner ----------------------------------------------------------------------- */

bool transport_deliver(struct transport *transport, struct chain *bytes)
{
    while (!chain_is_empty(bytes) && transport->is_reading && !transport->is_closed) {
        struct segment first = *chain_segment(bytes, 0);
        if (first.block)
            block_ref(first.block);
        chain_consume(bytes, first.size);
        transport->events->on_bytes(transport->owner, first.block, first.data, first.size);
    }
    return chain_is_empty(bytes);
}

void transport_tell_error(struct transport *transport, enum transport_failure_kind kind, int error)
{
    struct transport_failure failure = {.kind = kind, .error = error, .text = "reset"};
    if (transport->is_error_told || transport->is_closed)
        return;
    transport->is_error_told = true;
    switch (kind) {
    case TRANSPORT_SOCKET: failure.text = strerrordesc_np(error); break;
    case TRANSPORT_HANDSHAKE_TIMEOUT: failure.text = "the TLS handshake took too long"; break;
    case TRANSPORT_TLS:
        failure.tls = tls_session_failure(transport->tls->session);
        failure.text = tls_session_failure_text(transport->tls->session);
        break;
    }
    if (!failure.text)
        failure.text = "unknown error";
    transport->events->on_error(transport->owner, &failure);
}

/* --- plaintext: the conn's events are ours ---------------------------------------------------- */

static void on_plain_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct transport *transport = owner;
    transport->events->on_bytes(transport->owner, block, data, size);
}

static void on_plain_written(void *owner, size_t size)
{
    struct transport *transport = owner;
    if (transport->events->on_written)
        transport->events->on_written(transport->owner, size);
}

static void on_plain_read_end(void *owner)
{
    struct transport *transport = owner;
    transport->events->on_read_end(transport->owner, false);
}

static void on_write_end(void *owner, int error)
{
    struct transport *transport = owner;
    if (transport->events->on_write_end)
        transport->events->on_write_end(transport->owner, error);
}

static void on_plain_error(void *owner, int error)
{
    transport_tell_error(owner, TRANSPORT_SOCKET, error);
}

static const struct conn_events plain_events = {
    .on_bytes = on_plain_bytes,
    .on_written = on_plain_written,
    .on_read_end = on_plain_read_end,
    .on_write_end = on_write_end,
    .on_error = on_plain_error,
};

static void drop_input(struct transport *transport)
{
    if (!transport->input)
        return;
    chain_fini(transport->input);
    loop_object_free(transport->loop, transport->input, sizeof(*transport->input));
    transport->input = NULL;
}

static void run_plain(struct transport *transport)
{
    if (!transport->is_open) {
        transport->is_open = true;
        transport->events->on_open(transport->owner);
    }
    if (transport->is_closed || !transport->is_reading)
        return;
    if (transport->input && transport_deliver(transport, transport->input))
        drop_input(transport);
    if (!transport->input && transport->is_reading && !transport->is_closed)
        conn_read_start(transport->conn);
}

/* --- making and ending ----------------------------------------------------------------------- */

static void on_run(struct task *task)
{
    struct transport *transport = CONTAINER_OF(task, struct transport, run);
    if (transport->tls)
        transport_tls_run(transport);
    else
        run_plain(transport);
}

static bool keep_input(struct transport *transport, struct chain *input)
{
    if (!input || chain_is_empty(input))
        return true;
    transport->input = loop_object_new(transport->loop, sizeof(*transport->input));
    if (!transport->input)
        return false;
    chain_move(transport->input, input);
    return true;
}

static struct transport *refuse(struct transport *transport, struct conn *conn, struct chain *input)
{
    if (transport)
        loop_object_free(transport->loop, transport, sizeof(*transport));
    if (input)
        chain_fini(input);
    conn_close(conn, CONN_ABORT);
    return NULL;
}

struct transport *transport_create(struct conn *conn, struct chain *input,
                                   const struct transport_options *options,
                                   const struct transport_events *events, void *owner)
{
    struct loop *loop = conn_loop(conn);
    struct transport *transport = loop_object_new(loop, sizeof(*transport));
    if (!transport)
        return refuse(NULL, conn, input);
    transport->conn = conn;
    transport->loop = loop;
    transport->events = events;
    transport->owner = owner;
    task_init(&transport->run, on_run);
    conn_read_stop(conn);
    bool is_made = options->tls ? transport_tls_begin(transport, input, options)
                                : keep_input(transport, input);
    if (!is_made)
        return refuse(transport, conn, input);
    conn_set_owner(conn, options->tls ? &transport_tls_events : &plain_events, transport);
    loop_run_later(loop, &transport->run);
    return transport;
}

static void on_reap(struct task *task)
{
    struct transport *transport = CONTAINER_OF(task, struct transport, run);
    drop_input(transport);
    transport_tls_free(transport);
    loop_object_free(transport->loop, transport, sizeof(*transport));
}

static void reap(struct transport *transport)
{
    transport->is_closed = true;
    transport->is_reading = false;
    if (transport->tls) {
        loop_timer_stop(transport->loop, &transport->tls->timer);
        loop_task_cancel(&transport->tls->flush);
    }
    loop_task_cancel(&transport->run);
    task_init(&transport->run, on_reap);
    loop_reap_later(transport->loop, &transport->run);
}

/* False when what waits cannot be sealed any more. */
static bool seal_last(struct transport *transport)
{
    return !transport->tls || transport_tls_seal_all(transport);
}

void transport_close(struct transport *transport, enum conn_close how)
{
    if (!transport)
        return;
    assert(!transport->is_closed);
    bool is_cut = how == CONN_ABORT || !seal_last(transport);
    conn_close(transport->conn, is_cut ? CONN_ABORT : how);
    reap(transport);
}

void transport_linger(struct transport *transport, uint32_t wait_ms)
{
    assert(!transport->is_closed);
    if (seal_last(transport))
        conn_linger(transport->conn, wait_ms);
    else
        conn_close(transport->conn, CONN_ABORT);
    reap(transport);
}

struct conn *transport_take_conn(struct transport *transport, struct chain *unread)
{
    struct conn *conn = transport->conn;
    if (transport->tls || !transport->is_open || conn_backlog(conn) > 0)
        return NULL;
    conn_read_stop(conn);
    if (transport->input)
        chain_move(unread, transport->input);
    reap(transport);
    return conn;
}

/* --- the owner's calls ------------------------------------------------------------------------ */

void transport_set_owner(struct transport *transport, const struct transport_events *events,
                         void *owner)
{
    transport->events = events;
    transport->owner = owner;
}

struct loop *transport_loop(const struct transport *transport)
{
    return transport->loop;
}

void transport_read_start(struct transport *transport)
{
    assert(!transport->is_closed);
    if (transport->is_reading)
        return;
    transport->is_reading = true;
    if (!transport->is_open)
        return; /* opening goes on with it */
    if (transport->input || (transport->tls && transport_tls_has_news(transport)))
        loop_run_later(transport->loop, &transport->run);
    if (!transport->input)
        conn_read_start(transport->conn);
}

void transport_read_stop(struct transport *transport)
{
    transport->is_reading = false;
    if (transport->is_open)
        conn_read_stop(transport->conn);
}

void transport_read_room(struct transport *transport, size_t room)
{
    conn_read_room(transport->conn, room);
}

bool transport_is_reading(const struct transport *transport)
{
    return transport->is_reading;
}

void transport_write(struct transport *transport, struct chain *bytes)
{
    if (transport->tls)
        transport_tls_write(transport, bytes);
    else
        conn_write(transport->conn, bytes);
}

void transport_write_end(struct transport *transport)
{
    if (transport->tls)
        transport_tls_end(transport);
    else
        conn_write_end(transport->conn);
}

size_t transport_backlog(const struct transport *transport)
{
    return conn_backlog(transport->conn) +
           (transport->tls ? tls_session_backlog(transport->tls->session) : 0);
}

bool transport_has_news(const struct transport *transport)
{
    return conn_has_news(transport->conn);
}

void transport_splice(struct transport *from, struct transport *to)
{
    /* Without it bytes are copied, and that is well too. */
    if (!from->tls && !to->tls && from->is_open && to->is_open)
        conn_splice(from->conn, to->conn);
}

struct spliced transport_spliced(const struct transport *from)
{
    return conn_spliced(from->conn);
}

bool transport_is_open(const struct transport *transport)
{
    return transport->is_open;
}

const struct conn *transport_conn(const struct transport *transport)
{
    return transport->conn;
}

const struct tls_session *transport_session(const struct transport *transport)
{
    return transport->tls ? transport->tls->session : NULL;
}

struct peer_identity *transport_peer(const struct transport *transport)
{
    return transport->tls ? tls_session_peer(transport->tls->session) : NULL;
}

struct slice transport_alpn(const struct transport *transport)
{
    return transport->tls ? tls_session_alpn(transport->tls->session) : SLICE_NONE;
}
