#include "http/message.h"

const struct http_limits http_limits_default = {
    .max_head_bytes = 60 * 1024,
    .max_headers = 100,
    .max_target_bytes = 16 * 1024,
    .max_name_bytes = 1024,
    .max_trailer_bytes = 60 * 1024,
    .max_informational = 16,
    .max_chunk_extension_bytes = 4096,
    .chunk_overhead_bytes = 16 * 1024,
    .chunk_overhead_ratio = 16,
    .receive_window = 64 * 1024,
    .stream_window = 64 * 1024,
    .connection_window = 1024 * 1024,
    .max_streams = 100,
    .max_queued_control = 1000,
    .max_continuations = 8,
    .reset_burst = 500,
    .reset_per_s = 250,
    .glitch_burst = 1000,
    .glitch_per_s = 33,
    .max_turn_messages = 32,
    .max_turn_bytes = 64 * 1024,
};

static const struct slice methods[HTTP_METHODS] = {
    [HTTP_GET] = {"GET", 3},         [HTTP_HEAD] = {"HEAD", 4},     [HTTP_POST] = {"POST", 4},
    [HTTP_PUT] = {"PUT", 3},         [HTTP_DELETE] = {"DELETE", 6}, [HTTP_CONNECT] = {"CONNECT", 7},
    [HTTP_OPTIONS] = {"OPTIONS", 7}, [HTTP_TRACE] = {"TRACE", 5},   [HTTP_PATCH] = {"PATCH", 5},
};

enum http_method http_method_of(struct slice text)
{
    for (unsigned method = HTTP_GET; method < HTTP_METHODS; method++)
        if (slice_equals(methods[method], text))
            return (enum http_method)method;
    return HTTP_OTHER_METHOD;
}

struct slice http_method_text(enum http_method method)
{
    return methods[method];
}

bool http_method_is_safe(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS ||
           method == HTTP_TRACE;
}

bool http_method_is_idempotent(enum http_method method)
{
    return http_method_is_safe(method) || method == HTTP_PUT || method == HTTP_DELETE;
}

struct slice http_version_text(enum http_version version)
{
    switch (version) {
    case HTTP_1_0: return SLICE("HTTP/1.0");
    case HTTP_1_1: return SLICE("HTTP/1.1");
    case HTTP_2: return SLICE("HTTP/2");
    }
    return SLICE_NONE;
}

struct slice http_status_text(unsigned status)
{
    switch (status) {
    case 100: return SLICE("Continue");
    case 101: return SLICE("Switching Protocols");
    case 102: return SLICE("Processing");
    case 103: return SLICE("Early Hints");
    case 200: return SLICE("OK");
    case 201: return SLICE("Created");
    case 202: return SLICE("Accepted");
    case 203: return SLICE("Non-Authoritative Information");
    case 204: return SLICE("No Content");
    case 205: return SLICE("Reset Content");
    case 206: return SLICE("Partial Content");
    case 207: return SLICE("Multi-Status");
    case 208: return SLICE("Already Reported");
    case 226: return SLICE("IM Used");
    case 300: return SLICE("Multiple Choices");
    case 301: return SLICE("Moved Permanently");
    case 302: return SLICE("Found");
    case 303: return SLICE("See Other");
    case 304: return SLICE("Not Modified");
    case 305: return SLICE("Use Proxy");
    case 307: return SLICE("Temporary Redirect");
    case 308: return SLICE("Permanent Redirect");
    case 400: return SLICE("Bad Request");
    case 401: return SLICE("Unauthorized");
    case 402: return SLICE("Payment Required");
    case 403: return SLICE("Forbidden");
    case 404: return SLICE("Not Found");
    case 405: return SLICE("Method Not Allowed");
    case 406: return SLICE("Not Acceptable");
    case 407: return SLICE("Proxy Authentication Required");
    case 408: return SLICE("Request Timeout");
    case 409: return SLICE("Conflict");
    case 410: return SLICE("Gone");
    case 411: return SLICE("Length Required");
    case 412: return SLICE("Precondition Failed");
    case 413: return SLICE("Content Too Large");
    case 414: return SLICE("URI Too Long");
    case 415: return SLICE("Unsupported Media Type");
    case 416: return SLICE("Range Not Satisfiable");
    case 417: return SLICE("Expectation Failed");
    case 418: return SLICE("I'm a teapot");
    case 421: return SLICE("Misdirected Request");
    case 422: return SLICE("Unprocessable Content");
    case 423: return SLICE("Locked");
    case 424: return SLICE("Failed Dependency");
    case 425: return SLICE("Too Early");
    case 426: return SLICE("Upgrade Required");
    case 428: return SLICE("Precondition Required");
    case 429: return SLICE("Too Many Requests");
    case 431: return SLICE("Request Header Fields Too Large");
    case 451: return SLICE("Unavailable For Legal Reasons");
    case 500: return SLICE("Internal Server Error");
    case 501: return SLICE("Not Implemented");
    case 502: return SLICE("Bad Gateway");
    case 503: return SLICE("Service Unavailable");
    case 504: return SLICE("Gateway Timeout");
    case 505: return SLICE("HTTP Version Not Supported");
    case 506: return SLICE("Variant Also Negotiates");
    case 507: return SLICE("Insufficient Storage");
    case 508: return SLICE("Loop Detected");
    case 510: return SLICE("Not Extended");
    case 511: return SLICE("Network Authentication Required");
    default: return SLICE("Unknown");
    }
}

bool http_response_is_bodyless(enum http_method method, unsigned status)
{
    return method == HTTP_HEAD || status < 200 || status == 204 || status == 304;
}

void http_request_init(struct http_request *request)
{
    *request = (struct http_request){.content_length = HTTP_LENGTH_UNKNOWN, .version = HTTP_1_1};
}

void http_response_init(struct http_response *response, unsigned status)
{
    *response = (struct http_response){
        .content_length = HTTP_LENGTH_UNKNOWN, .version = HTTP_1_1, .status = (uint16_t)status};
}

void http_request_set_method(struct http_request *request, enum http_method method)
{
    request->method = (uint8_t)method;
    request->method_text = methods[method];
}

bool http_request_copy(struct http_request *to, struct arena *arena,
                       const struct http_request *from)
{
    struct http_request copy = *from;
    if (!headers_copy(&copy.headers, arena, &from->headers))
        return false;
    *to = copy;
    return true;
}

bool http_response_copy(struct http_response *to, struct arena *arena,
                        const struct http_response *from)
{
    struct http_response copy = *from;
    if (!headers_copy(&copy.headers, arena, &from->headers))
        return false;
    *to = copy;
    return true;
}
