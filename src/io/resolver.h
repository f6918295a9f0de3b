/*
 * resolver: names to addresses, asynchronously (c-ares on a loop).
 *
 * Answers are cached for their TTL between a floor and a ceiling; lookups of a name that is being asked coalesce;
 * failures are cached shortly with back-off, and the last good answer is served meanwhile and marked stale.
 * The number of questions under way is bounded: more of them wait in a bounded queue, beyond that they fail at once.
 */
#pragma once

#include "base/attributes.h"
#include "base/handle.h"
#include "base/slice.h"
#include "io/address.h"

struct loop;
struct resolver;

struct resolver_options {
    const char *servers;     /* "10.0.0.53,[fd00::53]:5353"; NULL = resolv.conf */
    bool is_hosts_ignored;   /* do not read /etc/hosts */
    unsigned timeout_ms;     /* of one try; 0 = 2000 */
    unsigned tries;          /* 0 = 3 */
    unsigned ttl_floor_s;    /* 0 = 1 */
    unsigned ttl_ceiling_s;  /* 0 = 300 */
    unsigned negative_ttl_s; /* first back-off after a failure, doubles up to 60 s; 0 = 1 */
    unsigned max_active;     /* questions under way; 0 = 64 */
    unsigned max_waiting;    /* questions queued behind them; 0 = 1024 */
    unsigned max_names;      /* cached; 0 = 4096 */
    uint32_t mark;           /* SO_MARK of its sockets, which capture rules leave alone; 0 = none */
};
enum resolve_family { RESOLVE_ANY, RESOLVE_V4, RESOLVE_V6 };
enum resolve_status {
    RESOLVE_OK,
    RESOLVE_STALE,   /* asking failed; the addresses are those of the last good answer */
    RESOLVE_NO_NAME, /* the name has no such address */
    RESOLVE_FAILED,  /* no server answered, or with an error */
    RESOLVE_FULL,    /* too many questions wait */
};
struct resolve_answer {
    enum resolve_status status;
    const char *why; /* one line for people; "" when OK */
    const struct address *
        addresses; /* sorted bytewise and without doubles, port 0; borrowed until the call returns */
    size_t count;
    unsigned ttl_s; /* ask again after this */
};
typedef void resolver_on_answer(void *owner, const struct resolve_answer *answer);

MUST_USE int resolver_create(struct loop *loop, const struct resolver_options *options,
                             struct resolver **out);
/* Lookups that are under way end without an answer. Not from inside an answer. Accepts NULL. */
void resolver_destroy(struct resolver *resolver);
/* The answer comes from the loop, also when it is known already. An IP literal answers itself. Returns a name for cancel. */
handle resolver_lookup(struct resolver *resolver, struct slice name, enum resolve_family family,
                       resolver_on_answer *on_answer, void *owner);
/* No answer comes any more; a stale handle is ignored. */
void resolver_cancel(struct resolver *resolver, handle lookup);
/* Forgets the cache, as after a change of network. */
void resolver_flush(struct resolver *resolver);
