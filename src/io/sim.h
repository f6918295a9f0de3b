/*
 * sim: the simulated back end of a loop: connections in memory, seeded faults, simulated time.
 *
 * Connects reach listeners (sim_listen in io/listener.h) on the same loop by address. One seed gives one run: same order,
 * same cuts, same times. With no faults set it is an ideal network with no delay.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"

struct conn;
struct loop;

/* Chances are of 1000. */
struct sim_faults {
    unsigned short_read;  /* a delivery is cut at a random place */
    unsigned short_write; /* a write is taken in part */
    unsigned late;        /* a completion is delayed by up to max_delay_us, so others overtake it */
    unsigned max_delay_us;
    unsigned no_buffers;    /* a delivery finds no block and is tried again */
    unsigned reset;         /* a connection is reset at this operation */
    unsigned connect_fails; /* ECONNREFUSED, ETIMEDOUT, ENETUNREACH at random */
    unsigned accept_late;   /* an accept is put off */
    unsigned
        lost; /* a datagram does not arrive; `late` ones change places, `reset` ones are refused */
    unsigned window; /* bytes a direction holds before writes wait; 0 = 64 KB */
};
void sim_set_faults(struct loop *loop, const struct sim_faults *faults);
/* The faults of the component tests, a bit of everything but `reset` and `connect_fails`. */
struct sim_faults sim_usual_faults(void);

/* The address that a descriptor is bound to: for sim_listen with port 0. */
struct address sim_address(struct loop *loop, int fd);
/* A descriptor for packet_socket_adopt; accepted_close closes it. */
MUST_USE int sim_bind_packets(struct loop *loop, const struct address *address);
/* Datagrams for `to` reach that descriptor instead, as TPROXY does it. */
void sim_capture_packets(struct loop *loop, const struct address *to, int fd);
/* Two connected descriptors for conn_adopt. */
void sim_pair(struct loop *loop, int fds[2]);
/* The peer of this conn behaves as if the cable was cut or its process had died. */
void sim_reset(struct conn *conn);
/*
 * Of what is on its way to this descriptor only `bytes` more arrive, and no end; a reset still does. Holding it again sets the
 * number anew.
 */
void sim_hold(struct loop *loop, int fd, size_t bytes);
void sim_let_go(struct loop *loop, int fd);
/* A reset reaches both ends. */
void sim_cut(struct loop *loop, int fd);
/* The other end of a connection; 0: it is gone. */
int sim_peer(struct loop *loop, int fd);
/* What conn_original_destination says on the accepting side of connections to `to`. */
void sim_set_original_destination(struct loop *loop, const struct address *to,
                                  const struct address *original);
/* Descriptors of the simulation that are open: 0 when a test leaked none. */
unsigned sim_open_count(const struct loop *loop);

/* Seeds to run a component test with: TULLE_SEEDS, or `usual` when it is not set. TULLE_SEED runs one alone. */
unsigned sim_seed_count(unsigned usual);
uint64_t sim_seed(unsigned index);
