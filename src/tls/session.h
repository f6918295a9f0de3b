/*
 * session: one TLS connection as a machine: bytes in, bytes out, no socket and no clock.
 *
 * The owner feeds what it received and flushes what it is to send. Plaintext is queued by tls_session_write and
 * sealed at tls_session_flush, so that many messages share records and one send. Nothing is called back.
 *
 * After the handshake the session is a few hundred bytes: keys, counters and two empty chains. Records are opened
 * in place, so the blocks of `cipher_in` become those of `plain_out` and must not be shared with anyone else.
 *
 * Ends are separate: the peer's close_notify is TLS_FEED_END, ours is tls_session_end; either may come first and
 * the other direction goes on. A TCP end without close_notify is told by tls_session_input_ended.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "base/slice.h"
#include "tls/context.h"
#include "tls/engine.h"
#include "tls/identity.h"

struct block_pool;
struct tls_session;

struct tls_session_spec {
    struct tls_context
        *context; /* the session takes its own reference until the handshake is done */
    /* The rest is for the handshake; everything is copied. */
    struct slice server_name; /* clients: SNI and, without `expected`, nothing else; empty = none */
    const struct san_match
        *expected; /* the peer must have one of these names; none: any that the trust set accepts */
    size_t expected_count;
    const struct slice *alpn; /* replaces the context's list; NULL = the context's */
    size_t alpn_count;
    uint64_t
        peer_key; /* clients: tells apart servers that cannot read each other's tickets (a hash of the address) */
};

/* NULL when the memory budget refuses. The engine and the pool must outlive the session. */
MUST_USE struct tls_session *tls_session_create(struct tls_engine *engine, struct block_pool *pool,
                                                const struct tls_session_spec *spec);
/* Frees at once, whatever the state; keys are wiped. Accepts NULL. */
void tls_session_destroy(struct tls_session *session);

enum tls_feed {
    TLS_FEED_MORE, /* everything whole was taken; a part of a record may remain in cipher_in */
    TLS_FEED_LIMIT, /* `limit` bytes were delivered and more may be waiting in cipher_in: come again */
    TLS_FEED_LATER, /* the turn's handshake budget is spent: come again next turn */
    TLS_FEED_END, /* the peer's close_notify: no more bytes will come; anything after it is ignored */
    TLS_FEED_FAILED, /* flush once more (an alert may wait), then close; tls_session_failure says why */
};
/*
 * Takes whole records from the front of cipher_in and appends at most about `limit` bytes (0 = no limit; a record
 * is never cut) of plaintext to plain_out. Flush after every feed. Plaintext that was good stays in plain_out even
 * when the same call then fails.
 */
MUST_USE enum tls_feed tls_session_feed(struct tls_session *session, struct chain *cipher_in,
                                        struct chain *plain_out, size_t limit);

/* Queues the chain's bytes, in every state but after tls_session_end; takes all of it. */
void tls_session_write(struct tls_session *session, struct chain *plain);

enum tls_flush {
    TLS_FLUSH_DONE, /* nothing that may be sent now is left */
    TLS_FLUSH_LIMIT,
    TLS_FLUSH_NO_MEMORY, /* the pool refused a block: try again when memory is back */
};
/* Appends handshake messages, alerts and about `limit` (0 = all) bytes of sealed plaintext to cipher_out. The first
   flush of a client makes its hello. */
MUST_USE enum tls_flush tls_session_flush(struct tls_session *session, struct chain *cipher_out,
                                          size_t limit);
/* close_notify follows the queued plaintext. */
void tls_session_end(struct tls_session *session);
/* The transport ended. True when that is a proper end: close_notify had come. During the handshake it fails the
   session. */
bool tls_session_input_ended(struct tls_session *session);

/* Handshaking until `open`; ended and failed are told by feed. */
bool tls_session_is_open(const struct tls_session *session);
bool tls_session_has_failed(const struct tls_session *session);
/* Plaintext bytes that wait to be sealed. */
size_t tls_session_backlog(const struct tls_session *session);
/* True when a flush has something to do: plaintext, handshake bytes, an alert, a key update. */
bool tls_session_wants_flush(const struct tls_session *session);

/* Why it failed, in one sentence for the log; "" when it did not. Peers' bytes in it are escaped. */
enum tls_failure tls_session_failure(const struct tls_session *session);
const char *tls_session_failure_text(const struct tls_session *session);

/* Known once open; the slices live as long as the session. */
enum tls_version tls_session_version(const struct tls_session *session);
const char *tls_session_cipher(const struct tls_session *session); /* "TLS_AES_128_GCM_SHA256" */
struct slice tls_session_alpn(const struct tls_session *session);  /* empty: none was agreed on */
struct slice tls_session_server_name(const struct tls_session *session);
/* The SPIFFE ID, or other URI, of our own certificate; empty: it has none. */
struct slice tls_session_own_id(const struct tls_session *session);
bool tls_session_is_resumed(const struct tls_session *session);
/* NULL when the peer showed no certificate or the context verifies none. Borrowed: take a reference to keep it. */
struct peer_identity *tls_session_peer(const struct tls_session *session);
OWNED(tls_session, tls_session_destroy)
