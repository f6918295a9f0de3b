/*
 * http_options: limits and habits of HTTP connections, of either side. Times of 0 are off.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum http_underscores { HTTP_UNDERSCORES_ALLOW, HTTP_UNDERSCORES_REFUSE };

struct http_options {
    uint64_t idle_timeout_ms; /* of a connection; 1 h unless configured */
    uint64_t max_connection_ms;
    uint64_t max_stream_ms;
    uint32_t max_headers;  /* fields of one head; 100 unless configured */
    uint32_t max_requests; /* on one connection; 0: no limit */
    enum http_underscores underscores;
};

struct http1_options {
    struct slice default_host; /* of HTTP/1.0 requests without one; empty: 400 */
    bool send_trailers;
};

struct http2_options {
    uint32_t max_streams; /* 100 towards upstreams and from downstreams, unless configured */
    uint32_t stream_window, connection_window;
    bool allow_connect;
    uint64_t ping_interval_ms, ping_timeout_ms; /* interval 0: none */
};
