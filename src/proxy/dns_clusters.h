/*
 * dns_clusters: keeps the endpoints of STRICT_DNS clusters as DNS says, published like EDS and only when they differ.
 *
 * Main loop. Each name is asked again when its TTL or the cluster's refresh rate says so; a failure keeps the last good answer.
 */
#pragma once

#include "base/attributes.h"

#include <stdint.h>

struct configure;
struct dns_clusters;
struct loop;
struct name;

/* Its questions carry the mark (SO_MARK), unless that is 0. */
struct dns_clusters *dns_clusters_create(struct loop *loop, uint32_t mark,
                                         struct configure *configure);
void dns_clusters_destroy(struct dns_clusters *dns);
/* The cluster of that name is wanted, or no longer. */
void dns_clusters_follow(struct dns_clusters *dns, const struct name *cluster, bool wanted);
