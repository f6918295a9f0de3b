/*
 * refusals: which versions the proxies of one class have refused, so that a bad one is not sent for ever.
 *
 * A refusal binds the client that refused, also after it reconnects. It binds the whole class once two clients have
 * refused the version and none has accepted it since: one hostile or broken proxy cannot keep configuration from its
 * siblings. At most REFUSALS_MAX versions are remembered, the newest. Not shared between threads.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct blob;
struct refusals;

enum { REFUSALS_MAX = 1024, REFUSAL_CLIENTS_MAX = 8 };

struct refusals *refusals_create(void);
void refusals_destroy(struct refusals *refusals);
/* True when this is news: the first refusal of this version by this client. */
bool refusals_note(struct refusals *refusals, const struct blob *blob, struct slice client);
/* A client accepted this version. True when a refusal that bound the class is lifted by it. */
bool refusals_accept(struct refusals *refusals, const struct blob *blob, struct slice client);
/* The version is not to be sent to this client while it holds an older one. */
bool refusals_bind(const struct refusals *refusals, const struct blob *blob, struct slice client);
size_t refusals_count(const struct refusals *refusals);
/* Rises when a refusal is lifted: sessions that see a new number review their marks. */
uint64_t refusals_lifted(const struct refusals *refusals);
OWNED(refusals, refusals_destroy)
