/*
 * codec: messages from bytes and to bytes.
 *
 * Decoding goes through the guard and into an arena; nothing else in the tree may call a generated `unpack`. Packing has one
 * encoding for one meaning: fields in order of number, map entries in order of key, zeros of implicit presence
 * dropped, unknown fields last. So equal bytes mean equal messages, on every replica and after every restart.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "pb/guard.h"

#include <protobuf-c/protobuf-c.h>

/* The message, in the arena and alive as long as it, or NULL with an error. limits NULL = PB_LIMITS. */
MUST_USE void *pb_decode(const ProtobufCMessageDescriptor *type, struct slice bytes,
                         struct arena *arena, const struct pb_limits *limits, struct error *error);

/* Appends the canonical bytes. The message nests no deeper than PB_MAX_DEPTH. */
void pb_pack(const ProtobufCMessage *message, struct buffer *out);
/* The canonical bytes, in the arena. */
struct slice pb_pack_to(const ProtobufCMessage *message, struct arena *arena);
/* Of the canonical bytes. */
struct hash128 pb_hash(const ProtobufCMessage *message);
