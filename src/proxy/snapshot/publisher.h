/*
 * publisher: gives each new snapshot to every worker, and frees what none of them can see any more.
 *
 * Main thread, except reader_*. A snapshot goes into each worker's inbox and displaces one that was not adopted yet; the
 * worker adopts it between two turns and says which epoch it has reached. What a worker keeps longer than a snapshot (the route
 * table and cluster of a stream, the chain of a connection) it pins: a plain counter of its own, no atomic
 * read-modify-write. A resource is freed when no held snapshot has it and no worker pins it; always on the main thread.
 *
 * Why no worker frees, and none is asked twice: a resource is marked retired before the snapshot without it is published.
 * A worker that adopted that snapshot can make no first pin on it, and sees the mark when it drops its last one:
 * then, and only then, it mails main. A worker that dropped its last pin before it adopted is covered by the mail of
 * its adoption.
 */
#pragma once

#include "base/attributes.h"
#include "proxy/snapshot/snapshot.h"

#include <stdatomic.h>

struct loop;
struct publisher;
struct reader;

enum {
    PIN_CHUNK = 1024,
    PIN_CHUNKS = 1024
}; /* at most 2^20 resources at once, retired ones included */

/* `main_loop` is the loop of the thread that calls everything here; NULL in tests that drive publisher_collect themselves. */
struct publisher *publisher_create(struct loop *main_loop);
/* Every reader must be gone. Frees all. */
void publisher_destroy(struct publisher *publisher);
OWNED(publisher, publisher_destroy)

/* A worker's end. `loop` is woken when there is a new snapshot (NULL: not). The newest snapshot waits in the inbox at once. */
struct reader *publisher_add_reader(struct publisher *publisher, struct loop *loop);
/* After the worker's thread has ended, or from it with all pins dropped. Main thread. */
void publisher_remove_reader(struct publisher *publisher, struct reader *reader);

/* The newest; never NULL after the first publish. */
const struct snapshot *publisher_newest(const struct publisher *publisher);
/* Takes over the caller's holds on the trees. Marks as retired what the newest snapshot has and these lack. */
void publisher_publish(struct publisher *publisher, const struct name_tree trees[RESOURCE_KINDS]);
/* A hold for something slow on another thread, such as saving to disk; given back on the main thread. */
const struct snapshot *publisher_hold(struct publisher *publisher);
void publisher_release(struct publisher *publisher, const struct snapshot *snapshot);
/* Gives a resource that will be published its slot; false when PIN limits are reached. */
MUST_USE bool publisher_admit(struct publisher *publisher, struct resource *resource);
/* Drops a reference that the caller owns; frees the resource once nobody can see it. */
void publisher_drop(struct publisher *publisher, struct resource *resource);
/* For releasing trees that are not published. */
struct tree_owner publisher_owner(struct publisher *publisher);
/* Frees what can be freed; runs by itself on mail. Returns how many resources still wait. */
size_t publisher_collect(struct publisher *publisher);

struct publisher_counts {
    uint64_t published, adopted_by_all; /* epochs */
    size_t snapshots;                   /* alive */
    size_t retired;                     /* resources that wait for pins */
    size_t resources;                   /* alive */
};
void publisher_count(const struct publisher *publisher, struct publisher_counts *counts);

/* --- worker thread ------------------------------------------------------------------------------------------- */

struct reader {
    const struct snapshot *snapshot; /* current; NULL before the first */
    const struct snapshot *leaving;  /* between begin and finish */
    _Atomic(struct snapshot *) inbox;
    _Atomic uint64_t epoch; /* of what was adopted: everything older was left */
    _Atomic uint32_t *_Atomic pins[PIN_CHUNKS];
    struct loop *loop;
    struct reader_mail *mail;
    struct snapshot *
        *given; /* main: what is in the inbox or was adopted and perhaps not left, oldest first */
    size_t given_count, given_capacity;
    struct reader *next; /* main: the publisher's list */
};

static inline bool reader_has_news(const struct reader *reader)
{
    return atomic_load_explicit(&reader->inbox, memory_order_relaxed) != NULL;
}
/* True when there is a newer one: then *before (may be NULL) and reader->snapshot can both be read until finish. */
MUST_USE bool reader_begin_adopt(struct reader *reader, const struct snapshot **before);
void reader_finish_adopt(struct reader *reader);
/* Takes the slot, since main may free the resource as soon as the last pin is gone. */
void reader_tell_left(struct reader *reader, uint32_t slot);

/* The epoch that it has reached. Any thread. */
static inline uint64_t reader_adopted(const struct reader *reader)
{
    return atomic_load_explicit(&reader->epoch, memory_order_acquire);
}

/* Keeps the resource, which is in reader->snapshot or pinned already, beyond the next adoption. */
static inline void reader_pin(struct reader *reader, const struct resource *resource)
{
    _Atomic uint32_t *chunk =
        atomic_load_explicit(&reader->pins[resource->slot / PIN_CHUNK], memory_order_relaxed);
    _Atomic uint32_t *pin = &chunk[resource->slot % PIN_CHUNK];
    atomic_store_explicit(pin, atomic_load_explicit(pin, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}
static inline void reader_unpin(struct reader *reader, const struct resource *resource)
{
    uint32_t slot = resource->slot;
    bool retired = atomic_load_explicit(&resource->retired, memory_order_relaxed);
    _Atomic uint32_t *chunk =
        atomic_load_explicit(&reader->pins[slot / PIN_CHUNK], memory_order_relaxed);
    _Atomic uint32_t *pin = &chunk[slot % PIN_CHUNK];
    uint32_t left = atomic_load_explicit(pin, memory_order_relaxed) - 1;
    atomic_store_explicit(pin, left, memory_order_release); /* main may free it from here on */
    if (UNLIKELY(left == 0 && retired))
        reader_tell_left(reader, slot);
}
