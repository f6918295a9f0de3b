/*
 * chunked: the transfer coding's framing (RFC 9112 7.1), strict.
 *
 * The decoder takes framing away and says how much payload follows; it never holds bytes, so a cut may fall anywhere.
 * Extensions are checked and ignored. Trailers are header fields and not read here.
 */
#pragma once

#include "base/slice.h"
#include "http/refusal.h"

struct http_limits;

enum chunk_state {
    CHUNK_AT_SIZE,
    CHUNK_IN_SIZE,
    CHUNK_IN_EXTENSION,
    CHUNK_IN_QUOTED, /* inside an extension's quoted string */
    CHUNK_AT_QUOTED, /* after a backslash in it */
    CHUNK_AT_SIZE_LF,
    CHUNK_IN_DATA,
    CHUNK_AT_DATA_CR,
    CHUNK_AT_DATA_LF,
    CHUNK_AT_END, /* the last chunk's size line is read; trailers and an empty line follow */
};

struct chunked {
    uint64_t left;      /* payload of this chunk still to come */
    uint64_t payload;   /* so far */
    uint64_t framing;   /* so far */
    uint32_t extension; /* bytes of this chunk's extensions */
    uint8_t state;      /* enum chunk_state */
    uint8_t digits;
    uint8_t refusal; /* enum http_refusal, after CHUNKED_BAD */
};

enum chunked_status { CHUNKED_MORE, CHUNKED_BYTES, CHUNKED_END, CHUNKED_BAD };

void chunked_init(struct chunked *chunked);
/*
 * Works through `in` from its front. BYTES: *size bytes of payload are at in's front, at least 1; the caller takes
 * them off. MORE: all of `in` was framing. END: what follows are trailers. BAD: chunked->refusal.
 */
enum chunked_status chunked_read(struct chunked *chunked, const struct http_limits *limits,
                                 struct slice *in, size_t *size);

enum { CHUNK_HEAD_MAX = 18 };
/* "1a3\r\n" into text; returns its length. */
size_t chunk_head(char text[CHUNK_HEAD_MAX], uint64_t size);
