/*
 * udp_plane: what all UDP sessions of a worker share: room for datagrams, and the sockets that answer for others' addresses.
 *
 * Made with the first UDP listener. Answers of all sessions wait in one batch until the turn ends, so that many clients are
 * answered by one call.
 */
#pragma once

#include "base/attributes.h"
#include "io/packets.h"

struct map;
struct udp_session;
struct worker;

struct udp_plane {
    struct worker *worker;
    struct packet_batch received; /* of the listener whose turn it is */
    struct packet_batch answers;  /* each packet's owner is its session */
    struct task flush;
    struct map *replies; /* packet_end -> struct udp_reply */
    uint64_t moved_ms;   /* when something last came */
    bool is_trimmed;
};

/* The worker's, made at its first use. */
struct udp_plane *udp_plane_of(struct worker *worker);
/* Every session is gone. Accepts NULL. */
void udp_plane_destroy(struct udp_plane *plane);
/* The answers that wait leave now. */
void udp_plane_flush(struct udp_plane *plane);
/* What a session has in the batches is forgotten: it ends. */
void udp_plane_forget(struct udp_plane *plane, const struct udp_session *session);
/* Every second: gives the room back when nothing has come for a while. Accepts NULL. */
void udp_plane_tidy(struct udp_plane *plane);

/* A socket bound to an address that is not ours, to answer from it: one for all who asked there. Counted. */
struct udp_reply {
    struct packet_socket socket;
    union packet_end from;
    uint32_t references;
};
/* 0 or a negative errno: it needs CAP_NET_ADMIN. */
MUST_USE int udp_reply_take(struct udp_plane *plane, const union packet_end *from,
                            struct udp_reply **out);
/* Accepts NULL. */
void udp_reply_give(struct udp_plane *plane, struct udp_reply *reply);
