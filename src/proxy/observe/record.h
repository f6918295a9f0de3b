/*
 * record: what is known of one exchange or tunnel, for access logs, metrics and traces.
 *
 * Embedded in the exchange; filled as it goes, read once when it is over. Slices live in the exchange's arena, in pinned
 * configuration, or are static. Times are of the loop, in microseconds; 0 = it did not happen.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "build/access_log.h"
#include "http/message.h"
#include "io/address.h"

struct cluster;
struct headers;
struct host;
struct route;
struct route_target;
struct transport;

struct record {
    /* The exchange; NULL for tunnels. */
    const struct http_request *request;   /* as forwarded, that is after all edits */
    struct slice original_path;           /* before rewriting; empty: the same */
    const struct http_response *response; /* as sent downstream; NULL: none */
    const struct headers *trailers;       /* of the response */
    const struct route *route;
    const struct route_target *target;

    uint64_t flags;  /* 1 << FLAG_... */
    uint16_t status; /* 0: no response was sent */
    uint16_t attempts;
    uint16_t retries;         /* of them, those that a retry policy asked for */
    uint8_t upstream_version; /* enum http_version */
    bool is_grpc;
    bool is_tunnel;
    bool is_session;               /* of datagrams */
    const char *details;           /* RESPONSE_CODE_DETAILS: "via_upstream", "route_not_found"... */
    const char *termination;       /* CONNECTION_TERMINATION_DETAILS */
    struct slice why;              /* one sentence; empty: nothing went wrong */
    struct slice upstream_failure; /* UPSTREAM_TRANSPORT_FAILURE_REASON */

    int64_t start_wall_us;
    uint64_t start_us, request_end_us, response_start_us, end_us;
    uint64_t upstream_start_us, upstream_head_us; /* the last try: sent, answered */
    uint64_t bytes_received, bytes_sent;          /* bodies; for tunnels all bytes */

    const struct cluster *cluster;          /* pinned until the record is done */
    struct host *host;                      /* used last; a reference */
    const struct address *upstream_address; /* the host's; NULL: none was picked */
    const struct address *upstream_local;   /* NULL: what the upstream transport says */
    const struct transport *downstream;
    const struct transport *upstream;              /* of the last try, while it lives */
    const struct address_packed *downstream_local; /* its socket's; NULL: it is asked */
    const struct address_packed *downstream_peer;  /* the same */
    struct address original_destination; /* of the connection; none when it was not redirected */
    const struct address *source, *destination; /* what a PROXY header said; else NULL */
};

static inline void record_flag(struct record *record, enum access_log_flag flag)
{
    record->flags |= UINT64_C(1) << flag;
}

/* The ends of the downstream's socket; none without a downstream. */
struct address record_downstream_local(const struct record *record);
struct address record_downstream_peer(const struct record *record);
/* The client and what it wanted to reach: as one told us, or as the sockets do. */
struct address record_source(const struct record *record);
struct address record_destination(const struct record *record);
