/*
 * http_options: limits and habits of HTTP connections, of either side. Times of 0 are off.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum http_underscores { HTTP_UNDERSCORES_ALLOW, HTTP_UNDERSCORES_REFUSE, HTTP_UNDERSCORES_DROP };

struct http_options {
    uint64_t idle_timeout_ms; /* of a connection; 1 h unless configured */
    uint64_t max_connection_ms;
    uint64_t max_stream_ms;
    uint32_t max_headers;  /* fields of one head; 100 unless configured */
    uint32_t max_requests; /* on one connection; 0: no limit */
    enum http_underscores underscores;
};

struct http1_options {
    bool accept_http_10;
    struct slice default_host; /* of HTTP/1.0 requests without one; empty: 400 */
    bool absolute_url;         /* accept them; true unless configured */
    bool keep_case;            /* header names leave as they came */
    bool proper_case;          /* Header-Names-Like-This */
    bool send_trailers;
};

struct http2_options {
    uint32_t header_table_bytes; /* 4,096 */
    uint32_t max_streams;        /* 100 towards upstreams and from downstreams, unless configured */
    uint32_t stream_window, connection_window;
    bool allow_connect;
    bool keep_connection_on_bad_message;
    uint64_t ping_interval_ms, ping_timeout_ms; /* interval 0: none */
    uint64_t ping_idle_ms;
    double ping_jitter_percent;
};
