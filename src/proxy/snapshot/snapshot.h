/*
 * snapshot: one consistent configuration: every resource that is in force, by kind and name.
 *
 * Immutable. The main thread makes it from the one before; the publisher gives it to the workers. Look-ups take names
 * that were hashed when whatever refers to them was built.
 */
#pragma once

#include "base/attributes.h"
#include "build/name.h"
#include "build/tls_spec.h"
#include "match/ip.h"
#include "proxy/snapshot/name_tree.h"
#include "proxy/snapshot/resource.h"

struct snapshot {
    uint64_t epoch; /* 1, 2, 3... */
    struct name_tree trees[RESOURCE_KINDS];
    uint32_t holds; /* publisher's count, main thread */
};

static inline const struct resource *snapshot_find(const struct snapshot *snapshot,
                                                   enum resource_kind kind, const struct name *name)
{
    return name_tree_find(snapshot->trees[kind], name);
}
/* NULL when it is not there (yet). The resource is what to pin. */
static inline const struct resource *snapshot_cluster(const struct snapshot *snapshot,
                                                      const struct name *name)
{
    return snapshot_find(snapshot, KIND_CLUSTER, name);
}
/* The endpoints of a cluster; NULL when there are none yet. Valid until the worker adopts a newer snapshot, unless pinned. */
const struct endpoints *snapshot_endpoints(const struct snapshot *snapshot,
                                           const struct cluster *cluster);
/* The context for new handshakes; NULL for a spec whose secrets are not there. */
struct tls_context *snapshot_tls(const struct snapshot *snapshot, const struct tls_spec *spec);
/* The listener that does not bind and serves that original destination, or NULL: address and port, then wildcard and port. */
const struct listener *snapshot_listener_for(const struct snapshot *snapshot, const struct ip *ip,
                                             uint16_t port);
const struct listener *snapshot_udp_listener_for(const struct snapshot *snapshot,
                                                 const struct ip *ip, uint16_t port);
/* Visits what differs in one kind. */
static inline void
snapshot_diff(const struct snapshot *before, const struct snapshot *after, enum resource_kind kind,
              void (*visit)(void *to, const struct resource *before, const struct resource *after),
              void *to)
{
    name_tree_diff(before ? before->trees[kind] : (struct name_tree){0}, after->trees[kind], visit,
                   to);
}
