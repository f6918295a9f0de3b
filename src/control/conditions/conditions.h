/*
 * conditions: the controller that keeps every object's status true.
 *
 * Listens to the model. After changes have been quiet for a moment it looks at the objects whose answers changed, and writes the
 * status of those whose document would differ: by compare-and-swap on what was read just before, under the lease that the object
 * has. Its own writes change no meaning, and so wake nothing. One thread's: the model's and the store's.
 */
#pragma once

#include "base/attributes.h"
#include "control/conditions/findings.h"

struct conditions;
struct loop;
struct store;

struct conditions_options {
    uint32_t quiet_ms, most_ms; /* 0 = 300, 5,000 */
};
/* All must outlive it, and `sources` is copied. Before the model is filled. */
struct conditions *conditions_create(struct loop *loop, struct store *store, struct model *model,
                                     const struct findings_sources *sources,
                                     const struct conditions_options *options);
/* Accepts NULL. */
void conditions_destroy(struct conditions *conditions);
/* The model is complete: from now on status is written. */
void conditions_start(struct conditions *conditions);
/* Something changed in the model, the registry or translation. */
void conditions_note(struct conditions *conditions);

struct conditions_report {
    size_t objects;  /* that have findings */
    uint64_t writes; /* since it began */
    bool settled;    /* nothing is waiting or under way */
};
struct conditions_report conditions_report(const struct conditions *conditions);
