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
    uint32_t any; /* offset in wire of the shared `resource` field */
    size_t size;  /* bytes of wire; 0 = ghost */
    char bytes[]; /* name, NUL, wire */
};

/* Limits on what a name may be; longer ones are refused where they come from a peer. */
enum { BLOB_NAME_MAX = 4096 };

/* body is the packed message, deterministic by construction of pb_pack. One reference, the caller's. */
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
struct slice blob_body(const struct blob *blob);

/* 32 hexadecimal digits to a version; false for anything else (another server's version). */
MUST_USE bool blob_version_parse(struct slice text, struct hash128 *version);

/* How many blobs were serialised and how many bytes that was, in this process: for tests and metrics. */
struct blob_totals {
    uint64_t created, bytes, alive;
};
struct blob_totals blob_totals(void);
