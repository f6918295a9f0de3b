/*
 * listener: listening sockets, which the main thread owns, and acceptors, which take connections from them on a worker.
 *
 * A listen_group is all sockets of one address: one a worker with SO_REUSEPORT, so that the kernel spreads
 * connections. Removing an address loses nobody: listen_group_drain keeps new clients out, the acceptors empty the
 * queues, are destroyed on their workers, and only then the group is destroyed.
 */
#pragma once

#include "base/attributes.h"
#include "base/handle.h"
#include "io/address.h"

struct acceptor;
struct listen_group;
struct loop;

struct listen_options {
    struct address address; /* port 0: the kernel picks one, the same for the whole group */
    unsigned count;         /* sockets, one a worker; 0 = 1 */
    int backlog;            /* 0 = 4096 */
    bool is_transparent;    /* IP_TRANSPARENT: TPROXY */
    bool is_free_bind;      /* IP_FREEBIND: the address may not exist yet */
    bool is_v6_only;
    bool
        is_exclusive; /* with count 1: -EADDRINUSE when anyone listens there, also with SO_REUSEPORT */
    const char
        *network_namespace; /* file of the one to listen in; NULL: our own. Needs rights over it */
    uint32_t unix_mode;     /* permissions of a Unix socket's path; 0 = as umask says */
    bool is_datagram; /* UDP: for packet_socket_adopt instead of acceptors; IP addresses only */
};
/* 0 or a negative errno. A stale Unix path that nobody listens on is replaced. */
MUST_USE int listen_group_create(const struct listen_options *options, struct listen_group **out);
/* Closes the sockets. No acceptor may use them any more. */
void listen_group_destroy(struct listen_group *group);
OWNED(listen_group, listen_group_destroy)
/* Adopts sockets that listen already (hot restart, socket activation); takes them over. */
MUST_USE int listen_group_adopt(const int *fds, unsigned count, struct listen_group **out);
unsigned listen_group_count(const struct listen_group *group);
int listen_group_fd(const struct listen_group *group, unsigned index);
/* As bound, so with the real port. */
struct address listen_group_address(const struct listen_group *group);
/*
 * New connection attempts are no longer answered; those that are under way still arrive. No effect on Unix sockets and
 * on datagrams.
 */
void listen_group_drain(struct listen_group *group);

/* A listening descriptor of the simulation, for acceptor_create on the same loop. */
MUST_USE int sim_listen(struct loop *loop, const struct address *address);

/* fd is non-blocking, close-on-exec, with TCP_NODELAY, and now the owner's: conn_adopt it, hand it over or close it. */
typedef void acceptor_on_accept(void *owner, int fd, const struct address *peer);

/* Accepts from fd (borrowed) on this loop, at most LOOP_TURN_ACCEPTS a turn in all. 0 or a negative errno. */
MUST_USE int acceptor_create(struct loop *loop, int fd, acceptor_on_accept *on_accept, void *owner,
                             struct acceptor **out);
/* Accepts no more; connections that wait stay in the kernel's queue. Accepts NULL. */
void acceptor_destroy(struct acceptor *acceptor);
/* For connection limits; at 95 % of the memory budget all acceptors of a loop pause by themselves. Resuming can fail for want
   of kernel memory (a negative errno); it may be tried again. */
void acceptor_pause(struct acceptor *acceptor);
MUST_USE int acceptor_resume(struct acceptor *acceptor);
/* Admin, readiness and xDS: accepts also at 95 %. */
void acceptor_set_exempt(struct acceptor *acceptor);
/* Names it for other threads; 0 is never one. */
handle acceptor_name(const struct acceptor *acceptor);
/*
 * Any thread: gives an accepted descriptor that nothing was read from to an acceptor of another worker, whose
 * on_accept gets it. It is closed when that acceptor is gone.
 */
void acceptor_hand_over(struct loop *to, handle acceptor, int fd, const struct address *peer);
/* Closes an accepted descriptor that nobody wants; of the simulation too. */
void accepted_close(struct loop *loop, int fd);
