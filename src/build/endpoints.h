/*
 * endpoints: the endpoints of a cluster by priority and locality, compiled from a ClusterLoadAssignment.
 *
 * Immutable; a change is another set under the same name. Endpoints are stored in order of priority, then of locality as
 * configured, so a priority and a locality are runs. An endpoint whose address is a DNS name (STRICT_DNS) is a template:
 * endpoints_resolve makes a set of real ones.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "build/counted.h"
#include "build/name.h"
#include "build/options.h"
#include "match/ip.h"
#include "match/table_memory.h"

#include "envoy/config/endpoint/v3/endpoint.pb-c.h"

enum {
    ENDPOINTS_MAX = 100000,       /* of one set */
    ENDPOINT_PRIORITIES_MAX = 16, /* 0 to 15, without gaps */
    ENDPOINT_LABELS_MAX = 64,
    ENDPOINT_ADDRESSES_MAX = 64, /* of one name that was resolved */
};

enum endpoint_address_kind { ENDPOINT_IP, ENDPOINT_PIPE, ENDPOINT_HOST };
struct endpoint_address {
    enum endpoint_address_kind kind : 8;
    bool takes_v4; /* listening on IPv6: IPv4 clients as well */
    bool is_udp; /* listening: datagrams. Of an endpoint it says nothing: who connects knows how */
    uint16_t port;
    struct ip ip;      /* IP */
    struct slice text; /* PIPE: the path, '@' first when abstract; HOST: the name to be resolved */
    struct slice
        network_namespace; /* file of the one to connect from or listen in, NUL-terminated; empty: our own */
};

enum endpoint_health {
    ENDPOINT_HEALTHY, /* also UNKNOWN */
    ENDPOINT_DEGRADED,
    ENDPOINT_DRAINING,  /* gets nothing new */
    ENDPOINT_UNHEALTHY, /* also TIMEOUT */
};

/* What transport_socket_matches and subsets look at: envoy.transport_socket_match of the endpoint's metadata. */
struct endpoint_label {
    struct slice key, value;
};

struct endpoint {
    struct endpoint_address address;
    uint64_t hash;     /* of the address: equal in every set that holds it, on every proxy */
    uint32_t weight;   /* 1 to 2^32-1 */
    uint16_t locality; /* index into the set's localities */
    uint8_t priority;
    enum endpoint_health health : 8;
    struct slice hostname; /* for auto_host_rewrite; may be empty */
    struct slice workload; /* Istio's "name;namespace;canonical;revision;cluster"; may be empty */
    const struct endpoint_label *labels;
    uint32_t label_count;
};

struct endpoint_locality {
    struct slice region, zone, sub_zone;
    uint32_t weight; /* 0: not given, takes no part in locality weighting */
    uint8_t priority;
    uint32_t first, count; /* endpoints */
};

struct endpoint_priority {
    uint32_t first, count; /* endpoints */
    uint32_t first_locality, locality_count;
    uint32_t healthy, degraded; /* how many of them */
};

struct endpoints {
    struct counted counted;
    struct table_memory memory;
    struct name name;       /* cluster_name of the assignment */
    struct hash128 content; /* equal content, equal hash: for publishing only what differs */
    const struct endpoint *items;
    const struct endpoint_locality *localities;
    const struct endpoint_priority *priorities;
    uint32_t count, locality_count, priority_count;
    uint32_t overprovisioning; /* percent, 140 unless configured */
    bool has_hosts;            /* some are HOST: not to be balanced over */
};

MUST_USE bool endpoints_build(const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *message,
                              const struct build_options *options, struct endpoints **out,
                              struct error *error);
/* None, under that name. */
struct endpoints *endpoints_create_empty(struct slice name);
/* Every HOST endpoint becomes one endpoint for each address that its name has now (none: it vanishes); other
 * endpoints stay. `addresses` is asked once a HOST endpoint and gives at most ENDPOINT_ADDRESSES_MAX. */
struct endpoints *
endpoints_resolve(const struct endpoints *templates,
                  size_t (*addresses)(void *owner, struct slice host, struct ip *out), void *owner);
struct endpoints *endpoints_ref(struct endpoints *set);
void endpoints_unref(struct endpoints *set);
OWNED(endpoints, endpoints_unref)

/* "10.0.0.1:80", "[fd00::1]:80", "unix:/run/x.sock", "name:80"; returns the length, at most ENDPOINT_TEXT - 1. */
enum { ENDPOINT_TEXT = 320 };
size_t endpoint_address_format(const struct endpoint_address *address, char text[ENDPOINT_TEXT]);
