/*
 * sockmap: the short cut between an application and its sidecar on one host, past the TCP stack.
 *
 * The kernel pairs the two ends of a connection when it is established, and what one end sends then goes straight to the
 * receive queue of the other (SK_MSG). One end is always a socket that the proxy has claimed, the other never is; both are in
 * one network namespace, which is served, and in one of the cgroups. A direction takes the short cut from its first byte
 * or never, and leaves it for good when its receiver falls a quarter of its buffer behind: TCP's own back-pressure rules from
 * there on. Why so: docs/decisions/0008-sockmap.md.
 *
 * Loading needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON of the host; who gets the descriptors of a loaded one needs none.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct sockmap;

enum {
    SOCKMAP_QUEUE_BYTES =
        256 * 1024,           /* that wait for one receiver; at most a quarter of its SO_RCVBUF */
    SOCKMAP_ENDS_MAX = 65536, /* sockets in it at once; others go by TCP */
    SOCKMAP_NAMESPACES_MAX = 4096, /* network namespaces served */
    SOCKMAP_CGROUPS_MAX = 4,       /* besides our own */
    SOCKMAP_FDS = 3,
};

/*
 * Loads the programs, attaches them to our own cgroup and to these (folders of cgroup2; count may be 0) until
 * sockmap_destroy, and tries them on sockets of our own. False where the kernel refuses or does not keep what we need of it.
 */
MUST_USE bool sockmap_load(const char *const *cgroups, size_t count, struct sockmap **out,
                           struct error *error);
/* For another process, which adopts them: borrowed. They give no right to load or to attach. */
void sockmap_fds(const struct sockmap *sockmap, int fds[SOCKMAP_FDS]);
/* Takes them over. False when they are not of a sockmap. */
MUST_USE bool sockmap_adopt(const int fds[SOCKMAP_FDS], struct sockmap **out, struct error *error);
/* Connections in the short cut stay in it, with what waits in them. Accepts NULL. */
void sockmap_destroy(struct sockmap *sockmap);
OWNED(sockmap, sockmap_destroy)

/* Any thread. The network namespace of this socket is served from now on. 0 or a negative errno. */
MUST_USE int sockmap_serve(struct sockmap *sockmap, int fd);
/*
 * Any thread. A TCP socket that listens, or is about to connect: its connections to applications take the short cut. 0 or a
 * negative errno.
 */
MUST_USE int sockmap_claim(struct sockmap *sockmap, int fd);
/* Any thread. It may take the short cut, so splice(2) would not see what arrives. */
bool sockmap_holds(const struct sockmap *sockmap, int fd);

struct sockmap_counts {
    uint64_t pairs;        /* connections with both ends in it, ever */
    uint64_t messages;     /* that took the short cut */
    uint64_t bytes;        /* of them */
    uint64_t left_alone;   /* directions that went by TCP because the other end was not there */
    uint64_t left_full;    /* because the receiver had fallen behind */
    uint64_t left_layered; /* because an end does TLS in the kernel */
};
/* Of all processes that share it. 0 or a negative errno. */
MUST_USE int sockmap_count(const struct sockmap *sockmap, struct sockmap_counts *counts);
