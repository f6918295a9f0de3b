/*
 * h1_head: HTTP/1 heads, from where they begin in the input to a list of fields.
 *
 * Two steps. The scan finds the end of a head in pieces as they arrive, refusing control characters, bare CR and bare
 * LF at once and limits as soon as they are passed. Then the whole head, copied into one piece, is parsed in place:
 * names and values point into it.
 */
#pragma once

#include "http/message.h"
#include "http/refusal.h"

enum {
    HEAD_LINES_MAX = 1024, /* bounds limits->max_headers */
    HEAD_PADDING = 16,     /* readable bytes that must follow a head to be parsed */
};

struct head_scan {
    uint32_t size; /* bytes scanned */
    uint32_t line; /* where the current line began */
    uint16_t lines;
    bool after_cr; /* the last byte was CR */
};
enum head_scan_status { HEAD_MORE, HEAD_WHOLE, HEAD_BAD };

/*
 * Scans the next piece of a head. WHOLE: scan->size is the head's size, its empty line included. ends may be NULL;
 * else it holds HEAD_LINES_MAX offsets of the CRs that end lines (one piece only). BAD: *refusal.
 */
enum head_scan_status head_scan(struct head_scan *scan, const char *data, size_t size,
                                uint32_t max_bytes, uint32_t max_headers, uint32_t *ends,
                                enum http_refusal *refusal);

/* What a head says about its message and its connection; a part of the list no longer. */
struct head_framing {
    bool chunked;
    bool close;
    bool keep_alive;
    bool upgrade; /* Connection names it */
    uint8_t hosts;
    struct slice host;
    struct slice upgrade_to;
};

struct head_input {
    struct slice bytes; /* the whole head, with HEAD_PADDING bytes behind it */
    const uint32_t *ends;
    unsigned lines;
    const struct http_limits *limits;
    struct arena *arena; /* for the list */
};
/* Each gives HTTP_REFUSAL_NONE when all is well. What they fill in points into the input's bytes. */
MUST_USE enum http_refusal head_parse_request(const struct head_input *input,
                                              struct http_request *request,
                                              struct head_framing *framing);
MUST_USE enum http_refusal head_parse_response(const struct head_input *input,
                                               struct http_response *response,
                                               struct head_framing *framing);
/* Trailers have no start line. Framing fields are refused; those that mean something in a head are left out. */
MUST_USE enum http_refusal head_parse_trailers(const struct head_input *input,
                                               struct headers *trailers);
