/*
 * engine: the TLS state of one worker: library objects, verified chains, resumption entries, cipher objects.
 *
 * One a thread; nothing here locks. The loop tells it the time and the handshake budget once a turn.
 */
#pragma once

#include "base/attributes.h"

struct memory_budget;
struct tls_engine;

/* Why a connection failed: one counter each, and the label in logs and metrics. */
enum tls_failure {
    TLS_FAILURE_NONE,
    TLS_FAILURE_NOT_TLS,        /* the peer speaks something else */
    TLS_FAILURE_VERSION,        /* no shared protocol version */
    TLS_FAILURE_CIPHER,         /* no shared cipher, group or signature scheme */
    TLS_FAILURE_NO_CERTIFICATE, /* the peer showed none and must */
    TLS_FAILURE_EXPIRED,        /* past its end, or not valid yet */
    TLS_FAILURE_UNKNOWN_CA,     /* the chain does not end in a root that vouches for this peer */
    TLS_FAILURE_REVOKED,
    TLS_FAILURE_BAD_CERTIFICATE, /* malformed, or not fit for this use */
    TLS_FAILURE_IDENTITY,        /* a good certificate of the wrong peer */
    TLS_FAILURE_REFUSED_BY_PEER, /* the peer sent an alert; the text says which */
    TLS_FAILURE_TRUNCATED,       /* the connection ended in the middle of the handshake */
    TLS_FAILURE_PROTOCOL,        /* the peer broke the rules */
    TLS_FAILURE_LIMIT,           /* the peer passed one of our limits */
    TLS_FAILURE_MEMORY,          /* the budget is spent */
    TLS_FAILURE_INTERNAL,        /* the library failed in a way that no peer should cause */
    TLS_FAILURES
};
const char *tls_failure_name(enum tls_failure failure); /* "unknown_ca" */

struct tls_counts {
    uint64_t handshakes_full;    /* completed */
    uint64_t handshakes_cached;  /* of them: the peer's chain was known to be good */
    uint64_t handshakes_resumed; /* completed by a ticket */
    uint64_t handshakes_active;  /* under way now */
    uint64_t sessions;           /* alive now */
    uint64_t key_updates;        /* read keys renewed by peers */
    uint64_t failures[TLS_FAILURES];
};

/* Charges sessions and handshakes to the budget (NULL = unlimited), which must outlive it. */
struct tls_engine *tls_engine_create(struct memory_budget *budget);
/* Every session must be gone, and every peer_identity unreferenced. Accepts NULL. */
void tls_engine_destroy(struct tls_engine *engine);
/* Once a loop turn: Unix seconds, and how many handshake steps with public-key work may run (a full handshake
   takes two on either side; 0 = unlimited). */
void tls_engine_turn(struct tls_engine *engine, int64_t now_s, unsigned handshake_steps);
/* Every few seconds: lets go of contexts that only the engine still holds, and of entries that have ended. */
void tls_engine_trim(struct tls_engine *engine);
/* True while ciphers are lent, which idle connections give back after two trims. */
bool tls_engine_has_lent(const struct tls_engine *engine);
/* On the engine's own thread, when a burst of connections is over: what is kept for speed goes back to the heap. */
void tls_engine_shrink(struct tls_engine *engine);
const struct tls_counts *tls_engine_counts(const struct tls_engine *engine);
OWNED(tls_engine, tls_engine_destroy)
