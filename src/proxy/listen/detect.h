/*
 * detect: what a connection's first bytes are: TLS, HTTP/1, HTTP/2 or something else. Pure.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"

enum detected_http {
    DETECTED_MORE,
    DETECTED_HTTP_10,
    DETECTED_HTTP_11,
    DETECTED_HTTP_2,
    DETECTED_OTHER
};
enum { DETECT_HTTP_BYTES = 8192 }; /* of a request line; a longer one is "other" */

/* The bytes are not consumed, and may be shown again when more have come. */
enum detected_http detect_http(const struct chain *bytes);
