/*
 * dialing: from a host to a transport: socket, PROXY header, TLS as the cluster demands; for HTTP pools and tunnels.
 *
 * Embedded. The transport that is given may still be in its handshake (its on_open tells).
 */
#pragma once

#include "base/attributes.h"
#include "base/handle.h"
#include "proxy/upstream/pool.h"

struct address;
struct transport;
struct worker;

struct dialing {
    struct host *host; /* borrowed from the owner, who holds a reference */
    struct worker *worker;
    handle dial;
    enum http_pool which; /* HTTP_POOLS: no HTTP, so the cluster's own ALPN is offered */
    void (*on_dialed)(struct dialing *dialing, struct transport *transport);
    void (*on_failed)(struct dialing *dialing, enum pool_failure failure, const char *text);
    /* For a PROXY header: whose connection this is. NULL: our own, which serves many; the header then says LOCAL. */
    void (*ends)(const struct dialing *dialing, struct address *source,
                 struct address *destination);
};

/* Exactly one of the two calls comes, from the loop, unless it is cancelled. The host's cluster is there. */
void dialing_start(struct dialing *dialing, struct host *host, enum http_pool which,
                   void (*on_dialed)(struct dialing *, struct transport *),
                   void (*on_failed)(struct dialing *, enum pool_failure, const char *text));
void dialing_cancel(struct dialing *dialing);
