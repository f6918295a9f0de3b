#include "tls/session.h"

#include "base/memory.h"
#include "tls/identity_internal.h"
#include "tls/key_pair.h"
#include "tls/session_internal.h"

#include <openssl/crypto.h>

struct tls_session *tls_session_create(struct tls_engine *engine, struct block_pool *pool,
                                       const struct tls_session_spec *spec)
{
    struct tls_session *session = object_pool_get(&engine->sessions);
    if (!session)
        return NULL;
    session->engine = engine;
    session->pool = pool;
    session->is_server = tls_context_role(spec->context) == TLS_SERVER;
    session->alert = ALERT_NONE;
    session->handshake = handshake_create(engine, pool, spec);
    engine->counts.sessions++;
    return session;
}

static bool has_long_names(const struct tls_session *session)
{
    return (size_t)session->alpn_size + session->server_name_size > ENGINE_NAMES;
}

static void free_names(struct tls_session *session)
{
    if (has_long_names(session))
        mem_free(session->names);
    else if (session->names)
        object_pool_put(&session->engine->names, session->names);
}

void tls_session_destroy(struct tls_session *session)
{
    if (!session)
        return;
    session_free_handshake(session);
    record_key_fini(&session->read, &session->engine->ciphers);
    record_key_fini(&session->write, &session->engine->ciphers);
    chain_fini(&session->plain);
    buffer_fini(&session->message);
    peer_identity_unref(session->identity);
    tls_context_unref(session->context);
    mem_free(session->place);
    free_names(session);
    mem_free(session->failure_text);
    struct tls_engine *engine = session->engine;
    engine->counts.sessions--;
    OPENSSL_cleanse(session, sizeof(*session));
    object_pool_put(&engine->sessions, session);
}

void session_free_handshake(struct tls_session *session)
{
    handshake_destroy(session->handshake);
    session->handshake = NULL;
}

void session_fail(struct tls_session *session, enum tls_failure failure, int alert,
                  const char *text)
{
    if (session->state == SESSION_FAILED)
        return;
    session->state = SESSION_FAILED;
    session->failure = (uint8_t)failure;
    session->failure_text = str_copy(text);
    session->alert = (int16_t)alert;
    session->engine->counts.failures[failure]++;
    chain_fini(&session->plain);
    buffer_fini(&session->message);
}

void session_renew(struct tls_session *session, struct record_key *key, uint8_t *secret)
{
    schedule_next_secret(secret, session->secret_size);
    record_key_renew(key, &session->engine->ciphers);
    schedule_traffic_key(secret, session->secret_size, key);
}

static enum record_cipher cipher_of(uint16_t suite)
{
    switch (suite) {
    case 0x1301: /* TLS_AES_128_GCM_SHA256 */
    case 0xc02b: /* ECDHE_ECDSA, ECDHE_RSA, RSA */
    case 0xc02f:
    case 0x009c: return RECORD_AES_128_GCM;
    case 0x1302: /* TLS_AES_256_GCM_SHA384 */
    case 0xc02c:
    case 0xc030:
    case 0x009d: return RECORD_AES_256_GCM;
    case 0x1303: /* TLS_CHACHA20_POLY1305_SHA256 */
    case 0xcca9:
    case 0xcca8: return RECORD_CHACHA20_POLY1305;
    default: return RECORD_CIPHERS;
    }
}

static void set_keys_13(struct tls_session *session, const struct handshake_result *result)
{
    const uint8_t *mine = session->is_server ? result->secrets.server : result->secrets.client;
    const uint8_t *theirs = session->is_server ? result->secrets.client : result->secrets.server;
    memcpy(session->write_secret, mine, result->secret_size);
    memcpy(session->read_secret, theirs, result->secret_size);
    if (result->secrets.has_resumption)
        memcpy(session->resumption, result->secrets.resumption, result->secret_size);
    schedule_traffic_key(session->write_secret, result->secret_size, &session->write);
    schedule_traffic_key(session->read_secret, result->secret_size, &session->read);
}

/* The Finished messages were record 0 in both directions, and libssl chose the nonce of ours. */
static bool set_keys_12(struct tls_session *session, const struct handshake_result *result)
{
    struct record_key *client = session->is_server ? &session->read : &session->write;
    struct record_key *server = session->is_server ? &session->write : &session->read;
    session->read.sequence = session->write.sequence = 1;
    session->write.explicit_nonce = result->next_nonce;
    return schedule_tls12(session->engine->library, slice_of(result->master, SECRET_MAX),
                          result->client_random, result->server_random, result->secret_size == 48,
                          client, server);
}

static bool set_keys(struct tls_session *session, const struct handshake_result *result)
{
    enum record_cipher cipher = cipher_of(result->suite);
    if (cipher == RECORD_CIPHERS)
        return false;
    session->read =
        (struct record_key){.cipher = (uint8_t)cipher, .is_13 = result->version == TLS_1_3};
    session->write = session->read;
    session->write.seals = true;
    if (result->version == TLS_1_2)
        return set_keys_12(session, result);
    set_keys_13(session, result);
    return true;
}

static void keep_names(struct tls_session *session, const struct handshake_result *result)
{
    session->alpn_size = (uint8_t)result->alpn.size;
    session->server_name_size = (uint16_t)result->server_name.size;
    if (result->alpn.size + result->server_name.size == 0)
        return;
    session->names = has_long_names(session)
                         ? mem_alloc(result->alpn.size + result->server_name.size)
                         : object_pool_get(&session->engine->names);
    if (result->alpn.size > 0)
        memcpy(session->names, result->alpn.data, result->alpn.size);
    if (result->server_name.size > 0)
        memcpy(session->names + result->alpn.size, result->server_name.data,
               result->server_name.size);
}

/* A peer that keeps making full handshakes in spite of its tickets gets one only now and then. */
static bool is_ticket_worth_it(struct peer_identity *identity)
{
    enum { UNUSED_TICKETS = 4, EVERY = 16 };
    if (!identity)
        return true;
    uint32_t given = (*identity_tickets(identity))++;
    return given < UNUSED_TICKETS || given % EVERY == 0;
}

static void keep_resumption(struct tls_session *session, const struct handshake_result *result)
{
    struct tls_context *context = result->context;
    if (result->version != TLS_1_3 || !result->secrets.has_resumption)
        return;
    if (session->is_server && context->ticket_keys && is_ticket_worth_it(session->identity)) {
        session->ticket_due = true;
        session->context = tls_context_ref(context);
    } else if (!session->is_server && context->resume) {
        session->place = mem_alloc(sizeof(*session->place));
        *session->place = result->place;
    }
}

static void count(struct tls_counts *counts, const struct handshake_result *result)
{
    if (result->is_resumed)
        counts->handshakes_resumed++;
    else
        counts->handshakes_full++;
    if (result->was_cached)
        counts->handshakes_cached++;
}

static void open_session(struct tls_session *session)
{
    struct handshake_result result;
    bool good = handshake_finish(session->handshake, &result);
    session->identity = result.identity;
    if (!good || !set_keys(session, &result)) {
        session_fail(session, TLS_FAILURE_INTERNAL, ALERT_NONE,
                     "the TLS library agreed on keys that we cannot use");
    } else {
        session->state = SESSION_OPEN;
        session->version = (uint16_t)result.version;
        session->suite = result.suite;
        session->cipher = result.cipher;
        session->own_id = engine_own_id(session->engine, result.context->own_id);
        session->secret_size = (uint8_t)result.secret_size;
        session->plain_max = (uint16_t)MIN(result.plain_max, (size_t)RECORD_PLAIN_BEST);
        session->is_resumed = result.is_resumed;
        keep_names(session, &result);
        keep_resumption(session, &result);
        count(&session->engine->counts, &result);
    }
    secret_wipe(&result, sizeof(result));
}

void session_step(struct tls_session *session, struct chain *in)
{
    if (session->engine->steps_left > 0)
        session->engine->steps_left--;
    switch (handshake_step(session->handshake, in)) {
    case HANDSHAKE_WAITS: break;
    case HANDSHAKE_DONE: open_session(session); break;
    case HANDSHAKE_FAILED: {
        struct handshake_failure failure = handshake_take_failure(session->handshake);
        session_fail(session, failure.failure, ALERT_NONE, failure.text);
        mem_free(failure.text);
        break;
    }
    }
}

bool tls_session_input_ended(struct tls_session *session)
{
    if (session->state == SESSION_HANDSHAKING)
        session_fail(session, TLS_FAILURE_TRUNCATED, ALERT_NONE,
                     "the peer ended the connection during the TLS handshake");
    return session->read_ended;
}

bool tls_session_is_open(const struct tls_session *session)
{
    return session->state == SESSION_OPEN;
}

bool tls_session_has_failed(const struct tls_session *session)
{
    return session->state == SESSION_FAILED;
}

size_t tls_session_backlog(const struct tls_session *session)
{
    return session->plain.size;
}

enum tls_failure tls_session_failure(const struct tls_session *session)
{
    return (enum tls_failure)session->failure;
}

const char *tls_session_failure_text(const struct tls_session *session)
{
    return session->failure_text ? session->failure_text : "";
}

enum tls_version tls_session_version(const struct tls_session *session)
{
    return (enum tls_version)session->version;
}

const char *tls_session_cipher(const struct tls_session *session)
{
    return session->cipher ? session->cipher : "";
}

struct slice tls_session_alpn(const struct tls_session *session)
{
    return slice_of(session->names, session->alpn_size);
}

struct slice tls_session_own_id(const struct tls_session *session)
{
    return slice_str(session->own_id);
}

struct slice tls_session_server_name(const struct tls_session *session)
{
    return session->names ? slice_of(session->names + session->alpn_size, session->server_name_size)
                          : SLICE_NONE;
}

bool tls_session_is_resumed(const struct tls_session *session)
{
    return session->is_resumed;
}

struct peer_identity *tls_session_peer(const struct tls_session *session)
{
    return session->identity;
}
