/* session_write: the half of a session that makes records. */
#include "tls/session_internal.h"

#include "base/memory.h"
#include "tls/key_pair.h"

#include <assert.h>

void tls_session_write(struct tls_session *session, struct chain *plain)
{
    assert(!session->write_end_due);
    if (session->state == SESSION_FAILED)
        chain_fini(plain);
    else
        chain_gather(&session->plain, plain);
}

void tls_session_end(struct tls_session *session)
{
    session->write_end_due = true;
}

/* Bytes that hold until the call returns, as one record. */
static bool seal_bytes(struct tls_session *session, enum record_type type, struct slice bytes,
                       struct chain *out)
{
    struct chain once = {0};
    chain_append_static(&once, bytes);
    bool good = record_seal(&session->write, &session->engine->ciphers, type, &once, bytes.size,
                            out, session->pool);
    chain_fini(&once);
    return good;
}

static bool seal_alert(struct tls_session *session, int alert, struct chain *out)
{
    enum { WARNING = 1, FATAL = 2 };
    char bytes[2] = {alert == ALERT_CLOSE_NOTIFY ? WARNING : FATAL, (char)alert};
    return seal_bytes(session, RECORD_ALERT, slice_of(bytes, 2), out);
}

/* Ours never asks for another in return: the peer minds its own limits. */
static bool seal_key_update(struct tls_session *session, struct chain *out)
{
    static const char message[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
    if (!seal_bytes(session, RECORD_HANDSHAKE, slice_of(message, sizeof(message)), out))
        return false;
    session->key_update_due = false;
    session_renew(session, &session->write, session->write_secret);
    return true;
}

static bool seal_ticket(struct tls_session *session, struct chain *out)
{
    struct resume_state state = {.suite = session->suite,
                                 .secret_size = session->secret_size,
                                 .identity = session->identity};
    struct buffer message = {0};
    bool sealed = true;
    memcpy(state.secret, session->resumption, session->secret_size);
    if (resume_issue(session->engine, session->context, &state, tls_session_server_name(session), 0,
                     &message) &&
        message.size <= session->plain_max)
        sealed = seal_bytes(session, RECORD_HANDSHAKE, buffer_slice(&message), out);
    buffer_fini(&message);
    secret_wipe(&state, sizeof(state));
    if (!sealed)
        return false;
    session->ticket_due = false;
    secret_wipe(session->resumption, SECRET_MAX);
    tls_context_unref(session->context);
    session->context = NULL;
    return true;
}

/* What must stand before the next data. */
static bool seal_due(struct tls_session *session, struct chain *out)
{
    if (session->ticket_due && session->plain.size > 0 && !seal_ticket(session, out))
        return false;
    if (session->write.is_13 && session->write.sequence >= RECORDS_A_KEY_MAX)
        session->key_update_due = true;
    return !session->key_update_due || seal_key_update(session, out);
}

static enum tls_flush flush_open(struct tls_session *session, struct chain *out, size_t limit)
{
    size_t before = out->size;
    if (session->write_ended)
        return TLS_FLUSH_DONE;
    do {
        if (limit > 0 && out->size - before >= limit)
            return TLS_FLUSH_LIMIT;
        if (!seal_due(session, out))
            return TLS_FLUSH_NO_MEMORY;
        size_t size = MIN(session->plain.size, (size_t)session->plain_max);
        if (size > 0 && !record_seal(&session->write, &session->engine->ciphers, RECORD_DATA,
                                     &session->plain, size, out, session->pool))
            return TLS_FLUSH_NO_MEMORY;
    } while (session->plain.size > 0);
    if (session->write_end_due) {
        if (!seal_alert(session, ALERT_CLOSE_NOTIFY, out))
            return TLS_FLUSH_NO_MEMORY;
        session->write_ended = true;
    }
    return TLS_FLUSH_DONE;
}

static enum tls_flush flush_failed(struct tls_session *session, struct chain *out)
{
    if (session->alert == ALERT_NONE || session->write_ended)
        return TLS_FLUSH_DONE;
    if (!seal_alert(session, session->alert, out))
        return TLS_FLUSH_NO_MEMORY;
    session->alert = ALERT_NONE;
    session->write_ended = true;
    return TLS_FLUSH_DONE;
}

enum tls_flush tls_session_flush(struct tls_session *session, struct chain *cipher_out,
                                 size_t limit)
{
    struct chain nothing = {0};
    if (session->state == SESSION_HANDSHAKING && handshake_can_step(session->handshake, &nothing))
        session_step(session, &nothing); /* a client's hello */
    if (session->handshake) {
        chain_move(cipher_out, handshake_out(session->handshake));
        if (session->state != SESSION_HANDSHAKING)
            session_free_handshake(session);
    }
    switch ((enum session_state)session->state) {
    case SESSION_HANDSHAKING: break;
    case SESSION_OPEN: return flush_open(session, cipher_out, limit);
    case SESSION_FAILED: return flush_failed(session, cipher_out);
    }
    return TLS_FLUSH_DONE;
}

bool tls_session_wants_flush(const struct tls_session *session)
{
    struct chain nothing = {0};
    if (session->handshake && (!chain_is_empty(handshake_out(session->handshake)) ||
                               handshake_can_step(session->handshake, &nothing)))
        return true;
    switch ((enum session_state)session->state) {
    case SESSION_HANDSHAKING: return false;
    case SESSION_FAILED: return session->alert != ALERT_NONE && !session->write_ended;
    case SESSION_OPEN: break;
    }
    return !session->write_ended &&
           (session->plain.size > 0 || session->key_update_due || session->write_end_due);
}
