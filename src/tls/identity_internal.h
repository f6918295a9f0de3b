/* identity_internal: how the engine makes and describes identities. */
#pragma once

#include "tls/identity.h"

struct map;

/* The one identity of this certificate: an old one with a new reference, or a copy of `model`, which is borrowed. The map
   must outlive it. */
struct peer_identity *identity_intern(struct map *home, const struct peer_identity *model);
/* How many tickets this peer was given since it last came back with one. */
uint32_t *identity_tickets(struct peer_identity *identity);
/* The SPIFFE ID, or the names joined by commas: in `to` (at least 64 bytes) or in the identity itself. */
struct slice identity_names_text(const struct peer_identity *identity, char *to, size_t size);
