/*
 * feed: keeps a model equal to the store: one list, then a watch; after a gap in the history a list again and the difference.
 *
 * Lives on the loop of the store. What it cannot read is reported and left as it was; losing the store freezes the model.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "control/model/model.h"

struct feed;
struct loop;
struct store;

struct feed_listener {
    /* An object means something else than before, or came, or went. */
    void (*on_object)(void *owner, enum kind kind);
    /* A key that is no object's: put (value.data != NULL) or deleted. */
    void (*on_other)(void *owner, struct slice key, struct slice value);
    /* Everything that was in the store when it began is in the model: once. */
    void (*on_ready)(void *owner);
    void *owner;
    const char *const
        *others; /* prefixes of the keys that on_other is told of, NULL at their end; NULL: all */
};
/* All must outlive it; the listener is copied. */
struct feed *feed_create(struct loop *loop, struct store *store, struct model *model,
                         const struct feed_listener *listener);
/* Accepts NULL. */
void feed_destroy(struct feed *feed);
bool feed_is_ready(const struct feed *feed);
/* The store does not answer: what is known is old. */
bool feed_is_degraded(const struct feed *feed);
