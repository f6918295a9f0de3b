/*
 * guard: what protobuf-c does not check, checked in one pass before any unpack.
 *
 * Refuses malformed tags and lengths, groups, a wire type that is not the field's, strings that are not UTF-8 or
 * hold NUL, a singular message that occurs twice (protobuf-c would merge them in quadratic time), and whatever
 * would cost more depth, bytes or decoded memory than the limits. Unknown fields pass. Uses no memory and no recursion.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

#include <protobuf-c/protobuf-c.h>

enum { PB_MAX_DEPTH = 64 };

struct pb_limits {
    size_t max_bytes;
    size_t max_depth;  /* of messages within messages; at most PB_MAX_DEPTH */
    size_t max_memory; /* what the decoded message would take */
};

/* 16 MiB of bytes, depth 64, 256 MiB decoded. */
extern const struct pb_limits PB_LIMITS;

/* False with an error that names the field's path. */
MUST_USE bool pb_guard(const ProtobufCMessageDescriptor *type, struct slice bytes,
                       const struct pb_limits *limits, struct error *error);
