/*
 * fallbacks: of each VirtualService that proxies would refuse, the version before it, which they took.
 *
 * Listens to the model: as long as a VirtualService is one that proxies would refuse, its last good version is held here and acts
 * in its place. Whoever keeps that over a restart (conditions/keeper) is told of every change, and gives back what it kept.
 */
#pragma once

#include "base/attributes.h"
#include "control/model/model.h"

struct fallbacks;

struct fallbacks *fallbacks_create(struct model *model);
/* Before the model. Accepts NULL. */
void fallbacks_destroy(struct fallbacks *fallbacks);
OWNED(fallbacks, fallbacks_destroy)

/* Told when another version, or none (NULL), is held for the object of that key; one may listen. */
typedef void fallbacks_on_change(void *owner, struct slice key, const struct object *held);
void fallbacks_listen(struct fallbacks *fallbacks, fallbacks_on_change *on_change, void *owner);

/* The version to serve instead of this one; NULL: none is known. Borrowed until the next change of the model. */
const struct object *fallbacks_of(const struct fallbacks *fallbacks, struct reader *reader,
                                  const struct object *refused);
/* What was kept of this object, from before a restart; takes a reference of its own. Ignored when one is held already,
 * and when the object is there and good. */
void fallbacks_restore(struct fallbacks *fallbacks, struct object *version);
/* Everything that was kept has been restored and the model is complete: what nobody needs is let go, and told. */
void fallbacks_tidy(struct fallbacks *fallbacks);
