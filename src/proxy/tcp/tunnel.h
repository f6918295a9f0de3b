/*
 * tunnel: bytes between a downstream connection and an upstream one, as a TcpProxy says.
 *
 * Each direction flows as fast as its receiver: bytes are read from one side only while the other has room, and a FIN is
 * passed on by itself. With tunneling_config the way up is a CONNECT stream (carrier.h). It pins its listener (log formats)
 * and cluster, and nothing else of the configuration.
 */
#pragma once

#include "base/attributes.h"
#include "io/loop.h"
#include "net/transport.h"
#include "proxy/observe/record.h"
#include "proxy/tcp/carrier.h"
#include "proxy/upstream/dialing.h"

struct filter_chain;
struct limits;
struct resource;
struct tcp_series;
struct tunnel;
struct worker;

/*
 * Bytes that one direction may hold here before reading pauses. What that may take, for a peer that chooses its pieces ill:
 *
 *   64 KiB that wait, in blocks that are half full or better (chain_gather), after four that may be nearly empty: 192 KiB;
 *   what the last read brought over them: less than 16 KiB over epoll (conn_read_room), 32 KiB over io_uring
 *   (io/uring_internal.h).
 *
 * So 224 KiB at most. Bulk, which fills its blocks, takes about 100, and TLS on both sides some 30 of its own.
 */
enum { TUNNEL_BACKLOG_MAX = 64 * 1024 };

/*
 * A client that was silent for a while may belong to a protocol in which the server speaks first. Its tunnel is tentative:
 * when the server speaks, it stays; when the client does, no server can be had, or the time for detection is over, the
 * connection goes back to detection with what the client said.
 */
struct tunnel_hand_back {
    void (*call)(const struct tunnel_hand_back *back, struct conn *conn, struct chain *bytes);
    struct worker *worker;
    const struct resource *listener; /* pinned during the call */
    struct address original_destination, source, destination;
    uint64_t begun_us;
    uint64_t left_ms; /* of the time for detection; 0: silence on both sides may last */
};

struct tunnel_side {
    struct tunnel *tunnel;
    struct transport *transport; /* NULL: not there (yet) */
    struct chain waiting;        /* for this side, while it is not open yet */
    bool has_ended;              /* it sends no more */
    bool was_ended;              /* we send it no more */
    uint64_t received, sent;
};

/* What the observer has counted of it. */
struct tunnel_counted {
    struct tcp_series *series; /* NULL: it does not know that it is open */
    bool is_opened;            /* Istio's metrics have its opening */
    uint64_t received, sent;
};

struct tunnel {
    struct list node; /* the worker's */
    struct worker *worker;
    const struct resource *listener; /* pinned */
    const struct resource *cluster;  /* pinned; NULL until one was chosen */
    const struct filter_chain *chain;
    struct tunnel_side downstream, upstream;
    struct host *host;             /* a reference */
    struct cluster_series *series; /* of the host's cluster; the observer's */
    struct dialing dialing;
    struct carrier
        carrier; /* where the upstream is reached by CONNECT; upstream.transport is NULL then */
    bool is_dialing;
    struct limits *limits; /* of the upstream connection that counts there; NULL: none does */
    uint32_t limit;        /* as it was taken */
    struct tunnel_counted counted;
    bool is_tentative; /* nobody has spoken yet: if the client does, detection goes on */
    struct tunnel_hand_back *hand_back; /* owned */
    struct address *ends;               /* owned: what a PROXY header said, two; NULL: nothing */
    uint32_t attempts;
    struct timer idle, age;
    uint64_t moved_ms;
    struct record record;
    struct task reap;
};

struct tunnel_origin {
    const struct resource *listener; /* in the current snapshot */
    const struct filter_chain *chain;
    struct address original_destination;
    bool has_ended;                           /* the client's FIN came already */
    struct address source, destination;       /* what a PROXY header said; else none */
    const struct tunnel_hand_back *hand_back; /* tentative; NULL: it is one */
};
/* Takes the conn and what was read of it over. */
void tunnel_create(struct worker *worker, struct conn *conn, struct chain *input,
                   const struct transport_options *options, const struct tunnel_origin *origin);
/* Counts what has gone through the worker's open tunnels since it was counted last: they may stay for days. */
void tunnels_tell(struct worker *worker);
/* At once: the worker ends. */
void tunnel_close(struct tunnel *tunnel);
