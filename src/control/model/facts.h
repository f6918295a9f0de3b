/*
 * facts: who read what, so that a change finds all those, and only those, who must be derived anew.
 *
 * A fact is a name for something that can be asked, "service/cart.shop.svc.cluster.local": what is there, and
 * also that nothing is. Accessors of the model and the registry record on a reader whatever they are asked; whoever
 * changes the answer
 * says so, and each reader of it is queued once. A derivation forgets what it read before it runs again.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "base/vector.h"

struct fact;
struct facts;

struct reader {
    struct list queued; /* in its queue, or empty */
    struct list *queue; /* where it waits to be derived anew; NULL: the common one */
    VECTOR(struct fact *) reads;
};

struct facts *facts_create(void);
/* Every reader was finished before. Accepts NULL. */
void facts_destroy(struct facts *facts);

void reader_init(struct reader *reader);
/* One that waits in a queue of its owner's, to be taken with facts_take. */
void reader_init_in(struct reader *reader, struct list *queue);
/* Forgets what it read and leaves the queue. */
void reader_fini(struct facts *facts, struct reader *reader);
/* Before it reads anew: forgets what it read. */
void reader_begin(struct facts *facts, struct reader *reader);

/* reader may be NULL: nothing is recorded. */
void facts_read(struct facts *facts, struct reader *reader, const char *format, ...) PRINTF(3, 4);
/* The answer to this question may be another from now on. */
void facts_changed(struct facts *facts, const char *format, ...) PRINTF(2, 3);
void facts_queue(struct facts *facts, struct reader *reader);
/* Takes the reader that has waited longest off the common queue, or NULL. */
struct reader *facts_next(struct facts *facts);
/* The same of a queue that readers were initialised with. */
struct reader *facts_take(struct list *queue);
