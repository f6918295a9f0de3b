/*
 * h1_head: HTTP/1 heads, from where they begin in the input to a list of fields.
 *
 * A head that lies in one piece, as nearly all do, is parsed where it was read, in one pass. Of one that comes in
 * pieces the scan finds the end, refusing control characters, bare CR, bare LF and what passes a limit as early as
 * can be; then it is gathered and parsed by the same parser.
 */
#pragma once

#include "http/message.h"
#include "http/refusal.h"

enum {
    HEAD_FIELDS_MAX = 1000, /* bounds limits->max_headers */
    HEAD_PADDING = 16,      /* readable bytes that must follow what is parsed */
};
enum head_status { HEAD_MORE, HEAD_WHOLE, HEAD_BAD };

/* What a head says about its message's framing and its connection. */
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
    struct slice bytes; /* the head begins here; HEAD_PADDING bytes behind may be read */
    const struct http_limits *limits;
    uint32_t max_bytes;
    struct arena *arena; /* for the list */
    size_t used;         /* WHOLE: the head's size, its empty line included */
    uint8_t refusal;     /* BAD: enum http_refusal */
};
/* What they fill in points into the input's bytes, and means something with WHOLE only. */
MUST_USE enum head_status head_parse_request(struct head_input *input, struct http_request *request,
                                             struct head_framing *framing);
MUST_USE enum head_status head_parse_response(struct head_input *input,
                                              struct http_response *response,
                                              struct head_framing *framing);
/* Trailers have no start line. Framing fields are refused; those that mean something in a head are left out. */
MUST_USE enum head_status head_parse_trailers(struct head_input *input, struct headers *trailers);

/* The bytes were copied from `bytes` to `to`: what points there follows. */
void head_move_request(struct http_request *request, struct slice bytes, const char *to);
void head_move_response(struct http_response *response, struct slice bytes, const char *to);
void head_move_fields(struct headers *headers, struct slice bytes, const char *to);

/* --- heads in pieces ---------------------------------------------------------------------------------------- */

struct head_scan {
    uint32_t size; /* bytes scanned */
    uint32_t line; /* where the current line began */
    uint16_t lines;
    bool after_cr; /* the last byte was CR */
};
/* Scans the next piece. WHOLE: scan->size is the head's size. BAD: *refusal. */
enum head_status head_scan(struct head_scan *scan, struct slice piece, uint32_t max_bytes,
                           uint32_t max_headers, enum http_refusal *refusal);
