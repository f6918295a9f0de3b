/*
 * intake_internal: what the intake knows of each name, shared by its files.
 */
#pragma once

#include "base/buffer.h"
#include "base/map.h"
#include "base/vector.h"
#include "build/options.h"
#include "build/tls_spec.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"

/* What the server said last about a name that could not be taken. */
struct refusal {
    char *reason; /* NULL: none */
    char *version;
    struct buffer body; /* empty for secrets */
    int64_t when_us;
};

struct entry {
    struct name name; /* the text is the entry's own */
    enum resource_kind kind : 8;
    bool is_static;
    bool
        is_removed; /* goes with the next commit, a listener when who takes its address over is complete */
    bool is_warming;  /* in the intake's list */
    bool is_changing; /* in the intake's list of names whose wanting changed */
    bool is_asked;    /* what was told by intake_interest */
    bool is_unwanted; /* in the intake's list of names to look at when it commits */
    uint32_t wanted;  /* resources, active or next, that name it (endpoints, routes, secrets) */
    uint32_t asking;  /* of these, those for which a server is to be asked */
    struct resource *active; /* in the tree of the next snapshot; a reference */
    struct resource *next;   /* built, and not active yet; a reference */
    uint64_t since_ms;       /* since when `next` waits */
    const char *waits_for;   /* the first name that `next` misses; borrowed from it */
    struct refusal refusal;
};

/* A context that specs share: made of the secrets that are there now. */
struct context_entry {
    struct name name;
    struct resource *active; /* NULL: to be made at the next commit */
    uint32_t uses;           /* specs of active clusters and listeners */
};

struct intake {
    struct publisher *publisher;
    struct build_options options;
    struct intake_limits limits;
    struct tls_ticket_keys *ticket_keys;
    struct map *entries[RESOURCE_KINDS];
    struct map *contexts;  /* by the spec's context name */
    struct map *addresses; /* what listeners claim -> entry */
    struct name_tree trees[RESOURCE_KINDS];
    bool has_changed; /* the trees differ from what was published */
    VECTOR(struct entry *) warming;
    VECTOR(struct entry *) changing;
    VECTOR(struct entry *) unwanted; /* nothing names them any more, or did for a while */
    VECTOR(struct entry *) removed;  /* clusters and listeners to take away at the next commit */
    VECTOR(struct entry *) arrived;  /* endpoints, routes and secrets with a `next` */
    size_t count;                    /* resources, active and next */
    uint64_t now_ms;
};

struct entry *intake_find(const struct intake *intake, enum resource_kind kind, struct slice name);
/* Finds or makes it. */
struct entry *intake_entry(struct intake *intake, enum resource_kind kind, const struct name *name);

/* The entry's wanting may have changed: intake_interest looks at it. */
void intake_note(struct intake *intake, struct entry *entry);
void refusal_clear(struct refusal *refusal);

/* Puts or takes a resource of the trees. */
void intake_plant(struct intake *intake, struct resource *resource);
void intake_uproot(struct intake *intake, enum resource_kind kind, const struct name *name);
/* Drops the references that stand in an entry. */
void intake_drop(struct intake *intake, struct resource **resource);

/* Both for every name that a cluster or listener depends on. */
void intake_want(struct intake *intake, const struct resource *resource);
void intake_unwant(struct intake *intake, const struct resource *resource);
/* Sets what is to become active, instead of what was to. */
void intake_set_next(struct intake *intake, struct entry *entry, struct resource *next);

/* The specs of a cluster or listener; an empty list for other kinds. */
struct tls_spec_list intake_specs(const struct resource *resource);
/* Are all contexts there, or can they be made? False leaves the reason, and nothing changed. */
MUST_USE bool intake_try_contexts(struct intake *intake, const struct resource *resource,
                                  struct error *error);
/* The same for every active resource, if `secret` stood under its name. */
MUST_USE bool intake_try_secret(struct intake *intake, const struct resource *secret,
                                struct error *error);
/* Counts uses, makes and plants contexts. */
void intake_use_contexts(struct intake *intake, const struct resource *resource);
void intake_unuse_contexts(struct intake *intake, const struct resource *resource);
/* A secret became active: contexts made of it are made anew. */
void intake_renew_contexts(struct intake *intake, const struct name *secret);

/* False, with the reason, when another listener has one of its addresses. */
MUST_USE bool intake_check_addresses(struct intake *intake, const struct entry *entry,
                                     const struct listener *listener, struct error *error);
void intake_claim_addresses(struct intake *intake, struct entry *entry,
                            const struct listener *listener);
/* Those that `kept` (may be NULL) does not have, and that nobody else has claimed meanwhile. */
void intake_release_addresses(struct intake *intake, const struct entry *entry,
                              const struct listener *listener, const struct listener *kept);
/* Who claims an address of an active listener without serving it yet; NULL: nobody but itself. */
struct entry *intake_heir(const struct intake *intake, const struct entry *entry, uint32_t address);
