/*
 * any: messages in google.protobuf.Any, by type URL.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "pb/guard.h"

#include "google/protobuf/any.pb-c.h"

#define PB_URL_PREFIX "type.googleapis.com/"

/* The canonical bytes of the message with its type URL; both live in the arena. */
Google__Protobuf__Any *pb_any_pack(const ProtobufCMessage *message, struct arena *arena)
    __attribute__((returns_nonnull));
/* "type.googleapis.com/envoy.config.cluster.v3.Cluster", in the arena. */
const char *pb_type_url(const ProtobufCMessageDescriptor *type, struct arena *arena);
bool pb_any_is(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type);
/*
 * The message inside, decoded into the arena, or NULL with an error. `type` is what the caller expects; with NULL any registered
 * type is taken, and message->base.descriptor tells which it was. An absent Any is an error too.
 */
MUST_USE void *pb_any_unpack(const Google__Protobuf__Any *any,
                             const ProtobufCMessageDescriptor *type, struct arena *arena,
                             const struct pb_limits *limits, struct error *error);
