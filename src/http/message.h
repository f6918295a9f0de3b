/*
 * message: the heads of requests and responses, and what they may cost.
 *
 * A head lives in a stream's arena and reads the same whichever protocol it came by. Upgrades look as in HTTP/1:
 * an extended CONNECT (RFC 8441) is a GET with `upgrade`, and its 2xx is a 101.
 */
#pragma once

#include "http/header.h"

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

enum http_method {
    HTTP_OTHER_METHOD,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_CONNECT,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_PATCH,
    HTTP_METHODS
};

enum { HTTP_LENGTH_UNKNOWN = -1 };

struct http_request {
    struct slice method_text;
    struct slice scheme;    /* "http", "https"; empty when an HTTP/1 request did not say */
    struct slice authority; /* Host or :authority, as received; syntax was checked */
    struct slice path;      /* with query, as received; "*" for OPTIONS *; empty for CONNECT */
    struct slice upgrade;   /* "websocket"; empty when none is asked for */
    int64_t content_length; /* HTTP_LENGTH_UNKNOWN: none was declared */
    struct headers headers;
    uint8_t method;        /* enum http_method */
    uint8_t version;       /* enum http_version, as received */
    bool expects_continue; /* Expect: 100-continue */
};

struct http_response {
    int64_t content_length; /* of what GET would carry, for HEAD and 304 */
    struct slice upgrade;   /* with 101 */
    struct headers headers;
    uint16_t status;
    uint8_t version; /* as received */
};

struct http_limits {
    uint32_t max_head_bytes; /* start line and fields, without HPACK's compression */
    uint32_t max_headers;    /* fields; HTTP/2 counts cookie crumbs */
    uint32_t max_target_bytes;
    uint32_t max_name_bytes;
    uint32_t max_trailer_bytes;
    uint32_t max_informational; /* 1xx heads before the final one, max_head_bytes together */
    uint32_t max_chunk_extension_bytes;
    uint32_t chunk_overhead_bytes; /* framing a body may carry: this much and */
    uint32_t chunk_overhead_ratio; /* this many times its payload */
    uint32_t receive_window; /* HTTP/1: delivered and not yet consumed bytes; then reading pauses */
    /* HTTP/2 */
    uint32_t stream_window; /* delivered and not yet consumed bytes a stream */
    uint32_t connection_window;
    uint32_t max_streams;
    uint32_t max_queued_control; /* acknowledgements that wait for a peer who does not read */
    uint32_t max_continuations;
    uint32_t reset_burst, reset_per_s;   /* streams that the peer resets */
    uint32_t glitch_burst, glitch_per_s; /* malformed messages, empty frames and the like */
    uint32_t max_turn_messages;          /* requests or responses taken up a turn and connection */
    uint32_t max_turn_bytes;             /* input worked through a turn and connection */
    bool refuse_underscore_twins; /* "Content_Length": refuse (gateway), else drop (sidecar) */
    bool
        lenient_query; /* people type regular expressions into the query: visible ASCII passes there */
    bool fin_cancels;            /* an HTTP/1 client's FIN after its request is a cancel */
    bool allow_connect;          /* else CONNECT is refused by 405 */
    bool offer_extended_connect; /* SETTINGS_ENABLE_CONNECT_PROTOCOL */
};
extern const struct http_limits http_limits_default;

enum http_method http_method_of(struct slice text);
/* Empty for HTTP_OTHER_METHOD. */
struct slice http_method_text(enum http_method method);
/* RFC 9110 9.2. An unknown method is neither. */
bool http_method_is_safe(enum http_method method);
bool http_method_is_idempotent(enum http_method method);
/* "HTTP/1.1", as access logs have it. */
struct slice http_version_text(enum http_version version);
/* The reason phrase, "Unknown" for a status without one. */
struct slice http_status_text(unsigned status);

static inline bool http_status_is_informational(unsigned status)
{
    return status < 200;
}
/* Whether a response of this status to this method carries no content (RFC 9110 6.4.1). */
bool http_response_is_bodyless(enum http_method method, unsigned status);
/* Whether the exchange becomes a tunnel: 101, or 2xx to CONNECT. */
static inline bool http_response_is_tunnel(enum http_method method, unsigned status)
{
    return status == 101 || (method == HTTP_CONNECT && status >= 200 && status < 300);
}

/* Zeroed but for content_length. */
void http_request_init(struct http_request *request);
void http_response_init(struct http_response *response, unsigned status);
/* Sets method and method_text; the text is static. */
void http_request_set_method(struct http_request *request, enum http_method method);
/* Overlays: they own their list of fields and share the bytes. False when the arena refuses. */
MUST_USE bool http_request_copy(struct http_request *to, struct arena *arena,
                                const struct http_request *from);
MUST_USE bool http_response_copy(struct http_response *to, struct arena *arena,
                                 const struct http_response *from);
