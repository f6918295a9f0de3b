/* session_internal: the session's inside, shared by its reading half and its writing half. */
#pragma once

#include "tls/engine_internal.h"
#include "tls/handshake_internal.h"
#include "tls/record_internal.h"
#include "tls/session.h"

enum session_state { SESSION_HANDSHAKING, SESSION_OPEN, SESSION_FAILED };

/* RFC 8446 6. */
enum tls_alert {
    ALERT_NONE = -1,
    ALERT_CLOSE_NOTIFY = 0,
    ALERT_UNEXPECTED_MESSAGE = 10,
    ALERT_BAD_RECORD_MAC = 20,
    ALERT_RECORD_OVERFLOW = 22,
    ALERT_DECODE_ERROR = 50,
    ALERT_ILLEGAL_PARAMETER = 47,
    ALERT_USER_CANCELED = 90,
    ALERT_NO_RENEGOTIATION = 100,
};

enum { MESSAGE_HEADER = 4, MESSAGE_NEW_SESSION_TICKET = 4, MESSAGE_KEY_UPDATE = 24 };

enum {
    /* What a peer may send that carries no data, for each MiB that does (and at the start). */
    IDLE_MESSAGES_MAX = 32,
    /* A message after the handshake: only a ticket is longer than five bytes. */
    POST_MESSAGE_MAX = 66 << 10,
    /* RFC 8446 5.5 allows 2^24.5 full records under one AES-GCM key. */
    RECORDS_A_KEY_MAX = 1 << 23,
};

struct tls_session {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct handshake *handshake; /* until its last bytes are flushed */
    const char *cipher;
    struct peer_identity *identity; /* a reference, or NULL */
    const char *own_id;             /* the engine's; NULL: none */
    struct tls_context *context;    /* a reference, while a ticket may have to be made */
    struct resume_place *place;     /* clients that resume */
    char *names;                    /* ALPN and then the server's name */
    char *failure_text;
    struct chain plain;    /* waits to be sealed */
    struct buffer message; /* a handshake message that has not come whole */
    struct record_key read, write;
    uint8_t read_secret[SECRET_MAX], write_secret[SECRET_MAX], resumption[SECRET_MAX];
    uint32_t bytes_since; /* received data since idle_messages was zero, up to 1 MiB */
    uint16_t version, suite;
    uint16_t plain_max; /* of a record that we seal */
    uint16_t server_name_size;
    uint8_t alpn_size;
    uint8_t secret_size;
    uint8_t failure; /* enum tls_failure */
    uint8_t idle_messages;
    int16_t alert; /* to be sealed, after a failure */
    uint8_t state; /* enum session_state */
    bool is_server : 1;
    bool is_resumed : 1;
    bool read_ended : 1;    /* close_notify came */
    bool write_end_due : 1; /* close_notify follows the plaintext */
    bool write_ended : 1;
    bool ticket_due : 1;
    bool key_update_due : 1;
};

/* Moves to FAILED; the first reason stands. */
void session_fail(struct tls_session *session, enum tls_failure failure, int alert,
                  const char *text);
void session_free_handshake(struct tls_session *session);
/* One direction's next key. */
void session_renew(struct tls_session *session, struct record_key *key, uint8_t *secret);
/* A step of the handshake, which may open or fail the session. */
void session_step(struct tls_session *session, struct chain *in);
