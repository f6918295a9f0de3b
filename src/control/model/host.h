/*
 * host: names of services as rules write them, and as the mesh knows them.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"

#define HOST_DOMAIN "svc.cluster.local"

/* "cart" in namespace shop is cart.shop.svc.cluster.local; every other name stays. Lower case, in the arena. */
struct slice host_resolve(struct slice host, struct slice name_space, struct arena *arena);
/* "cart.shop.svc.cluster.local", in the arena. */
struct slice host_of_service(struct slice name, struct slice name_space, struct arena *arena);
/* Of a name under HOST_DOMAIN; empty for others. */
struct slice host_name_space(struct slice host);
/* The next wildcard that holds the host, most specific first: *.shop.svc.cluster.local, *.svc.cluster.local, ..., *; *at starts
 * at 0. False after "*". In `text` (256 bytes). */
MUST_USE bool host_next_wildcard(struct slice host, size_t *at, char text[256],
                                 struct slice *wildcard);
