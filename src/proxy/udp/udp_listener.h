/*
 * udp_listener: a worker's socket of a UDP listener, and the sessions of those who send to it.
 *
 * The kernel spreads clients over the workers' sockets by their addresses (SO_REUSEPORT), so a session stays on its worker.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "io/loop.h"
#include "io/packets.h"

struct map;
struct resource;
struct udp_key;
struct udp_session;
struct worker;

struct udp_listener {
    struct worker *worker;
    struct packet_socket socket;
    union packet_end bound;
    bool
        tells_local; /* packets say where they were sent to, for it is bound to a wildcard or captures */
    bool is_transparent; /* ... and that may be anybody's address */
    bool is_draining;
    const struct resource *(*resource)(
        void *owner); /* the listener as it is now; NULL: it is gone */
    void (*on_drained)(void *owner);
    void *owner;
    struct task drained;
    struct map *known;        /* udp_key -> struct udp_session */
    struct list sessions;     /* the same */
    struct udp_session *last; /* found last; NULL: none */
};

/*
 * fd is a socket bound to `bound` (listen_group), which stays the caller's and open until the listener is destroyed.
 * Options: of their wants_local it decides itself. 0 or a negative errno.
 */
MUST_USE int udp_listener_create(struct worker *worker, int fd, const struct address *bound,
                                 const struct packet_socket_options *options,
                                 const struct resource *(*resource)(void *), void *owner,
                                 struct udp_listener **out);
/* At once, with its sessions. Accepts NULL. */
void udp_listener_destroy(struct udp_listener *listener);
/* No session begins any more, and idle ones end soon. on_drained comes from the loop when the last has gone; it may destroy. */
void udp_listener_drain(struct udp_listener *listener, void (*on_drained)(void *owner));

/* For sessions: one has gone; and whether its client sent to an address that we are not bound to. */
void udp_listener_lose(struct udp_listener *listener, struct udp_session *session);
bool udp_listener_is_captured(const struct udp_listener *listener, const struct udp_key *key);
