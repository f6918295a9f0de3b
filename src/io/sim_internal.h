/*
 * sim_internal: the simulation's ends and events.
 *
 * A descriptor of the simulation is the index of an end plus one. Everything that happens is an event in a heap, ordered by
 * time and then by order of making, so that a seed determines the run.
 */
#pragma once

#include "base/buffer.h"
#include "base/vector.h"
#include "io/acceptor_internal.h"
#include "io/conn_internal.h"
#include "io/packets.h"
#include "io/sim.h"

enum { SIM_FIRST_PORT = 40000 };

enum sim_event_kind {
    SIM_CONNECTED, /* the end's connect is through, or failed with `value` */
    SIM_ACCEPT,    /* the listener has something to accept */
    SIM_ARRIVE,    /* the end's conn is given what has come */
    SIM_TAKE,      /* the network takes bytes of the end's conn */
    SIM_SENT,      /* the end's conn is told that `value` bytes were taken */
    SIM_REFUSED,   /* the end's send failed with `value` */
    SIM_FIN,       /* the peer's FIN reaches the end */
    SIM_RESET,     /* a reset reaches the end */
    SIM_PACKETS,   /* datagrams wait at the end */
};

struct sim_event {
    uint64_t at_us;
    uint64_t order;
    enum sim_event_kind kind;
    unsigned end;
    uint32_t generation; /* of the end: an event for an end that is gone is dropped */
    struct conn *conn;   /* whose operation this is; NULL when it is none */
    size_t value;
};

struct sim_datagram {
    char *bytes; /* owned */
    uint32_t size;
    union packet_end peer, local;
};

struct sim_end {
    bool is_open;
    bool is_listener;
    bool takes_packets;
    uint32_t generation;
    unsigned peer; /* valid while peer_generation is that end's */
    uint32_t peer_generation;
    struct conn *conn;
    struct address local, remote, original;
    /* Connections. */
    struct buffer inbound; /* from `taken` on: come and not yet read */
    size_t taken;
    bool has_fin, has_reset;
    bool is_arriving; /* SIM_ARRIVE is on its way */
    bool is_blocked;  /* its send waits for room at the peer */
    bool has_finished;
    bool expects_fin; /* the peer has sent it; */
    bool resets_next; /* and behind it a reset */
    size_t lost;      /* bytes sent to a peer that was gone: it acknowledged none of them */
    bool is_taken;    /* the send under way has reached the peer, or is lost */
    bool is_held;
    size_t allowed; /* held: so much of what is inbound may still arrive */
    /* Listeners. */
    struct acceptor *acceptor;
    VECTOR(unsigned) queue;
    /* Datagrams. */
    struct packet_socket *packets; /* who is told; NULL: nobody */
    struct address captured;       /* takes what is sent there too; none: nothing */
    VECTOR(struct sim_datagram) inbox;
    int error; /* a peer's, to be told by the next receive */
};

struct sim_original {
    struct address to, original;
};

struct sim {
    struct loop *loop;
    struct sim_faults faults;
    VECTOR(struct sim_event) heap;
    uint64_t order;
    VECTOR(struct sim_end) ends;
    VECTOR(struct sim_original) originals;
    uint16_t next_port;
    unsigned open_count;
};

bool sim_chance(struct sim *sim, unsigned of_1000);
/* Schedules an event, delayed when the dice say so. */
void sim_after(struct sim *sim, enum sim_event_kind kind, unsigned end, struct conn *conn,
               size_t value);
unsigned sim_end_open(struct sim *sim);
void sim_end_close(struct sim *sim, unsigned index);
uint16_t sim_next_port(struct sim *sim);
void sim_happen(struct sim *sim, const struct sim_event *event);

int sim_accept_start(struct acceptor *acceptor);
void sim_accept_stop(struct acceptor *acceptor);
void sim_accepted_close(struct loop *loop, int fd);

void sim_packets_happen(struct sim *sim, unsigned index);
void sim_inbox_clear(struct sim_end *end);
