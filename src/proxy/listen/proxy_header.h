/*
 * proxy_header: the PROXY protocol, versions 1 and 2: where a connection that came through a load balancer comes from.
 *
 * Pure: the same bytes may be shown again when more have come. Nothing is consumed; `size` says what the header took.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "io/address.h"

enum {
    PROXY_V1_BYTES_MAX = 107,  /* with CR LF, as the specification has it */
    PROXY_V2_BYTES_MAX = 2048, /* with its additions (TLVs), which are passed over */
};

enum proxy_header_status {
    PROXY_HEADER_MORE, /* so far it looks like one */
    PROXY_HEADER_NONE, /* the first bytes are of something else */
    PROXY_HEADER_BAD,  /* it is one, and broken or over a limit */
    PROXY_HEADER_DONE,
};

struct proxy_header {
    uint8_t version;
    uint16_t size;
    bool
        is_local; /* UNKNOWN, LOCAL, or a family that is not ours: the socket's own addresses hold */
    struct address source, destination;
    const char *why; /* BAD: a phrase for the log */
};

enum proxy_header_status proxy_header_peek(const struct chain *bytes, struct proxy_header *header);

/* The header for a connection between the two, IP addresses of one family; else UNKNOWN or LOCAL. Returns its size. */
size_t proxy_header_write(uint8_t version, const struct address *source,
                          const struct address *destination, char out[PROXY_V1_BYTES_MAX + 1]);
