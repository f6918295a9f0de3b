/*
 * resume_internal: TLS 1.3 tickets, given by servers and kept by clients (RFC 8446 4.6.1).
 *
 * A ticket holds what the server knew of its peer, and no certificate. It is good under the policy, the server's own
 * certificates and the server name that it was given under, and until the peer's chain ends. Its form is what libssl hands
 * to its ticket callbacks: an encrypted session, in DER.
 */
#pragma once

#include "base/buffer.h"
#include "base/hash.h"
#include "base/list.h"
#include "tls/derivation_internal.h"
#include "tls/identity.h"

#include <openssl/ssl.h>

struct map;
struct tls_context;
struct tls_engine;

enum {
    RESUME_ENTRIES_MAX = 1024,
    RESUME_TICKET_MAX = 16 << 10, /* longer ones are not kept, and not made */
    RESUME_LIFETIME_S = 6 * 3600,
    RESUME_NONCE = 8,
};

/* What both ends keep of a connection that may be resumed. */
struct resume_state {
    uint16_t suite; /* 0x1301 */
    size_t secret_size;
    uint8_t secret[SECRET_MAX];     /* the resumption master secret */
    struct peer_identity *identity; /* borrowed; NULL: the peer showed no certificate */
};

/* Servers: appends a whole NewSessionTicket message. False: there is nothing worth sending. `nonce` is this connection's
   count of tickets. */
MUST_USE bool resume_issue(struct tls_engine *engine, const struct tls_context *context,
                           const struct resume_state *state, struct slice server_name,
                           uint64_t nonce, struct buffer *message);
/* Servers: whether a decrypted session may be taken up, and then its peer, with a reference (NULL: it had none). */
MUST_USE bool resume_accept(struct tls_engine *engine, const struct tls_context *context,
                            SSL_SESSION *session, struct slice server_name,
                            struct peer_identity **identity);

/* Clients: one worker's tickets. */
struct resume_cache {
    struct map *entries;
    struct list recent;
    size_t count;
};
void resume_cache_init(struct resume_cache *cache);
void resume_cache_fini(struct resume_cache *cache);
void resume_cache_trim(struct resume_cache *cache, int64_t now_s);

/* Where a client may use a ticket: same policy, name, expectations and server. */
struct resume_place {
    uint8_t hash[32];
};
struct resume_place resume_place_of(const struct tls_context *context, struct slice server_name,
                                    const struct san_match *expected, size_t expected_count,
                                    uint64_t peer_key);
/* Keeps the ticket of a NewSessionTicket's body; false when the message is malformed. */
MUST_USE bool resume_keep(struct tls_engine *engine, const struct resume_place *place,
                          const struct resume_state *state, struct slice body);
/* A session for libssl, owned by the caller, and the identity it stands for (a reference, may be NULL); NULL when there is
   none that is still good. */
MUST_USE SSL_SESSION *resume_find(struct tls_engine *engine, const struct resume_place *place,
                                  struct peer_identity **identity);
