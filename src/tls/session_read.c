/* session_read: the half of a session that takes records. */
#include "tls/session_internal.h"

#include "base/memory.h"
#include "tls/handshake_failure_internal.h"

static enum tls_feed refuse(struct tls_session *session, enum tls_failure failure, int alert,
                            const char *text)
{
    session_fail(session, failure, alert, text);
    return TLS_FEED_FAILED;
}

/* What costs us work and brings no data is rationed. */
static bool count_idle_message(struct tls_session *session)
{
    if (session->idle_messages < IDLE_MESSAGES_MAX) {
        session->idle_messages++;
        return true;
    }
    refuse(session, TLS_FAILURE_LIMIT, ALERT_UNEXPECTED_MESSAGE,
           "the peer sent too many key updates, tickets, warnings or empty records");
    return false;
}

static void count_data(struct tls_session *session, size_t size)
{
    session->bytes_since += (uint32_t)size;
    if (session->bytes_since >= 1U << 20) {
        session->bytes_since = 0;
        session->idle_messages = 0;
    }
}

static bool take_data(struct tls_session *session, struct chain *plain, struct chain *out)
{
    if (session->message.size > 0) {
        refuse(session, TLS_FAILURE_PROTOCOL, ALERT_UNEXPECTED_MESSAGE,
               "the peer put data inside a handshake message");
        return false;
    }
    if (chain_is_empty(plain))
        return count_idle_message(session);
    count_data(session, plain->size);
    chain_move(out, plain);
    return true;
}

static bool take_alert(struct tls_session *session, const struct chain *plain)
{
    enum { WARNING = 1 };
    uint8_t alert[2];
    char text[160];
    if (plain->size != 2) {
        refuse(session, TLS_FAILURE_PROTOCOL, ALERT_DECODE_ERROR,
               "the peer sent a malformed alert");
        return false;
    }
    chain_copy_out(plain, 0, (char *)alert, 2);
    if (alert[1] == ALERT_CLOSE_NOTIFY) {
        session->read_ended = true;
        return true;
    }
    /* In TLS 1.3 the level says nothing, and all but two alerts are fatal. */
    if (alert[1] == ALERT_USER_CANCELED || (session->version == TLS_1_2 && alert[0] == WARNING))
        return count_idle_message(session);
    failure_describe_alert(alert[1], text, sizeof(text));
    refuse(session, TLS_FAILURE_REFUSED_BY_PEER, ALERT_NONE, text);
    return false;
}

static bool take_key_update(struct tls_session *session, struct slice body, bool ends_record)
{
    bool asks_for_ours = body.size == 1 && body.data[0] == 1;
    if (body.size != 1 || (uint8_t)body.data[0] > 1 || !ends_record) {
        refuse(session, TLS_FAILURE_PROTOCOL,
               body.size == 1 ? ALERT_UNEXPECTED_MESSAGE : ALERT_DECODE_ERROR,
               "the peer sent a malformed key update");
        return false;
    }
    if (!count_idle_message(session))
        return false;
    session_renew(session, &session->read, session->read_secret);
    session->key_update_due |= asks_for_ours;
    session->engine->counts.key_updates++;
    return true;
}

static bool take_ticket(struct tls_session *session, struct slice body)
{
    struct resume_state state = {.suite = session->suite,
                                 .secret_size = session->secret_size,
                                 .identity = session->identity};
    if (!count_idle_message(session))
        return false;
    if (!session->place)
        return true;
    memcpy(state.secret, session->resumption, session->secret_size);
    bool good = resume_keep(session->engine, session->place, &state, body);
    OPENSSL_cleanse(&state, sizeof(state));
    if (!good)
        refuse(session, TLS_FAILURE_PROTOCOL, ALERT_DECODE_ERROR,
               "the peer sent a malformed ticket");
    return good;
}

static bool take_message(struct tls_session *session, uint8_t type, struct slice body,
                         bool ends_record)
{
    if (session->version == TLS_1_2) {
        refuse(session, TLS_FAILURE_PROTOCOL, ALERT_NO_RENEGOTIATION,
               "the peer asked for a renegotiation, which is not done");
        return false;
    }
    if (type == MESSAGE_KEY_UPDATE)
        return take_key_update(session, body, ends_record);
    if (type == MESSAGE_NEW_SESSION_TICKET && !session->is_server)
        return take_ticket(session, body);
    refuse(session, TLS_FAILURE_PROTOCOL, ALERT_UNEXPECTED_MESSAGE,
           "the peer sent a handshake message that has no place after the handshake");
    return false;
}

/* Handles the whole messages in `bytes`; returns how many bytes they took, or SIZE_MAX when one was refused. */
static size_t take_messages(struct tls_session *session, struct slice bytes)
{
    size_t used = 0;
    while (bytes.size - used >= MESSAGE_HEADER) {
        const uint8_t *head = (const uint8_t *)bytes.data + used;
        size_t length = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (length > POST_MESSAGE_MAX) {
            refuse(session, TLS_FAILURE_LIMIT, ALERT_ILLEGAL_PARAMETER,
                   "the peer sent an overlong handshake message");
            return SIZE_MAX;
        }
        if (bytes.size - used < MESSAGE_HEADER + length)
            break;
        struct slice body = slice_of(head + MESSAGE_HEADER, length);
        used += MESSAGE_HEADER + length;
        if (!take_message(session, head[0], body, used == bytes.size))
            return SIZE_MAX;
    }
    return used;
}

static bool take_handshake(struct tls_session *session, const struct chain *plain)
{
    if (chain_is_empty(plain)) {
        refuse(session, TLS_FAILURE_PROTOCOL, ALERT_UNEXPECTED_MESSAGE,
               "the peer sent an empty handshake record");
        return false;
    }
    struct buffer *message = &session->message;
    char *to = buffer_reserve(message, plain->size);
    message->size += chain_copy_out(plain, 0, to, plain->size);
    size_t used = take_messages(session, buffer_slice(message));
    if (used == SIZE_MAX)
        return false;
    if (used == message->size) {
        buffer_fini(message);
        return true;
    }
    memmove(message->data, message->data + used, message->size - used);
    message->size -= used;
    return count_idle_message(session); /* pieces of a message are rationed like messages */
}

static bool take_record(struct tls_session *session, enum record_type type, struct chain *plain,
                        struct chain *out)
{
    switch (type) {
    case RECORD_DATA: return take_data(session, plain, out);
    case RECORD_ALERT: return take_alert(session, plain);
    case RECORD_HANDSHAKE: return take_handshake(session, plain);
    case RECORD_CHANGE_CIPHER: break;
    }
    refuse(session, TLS_FAILURE_PROTOCOL, ALERT_UNEXPECTED_MESSAGE,
           "the peer sent a record of a type that has no place");
    return false;
}

static enum tls_feed feed_records(struct tls_session *session, struct chain *in, struct chain *out,
                                  size_t limit)
{
    size_t before = out->size;
    while (!session->read_ended) {
        if (limit > 0 && out->size - before >= limit)
            return chain_is_empty(in) ? TLS_FEED_MORE : TLS_FEED_LIMIT;
        struct chain plain = {0};
        enum record_type type;
        bool good = true;
        switch (record_open(&session->read, &session->engine->ciphers, in, &plain, &type)) {
        case RECORD_PARTIAL: return TLS_FEED_MORE;
        case RECORD_OPENED: good = take_record(session, type, &plain, out); break;
        case RECORD_BAD_TYPE:
            return refuse(session, TLS_FAILURE_PROTOCOL, ALERT_UNEXPECTED_MESSAGE,
                          "the peer sent bytes that are no record of this connection");
        case RECORD_TOO_LONG:
            return refuse(session, TLS_FAILURE_PROTOCOL, ALERT_RECORD_OVERFLOW,
                          "the peer sent an overlong record");
        case RECORD_FORGED:
            return refuse(session, TLS_FAILURE_PROTOCOL, ALERT_BAD_RECORD_MAC,
                          "a record does not authenticate: its bytes were changed on the way");
        }
        chain_fini(&plain);
        if (!good)
            return TLS_FEED_FAILED;
    }
    chain_fini(in); /* nothing after close_notify counts */
    return TLS_FEED_END;
}

/* MORE: go on with records if it is open, else wait for bytes. */
static enum tls_feed feed_handshake(struct tls_session *session, struct chain *in)
{
    while (session->state == SESSION_HANDSHAKING && handshake_can_step(session->handshake, in)) {
        if (session->engine->steps_limited && session->engine->steps_left == 0)
            return TLS_FEED_LATER;
        session_step(session, in);
    }
    return session->state == SESSION_FAILED ? TLS_FEED_FAILED : TLS_FEED_MORE;
}

enum tls_feed tls_session_feed(struct tls_session *session, struct chain *cipher_in,
                               struct chain *plain_out, size_t limit)
{
    enum tls_feed feed = TLS_FEED_MORE;
    if (session->state == SESSION_HANDSHAKING)
        feed = feed_handshake(session, cipher_in);
    if (session->state == SESSION_FAILED)
        return TLS_FEED_FAILED;
    return session->state == SESSION_OPEN ? feed_records(session, cipher_in, plain_out, limit)
                                          : feed;
}
