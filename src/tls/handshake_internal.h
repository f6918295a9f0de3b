/*
 * handshake_internal: drives libssl through one handshake and takes the secrets out of it. The only user of libssl's
 * connection object, which is made at the first whole record and freed when the handshake is over.
 */
#pragma once

#include "base/chain.h"
#include "tls/context_internal.h"
#include "tls/derivation_internal.h"
#include "tls/identity.h"
#include "tls/resume_internal.h"
#include "tls/session.h"

#include <openssl/ssl.h>

struct handshake;
struct tls_engine;

enum {
    /* Of all handshake bytes that a peer may send; libssl has limits a message besides. */
    HANDSHAKE_BYTES_MAX = 192 << 10,
    HANDSHAKE_HELLO_BYTES_MAX = (64 << 10) + 6 * 1024,
    /* What libssl's objects take while a handshake runs, as measured; charged to the budget. */
    HANDSHAKE_MEMORY = 40 << 10,
};

BIO_METHOD *handshake_bio_method(void);
/* Sets the callbacks on a context that connections are made of. */
void handshake_prepare(SSL_CTX *ssl);

/* Takes a reference to the context and copies the rest. */
struct handshake *handshake_create(struct tls_engine *engine, struct block_pool *pool,
                                   const struct tls_session_spec *spec);
void handshake_destroy(struct handshake *handshake);

/* True when a step can get on: a whole record has come, or a client has not begun. */
bool handshake_can_step(const struct handshake *handshake, const struct chain *in);
enum handshake_step { HANDSHAKE_WAITS, HANDSHAKE_DONE, HANDSHAKE_FAILED };
/* Takes whole records from `in`; what is to be sent gathers in handshake_out. */
enum handshake_step handshake_step(struct handshake *handshake, struct chain *in);
struct chain *handshake_out(struct handshake *handshake);

struct handshake_failure {
    enum tls_failure failure;
    char *text; /* heap; taken by the caller */
};
/* After HANDSHAKE_FAILED. */
struct handshake_failure handshake_take_failure(struct handshake *handshake);

/* After HANDSHAKE_DONE. */
struct handshake_result {
    enum tls_version version;
    uint16_t suite;                 /* as on the wire, 0x1301 */
    const char *cipher;             /* its standard name, for ever */
    size_t secret_size;             /* of its hash */
    struct derived_secrets secrets; /* TLS 1.3 */
    uint8_t master[SECRET_MAX];     /* TLS 1.2 */
    uint8_t client_random[32], server_random[32];
    uint64_t next_nonce; /* TLS 1.2: after the one that libssl sealed our Finished with */
    size_t plain_max;    /* of a record, by the fragment length that was agreed on */
    struct slice alpn, server_name; /* borrowed until the handshake is destroyed */
    struct peer_identity *identity; /* a reference, or NULL */
    bool is_resumed, was_cached;
    struct resume_place place;   /* clients that resume */
    struct tls_context *context; /* borrowed until the handshake is destroyed */
};
/* False (and then failed) when the library does not give up the secrets. Frees libssl's object. */
MUST_USE bool handshake_finish(struct handshake *handshake, struct handshake_result *result);
