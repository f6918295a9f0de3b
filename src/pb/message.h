/*
 * message: building, copying and comparing messages in memory.
 *
 * Everything that is built here lives in an arena and dies with it. In proto/ scalars have presence: write them with PB_SET
 * and read them with PB_GET. google.protobuf's own types have none: a wrapper that is there holds its value.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"

#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"

#include <protobuf-c/protobuf-c.h>

/* An empty message: Envoy__Config__Cluster__V3__Cluster *c = pb_new(arena, &envoy__config__cluster__v3__cluster__descriptor) */
void *pb_new(struct arena *arena, const ProtobufCMessageDescriptor *type)
    __attribute__((returns_nonnull));

/* A scalar's value, or `otherwise` when it is absent. */
#define PB_GET(message, field, otherwise) ((message)->has_##field ? (message)->field : (otherwise))
#define PB_SET(message, field, ...)                                                                \
    do {                                                                                           \
        (message)->has_##field = 1;                                                                \
        (message)->field = (__VA_ARGS__);                                                          \
    } while (0)
/* "" for an absent string. */
static inline const char *pb_str(const char *text)
{
    return text ? text : "";
}
static inline struct slice pb_bytes(ProtobufCBinaryData bytes)
{
    return slice_of(bytes.data, bytes.len);
}

/* Appends to a repeated field: PB_APPEND(arena, listener, filter_chains, chain). */
#define PB_APPEND(arena, message, field, ...)                                                      \
    do {                                                                                           \
        (message)->field =                                                                         \
            pb_grow((arena), (message)->field, (message)->n_##field, sizeof(*(message)->field));   \
        (message)->field[(message)->n_##field++] = (__VA_ARGS__);                                  \
    } while (0)
/* Adds a map entry without looking for one of the same key: PB_PUT(arena, metadata, filter_metadata, "istio", struct). */
#define PB_PUT(arena, message, map, entry_descriptor, entry_key, ...)                              \
    do {                                                                                           \
        __typeof__((message)->map[0]) put_entry = pb_new((arena), (entry_descriptor));             \
        put_entry->key = (entry_key);                                                              \
        put_entry->value = (__VA_ARGS__);                                                          \
        PB_APPEND((arena), (message), map, put_entry);                                             \
    } while (0)
/* Room for one more element: doubles when count is a power of two. */
void *pb_grow(struct arena *arena, void *items, size_t count, size_t item_size);

/* Deep, unknown fields included. */
void *pb_copy(const ProtobufCMessage *message, struct arena *arena)
    __attribute__((returns_nonnull));
/* Same type and same canonical bytes. */
bool pb_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

enum pb_change { PB_CHANGED, PB_ADDED, PB_REMOVED };
/* One place where two messages of a type differ: what became of it from a to b. */
struct pb_difference {
    const char *path;              /* "route_config.virtual_hosts[0].name" */
    const ProtobufCMessage *a, *b; /* the messages that hold the field, on each side */
    const ProtobufCFieldDescriptor *field;
    enum pb_change change;
};
/* Visits the differences in order of field number; lists by index, maps by key. Returns how many there were. */
size_t pb_diff(const ProtobufCMessage *a, const ProtobufCMessage *b,
               void (*visit)(const struct pb_difference *difference, void *to), void *to);

/* Wrappers, with what holds when they are absent. */
static inline uint32_t pb_u32(const Google__Protobuf__UInt32Value *wrapper, uint32_t otherwise)
{
    return wrapper ? wrapper->value : otherwise;
}
static inline bool pb_bool(const Google__Protobuf__BoolValue *wrapper, bool otherwise)
{
    return wrapper ? wrapper->value : otherwise;
}
Google__Protobuf__UInt32Value *pb_u32_new(struct arena *arena, uint32_t value);
Google__Protobuf__BoolValue *pb_bool_new(struct arena *arena, bool value);

/* Whole milliseconds, rounded up so that a tiny timeout is not none; `otherwise` when absent; clamped to +-INT64_MAX. */
int64_t pb_duration_ms(const Google__Protobuf__Duration *duration, int64_t otherwise);
/* Seconds and nanoseconds of one sign and within protobuf's range of 10,000 years. */
bool pb_duration_is_valid(const Google__Protobuf__Duration *duration);
Google__Protobuf__Duration *pb_duration_new(struct arena *arena, int64_t ms);
/* From nanoseconds since 1970. */
Google__Protobuf__Timestamp *pb_timestamp_new(struct arena *arena, int64_t unix_ns);

/* NULL when there is no such member, or no struct. */
const Google__Protobuf__Value *pb_struct_get(const Google__Protobuf__Struct *object,
                                             const char *key);
/* The string at key; NULL when there is none or it is not a string. */
const char *pb_struct_get_str(const Google__Protobuf__Struct *object, const char *key);
Google__Protobuf__Struct *pb_struct_new(struct arena *arena);
void pb_struct_put(struct arena *arena, Google__Protobuf__Struct *object, const char *key,
                   Google__Protobuf__Value *value);
Google__Protobuf__Value *pb_value_str(struct arena *arena, const char *text);
Google__Protobuf__Value *pb_value_number(struct arena *arena, double number);
Google__Protobuf__Value *pb_value_bool(struct arena *arena, bool truth);
Google__Protobuf__Value *pb_value_struct(struct arena *arena, Google__Protobuf__Struct *object);
