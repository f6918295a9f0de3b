/*
 * udp_session: one client's datagrams to one endpoint, and back.
 *
 * Known by the client's address and the one that it sent to. Its endpoint is chosen once, and again only when it left or
 * its cluster went; its socket is connected to it. It pins its listener (log formats) and cluster, nothing else of the
 * configuration.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "io/packets.h"
#include "proxy/observe/record.h"

struct host;
struct limits;
struct resource;
struct udp_cluster_series;
struct udp_listener;
struct udp_proxy_series;
struct udp_reply;

/* Compared as bytes. */
struct udp_key {
    union packet_end peer, local;
};

struct udp_session {
    struct list node; /* its listener's */
    struct udp_listener *listener;
    struct udp_key key;
    struct packet_socket upstream;
    struct udp_reply *
        reply; /* a reference: the address that was asked is not ours. NULL: the listener's own socket */
    const struct resource *serving; /* pinned: the listener whose UdpProxyConfig holds */
    const struct resource *cluster; /* pinned */
    struct host *host;              /* a reference */
    struct limits *limits;
    uint32_t limit; /* as taken */
    struct udp_proxy_series *series;
    struct udp_cluster_series *cluster_series;
    struct timer idle;
    uint64_t moved_ms;
    struct address ends[2]; /* the key, for the record */
    struct record record;
};

/*
 * serving is the listener resource that serves the key's destination. NULL when there is to be no session, which is counted.
 * The listener knows it already.
 */
struct udp_session *udp_session_create(struct udp_listener *listener, const struct udp_key *key,
                                       const struct resource *serving);
/* At once. why: one of a fixed set of names. */
void udp_session_end(struct udp_session *session, const char *why);
/* False when its endpoint has left, or `serving` now leads elsewhere: end it, and begin another one. */
bool udp_session_holds(struct udp_session *session, const struct resource *serving);
/* From the client. */
void udp_session_send(struct udp_session *session, struct packet *const *packets, unsigned count);
/* Idle sessions end sooner from now on. */
void udp_session_drain(struct udp_session *session);

/* For udp_plane: by which socket answers leave, and what became of one. */
struct packet_socket *udp_session_way_back(const struct udp_session *session);
void udp_session_answered(struct udp_session *session, const struct packet *packet);
