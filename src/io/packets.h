/*
 * packets: UDP sockets that carry much, received and sent in batches.
 *
 * A packet is one datagram, or a run of equally long ones of one peer, which the kernel joined (GRO) and will cut again
 * (GSO). Its bytes lie in the batch that it was received into, until that is cleared. Packets that leave by one call are
 * joined to runs where that is possible, so that a burst of one client is one message to the kernel.
 *
 * What an answer now and then needs is in datagram.h.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"
#include "io/loop.h"

enum { PACKET_BATCH = 32, PACKET_BYTES = 65536, PACKET_RUN = 64 }; /* PACKET_RUN: datagrams a run */

/* An IP address and port as the kernel has them; unused bytes are zero, so that two are compared as bytes. */
union packet_end {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};
static inline bool packet_end_is_set(const union packet_end *end)
{
    return end->any.sa_family != AF_UNSPEC;
}
/* Ends are filled from zero, so that equal ones have equal bytes. */
static inline bool packet_end_equals(const union packet_end *a, const union packet_end *b)
{
    return slice_equals(slice_of(a, sizeof(*a)), slice_of(b, sizeof(*b)));
}
struct address packet_end_address(const union packet_end *end);
/* Of an IP address; else "none". */
union packet_end packet_end_of(const struct address *address);

struct packet {
    char *bytes;
    uint32_t size;
    uint16_t
        each; /* of a run: bytes of each datagram but the last, which may be shorter; 0: it is one */
    int error;             /* after sending: a positive errno, or 0 */
    union packet_end peer; /* who sent it or is to get it; none: as the socket is connected */
    union packet_end
        local;   /* where it was sent to or is to come from; none: as the socket is bound */
    void *owner; /* the user's */
};
static inline uint32_t packet_datagrams(const struct packet *packet)
{
    return packet->each ? (packet->size + packet->each - 1) / packet->each : 1;
}

/* Room for PACKET_BATCH packets. Pages that no packet has touched cost nothing. */
struct packet_batch {
    unsigned count;
    unsigned too_long; /* datagrams that packets_receive left out; the user sets it back */
    struct packet packets[PACKET_BATCH];
    char *room;
};
void packet_batch_init(struct packet_batch *batch);
void packet_batch_fini(struct packet_batch *batch);
static inline void packet_batch_clear(struct packet_batch *batch)
{
    batch->count = 0;
}
/* Gives the pages back; the batch is empty. */
void packet_batch_trim(struct packet_batch *batch);

/* Embedded. */
struct packet_socket {
    struct watch watch; /* fd -1: simulated */
    struct loop *loop;
    void (*on_ready)(struct packet_socket *socket);
    uint32_t datagram_max;
    uint16_t run_below; /* runs of datagrams so long the kernel refuses: over the path's MTU */
    in_port_t port;     /* its own */
    bool is_v6;
    bool has_control; /* packets tell more than who sent them */
    bool owns_fd;
    bool joins; /* simulated: runs are made */
    unsigned sim_end;
};

struct packet_socket_options {
    uint32_t datagram_max; /* 1 to 65535; what is longer is left out */
    bool gro;
    bool wants_local;    /* packets say which address of ours they were sent to */
    bool is_transparent; /* ... and port, as it was before TPROXY */
};
/*
 * A bound socket of a listen_group (or of sim_bind_packets), which stays the caller's. on_ready comes as long as
 * something waits; it may close the socket. 0 or a negative errno.
 */
MUST_USE int packet_socket_adopt(struct packet_socket *socket, struct loop *loop, int fd,
                                 const struct packet_socket_options *options,
                                 void (*on_ready)(struct packet_socket *));

struct packet_path {
    struct address to;   /* connected to; none: it is told with each packet */
    struct address from; /* none: the kernel chooses */
    bool is_transparent; /* `from` is somebody else's */
    uint32_t mark;       /* SO_MARK, 0 = none */
    int network_namespace; /* descriptor of the one to send in; -1: our own. Costs the making of a thread. */
};
/* A socket of its own; on_ready NULL: nothing is received by it. 0 or a negative errno. */
MUST_USE int packet_socket_open(struct packet_socket *socket, struct loop *loop,
                                const struct packet_path *path,
                                const struct packet_socket_options *options,
                                void (*on_ready)(struct packet_socket *));
/* Harmless when it is not open. */
void packet_socket_close(struct packet_socket *socket);
struct address packet_socket_address(const struct packet_socket *socket);

/*
 * Appends what waits, at most `most` packets and as many as there is room for. Returns how many, or a negative errno that
 * a peer caused (-ECONNREFUSED). 0 when nothing waits.
 */
MUST_USE int packets_receive(struct packet_socket *socket, struct packet_batch *batch,
                             unsigned most);
/*
 * Sends at most PACKET_BATCH packets, each in turn, and says in each whether the kernel took it: error EAGAIN when the
 * socket is full. What was not taken is lost, as networks do.
 */
void packets_send(struct packet_socket *socket, struct packet *const *packets, unsigned count);
