/*
 * sockmap_internal: what the programs in the kernel and we agree on.
 */
#pragma once

#include "io/sockmap.h"

#include <linux/bpf.h>

/*
 * Names one end of one connection. The two sequence numbers are those of the handshake: both ends know them, no NAT changes
 * them, and together they are 64 bits that nobody on the host or beyond may choose.
 */
struct sockmap_key {
    uint64_t network; /* cookie of the namespace */
    uint32_t client_port, client_sequence, server_sequence;
    uint32_t side;
};
enum { SOCKMAP_CLIENT, SOCKMAP_SERVER };

/* Kept with a socket, and by a listener for those it accepts. */
struct sockmap_record {
    uint32_t is_claimed;
    uint32_t has_joined;
    uint32_t sending;
    uint32_t unused;
    struct sockmap_key key;
};
enum { SOCKMAP_NEW, SOCKMAP_SHORT, SOCKMAP_LEFT };

struct sockmap_end {
    uint64_t socket; /* address in the kernel; never shown to those who adopt */
    uint32_t is_claimed;
    uint32_t unused;
};

/* Where the kernel keeps what we ask it for, in bytes from the start of a socket. */
struct sockmap_offsets {
    uint32_t received; /* bytes in the receive queues: sk_backlog.rmem_alloc */
    uint32_t room;     /* for them: sk_rcvbuf */
    uint32_t layer;    /* TLS in the kernel: icsk_ulp_ops */
};
/* From the type information (BTF) at this path. */
MUST_USE bool sockmap_offsets_read(const char *path, struct sockmap_offsets *offsets,
                                   struct error *error);
/* The same from its bytes: false when it is cut, broken, or does not tell. */
MUST_USE bool sockmap_offsets_find(const char *types, size_t size, struct sockmap_offsets *offsets);

struct sockmap {
    int records;  /* by socket: struct sockmap_record */
    int networks; /* served: by cookie */
    int counts;
    int ends;    /* by key: struct sockmap_end */
    int sockets; /* by key: the sockets themselves */
    int at_establish, at_send;
    int links[1 + SOCKMAP_CGROUPS_MAX]; /* of at_establish to a cgroup; our own first */
    size_t link_count;
};

enum { SOCKMAP_INSTRUCTIONS_MAX = 192 };
/* Both give the number of instructions. The maps are open. */
size_t sockmap_program_establish(const struct sockmap *sockmap,
                                 struct bpf_insn out[SOCKMAP_INSTRUCTIONS_MAX]);
size_t sockmap_program_send(const struct sockmap *sockmap, const struct sockmap_offsets *offsets,
                            struct bpf_insn out[SOCKMAP_INSTRUCTIONS_MAX]);

/* The network namespace of this socket is served no more, and nothing was counted yet. */
MUST_USE int sockmap_start_over(struct sockmap *sockmap, int fd);
/* Attached already: sockets of our own show whether order, ends and limits hold on this kernel. */
MUST_USE bool sockmap_try(struct sockmap *sockmap, struct error *error);
