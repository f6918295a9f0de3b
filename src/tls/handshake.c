#include "tls/handshake_internal.h"

#include "base/memory.h"
#include "tls/engine_internal.h"
#include "tls/handshake_failure_internal.h"
#include "tls/identity_internal.h"
#include "tls/key_pair.h"
#include "tls/verify_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { SERVER_NAME_MAX = 255 };

/* Watches the records that libssl writes, for the nonce of the last sealed one in TLS 1.2. */
struct out_watch {
    uint8_t head[RECORD_HEADER + 8];
    size_t position; /* in the record */
    size_t length;   /* of the record, header included; known from byte 5 on */
};

struct handshake {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct tls_context *context;
    SSL *ssl;         /* NULL before the first step and after the last */
    struct chain *in; /* during a step */
    size_t readable;  /* of it: whole records */
    struct chain out;
    struct out_watch watch;
    size_t bytes_in;
    bool has_written;
    bool out_of_memory;
    bool is_charged;
    struct derived_secrets secrets;
    /* From the spec. */
    char *server_name;
    size_t server_name_size;
    struct der alpn;
    struct san_match *expected; /* values follow in the same allocation */
    size_t expected_count;
    struct resume_place place;
    uint64_t peer_key;
    /* What was learnt. */
    struct peer_identity *identity; /* a reference, or NULL */
    bool was_cached;
    struct peer_identity
        *resumable; /* of the ticket that was offered or accepted; a reference, or NULL */
    struct handshake_failure failure;
    char agreed_alpn[TLS_ALPN_BYTES_MAX];
    size_t agreed_alpn_size;
};

/* The bytes between libssl and our chains. */

static int bio_read(BIO *bio, char *to, size_t size, size_t *done)
{
    struct handshake *handshake = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size = MIN(size, handshake->readable);
    if (size == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *done = chain_copy_out(handshake->in, 0, to, size);
    chain_consume(handshake->in, *done);
    handshake->readable -= *done;
    handshake->bytes_in += *done;
    return 1;
}

static void watch_out(struct out_watch *watch, struct slice bytes)
{
    while (bytes.size > 0) {
        if (watch->position < RECORD_HEADER) {
            watch->head[watch->position++] = slice_take_byte(&bytes);
            if (watch->position == RECORD_HEADER)
                watch->length = RECORD_HEADER + ((size_t)watch->head[3] << 8 | watch->head[4]);
            if (watch->position == watch->length)
                watch->position = 0; /* an empty record */
            continue;
        }
        size_t keep = watch->position < sizeof(watch->head) ? sizeof(watch->head) - watch->position
                                                            : SIZE_MAX;
        size_t here = MIN(bytes.size, watch->length - watch->position);
        struct slice part = slice_take(&bytes, MIN(here, keep));
        if (keep != SIZE_MAX)
            memcpy(watch->head + watch->position, part.data, part.size);
        watch->position += part.size;
        if (watch->position == watch->length)
            watch->position = 0;
    }
}

static int bio_write(BIO *bio, const char *from, size_t size, size_t *done)
{
    struct handshake *handshake = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!chain_append_copy(&handshake->out, handshake->pool, slice_of(from, size))) {
        handshake->out_of_memory = true;
        return 0;
    }
    watch_out(&handshake->watch, slice_of(from, size));
    handshake->has_written = true;
    *done = size;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *handshake_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tulle chain");
    if (!method || !BIO_meth_set_read_ex(method, bio_read) ||
        !BIO_meth_set_write_ex(method, bio_write) || !BIO_meth_set_ctrl(method, bio_control))
        abort();
    return method;
}

/* libssl's questions. */

static enum handshake_step fail(struct handshake *handshake, enum tls_failure failure,
                                const char *text)
{
    if (!handshake->failure.text)
        handshake->failure = (struct handshake_failure){failure, str_copy(text)};
    return HANDSHAKE_FAILED;
}

static int on_verify(X509_STORE_CTX *store, void *nothing)
{
    (void)nothing;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct handshake *handshake = SSL_get_app_data(ssl);
    if (!handshake->context->trust)
        return 1; /* by the context's wish, and it gives no identity */
    struct verify_result result;
    verify_chain(handshake->engine, handshake->context, X509_STORE_CTX_get0_untrusted(store),
                 &result);
    if (result.identity &&
        !peer_identity_matches(result.identity, handshake->expected, handshake->expected_count)) {
        result.failure = TLS_FAILURE_IDENTITY;
        result.alert_error = X509_V_ERR_HOSTNAME_MISMATCH;
        failure_describe_mismatch(result.identity, handshake->expected, handshake->expected_count,
                                  result.text, sizeof(result.text));
    }
    if (result.failure != TLS_FAILURE_NONE) {
        peer_identity_unref(result.identity);
        handshake->failure = (struct handshake_failure){result.failure, str_copy(result.text)};
        X509_STORE_CTX_set_error(store, result.alert_error);
        return 0;
    }
    known_certificates_keep(&handshake->engine->known, X509_STORE_CTX_get0_untrusted(store));
    handshake->identity = result.identity;
    handshake->was_cached = result.was_cached;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* The server's order decides. Without a shared protocol the connection goes on without one. */
static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                   const unsigned char *offered, unsigned offered_size, void *nothing)
{
    (void)nothing;
    struct handshake *handshake = SSL_get_app_data(ssl);
    const struct der *ours =
        handshake->alpn.size > 0 ? &handshake->alpn : &handshake->context->alpn;
    struct slice mine = slice_of(ours->data, ours->size);
    while (mine.size > 0) {
        struct slice name = slice_take(&mine, (uint8_t)mine.data[0] + 1U);
        struct slice theirs = slice_of(offered, offered_size);
        while (theirs.size > 0 && theirs.size > (uint8_t)theirs.data[0]) {
            struct slice other = slice_take(&theirs, (uint8_t)theirs.data[0] + 1U);
            if (!slice_equals(name, other))
                continue;
            *chosen = (const unsigned char *)other.data + 1;
            *chosen_size = (unsigned char)(other.size - 1);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* The host in a server_name extension (RFC 6066 3) in lower case and without a trailing dot; false when it is no name. */
static bool keep_asked_name(struct handshake *handshake, struct slice extension)
{
    enum { HEAD = 2 + 1 + 2 };
    if (extension.size <= HEAD || extension.data[2] != 0)
        return true; /* empty or of another kind: libssl judges it */
    struct slice name = slice_from(extension, HEAD);
    size_t size =
        MIN((size_t)(uint8_t)extension.data[3] << 8 | (uint8_t)extension.data[4], name.size);
    if (size == 0 || size > SERVER_NAME_MAX)
        return false;
    char *lower = str_copy_n(name.data, size);
    mem_free(handshake->server_name);
    handshake->server_name = lower;
    handshake->server_name_size = size;
    for (size_t i = 0; i < size; i++) {
        if (lower[i] <= ' ' || lower[i] >= 0x7f)
            return false;
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] = (char)(lower[i] + ('a' - 'A'));
    }
    if (lower[size - 1] == '.')
        handshake->server_name_size--;
    return true;
}

/* Comes before tickets are looked at, which the name decides about. */
static int on_client_hello(SSL *ssl, int *alert, void *nothing)
{
    (void)nothing;
    struct handshake *handshake = SSL_get_app_data(ssl);
    const unsigned char *extension;
    size_t size;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &size) ||
        keep_asked_name(handshake, slice_of(extension, size)))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    fail(handshake, TLS_FAILURE_PROTOCOL, "the peer asks for a server name that is none");
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypt)
{
    struct handshake *handshake = SSL_get_app_data(ssl);
    struct ticket_key key;
    if (encrypt || !handshake->context->ticket_keys)
        return 0; /* a TLS 1.2 server sends an empty ticket; ours for TLS 1.3 are not made here */
    if (!ticket_keys_find(handshake->context->ticket_keys, handshake->engine->now_s, name, &key))
        return 0;
    EVP_CIPHER *kind = EVP_CIPHER_fetch(handshake->engine->library, "AES-256-CBC", NULL);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string("key", key.mac, TICKET_KEY),
        OSSL_PARAM_construct_utf8_string("digest", digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool good = kind && EVP_DecryptInit_ex2(cipher, kind, key.cipher, iv, NULL) &&
                EVP_MAC_CTX_set_params(mac, params);
    EVP_CIPHER_free(kind);
    secret_wipe(&key, sizeof(key));
    return good ? 1 : -1;
}

static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_size, SSL_TICKET_STATUS status, void *nothing)
{
    (void)name;
    (void)name_size;
    (void)nothing;
    struct handshake *handshake = SSL_get_app_data(ssl);
    struct peer_identity *identity = NULL;
    struct slice asked = slice_of(handshake->server_name, handshake->server_name_size);
    bool good = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    if (!good || SSL_version(ssl) != TLS1_3_VERSION ||
        !resume_accept(handshake->engine, handshake->context, session, asked, &identity))
        return SSL_TICKET_RETURN_IGNORE;
    if (!peer_identity_matches(identity, handshake->expected, handshake->expected_count)) {
        peer_identity_unref(identity);
        return SSL_TICKET_RETURN_IGNORE; /* the full handshake says why */
    }
    /* libssl takes the last one that we let it use: it gives up earlier ones, and asks again after a retry. */
    peer_identity_unref(handshake->resumable);
    handshake->resumable = identity;
    return SSL_TICKET_RETURN_USE;
}

void handshake_prepare(SSL_CTX *ssl)
{
    SSL_CTX_set_cert_verify_callback(ssl, on_verify, NULL);
    SSL_CTX_set_client_hello_cb(ssl, on_client_hello, NULL);
    SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket_key);
    SSL_CTX_set_session_ticket_cb(ssl, NULL, on_ticket, NULL);
}

/* Life. */

static void copy_expected(struct handshake *handshake, const struct san_match *expected,
                          size_t count)
{
    size_t texts = 0;
    for (size_t i = 0; i < count; i++)
        texts += expected[i].value.size;
    if (count == 0)
        return;
    handshake->expected = mem_alloc(count * sizeof(*expected) + texts);
    handshake->expected_count = count;
    char *at = (char *)(handshake->expected + count);
    for (size_t i = 0; i < count; i++) {
        handshake->expected[i] = expected[i];
        handshake->expected[i].value.data = at;
        if (expected[i].value.size > 0)
            memcpy(at, expected[i].value.data, expected[i].value.size);
        at += expected[i].value.size;
    }
}

struct handshake *handshake_create(struct tls_engine *engine, struct block_pool *pool,
                                   const struct tls_session_spec *spec)
{
    struct handshake *handshake = mem_new(struct handshake);
    handshake->engine = engine;
    handshake->pool = pool;
    handshake->context = tls_context_ref(spec->context);
    struct slice name =
        tls_context_role(spec->context) == TLS_CLIENT ? spec->server_name : SLICE_NONE;
    handshake->server_name = str_copy_n(name.data, name.size);
    handshake->server_name_size = name.size;
    handshake->peer_key = spec->peer_key;
    copy_expected(handshake, spec->expected, spec->expected_count);
    if (spec->alpn && !context_alpn_wire(spec->alpn, spec->alpn_count, &handshake->alpn))
        handshake->alpn = (struct der){NULL, 0};
    engine->counts.handshakes_active++;
    return handshake;
}

static void free_ssl(struct handshake *handshake)
{
    if (!handshake->ssl)
        return;
    /* It is not told that the connection goes on without it, so it must not think of telling the peer. */
    SSL_set_quiet_shutdown(handshake->ssl, 1);
    SSL_free(handshake->ssl);
    handshake->ssl = NULL;
    ERR_clear_error();
}

void handshake_destroy(struct handshake *handshake)
{
    if (!handshake)
        return;
    free_ssl(handshake);
    handshake->engine->counts.handshakes_active--;
    if (handshake->is_charged)
        engine_release(handshake->engine, HANDSHAKE_MEMORY);
    chain_fini(&handshake->out);
    peer_identity_unref(handshake->identity);
    peer_identity_unref(handshake->resumable);
    tls_context_unref(handshake->context);
    mem_free(handshake->server_name);
    mem_free(handshake->alpn.data);
    mem_free(handshake->expected);
    mem_free(handshake->failure.text);
    mem_free_secret(handshake, sizeof(*handshake));
}

struct chain *handshake_out(struct handshake *handshake)
{
    return &handshake->out;
}

struct handshake_failure handshake_take_failure(struct handshake *handshake)
{
    struct handshake_failure taken = handshake->failure;
    handshake->failure.text = NULL;
    return taken;
}

/* Starting. */

static void offer_resumption(struct handshake *handshake)
{
    handshake->place = resume_place_of(
        handshake->context, slice_of(handshake->server_name, handshake->server_name_size),
        handshake->expected, handshake->expected_count, handshake->peer_key);
    SSL_SESSION *session = resume_find(handshake->engine, &handshake->place, &handshake->resumable);
    if (!session)
        return;
    if (!SSL_set_session(handshake->ssl, session)) {
        peer_identity_unref(handshake->resumable);
        handshake->resumable = NULL;
    }
    SSL_SESSION_free(session);
}

static bool start_client(struct handshake *handshake)
{
    const struct der *alpn =
        handshake->alpn.size > 0 ? &handshake->alpn : &handshake->context->alpn;
    SSL_set_connect_state(handshake->ssl);
    if (handshake->server_name_size > 0 &&
        !SSL_set_tlsext_host_name(handshake->ssl, handshake->server_name))
        return false;
    if (alpn->size > 0 && SSL_set_alpn_protos(handshake->ssl, (const unsigned char *)alpn->data,
                                              (unsigned)alpn->size) != 0)
        return false;
    if (handshake->context->resume)
        offer_resumption(handshake);
    return true;
}

static enum handshake_step start(struct handshake *handshake)
{
    if (!engine_charge(handshake->engine, HANDSHAKE_MEMORY))
        return fail(handshake, TLS_FAILURE_MEMORY, "the memory budget has no room for a handshake");
    handshake->is_charged = true;
    struct engine_context *made = engine_context_for(handshake->engine, handshake->context);
    handshake->ssl = made ? SSL_new(made->ssl) : NULL;
    BIO *bio = handshake->ssl
                   ? BIO_new_ex(handshake->engine->library, handshake->engine->bio_method)
                   : NULL;
    if (!bio)
        return fail(handshake, TLS_FAILURE_INTERNAL, "the TLS library makes no connection object");
    BIO_set_data(bio, handshake);
    BIO_set_init(bio, 1);
    SSL_set_bio(handshake->ssl, bio, bio);
    SSL_set_app_data(handshake->ssl, handshake);
    if (handshake->context->role == TLS_SERVER)
        SSL_set_accept_state(handshake->ssl);
    else if (!start_client(handshake))
        return fail(handshake, TLS_FAILURE_INTERNAL, "the server name cannot be sent");
    return HANDSHAKE_WAITS;
}

/* Steps. */

enum { WIRE_RECORD_MAX = 16384 + 2048, SCAN_MAX = 64 << 10 };

/* How many bytes at the front are whole records. Bytes that are no record count too: libssl says what they are. */
static size_t whole_records(const struct chain *in)
{
    size_t whole = 0;
    uint8_t header[RECORD_HEADER];
    while (whole < SCAN_MAX &&
           chain_copy_out(in, whole, (char *)header, RECORD_HEADER) == RECORD_HEADER) {
        size_t length = (size_t)header[3] << 8 | header[4];
        if (header[1] != 3 || length > WIRE_RECORD_MAX)
            return in->size;
        if (in->size - whole < RECORD_HEADER + length)
            break;
        whole += RECORD_HEADER + length;
    }
    return whole;
}

bool handshake_can_step(const struct handshake *handshake, const struct chain *in)
{
    if (handshake->context->role == TLS_CLIENT && !handshake->ssl)
        return true;
    return whole_records(in) > 0;
}

static bool is_over_limit(const struct handshake *handshake)
{
    if (handshake->bytes_in > HANDSHAKE_BYTES_MAX)
        return true;
    return handshake->context->role == TLS_SERVER && !handshake->has_written &&
           handshake->bytes_in > HANDSHAKE_HELLO_BYTES_MAX;
}

static enum handshake_step judge(struct handshake *handshake, int ret)
{
    if (ret == 1)
        return HANDSHAKE_DONE;
    if (handshake->out_of_memory)
        return fail(handshake, TLS_FAILURE_MEMORY,
                    "the memory budget has no room for handshake messages");
    if (SSL_get_error(handshake->ssl, ret) == SSL_ERROR_WANT_READ) {
        if (is_over_limit(handshake))
            return fail(handshake, TLS_FAILURE_LIMIT,
                        "the peer's handshake messages are too large");
        return HANDSHAKE_WAITS;
    }
    char text[VERIFY_TEXT_MAX];
    enum tls_failure failure = failure_describe(handshake->ssl, text, sizeof(text));
    return fail(handshake, failure, text);
}

enum handshake_step handshake_step(struct handshake *handshake, struct chain *in)
{
    if (!handshake->ssl && start(handshake) == HANDSHAKE_FAILED)
        return HANDSHAKE_FAILED;
    handshake->in = in;
    handshake->readable = whole_records(in);
    ERR_clear_error();
    derivation_note(&handshake->secrets);
    known_certificates_use(&handshake->engine->known);
    enum handshake_step step = judge(handshake, SSL_do_handshake(handshake->ssl));
    known_certificates_use(NULL);
    derivation_note(NULL);
    ERR_clear_error();
    handshake->in = NULL;
    return step;
}

/* Finishing. */

static void take_names(struct handshake *handshake, struct handshake_result *result)
{
    const unsigned char *alpn;
    unsigned alpn_size;
    SSL_get0_alpn_selected(handshake->ssl, &alpn, &alpn_size);
    handshake->agreed_alpn_size = MIN((size_t)alpn_size, sizeof(handshake->agreed_alpn));
    if (handshake->agreed_alpn_size > 0)
        memcpy(handshake->agreed_alpn, alpn, handshake->agreed_alpn_size);
    result->alpn = slice_of(handshake->agreed_alpn, handshake->agreed_alpn_size);
    result->server_name = slice_of(handshake->server_name, handshake->server_name_size);
}

static bool take_secrets(struct handshake *handshake, struct handshake_result *result)
{
    if (result->version == TLS_1_3) {
        result->secrets = handshake->secrets;
        return handshake->secrets.has_client && handshake->secrets.has_server &&
               handshake->secrets.size == result->secret_size;
    }
    uint64_t nonce = 0;
    for (size_t i = 0; i < 8; i++)
        nonce = nonce << 8 | handshake->watch.head[RECORD_HEADER + i];
    result->next_nonce = nonce + 1;
    return SSL_SESSION_get_master_key(SSL_get_session(handshake->ssl), result->master,
                                      SECRET_MAX) == SECRET_MAX &&
           SSL_get_client_random(handshake->ssl, result->client_random, 32) == 32 &&
           SSL_get_server_random(handshake->ssl, result->server_random, 32) == 32;
}

static size_t plain_max(const SSL *ssl)
{
    uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));
    return code >= 1 && code <= 4 ? (size_t)256 << code : RECORD_PLAIN_MAX;
}

static void take_identity(struct handshake *handshake, struct handshake_result *result)
{
    result->is_resumed = SSL_session_reused(handshake->ssl);
    if (result->is_resumed) {
        peer_identity_unref(handshake->identity);
        handshake->identity = give(handshake->resumable);
        if (handshake->identity)
            *identity_tickets(handshake->identity) = 0;
    }
    result->identity = handshake->identity ? peer_identity_ref(handshake->identity) : NULL;
    result->was_cached = handshake->was_cached;
}

bool handshake_finish(struct handshake *handshake, struct handshake_result *result)
{
    *result = (struct handshake_result){.context = handshake->context, .place = handshake->place};
    const SSL_CIPHER *cipher = SSL_get_current_cipher(handshake->ssl);
    result->version = (enum tls_version)SSL_version(handshake->ssl);
    result->suite = SSL_CIPHER_get_protocol_id(cipher);
    result->cipher = SSL_CIPHER_standard_name(cipher);
    result->secret_size = (size_t)EVP_MD_get_size(SSL_CIPHER_get_handshake_digest(cipher));
    result->plain_max = plain_max(handshake->ssl);
    take_names(handshake, result);
    bool good = take_secrets(handshake, result);
    if (good)
        take_identity(handshake, result);
    else
        fail(handshake, TLS_FAILURE_INTERNAL,
             "this version of the TLS library does not give out the traffic secrets");
    free_ssl(handshake);
    return good;
}
