/*
 * cluster: where requests go, compiled from a Cluster.
 *
 * Holds how to find endpoints, how to pick one, how to connect and which limits hold; not the endpoints themselves, except those
 * that a STATIC or STRICT_DNS cluster spells out.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "build/counted.h"
#include "build/endpoints.h"
#include "build/http_options.h"
#include "build/name.h"
#include "build/options.h"
#include "build/socket_options.h"
#include "build/tls_spec.h"
#include "match/ip.h"
#include "match/table_memory.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"

enum cluster_kind { CLUSTER_STATIC, CLUSTER_EDS, CLUSTER_STRICT_DNS, CLUSTER_ORIGINAL_DST };
enum cluster_policy {
    CLUSTER_ROUND_ROBIN,
    CLUSTER_LEAST_REQUEST,
    CLUSTER_RANDOM,
    CLUSTER_PROVIDED, /* ORIGINAL_DST: the connection says where to */
};
enum dns_family { DNS_AUTO, DNS_V4, DNS_V6, DNS_V4_FIRST, DNS_ALL };
enum cluster_http {
    CLUSTER_HTTP1,
    CLUSTER_HTTP2,
    CLUSTER_HTTP_DOWNSTREAM, /* what the downstream connection speaks */
    CLUSTER_HTTP_AUTO,       /* by ALPN; HTTP/1 when none was agreed on */
};

enum { CLUSTER_UNLIMITED = UINT32_MAX, CLUSTER_MATCHES_MAX = 64 };

/* One per routing priority. UNLIMITED costs nothing. */
struct cluster_limits {
    uint32_t connections, pending_requests, requests,
        retries;                 /* 1024, 1024, 1024 and 3 unless configured */
    double retry_budget_percent; /* < 0: none, `retries` holds */
    uint32_t retry_budget_minimum;
};

/* What stands between the bytes and the socket. */
struct upstream_socket {
    const struct tls_spec *tls; /* NULL: plaintext */
    uint8_t proxy_protocol;     /* header version to send first: 0 none, 1, 2 */
    uint64_t
        demands; /* hash of all of it but the secrets: where it differs, so must the connections. 0: plaintext */
};
/* The first match whose every label the endpoint has decides; else the cluster's own socket. */
struct upstream_socket_match {
    struct slice name;
    const struct endpoint_label *labels;
    uint32_t label_count;
    struct upstream_socket socket;
};

struct cluster {
    struct counted counted;
    struct table_memory memory;
    struct name name;
    struct slice stat_name; /* alt_stat_name, or the name */
    enum cluster_kind kind : 8;
    enum cluster_policy policy : 8;
    enum cluster_http http : 8;
    enum dns_family dns_family : 8;

    /* Endpoints. */
    struct name endpoints_name;  /* EDS: what to ask for. Others: the cluster's own name */
    uint32_t endpoints_wait_ms;  /* EDS: warm without endpoints after that; 0: wait for ever */
    struct endpoints *endpoints; /* STATIC, STRICT_DNS (templates): a reference */
    uint32_t dns_refresh_ms;
    bool dns_respect_ttl;
    uint32_t idle_endpoint_ms; /* ORIGINAL_DST: how long an endpoint that nobody uses is kept */
    uint16_t port_override;    /* ORIGINAL_DST; 0: none */

    /* Picking. */
    uint32_t choices; /* least request: how many are compared */
    bool locality_weighted;
    double panic_percent; /* 50 unless configured; 0: never panic */

    /* Connecting. */
    uint32_t connect_timeout_ms; /* 5,000 unless configured */
    uint32_t buffer_limit;       /* bytes a connection; 1 MiB unless configured */
    struct ip bind_v4, bind_v6;  /* source addresses; `any`: the kernel chooses */
    struct keepalive keepalive;
    struct upstream_socket socket;
    const struct upstream_socket_match *matches;
    uint32_t match_count;

    /* HTTP. */
    struct http_options options; /* of connections */
    struct http1_options http1;
    struct http2_options http2;

    struct cluster_limits limits[2]; /* by routing priority: default, high */

    /* Of the metadata: what metrics and logs name. */
    struct slice istio_host, istio_namespace, istio_name, istio_config, istio_subset;
    bool alpn_override_off; /* istio.alpn_override = "false" */

    struct name_list secrets; /* that it waits for */
    struct tls_spec_list specs;
};

MUST_USE bool cluster_build(const Envoy__Config__Cluster__V3__Cluster *message,
                            const struct build_options *options, struct cluster **out,
                            struct error *error);
struct cluster *cluster_ref(struct cluster *cluster);
void cluster_unref(struct cluster *cluster);
OWNED(cluster, cluster_unref)

/* How to reach that endpoint. */
const struct upstream_socket *cluster_socket(const struct cluster *cluster,
                                             const struct endpoint *endpoint);
