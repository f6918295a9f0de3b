/*
 * downstream: one HTTP connection from a client: the HTTP connection manager.
 *
 * Bound to it are the socket, TLS, the peer's identity and the key of its filter chain. What a request needs of the
 * configuration is looked up in the snapshot of the moment when it begins.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "build/listener.h"
#include "io/address.h"
#include "net/http_connection.h"

struct http_profile;
struct resource;
struct snapshot;
struct transport;
struct worker;

struct downstream {
    struct list node; /* the worker's */
    struct worker *worker;
    struct http_connection *http;
    struct http_profile *profile;
    struct list exchanges; /* under way */

    /* What the snapshot says that epoch is the low half of; looked up again, by its name and the chain's key, in another. */
    const struct resource *listener;  /* pinned: the last one that had the chain */
    const struct filter_chain *chain; /* of it */
    const struct resource
        *kept_table; /* pinned: an orphan's route table, which went with the chain; else NULL */

    struct address_packed local, peer;          /* the socket's, or what a PROXY header said */
    struct address_packed original_destination; /* none when the connection was not redirected */
    uint32_t epoch;
    bool has_header; /* a PROXY header came */
    /* The snapshot has the chain no more: it drains, and requests that still come are served as before. */
    bool is_orphaned;
    bool
        has_old_tls; /* the chain demands other TLS than when the connection came: it drains, too */
};

/* How a connection came: what arrival learned of it. */
struct downstream_origin {
    const struct resource *listener; /* current, or pinned */
    const struct filter_chain *chain;
    struct address local, peer; /* the socket's */
    struct address original_destination;
    struct address source, destination; /* what a PROXY header said; else none */
};
/* Takes the transport over. False when memory is refused (the transport is then closed). */
MUST_USE bool downstream_create(struct worker *worker, struct transport *transport,
                                const struct downstream_origin *origin);
/* At once: the worker ends. */
void downstream_close(struct downstream *downstream);
/* Connection: close, GOAWAY; ends with its last stream. */
void downstream_drain(struct downstream *downstream);
/* After an adoption: drains when its chain is gone or demands other TLS. */
void downstream_follow(struct downstream *downstream);

/*
 * While both can be read, when route tables have gone: those that only orphans still name are kept for them, so that no
 * request fails that was under way when its listener or chain was taken away.
 */
void downstream_keep_table(struct downstream *downstream, const struct snapshot *before,
                           const struct snapshot *now);

/* The filter chain as configured now, with its listener's resource to pin. */
const struct filter_chain *downstream_chain(struct downstream *downstream,
                                            const struct resource **listener);
