/*
 * addresses: virtual addresses of services out of 240.240.0.0/16, allocated in store transactions and kept.
 *
 * Two keys a service, written together where neither was: tulle.dev/addresses//HOST holds the address, and
 * tulle.dev/addressowners//ADDRESS the host; so no address is given twice, also by two replicas. A service that goes keeps its
 * address for ADDRESS_KEEP_MS and has it again when it comes back; after a restart that time begins anew.
 */
#pragma once

#include "base/attributes.h"
#include "control/registry/registry.h"

struct addresses;
struct loop;
struct store;

/* Of every key of ours. */
#define ADDRESSES_PREFIX "tulle.dev/address"
enum { ADDRESS_KEEP_MS = 10 * 60 * 1000 };

/* All must outlive it. */
struct addresses *addresses_create(struct loop *loop, struct store *store,
                                   struct registry *registry);
/* Accepts NULL. */
void addresses_destroy(struct addresses *addresses);
/* From the feed: keys that are no object's; others than ours are ignored. True when a service's address is another now. */
bool addresses_see(struct addresses *addresses, struct slice key, struct slice value);
/* Services may have come or gone: allocate what is missing, soon. Before the feed is ready it must not be called. */
void addresses_check(struct addresses *addresses);
