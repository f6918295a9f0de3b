/*
 * sim_net: connections of the simulation, and how a conn moves its bytes over them.
 */
#include "io/sim_internal.h"

#include <assert.h>
#include <errno.h>

static struct sim *sim_of(const struct conn *conn)
{
    return conn->loop->sim;
}

static unsigned end_of(int fd)
{
    return (unsigned)fd - 1;
}

static struct sim_end *end_at(struct sim *sim, unsigned index)
{
    return &sim->ends.items[index];
}

static struct sim_end *peer_of(struct sim *sim, const struct sim_end *end)
{
    struct sim_end *peer = end_at(sim, end->peer);
    return peer->is_open && peer->generation == end->peer_generation ? peer : NULL;
}

static size_t waiting(const struct sim_end *end)
{
    return end->inbound.size - end->taken;
}

/* Of that, what may be given to the conn. */
static size_t arriving(const struct sim_end *end)
{
    return end->is_held ? MIN(end->allowed, waiting(end)) : waiting(end);
}

/* --- ends ------------------------------------------------------------------------------------ */

unsigned sim_end_open(struct sim *sim)
{
    unsigned index = 0;
    while (index < sim->ends.count && end_at(sim, index)->is_open)
        index++;
    if (index == sim->ends.count)
        vector_push(&sim->ends, (struct sim_end){0});
    struct sim_end *end = end_at(sim, index);
    end->is_open = true;
    end->generation++;
    sim->open_count++;
    return index;
}

static void link_ends(struct sim *sim, unsigned a, unsigned b)
{
    end_at(sim, a)->peer = b;
    end_at(sim, a)->peer_generation = end_at(sim, b)->generation;
    end_at(sim, b)->peer = a;
    end_at(sim, b)->peer_generation = end_at(sim, a)->generation;
}

static void tell_peer(struct sim *sim, struct sim_end *end, enum sim_event_kind kind)
{
    struct sim_end *peer = peer_of(sim, end);
    if (!peer)
        return;
    peer->expects_fin |= kind == SIM_FIN;
    sim_after(sim, kind, end->peer, NULL, 0);
}

void sim_end_close(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    for (size_t i = 0; i < end->queue.count; i++) {
        unsigned queued = end->queue.items[i];
        if (end_at(sim, queued)->is_open && !end_at(sim, queued)->conn) {
            tell_peer(sim, end_at(sim, queued), SIM_RESET);
            sim_end_close(sim, queued);
        }
    }
    end = end_at(sim, index);
    buffer_fini(&end->inbound);
    vector_fini(&end->queue);
    sim_inbox_clear(end);
    *end = (struct sim_end){.generation = end->generation};
    sim->open_count--;
}

uint16_t sim_next_port(struct sim *sim)
{
    uint16_t port = sim->next_port;
    sim->next_port = port == UINT16_MAX ? SIM_FIRST_PORT : (uint16_t)(port + 1);
    return port;
}

int sim_listen(struct loop *loop, const struct address *address)
{
    struct sim *sim = loop->sim;
    unsigned index = sim_end_open(sim);
    struct sim_end *end = end_at(sim, index);
    end->is_listener = true;
    end->local = *address;
    if (address_is_ip(address) && address_port(address) == 0)
        address_set_port(&end->local, sim_next_port(sim));
    return (int)index + 1;
}

struct address sim_address(struct loop *loop, int fd)
{
    return end_at(loop->sim, end_of(fd))->local;
}

void sim_pair(struct loop *loop, int fds[2])
{
    struct sim *sim = loop->sim;
    unsigned a = sim_end_open(sim), b = sim_end_open(sim);
    link_ends(sim, a, b);
    end_at(sim, a)->local = end_at(sim, b)->remote =
        address_v4(INADDR_LOOPBACK, sim_next_port(sim));
    end_at(sim, b)->local = end_at(sim, a)->remote =
        address_v4(INADDR_LOOPBACK, sim_next_port(sim));
    fds[0] = (int)a + 1;
    fds[1] = (int)b + 1;
}

unsigned sim_open_count(const struct loop *loop)
{
    return loop->sim->open_count;
}

void sim_set_original_destination(struct loop *loop, const struct address *to,
                                  const struct address *original)
{
    vector_push(&loop->sim->originals, (struct sim_original){.to = *to, .original = *original});
}

/* --- accepting ------------------------------------------------------------------------------- */

int sim_accept_start(struct acceptor *acceptor)
{
    struct sim *sim = acceptor->loop->sim;
    struct sim_end *end = end_at(sim, end_of(acceptor->fd));
    assert(end->is_listener && !end->acceptor);
    end->acceptor = acceptor;
    if (end->queue.count > 0)
        sim_after(sim, SIM_ACCEPT, end_of(acceptor->fd), NULL, 0);
    return 0;
}

void sim_accept_stop(struct acceptor *acceptor)
{
    end_at(acceptor->loop->sim, end_of(acceptor->fd))->acceptor = NULL;
}

void sim_accepted_close(struct loop *loop, int fd)
{
    struct sim *sim = loop->sim;
    tell_peer(sim, end_at(sim, end_of(fd)), SIM_RESET);
    sim_end_close(sim, end_of(fd));
}

static void happen_accept(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    struct acceptor *acceptor = end->acceptor;
    if (!acceptor || end->queue.count == 0)
        return;
    if (!loop_take_accept(sim->loop)) {
        sim_after(sim, SIM_ACCEPT, index, NULL, 0);
        return;
    }
    unsigned accepted = end->queue.items[0];
    vector_remove(&end->queue, 0);
    if (end->queue.count > 0)
        sim_after(sim, SIM_ACCEPT, index, NULL, 0);
    struct address peer = end_at(sim, accepted)->remote;
    acceptor_deliver(acceptor, (int)accepted + 1, &peer);
}

/* --- connecting ------------------------------------------------------------------------------ */

static bool is_listening_on(const struct sim_end *end, const struct address *to)
{
    if (!end->is_open || !end->is_listener)
        return false;
    if (address_is_ip(&end->local) && address_is_wildcard(&end->local))
        return address_is_ip(to) && address_port(to) == address_port(&end->local);
    return address_equals(&end->local, to);
}

static int find_listener(struct sim *sim, const struct address *to)
{
    for (unsigned i = 0; i < sim->ends.count; i++)
        if (is_listening_on(end_at(sim, i), to))
            return (int)i;
    return -1;
}

static struct address original_of(struct sim *sim, const struct address *to)
{
    VECTOR_EACH(entry, &sim->originals)
    if (address_equals(&entry->to, to))
        return entry->original;
    return (struct address){0};
}

static int connect_error(struct sim *sim, int listener)
{
    static const int errors[] = {ECONNREFUSED, ETIMEDOUT, ENETUNREACH};
    if (listener < 0)
        return ECONNREFUSED;
    if (!sim_chance(sim, sim->faults.connect_fails))
        return 0;
    return errors[random_below(&sim->loop->random, COUNT(errors))];
}

static int sim_connect(struct conn *conn, const struct conn_connect_options *options)
{
    struct sim *sim = sim_of(conn);
    int listener = find_listener(sim, &options->to);
    int error = connect_error(sim, listener);
    unsigned ours = sim_end_open(sim);
    struct address from = options->from;
    if (!address_is_set(&from))
        from = address_v4(INADDR_LOOPBACK, 0);
    if (address_port(&from) == 0)
        address_set_port(&from, sim_next_port(sim));
    end_at(sim, ours)->conn = conn;
    end_at(sim, ours)->local = from;
    end_at(sim, ours)->remote = options->to;
    conn->fd = (int)ours + 1;
    conn->is_readable = true;
    sim_after(sim, SIM_CONNECTED, ours, conn, (size_t)error);
    if (error)
        return 0;
    unsigned theirs = sim_end_open(sim);
    link_ends(sim, ours, theirs);
    end_at(sim, theirs)->local = options->to;
    end_at(sim, theirs)->remote = from;
    end_at(sim, theirs)->original = original_of(sim, &options->to);
    vector_push(&end_at(sim, (unsigned)listener)->queue, theirs);
    sim_after(sim, SIM_ACCEPT, (unsigned)listener, NULL, 0);
    return 0;
}

/* --- receiving ------------------------------------------------------------------------------- */

static bool has_news(const struct sim_end *end)
{
    return arriving(end) > 0 || (end->has_fin ? !end->is_held : end->has_reset);
}

static void arrive_later(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    if (!end->conn || end->conn->is_connecting || end->is_arriving || !has_news(end) ||
        end->conn->is_read_over || !conn_wants_bytes(end->conn))
        return;
    end->is_arriving = true;
    sim_after(sim, SIM_ARRIVE, index, end->conn, 0);
}

static int sim_adopt(struct conn *conn)
{
    end_at(sim_of(conn), end_of(conn->fd))->conn = conn;
    conn->is_readable = true; /* so that a start of reading always asks */
    return 0;
}

static void sim_receive(struct conn *conn)
{
    arrive_later(sim_of(conn), end_of(conn->fd));
}

static void unblock_peer(struct sim *sim, struct sim_end *end)
{
    struct sim_end *peer = peer_of(sim, end);
    if (!peer || !peer->is_blocked)
        return;
    peer->is_blocked = false;
    sim_after(sim, SIM_TAKE, end->peer, peer->conn, 0);
}

static void deliver(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    struct conn *conn = end->conn;
    size_t size = arriving(end);
    struct block *block = NULL;
    if (!conn_is_pressed(conn) && !sim_chance(sim, sim->faults.no_buffers))
        block = block_alloc(sim->loop->blocks,
                            size < BLOCK_SMALL_BYTES / 2 ? BLOCK_SMALL : BLOCK_LARGE);
    if (!block) {
        conn_starved(conn);
        return;
    }
    size = MIN(size, (size_t)block->capacity);
    if (sim_chance(sim, sim->faults.short_read))
        size = 1 + random_below(&sim->loop->random, size);
    memcpy(block->bytes, end->inbound.data + end->taken, size);
    end->taken += size;
    end->allowed -= end->is_held ? size : 0;
    if (waiting(end) == 0) {
        buffer_reset(&end->inbound);
        end->taken = 0;
    }
    unblock_peer(sim, end);
    conn_received_bytes(conn, block, block->bytes, size);
}

static void reset_both(struct sim *sim, unsigned index)
{
    sim_after(sim, SIM_RESET, index, NULL, 0);
    tell_peer(sim, end_at(sim, index), SIM_RESET);
}

static void happen_arrive(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    struct conn *conn = end->conn;
    end->is_arriving = false;
    if (sim_chance(sim, sim->faults.reset))
        reset_both(sim, index);
    if (arriving(end) > 0)
        deliver(sim, index);
    else if (has_news(end) && end->has_fin)
        conn_received_end(conn); /* also before a reset: as recv does */
    else if (has_news(end))
        conn_broken(conn, ECONNRESET);
    if (!conn->is_released && !task_is_queued(&conn->run))
        arrive_later(sim, index);
}

/* What a write hears of a reset. */
static int reset_error(const struct sim_end *end)
{
    return end->has_fin ? EPIPE : ECONNRESET;
}

static void happen_reset(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    struct conn *conn = end->conn;
    end->resets_next = end->expects_fin && !end->has_fin;
    if (end->resets_next)
        return;
    end->has_reset = true;
    if (end->is_blocked) {
        end->is_blocked = false;
        sim_after(sim, SIM_REFUSED, index, conn, ECONNRESET);
    }
    if (!conn || conn->is_connecting)
        return;
    if (conn->is_closed)
        conn_broken(conn, ECONNRESET);
    else if (conn->is_reading && !conn->is_read_over)
        arrive_later(sim, index);
    else
        conn_refused(conn, reset_error(end));
}

static void happen_fin(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    end->has_fin = true;
    /* A conn that is closed and has discarded enough only waits for this. */
    if (end->conn && end->conn->is_closed && !end->is_held && !conn_wants_bytes(end->conn))
        conn_received_end(end->conn);
    else
        arrive_later(sim, index);
    if (end->resets_next)
        happen_reset(sim, index);
}

void sim_reset(struct conn *conn)
{
    sim_after(sim_of(conn), SIM_RESET, end_of(conn->fd), NULL, 0);
}

void sim_hold(struct loop *loop, int fd, size_t bytes)
{
    struct sim_end *end = end_at(loop->sim, end_of(fd));
    end->is_held = true;
    end->allowed = bytes;
    arrive_later(loop->sim, end_of(fd));
}

void sim_let_go(struct loop *loop, int fd)
{
    struct sim *sim = loop->sim;
    struct sim_end *end = end_at(sim, end_of(fd));
    end->is_held = false;
    if (end->has_fin)
        happen_fin(sim, end_of(fd));
    else
        arrive_later(sim, end_of(fd));
}

void sim_cut(struct loop *loop, int fd)
{
    reset_both(loop->sim, end_of(fd));
}

int sim_peer(struct loop *loop, int fd)
{
    struct sim_end *end = end_at(loop->sim, end_of(fd));
    return end->is_open && peer_of(loop->sim, end) ? (int)end->peer + 1 : 0;
}

/* --- sending --------------------------------------------------------------------------------- */

/* How much the peer's system would take now. */
static size_t room_at(const struct sim *sim, const struct sim_end *peer)
{
    size_t window = sim->faults.window;
    return window > waiting(peer) ? window - waiting(peer) : 0;
}

static void pass(struct sim *sim, const struct sim_end *end, struct sim_end *peer, size_t size)
{
    char *at = buffer_reserve(&peer->inbound, size);
    chain_copy_out(end->conn->out, 0, at, size);
    peer->inbound.size += size;
    arrive_later(sim, end->peer);
}

/* The last bytes of a conn that closes leave in the call, as on every back end. */
static bool sent_at_once(struct conn *conn)
{
    struct sim *sim = sim_of(conn);
    struct sim_end *end = end_at(sim, end_of(conn->fd));
    struct sim_end *peer = peer_of(sim, end);
    size_t size = conn->out->size;
    if (!peer || end->has_reset || peer->has_reset || room_at(sim, peer) < size)
        return false;
    pass(sim, end, peer, size);
    conn_sent_bytes(conn, size);
    return true;
}

static void sim_send(struct conn *conn)
{
    if (conn->is_closed && sent_at_once(conn))
        return;
    conn->is_sending = true;
    end_at(sim_of(conn), end_of(conn->fd))->is_taken = false;
    sim_after(sim_of(conn), SIM_TAKE, end_of(conn->fd), conn, 0);
}

/* Until the answer to them is here, the system takes bytes for a peer that has gone. */
static void lose(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    size_t size = end->conn->out->size;
    end->lost += size;
    end->is_taken = true;
    sim_after(sim, SIM_SENT, index, end->conn, size);
    sim_after(sim, SIM_RESET, index, NULL, 0);
}

static void happen_take(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    struct sim_end *peer = peer_of(sim, end);
    struct conn *conn = end->conn;
    if (sim_chance(sim, sim->faults.reset))
        reset_both(sim, index);
    if (end->has_reset || (peer && peer->has_reset)) {
        sim_after(sim, SIM_REFUSED, index, conn,
                  (size_t)(end->has_reset ? reset_error(end) : EPIPE));
        return;
    }
    if (!peer) {
        lose(sim, index);
        return;
    }
    size_t room = room_at(sim, peer);
    if (room == 0) {
        end->is_blocked = true;
        return;
    }
    size_t size = MIN(room, conn->out->size);
    if (sim_chance(sim, sim->faults.short_write))
        size = 1 + random_below(&sim->loop->random, size);
    end->is_taken = true;
    sim_after(sim, SIM_SENT, index, conn, size);
    pass(sim, end, peer, size);
}

static void happen_sent(struct conn *conn, size_t size)
{
    conn->is_sending = false;
    conn_sent_bytes(conn, size);
}

static void happen_refused(struct conn *conn, int error)
{
    conn->is_sending = false;
    if (conn->is_write_over) /* it was refused before, and the bytes were still ours */
        conn_sent_bytes(conn, 0);
    else
        conn_refused(conn, error);
}

static void sim_finish(struct conn *conn)
{
    struct sim *sim = sim_of(conn);
    struct sim_end *end = end_at(sim, end_of(conn->fd));
    end->has_finished = true;
    tell_peer(sim, end, SIM_FIN);
}

/* --- ending ---------------------------------------------------------------------------------- */

static void sim_release(struct conn *conn, bool abort)
{
    struct sim *sim = sim_of(conn);
    unsigned index = end_of(conn->fd);
    struct sim_end *end = end_at(sim, index);
    if (abort || waiting(end) > 0)
        tell_peer(sim, end, SIM_RESET);
    else if (!end->has_finished)
        tell_peer(sim, end, SIM_FIN);
    struct sim_end *peer = peer_of(sim, end);
    if (peer && peer->is_blocked) {
        peer->is_blocked = false;
        sim_after(sim, SIM_REFUSED, end->peer, peer->conn, EPIPE);
    }
    conn->is_sending = false;
    sim_end_close(sim, index);
}

static int sim_detach(struct conn *conn)
{
    if (conn->operations > 0)
        return -EBUSY;
    end_at(sim_of(conn), end_of(conn->fd))->conn = NULL;
    return conn->fd;
}

static void happen_connected(struct sim *sim, unsigned index, int error)
{
    struct conn *conn = end_at(sim, index)->conn;
    if (error) {
        conn_broken(conn, error);
        return;
    }
    if (end_at(sim, index)->has_reset) {
        conn_broken(conn, ECONNRESET);
        return;
    }
    conn_connected(conn);
    if (!conn->is_released)
        arrive_later(sim, index);
}

static void happen_to_conn(struct sim *sim, const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_CONNECTED: happen_connected(sim, event->end, (int)event->value); break;
    case SIM_ARRIVE: happen_arrive(sim, event->end); break;
    case SIM_TAKE: happen_take(sim, event->end); break;
    case SIM_SENT: happen_sent(event->conn, event->value); break;
    case SIM_REFUSED: happen_refused(event->conn, (int)event->value); break;
    case SIM_ACCEPT:
    case SIM_FIN:
    case SIM_PACKETS:
    case SIM_RESET: break; /* no operations of a conn */
    }
}

void sim_happen(struct sim *sim, const struct sim_event *event)
{
    const struct sim_end *end = end_at(sim, event->end);
    if (!end->is_open || end->generation != event->generation)
        return; /* a completion after close */
    switch (event->kind) {
    case SIM_ACCEPT: happen_accept(sim, event->end); break;
    case SIM_FIN: happen_fin(sim, event->end); break;
    case SIM_RESET: happen_reset(sim, event->end); break;
    case SIM_PACKETS: sim_packets_happen(sim, event->end); break;
    case SIM_CONNECTED:
    case SIM_ARRIVE:
    case SIM_TAKE:
    case SIM_SENT:
    case SIM_REFUSED:
        if (end->conn == event->conn)
            happen_to_conn(sim, event);
        break;
    }
}

/* --- what is asked of a conn ----------------------------------------------------------------- */

static struct address sim_local_address(const struct conn *conn)
{
    return end_at(sim_of(conn), end_of(conn->fd))->local;
}

static struct address sim_peer_address(const struct conn *conn)
{
    return end_at(sim_of(conn), end_of(conn->fd))->remote;
}

static int sim_original_destination(const struct conn *conn, struct address *out)
{
    const struct sim_end *end = end_at(sim_of(conn), end_of(conn->fd));
    if (!address_is_set(&end->original))
        return -ENOENT;
    *out = end->original;
    return 0;
}

static uint64_t sim_id(const struct conn *conn)
{
    const struct sim_end *end = end_at(sim_of(conn), end_of(conn->fd));
    return (uint64_t)end->generation << 32 | (unsigned)conn->fd;
}

static bool sim_has_news(const struct conn *conn)
{
    const struct sim_end *end = end_at(sim_of(conn), end_of(conn->fd));
    return end->inbound.size > end->taken || end->has_fin || end->has_reset;
}

static bool sim_unacknowledged(const struct conn *conn, size_t *bytes)
{
    const struct sim_end *end = end_at(sim_of(conn), end_of(conn->fd));
    *bytes = end->lost + (conn->is_sending && !end->is_taken ? conn_backlog(conn) : 0);
    return true;
}

const struct conn_ops sim_conn_ops = {
    .adopt = sim_adopt,
    .connect = sim_connect,
    .receive = sim_receive,
    .send = sim_send,
    .finish = sim_finish,
    .release = sim_release,
    .detach = sim_detach,
    .local_address = sim_local_address,
    .peer_address = sim_peer_address,
    .original_destination = sim_original_destination,
    .id = sim_id,
    .has_news = sim_has_news,
    .unacknowledged = sim_unacknowledged,
};
