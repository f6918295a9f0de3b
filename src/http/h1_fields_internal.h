/*
 * h1_fields_internal: the lines of a head, shared by requests, responses and trailers.
 */
#pragma once

#include "http/h1_head.h"
#include "http/scan_internal.h"

/* What a walk through the lines of a head finds. */
struct fields {
    const char *end; /* of the bytes that there are */
    struct head_input *input;
    struct head_framing *framing;
    struct headers *list;
    int64_t content_length;
    uint8_t codings;
};

COLD enum head_status head_refuse(struct head_input *input, enum http_refusal refusal);

/* Why this control character ends no line; NONE when more bytes could still make it one. */
COLD enum http_refusal line_fault(const char *at, const char *end);

static inline bool is_crlf(const char *at)
{
    return load_pair(at) == load_pair("\r\n");
}

/*
 * The CR that ends the line at `at`, with its LF behind it. NULL: *refusal, or NONE when the line is not complete.
 */
static inline const char *find_line_end(const char *at, const char *end, enum http_refusal *refusal)
{
    for (;;) {
#ifdef __SSE2__
        /* Tabs stop here too, which is cheaper than to leave them out. */
        __m128i bytes = scan_load(at);
        unsigned hits = scan_bits(_mm_or_si128(scan_at_most(bytes, 0x1f), scan_equal(bytes, 0x7f)));
        if (!hits) {
            at += SCAN_BYTES;
            if (UNLIKELY(at >= end))
                return NULL;
            continue;
        }
        at += __builtin_ctz(hits);
#else
        while (at < end && !is_control((uint8_t)*at) && *at != '\t')
            at++;
#endif
        if (LIKELY(is_crlf(at) && at + 1 < end))
            return at;
        if (at < end && *at == '\t') {
            at++;
            continue;
        }
        *refusal = line_fault(at, end);
        return NULL;
    }
}

/* All lines from `at` up to the empty one. */
enum head_status fields_read(struct fields *fields, const char *at);
/* Takes the next element off a comma-separated list; trimmed, may be empty. */
struct slice next_element(struct slice *list);
bool list_has(struct slice list, struct slice token);
