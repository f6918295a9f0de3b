/*
 * route_table: from a request to what is done with it, compiled from a RouteConfiguration.
 *
 * Pure and immutable: route_table_find is a function of the table and the request, the same on the proxy and in
 * tulled. Times of 0 are off.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "build/counted.h"
#include "build/format.h"
#include "build/header_edits.h"
#include "build/name.h"
#include "build/options.h"
#include "match/domain_table.h"
#include "match/request.h"
#include "match/route_list.h"
#include "match/table_memory.h"
#include "match/weighted.h"

#include "envoy/config/route/v3/route.pb-c.h"

enum { ROUTE_HOSTS_MAX = 100000, ROUTE_BODY_MAX = 1 << 20, ROUTE_RETRIES_MAX = 25 };

enum route_action { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_RESPOND, ROUTE_REFUSE };

enum retry_on {
    RETRY_5XX = 1 << 0,
    RETRY_GATEWAY_ERROR = 1 << 1,
    RETRY_RESET = 1 << 2,
    RETRY_RESET_BEFORE_REQUEST = 1 << 3,
    RETRY_CONNECT_FAILURE = 1 << 4,
    RETRY_REFUSED_STREAM = 1 << 5,
    RETRY_RETRIABLE_4XX = 1 << 6,
    RETRY_STATUS_CODES = 1 << 7,
    RETRY_HEADERS = 1 << 8,
    RETRY_ENVOY_RATELIMITED = 1 << 9,
    RETRY_HTTP3_CONNECT_FAILURE = 1 << 10,
    RETRY_GRPC_CANCELLED = 1 << 16,
    RETRY_GRPC_DEADLINE_EXCEEDED = 1 << 17,
    RETRY_GRPC_INTERNAL = 1 << 18,
    RETRY_GRPC_RESOURCE_EXHAUSTED = 1 << 19,
    RETRY_GRPC_UNAVAILABLE = 1 << 20,
};
/* A comma-separated list as in x-envoy-retry-on; unknown words fail with an error that names them. */
MUST_USE bool retry_on_parse(struct slice text, uint32_t *mask, struct error *error);

struct retry_policy {
    uint32_t on;      /* enum retry_on */
    uint32_t retries; /* after the first try */
    uint64_t per_try_ms, per_try_idle_ms;
    uint64_t back_off_ms, back_off_max_ms; /* 25 and 250 unless configured */
    uint32_t
        host_attempts; /* picks of another endpoint when the one picked was tried before; 0: take any */
    bool other_hosts; /* previous_hosts */
    const uint16_t *status_codes;
    uint32_t status_code_count;
};

struct route_rewrite {
    bool has_prefix;
    struct slice prefix; /* instead of what the path matched */
    const struct regex *regex;
    struct slice substitution;
};

enum route_host {
    ROUTE_HOST_KEEP,
    ROUTE_HOST_LITERAL,
    ROUTE_HOST_AUTO,
    ROUTE_HOST_HEADER,
    ROUTE_HOST_PATH
};

/* One choice of a split; a route to one cluster has one target. */
struct route_target {
    struct name cluster;
    struct slice host; /* host rewrite of this target alone; empty: the route's */
    struct header_edits request_edits, response_edits;
};

struct route_redirect {
    uint16_t status;
    bool https, strip_query;
    uint16_t port;       /* 0: keep */
    struct slice scheme; /* empty: keep */
    struct slice host;   /* empty: keep */
    struct slice path;   /* whole path, perhaps with a query; empty: rewrite applies */
    struct route_rewrite rewrite;
};

struct route_response {
    uint16_t status;
    struct slice body;           /* literal */
    const struct format *format; /* of the body, over `body` as %LOCAL_REPLY_BODY%; NULL: none */
};

struct route_upgrade {
    struct slice kind; /* "websocket", lower case */
    bool enabled;
    bool ends_here; /* CONNECT: its payload goes to the cluster as a TCP connection's bytes */
    uint8_t proxy_protocol; /* before that payload: a PROXY header of this version; 0: none */
};

struct virtual_host;

/* Edits of the route, its virtual host and its table, in the order in which they are applied after the target's. */
enum { ROUTE_EDIT_LEVELS = 3 };

struct route {
    struct slice name; /* may be empty */
    enum route_action action : 8;
    enum route_host host_how : 8;
    bool append_forwarded_host;
    bool high_priority;
    uint16_t missing_cluster_status; /* 503, 404 or 500 */
    const struct virtual_host *host;
    const struct route_rule *rule;

    /* FORWARD */
    const struct route_target *targets; /* NULL: by cluster_header */
    struct weighted split;
    const struct header_key *cluster_header;
    struct route_rewrite rewrite;
    struct slice host_literal;
    const struct header_key *host_header;
    const struct regex *host_regex; /* ROUTE_HOST_PATH: over the path, by host_literal */
    uint64_t timeout_ms;            /* of the whole exchange; 15,000 unless configured */
    bool has_idle_timeout;          /* else the listener's holds */
    uint64_t idle_timeout_ms;       /* of the stream */
    bool has_max_stream;            /* else the listener's holds */
    uint64_t max_stream_ms;
    bool has_grpc_timeout; /* grpc-timeout is honoured, up to a maximum (0: any) */
    uint64_t grpc_timeout_max_ms;
    uint64_t grpc_timeout_offset_ms;
    const struct retry_policy *retry; /* the route's or the virtual host's; NULL: none */
    const struct route_upgrade *upgrades;
    uint32_t upgrade_count;

    const struct route_redirect *redirect;
    const struct route_response *response;

    const struct header_edits *request_edits[ROUTE_EDIT_LEVELS]; /* NULL behind the last */
    const struct header_edits *response_edits[ROUTE_EDIT_LEVELS];
    bool
        edits_before_target; /* most_specific_header_mutations_wins: the target's edits come last */

    struct slice operation;    /* decorator: the name of spans */
    struct slice istio_config; /* metadata istio.config: the object that it came from */
};

enum route_clusters { ROUTE_CLUSTERS_DEFAULT, ROUTE_CLUSTERS_CHECKED, ROUTE_CLUSTERS_ANY };

struct virtual_host {
    struct slice name;
    bool requires_tls; /* requests without are redirected */
    bool attempt_count_to_upstream, attempt_count_to_downstream;
    struct route_list rules;
    const struct route *routes; /* parallel to rules.rules */
};

struct route_table {
    struct counted counted;
    struct table_memory memory;
    struct name name;
    bool ignore_port;
    struct domain_table domains;
    const struct virtual_host *hosts;
    uint32_t host_count;
    /* Internal-only headers are taken off requests from outside. */
    struct name_list clusters; /* that routes name, each once */
    /* Whether a cluster that is not there refuses the table; unless it says so, it does where the table is spelled out
     * in a listener and does not where it is sent by name. */
    enum route_clusters validate : 8;
};

MUST_USE bool route_table_build(const Envoy__Config__Route__V3__RouteConfiguration *message,
                                const struct build_options *options, struct route_table **out,
                                struct error *error);
void route_table_unref(struct route_table *table);
OWNED(route_table, route_table_unref)

/* NULL when no domain matches. */
const struct virtual_host *route_table_host(const struct route_table *table,
                                            struct slice authority);
/* NULL when no virtual host or none of its routes matches. Look at *request->lost afterwards. */
const struct route *route_table_find(const struct route_table *table,
                                     const struct match_request *request);
/* The split's choice; the route must have targets. */
static inline const struct route_target *route_target_pick(const struct route *route,
                                                           uint64_t random)
{
    return &route->targets[route->split.count > 1 ? weighted_pick(&route->split, random) : 0];
}
