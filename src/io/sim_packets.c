/*
 * sim_packets: datagrams of the simulation: lost, late and out of order as the dice say, joined to runs where that is asked for.
 */
#include "base/memory.h"
#include "io/packets_internal.h"
#include "io/sim_internal.h"

#include <assert.h>
#include <errno.h>

enum {
    INBOX_MAX = 256
}; /* datagrams; what comes then is lost, as where a socket's buffer is full */

static struct sim_end *end_at(struct sim *sim, unsigned index)
{
    return &sim->ends.items[index];
}

static struct sim_end *end_of(const struct packet_socket *socket)
{
    return end_at(socket->loop->sim, socket->sim_end);
}

void sim_inbox_clear(struct sim_end *end)
{
    VECTOR_EACH(datagram, &end->inbox)
    mem_free(datagram->bytes);
    vector_fini(&end->inbox);
}

/* --- sockets -------------------------------------------------------------------------------------------------- */

static unsigned open_end(struct sim *sim, const struct address *local)
{
    unsigned index = sim_end_open(sim);
    struct sim_end *end = end_at(sim, index);
    end->takes_packets = true;
    end->local = *local;
    if (address_port(local) == 0)
        address_set_port(&end->local, sim_next_port(sim));
    return index;
}

int sim_bind_packets(struct loop *loop, const struct address *address)
{
    return (int)open_end(loop->sim, address) + 1;
}

void sim_capture_packets(struct loop *loop, const struct address *to, int fd)
{
    struct sim_end *end = end_at(loop->sim, (unsigned)fd - 1);
    end->captured = *to;
}

int sim_packets_adopt(struct packet_socket *socket, int fd)
{
    socket->sim_end = (unsigned)fd - 1;
    socket->is_v6 = end_of(socket)->local.any.sa_family == AF_INET6;
    end_of(socket)->packets = socket;
    if (end_of(socket)->inbox.count > 0)
        sim_after(socket->loop->sim, SIM_PACKETS, socket->sim_end, NULL, 0);
    return 0;
}

int sim_packets_open(struct packet_socket *socket, const struct packet_path *path)
{
    struct sim *sim = socket->loop->sim;
    struct address from = path->from;
    if (sim_chance(sim, sim->faults.connect_fails))
        return -ENETUNREACH;
    if (!address_is_set(&from))
        from = address_v4(INADDR_LOOPBACK, 0);
    socket->sim_end = open_end(sim, &from);
    socket->owns_fd = true;
    end_of(socket)->remote = path->to;
    end_of(socket)->packets = socket->on_ready ? socket : NULL;
    return 0;
}

void sim_packets_close(struct packet_socket *socket)
{
    if (socket->owns_fd)
        sim_end_close(socket->loop->sim, socket->sim_end);
    else
        end_of(socket)->packets = NULL;
}

struct address sim_packets_address(const struct packet_socket *socket)
{
    return end_of(socket)->local;
}

/* --- sending -------------------------------------------------------------------------------------------------- */

static bool takes(const struct sim_end *end, const struct address *to, const struct address *from)
{
    if (!end->is_open || !end->takes_packets)
        return false;
    if (address_is_set(&end->captured) && address_equals(&end->captured, to))
        return true;
    if (address_is_set(&end->remote) && !address_equals(&end->remote, from))
        return false;
    return address_is_wildcard(&end->local) ? address_port(&end->local) == address_port(to)
                                            : address_equals(&end->local, to);
}

/* A connected end before one that takes from all, and the oldest of those: who answers for others' addresses came later. */
static int find_end(struct sim *sim, const struct address *to, const struct address *from)
{
    int found = -1;
    for (unsigned i = 0; i < sim->ends.count; i++)
        if (takes(end_at(sim, i), to, from) &&
            (found < 0 || address_is_set(&end_at(sim, i)->remote)))
            found = (int)i;
    return found;
}

static void put(struct sim *sim, unsigned index, const char *bytes, uint32_t size,
                const struct address *from, const struct address *to)
{
    struct sim_end *end = end_at(sim, index);
    if (end->inbox.count >= INBOX_MAX || sim_chance(sim, sim->faults.lost))
        return;
    struct sim_datagram datagram = {.bytes = mem_alloc(size + 1),
                                    .size = size,
                                    .peer = packet_end_of(from),
                                    .local = packet_end_of(to)};
    memcpy(datagram.bytes, bytes, size);
    vector_push(&end->inbox, datagram);
    if (sim_chance(sim, sim->faults.late)) { /* another one overtakes it */
        size_t other = random_below(&sim->loop->random, end->inbox.count);
        struct sim_datagram kept = end->inbox.items[other];
        end->inbox.items[other] = datagram;
        end->inbox.items[end->inbox.count - 1] = kept;
    }
    sim_after(sim, SIM_PACKETS, index, NULL, 0);
}

static int send_one(struct packet_socket *socket, const struct packet *packet, uint32_t at,
                    uint32_t size)
{
    struct sim *sim = socket->loop->sim;
    const struct sim_end *ours = end_of(socket);
    struct address to =
        packet_end_is_set(&packet->peer) ? packet_end_address(&packet->peer) : ours->remote;
    struct address from =
        packet_end_is_set(&packet->local) ? packet_end_address(&packet->local) : ours->local;
    if (sim_chance(sim, sim->faults.reset))
        return EAGAIN;
    int found = find_end(sim, &to, &from);
    if (found >= 0)
        put(sim, (unsigned)found, packet->bytes + at, size, &from, &to);
    else if (address_is_set(&ours->remote))
        end_of(socket)->error = ECONNREFUSED;
    if (end_of(socket)->error)
        sim_after(sim, SIM_PACKETS, socket->sim_end, NULL, 0);
    return 0;
}

void sim_packets_send(struct packet_socket *socket, struct packet *const *packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i];
        uint32_t each = packet->each ? packet->each : packet->size;
        uint32_t at = 0;
        packet->error = 0;
        do {
            int error = send_one(socket, packet, at, MIN(each, packet->size - at));
            packet->error = error ? error : packet->error;
            at += each;
        } while (at < packet->size);
    }
}

/* --- receiving ------------------------------------------------------------------------------------------------ */

/* Whether the next datagram is to join the packet, as the kernel would do. */
static bool joins(struct sim *sim, const struct packet *packet, const struct sim_datagram *next)
{
    uint32_t each = packet->each ? packet->each : packet->size;
    return each > 0 && packet->size % each == 0 && next->size > 0 && next->size <= each &&
           packet->size + next->size <= PACKET_BYTES && packet->size / each < PACKET_RUN &&
           packet_end_equals(&packet->peer, &next->peer) &&
           packet_end_equals(&packet->local, &next->local) && sim_chance(sim, 500);
}

static void take(struct sim_end *end, struct packet *packet, bool is_more)
{
    struct sim_datagram datagram = end->inbox.items[0];
    vector_remove(&end->inbox, 0);
    if (is_more) {
        packet->each = packet->each ? packet->each : (uint16_t)packet->size;
    } else {
        char *bytes = packet->bytes;
        *packet = (struct packet){.bytes = bytes, .peer = datagram.peer, .local = datagram.local};
    }
    memcpy(packet->bytes + packet->size, datagram.bytes, datagram.size);
    packet->size += datagram.size;
    mem_free(datagram.bytes);
}

int sim_packets_receive(struct packet_socket *socket, struct packet_batch *batch, unsigned room)
{
    struct sim *sim = socket->loop->sim;
    struct sim_end *end = end_of(socket);
    unsigned got = 0;
    if (end->error) {
        int error = end->error;
        end->error = 0;
        return -error;
    }
    while (end->inbox.count > 0 && got < room) {
        struct packet *packet = &batch->packets[batch->count];
        take(end, packet, false);
        if (packet->size > socket->datagram_max) {
            batch->too_long++;
            continue;
        }
        while (socket->joins && end->inbox.count > 0 && joins(sim, packet, &end->inbox.items[0]))
            take(end, packet, true);
        batch->count++;
        got++;
    }
    return (int)got;
}

/* As long as something waits, its owner hears of it in each turn. */
void sim_packets_happen(struct sim *sim, unsigned index)
{
    struct sim_end *end = end_at(sim, index);
    uint32_t generation = end->generation;
    if (!end->packets || (end->inbox.count == 0 && !end->error))
        return;
    end->packets->on_ready(end->packets);
    end = end_at(sim, index);
    if (end->is_open && end->generation == generation && end->packets && end->inbox.count > 0)
        sim_after(sim, SIM_PACKETS, index, NULL, 0);
}
