/*
 * listener: what a listening address does with connections or datagrams, compiled from a Listener.
 *
 * A listener that does not bind is found by the original destination of connections to one that does (listener_serves).
 * Each filter chain has a key, made of its name and what it matches: a connection remembers the key, and finds its chain
 * in a newer listener by it; and a hash of its TLS demands: when that differs, the connection drains.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "build/access_log.h"
#include "build/chain_table.h"
#include "build/counted.h"
#include "build/endpoints.h"
#include "build/hcm.h"
#include "build/name.h"
#include "build/options.h"
#include "build/socket_options.h"
#include "build/tcp_proxy.h"
#include "build/tls_spec.h"
#include "build/udp_proxy.h"
#include "match/predicate.h"
#include "match/rbac.h"
#include "match/table_memory.h"

#include "envoy/config/listener/v3/listener.pb-c.h"

enum listener_direction { LISTENER_UNSPECIFIED, LISTENER_INBOUND, LISTENER_OUTBOUND };
enum { LISTENER_ADDRESSES_MAX = 64, LISTENER_FILTERS_MAX = 32 };

struct route_table;

/* Listener filters, in the order in which they must look. */
struct listener_detection {
    bool on;
    struct predicate
        disabled; /* over struct port_range: holds for connections that are not to be looked at */
    uint32_t max_bytes; /* TLS: of a client hello */
};
struct port_range {
    uint32_t first, end;
};

enum network_filter_kind {
    NETWORK_RBAC,
    NETWORK_STATS,         /* istio.stats */
    NETWORK_PEER_METADATA, /* istio.metadata_exchange over istio-peer-exchange */
};
struct network_filter {
    enum network_filter_kind kind;
    struct slice name;
    const struct rbac *rules, *shadow; /* RBAC */
    struct slice rules_prefix, shadow_prefix;
};

struct filter_chain {
    struct slice name;
    struct hash128 key;
    struct hash128 tls_demands; /* zero: plaintext */
    const struct tls_spec *tls; /* NULL: plaintext */
    uint32_t handshake_ms;      /* 10,000 unless configured */
    const struct network_filter *filters;
    uint32_t filter_count;
    const struct hcm *http; /* exactly one of http and tcp */
    const struct tcp_proxy *tcp;
    struct slice istio_config; /* metadata */
};

struct listener {
    struct counted counted;
    struct table_memory memory;
    struct name name;
    const struct endpoint_address *addresses; /* IP or PIPE; the first is the main one */
    uint32_t address_count;
    uint32_t pipe_mode;
    const struct udp_proxy *udp; /* takes datagrams, and has no chains then; NULL: connections */
    struct udp_socket_options udp_socket;
    bool binds;            /* bind_to_port */
    bool use_original_dst; /* hands connections to the listener of their original destination */
    bool transparent, freebind;
    bool continue_on_timeout;
    enum listener_direction direction;
    uint32_t detection_ms; /* listener_filters_timeout: 10,000 unless configured; 0: no limit */
    uint32_t buffer_limit; /* bytes a connection; 1 MiB unless configured */
    uint32_t backlog;
    uint32_t accepts; /* at once; 0: no limit of its own */
    struct keepalive keepalive;
    struct slice stat_prefix;

    bool original_dst; /* listener filter: find out where the connection was going */
    struct listener_detection tls_inspector, http_inspector;
    bool proxy_protocol, proxy_protocol_optional;
    bool proxy_protocol_v1, proxy_protocol_v2; /* accepted versions */

    const struct chain_table *table;
    const struct filter_chain *chains;
    uint32_t chain_count;
    const struct filter_chain *default_chain; /* NULL: none */
    struct access_logs logs;

    struct name_list routes, secrets; /* that it waits for */
    struct tls_spec_list specs;
    struct route_table *const *tables; /* of chains that hold their routes inside; references */
    size_t table_count;
};

MUST_USE bool listener_build(const Envoy__Config__Listener__V3__Listener *message,
                             const struct build_options *options, struct listener **out,
                             struct error *error);
struct listener *listener_ref(struct listener *listener);
void listener_unref(struct listener *listener);
OWNED(listener, listener_unref)

/* The chain that serves such a connection, or NULL. */
const struct filter_chain *listener_chain(const struct listener *listener,
                                          const struct chain_facts *facts);
/* The chain with that key, or NULL when it is gone. */
const struct filter_chain *listener_chain_by_key(const struct listener *listener,
                                                 struct hash128 key);
/* How well a listener that does not bind serves an original destination: 2 for address and port, 1 for a wildcard
 * address and the port, 0 not at all. */
int listener_serves(const struct listener *listener, const struct ip *ip, uint16_t port);
/* Is detection wanted for a connection to that port? */
bool listener_detects(const struct listener_detection *detection, uint16_t destination_port);
