/*
 * grpc_status: the codes of gRPC, their text on the wire, and what HTTP says when gRPC does not.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/slice.h"

enum grpc_code {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
    GRPC_CODES
};

/* Longest message read from or written to grpc-message, decoded. */
enum { GRPC_MESSAGE_MAX = 4096 };

/* "UNAVAILABLE"; static; "UNKNOWN" for what is no code. */
const char *grpc_code_name(enum grpc_code code);
/* A grpc-status header's value; what is no code is GRPC_UNKNOWN (APP-04). */
enum grpc_code grpc_code_parse(struct slice value);
/* For a response without grpc-status (gRPC's http-grpc-status-mapping). */
enum grpc_code grpc_code_of_http(unsigned http_status);

/* Percent-encoding of grpc-message: everything outside 0x20..0x7e and '%'. Cut at GRPC_MESSAGE_MAX bytes of text. */
void grpc_message_encode(struct buffer *to, struct slice message);
/* Bad escapes stay as they are; cut at GRPC_MESSAGE_MAX; control characters become spaces. */
void grpc_message_decode(struct buffer *to, struct slice value);

/* grpc-timeout: 1 to 8 digits and a unit of H M S m u n. False when malformed (APP-03). */
MUST_USE bool grpc_timeout_parse(struct slice value, uint64_t *timeout_us);
/* Into at least 12 bytes; never shorter than asked. Returns the length. */
size_t grpc_timeout_format(uint64_t timeout_us, char *text);
