/*
 * subscription: what one client asked of one type on one stream, and what it holds of it.
 *
 * An entry is a name with the blob that the client was last sent. An entry is dirty when the client is to be told of
 * the name, gone when it is to be told that the name is no more. The subscription learns of a new table only by its
 * difference from the one it saw before, so work follows the change. At most one response is in flight; what changes
 * meanwhile only marks entries. Pure: no socket, no clock. The two variants of the protocol are two ways of reading it.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/vector.h"
#include "xds/resource_type.h"

struct blob;
struct blob_table;

struct name_version {
    struct slice name, version;
};

enum entry_flag {
    ENTRY_NAMED = 1,      /* asked for by name, not only by the wildcard */
    ENTRY_HELD = 2,       /* the client holds `blob` */
    ENTRY_DIRTY = 4,      /* to be told: it is new, changed, or asked for */
    ENTRY_GONE = 8,       /* to be told: it is no more */
    ENTRY_FORCED = 16,    /* told even when the client holds this very version */
    ENTRY_IN_FLIGHT = 32, /* `sent` is in the response that awaits its answer */
    ENTRY_REFUSED = 64,   /* the client refused `sent` */
};

struct subscription_entry {
    struct blob
        *blob; /* what the client holds, or else whatever carries the name; owned, never NULL */
    struct blob *sent; /* in flight or refused, else NULL; owned */
    uint32_t flags;
};

struct subscription {
    enum resource_type type;
    bool open; /* a first request has come */
    bool wildcard;
    bool explicit;  /* names were given once, be it "*" (state of the world) */
    bool in_flight; /* a response awaits its answer */
    bool due;       /* a response is owed even when it would be empty */
    size_t dirty;   /* entries with ENTRY_DIRTY */
    size_t gone;    /* entries with ENTRY_GONE */
    VECTOR(struct subscription_entry) entries; /* sorted by name, unique */
    const struct blob_table
        *seen;           /* what the marks were computed from; NULL = nothing is known; owned */
    struct hash128 held; /* version of the set that the client holds: the sum of its versions */
};

void subscription_init(struct subscription *sub, enum resource_type type);
void subscription_fini(struct subscription *sub);

/* Names as a client sends them: any order, repetitions allowed. A name asked for anew is told again, also when it is held. */
void subscription_add(struct subscription *sub, const struct slice *names, size_t count);
/* Unknown names are ignored. Under the wildcard the client is told once more whether the name exists. */
void subscription_drop(struct subscription *sub, const struct slice *names, size_t count);
/* The whole set of explicit names (state of the world): new ones are to be told, missing ones are forgotten. */
void subscription_replace(struct subscription *sub, const struct slice *names, size_t count);
void subscription_set_wildcard(struct subscription *sub, bool wildcard);
/* What the client says it holds from an earlier stream: after its names, before the first table. What it neither named
 * nor covers with the wildcard is ignored. */
void subscription_hold(struct subscription *sub, const struct name_version *held, size_t count);

/* The table to serve from now on; NULL is ignored, for what is unknown stays untold. */
void subscription_see(struct subscription *sub, const struct blob_table *table);
/* Computes every mark anew, without regard to what changed: after a refusal was lifted. */
void subscription_review(struct subscription *sub);
/* Tells the name again even though it did not change. False when the client did not ask for it or it does not exist. */
bool subscription_force(struct subscription *sub, struct slice name);

/* Index into entries, or SIZE_MAX. */
size_t subscription_find(const struct subscription *sub, struct slice name);
/* What the client should hold under the entry's name, or NULL. */
struct blob *subscription_wanted(const struct subscription *sub,
                                 const struct subscription_entry *entry);
bool subscription_holds_any(const struct subscription *sub);
/* The client has answered for the current version of this name; true also when it is not subscribed or does not exist. */
bool subscription_is_settled(const struct subscription *sub, struct slice name);

/* While a response is made: the entry is in it, with what subscription_wanted says (possibly: nothing). */
void subscription_tell(struct subscription *sub, struct subscription_entry *entry);
/* Forgets the marks of an entry without telling. */
void subscription_pass(struct subscription *sub, struct subscription_entry *entry);
/* After a response was made: entries that nothing asks for any longer are dropped. Pointers to entries end here. */
void subscription_sweep(struct subscription *sub);
/* The answers to what is in flight, entry by entry. A refused one is not told again before it changes. */
void subscription_accept(struct subscription *sub, struct subscription_entry *entry);
void subscription_refuse(struct subscription *sub, struct subscription_entry *entry);
