/*
 * hcm: how HTTP is spoken on a downstream connection, compiled from an HttpConnectionManager.
 *
 * Routes are either inside or named (RDS). Filters are in order and end with the router; what each does is found by its kind, so
 * the proxy keeps one table from kind to implementation. Times of 0 are off.
 */
#pragma once

#include "base/attributes.h"
#include "build/access_log.h"
#include "build/http_options.h"
#include "build/name.h"
#include "match/cidr_set.h"
#include "match/rbac.h"

struct route_table;

enum hcm_codec { HCM_CODEC_AUTO, HCM_CODEC_HTTP1, HCM_CODEC_HTTP2 };

enum http_filter_kind {
    HTTP_FILTER_ROUTER,
    HTTP_FILTER_RBAC,
    HTTP_FILTER_PEER_METADATA, /* istio.metadata_exchange: x-envoy-peer-metadata */
    HTTP_FILTER_ALPN,          /* istio.alpn */
    HTTP_FILTER_STATS,         /* istio.stats: Istio's standard metrics */
    HTTP_FILTER_GRPC_STATS,
    HTTP_FILTER_GRPC_WEB,
    HTTP_FILTER_KINDS
};
/* What istio.alpn offers upstream instead, by the request's protocol. */
struct http_filter_alpn {
    const struct slice *http10, *http11, *http2;
    uint8_t http10_count, http11_count, http2_count;
};
struct http_filter_grpc_stats {
    bool by_method;
};
struct http_filter_router {
    bool suppress_envoy_headers;
};
struct http_filter_rbac {
    const struct rbac *rules, *shadow;        /* NULL: none */
    struct slice rules_prefix, shadow_prefix; /* of statistics */
};
struct http_filter {
    enum http_filter_kind kind;
    struct slice name;
    bool disabled;
    union {
        struct http_filter_router router;
        struct http_filter_rbac rbac;
        struct http_filter_alpn alpn;
        struct http_filter_grpc_stats grpc_stats;
    };
};

enum hcm_client_cert {
    HCM_CERT_SANITIZE,
    HCM_CERT_FORWARD,
    HCM_CERT_APPEND,
    HCM_CERT_SET,
    HCM_CERT_ALWAYS_FORWARD
};
enum hcm_grpc_stats { HCM_GRPC_STATS_OFF, HCM_GRPC_STATS_BY_CLUSTER, HCM_GRPC_STATS_BY_METHOD };
enum hcm_server_header { HCM_SERVER_OVERWRITE, HCM_SERVER_IF_ABSENT, HCM_SERVER_PASS };
enum hcm_slashes {
    HCM_SLASHES_KEEP,
    HCM_SLASHES_REFUSE,
    HCM_SLASHES_REDIRECT,
    HCM_SLASHES_FORWARD
};

struct hcm_upgrade {
    struct slice kind; /* "websocket", "CONNECT", in lower case */
    bool enabled;
};

struct hcm {
    enum hcm_codec codec : 8;
    enum hcm_client_cert client_cert : 8;
    enum hcm_server_header server_header : 8;
    enum hcm_slashes slashes : 8;
    enum hcm_grpc_stats grpc_stats : 8;                /* what a grpc_stats filter asks for */
    bool cert_subject, cert_dns, cert_uri, cert_chain; /* what APPEND and SET tell */
    bool use_remote_address;
    bool skip_xff_append;
    bool generate_request_id; /* true unless configured */
    bool preserve_request_id;
    bool request_id_in_response;
    bool proxy_100_continue;
    bool normalize_path, merge_slashes;
    bool strip_any_port, strip_matching_port, strip_trailing_dot;
    struct slice stat_prefix, server_name;
    uint32_t max_head_kb;        /* 60 unless configured */
    uint64_t stream_idle_ms;     /* 5 min unless configured */
    uint64_t request_ms;         /* to the request's end */
    uint64_t request_headers_ms; /* to the head's end */
    uint64_t delayed_close_ms;   /* 1 s unless configured */
    /* What a draining connection still takes, from the first GOAWAY to the last and after HTTP/1's last answer; 0 unless
     * configured: as long as needed. */
    uint64_t drain_ms;
    uint64_t flush_ms; /* towards a peer that does not read; stream_idle_ms unless configured */
    struct http_options options;
    struct http1_options http1;
    struct http2_options http2;
    struct cidr_set internal; /* addresses that count as ours */
    bool internal_unix;

    struct route_table *routes; /* inline: a reference; NULL: by name */
    struct name route_name;     /* RDS */
    uint32_t route_wait_ms;     /* warm without it after that; 0: wait for ever */

    const struct http_filter *filters; /* the last one is the router */
    uint32_t filter_count;
    const struct hcm_upgrade *upgrades;
    uint32_t upgrade_count;
    struct access_logs logs;
    struct access_logs flush_logs;
};
