/*
 * blob: one resource, serialised once, immutable, shared by every stream and thread that needs it.
 *
 * Its bytes are those of envoy.service.discovery.v3.Resource {name, version, resource}; the part from `any` on is, byte
 * for byte, one `resources` field of a state-of-the-world DiscoveryResponse (both fields have the number 2). So either
 * variant of the protocol is a copy, never another serialisation. The version is a 128-bit hash of the packed body: the
 * same on every replica and after every restart. References are counted atomically.
 *
 * A ghost is a blob without a body: a name, perhaps with the version that a client says it holds.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "base/slice.h"
#include "xds/resource_type.h"

#include <stdatomic.h>

struct blob {
    _Atomic uint32_t refs;
    uint32_t type; /* enum resource_type */
    struct hash128 version;
    uint32_t name_size;
    uint32_t any;       /* offset in wire of the shared `resource` field */
    uint32_t body_size; /* the packed message is the wire's end */
    size_t size;        /* bytes of wire; 0 = ghost */
    char bytes[];       /* name, NUL, wire */
};

/* Limits on what a name may be; longer ones are refused where they come from a peer. */
enum { BLOB_NAME_MAX = 4096 };

/* body is the packed message, under 2 GiB; equal meaning must have equal bytes (pb packs so). One reference, the caller's. */
struct blob *blob_create(enum resource_type type, struct slice name, struct slice body);
struct blob *blob_create_ghost(enum resource_type type, struct slice name, struct hash128 version);
struct blob *blob_ref(const struct blob *blob);
/* Accepts NULL. */
void blob_unref(const struct blob *blob);

static inline struct slice blob_name(const struct blob *blob)
{
    return slice_of(blob->bytes, blob->name_size);
}
static inline bool blob_is_ghost(const struct blob *blob)
{
    return blob->size == 0;
}
/* The Resource message; what follows its tag and length in a delta response. */
static inline struct slice blob_wire(const struct blob *blob)
{
    return slice_of(blob->bytes + blob->name_size + 1, blob->size);
}
/* Tag, length and Any: a whole `resources` field of a state-of-the-world response. */
static inline struct slice blob_any_field(const struct blob *blob)
{
    return slice_from(blob_wire(blob), blob->any);
}
/* The packed message itself. */
static inline struct slice blob_body(const struct blob *blob)
{
    return slice_from(blob_wire(blob), blob->size - blob->body_size);
}

/* 32 hexadecimal digits to a version; false for anything else (another server's version). */
MUST_USE bool blob_version_parse(struct slice text, struct hash128 *version);

/* The version of a set is the sum of its members' versions: the same in any order, maintained by adding and subtracting. */
static inline void version_add(struct hash128 *sum, struct hash128 version)
{
    sum->low += version.low;
    sum->high += version.high + (sum->low < version.low);
}
static inline void version_subtract(struct hash128 *sum, struct hash128 version)
{
    sum->high -= version.high + (sum->low < version.low);
    sum->low -= version.low;
}
