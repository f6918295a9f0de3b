/*
 * transport: a conn, or TLS on a conn, in the same shape: what HTTP connections and TCP proxying stand on.
 *
 * It owns its conn and its TLS session. on_open comes first, always: then the peer's identity and ALPN are known, and not one
 * byte was delivered before. Credit (on_written) and backlog count plaintext; the backlog includes what waits to be
 * sealed, is sealed, or is in flight. Bytes that wait inside TLS or in the input chain are delivered by the
 * transport's own task once reading is on again: no socket event is needed.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "io/conn.h"
#include "io/splice.h"
#include "tls/session.h"

struct transport;

enum transport_failure_kind {
    TRANSPORT_SOCKET, /* error is an errno: reset, timed out */
    TRANSPORT_TLS,    /* the handshake or a record failed: tls and text say why */
    TRANSPORT_HANDSHAKE_TIMEOUT,
};
struct transport_failure {
    enum transport_failure_kind kind;
    int error;
    enum tls_failure tls;
    const char *text; /* one sentence for the log; borrowed until the call returns */
};

struct transport_events {
    /* Plaintext: at once. TLS: the handshake is done. */
    void (*on_open)(void *owner);
    /* One reference to the block is now the owner's. size > 0. */
    void (*on_bytes)(void *owner, struct block *block, const char *data, size_t size);
    /* So many plaintext bytes more have been taken by the socket. May be NULL. */
    void (*on_written)(void *owner, size_t size);
    /* The peer sends no more. truncated: TLS ended without close_notify, so a body that ends here is incomplete. */
    void (*on_read_end)(void *owner, bool truncated);
    /* As in io/conn.h. May be NULL. */
    void (*on_write_end)(void *owner, int error);
    /* Both directions are over. Bytes that were good have been delivered, if reading was on. */
    void (*on_error)(void *owner, const struct transport_failure *failure);
};
/* Of a transport whose owner has not come yet: nothing is kept of what happens. */
extern const struct transport_events transport_events_none;

struct transport_options {
    struct tls_engine *engine;          /* with tls; must outlive the transport */
    const struct tls_session_spec *tls; /* NULL: plaintext. Used during the call only */
    uint32_t handshake_timeout_ms;      /* 0 = 10,000 */
};

/*
 * Takes over the conn (open, on whatever owner) and the bytes that were already read from it (may be NULL; emptied). NULL
 * when the memory budget refuses: conn and input are then gone. Reading is off until transport_read_start; a
 * handshake reads for itself.
 */
MUST_USE struct transport *transport_create(struct conn *conn, struct chain *input,
                                            const struct transport_options *options,
                                            const struct transport_events *events, void *owner);
void transport_set_owner(struct transport *transport, const struct transport_events *events,
                         void *owner);
struct loop *transport_loop(const struct transport *transport);

void transport_read_start(struct transport *transport);
void transport_read_stop(struct transport *transport);
/* The owner has room for so many bytes (io/conn.h). */
void transport_read_room(struct transport *transport, size_t room);
bool transport_is_reading(const struct transport *transport);

/* Takes all of the chain. May be called before on_open; leaves together with all that is written in this turn. */
void transport_write(struct transport *transport, struct chain *bytes);
/* close_notify and FIN after what is queued; then on_write_end. */
void transport_write_end(struct transport *transport);
/* Plaintext waiting, sealed bytes and bytes in flight. */
size_t transport_backlog(const struct transport *transport);
/* As conn_has_news. */
bool transport_has_news(const struct transport *transport);

/* No event comes any more; memory goes at the end of the turn and after the last operation. Accepts NULL. */
void transport_close(struct transport *transport, enum conn_close how);
/* The same by CONN_LINGER, with another time than CONN_LINGER_MS. */
void transport_linger(struct transport *transport, uint32_t wait_ms);

/* Plaintext on both sides: bulk that `from` receives goes to `to` by itself (io/splice.h). */
void transport_splice(struct transport *from, struct transport *to);
struct spliced transport_spliced(const struct transport *from);

bool transport_is_open(const struct transport *transport);
/* For addresses, ids and counters; it stays the transport's. */
const struct conn *transport_conn(const struct transport *transport);
/* NULL for plaintext. For version, ALPN, server name, peer identity, resumption. */
const struct tls_session *transport_session(const struct transport *transport);
/* The peer's identity, NULL for plaintext and for peers without a certificate. */
struct peer_identity *transport_peer(const struct transport *transport);
/* Empty when none was agreed on. */
struct slice transport_alpn(const struct transport *transport);

/* Plaintext only: gives the conn back with what was read but not delivered (appended to unread), and ends. NULL when
 * something is still queued to be written. For splice. */
MUST_USE struct conn *transport_take_conn(struct transport *transport, struct chain *unread);
