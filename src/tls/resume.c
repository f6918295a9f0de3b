#include "tls/resume_internal.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "tls/engine_internal.h"
#include "tls/hkdf_internal.h"
#include "tls/identity_internal.h"
#include "tls/key_pair.h"
#include "tls/session_der_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <time.h>

enum {
    TICKET_IV = 16,
    TICKET_MAC = 32,
    MESSAGE_NEW_SESSION_TICKET = 4,
    STATE_VERSION = 2,
    STATE_MAX = 12 << 10
};

/* libssl compares its own clock with the times in a session, so those are real even where `now` is simulated. */
static int64_t library_now_s(void)
{
    return (int64_t)time(NULL);
}

static void put_u16(struct buffer *to, size_t value)
{
    buffer_append_byte(to, (char)(value >> 8));
    buffer_append_byte(to, (char)value);
}

static void put_u32(struct buffer *to, uint32_t value)
{
    put_u16(to, value >> 16);
    put_u16(to, value & 0xffff);
}

static void put_u64(struct buffer *to, uint64_t value)
{
    put_u32(to, (uint32_t)(value >> 32));
    put_u32(to, (uint32_t)value);
}

static void put_text(struct buffer *to, struct slice text)
{
    put_u16(to, text.size);
    buffer_append_slice(to, text);
}

/* Reads from the front; a short text makes `good` false for all that follows. */
struct reader {
    struct slice left;
    bool good;
};

static struct slice take(struct reader *reader, size_t size)
{
    if (!reader->good || reader->left.size < size) {
        reader->good = false;
        return SLICE_NONE;
    }
    return slice_take(&reader->left, size);
}

static uint64_t take_number(struct reader *reader, size_t size)
{
    struct slice bytes = take(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size; i++)
        value = value << 8 | (uint8_t)bytes.data[i];
    return value;
}

static struct slice take_text(struct reader *reader)
{
    return take(reader, (size_t)take_number(reader, 2));
}

static struct hash128 name_hash(struct slice server_name)
{
    uint8_t digest[32];
    struct hash128 hash;
    sha256(server_name, digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

/* What the server wants to read back: policy, its own certificates, name, and the peer. */
static void write_state(const struct tls_context *context, const struct peer_identity *identity,
                        struct slice server_name, struct buffer *to)
{
    struct hash128 name = name_hash(server_name);
    buffer_append_byte(to, STATE_VERSION);
    buffer_append(to, &context->policy, sizeof(context->policy));
    buffer_append(to, &context->own, sizeof(context->own));
    buffer_append(to, &name, sizeof(name));
    buffer_append_byte(to, identity != NULL);
    if (!identity)
        return;
    buffer_append(to, identity->certificate_hash, CERTIFICATE_HASH_BYTES);
    put_u64(to, (uint64_t)identity->not_after_s);
    put_u64(to, (uint64_t)identity->chain_expiry_s);
    buffer_append_byte(to, identity->id.text.size > 0);
    put_text(to, identity->subject);
    put_u16(to, identity->san_count);
    for (uint32_t i = 0; i < identity->san_count; i++) {
        buffer_append_byte(to, (char)identity->sans[i].kind);
        put_text(to, identity->sans[i].text);
    }
}

static struct peer_identity *read_identity(struct tls_engine *engine, struct reader *reader)
{
    struct san sans[PEER_SANS_MAX];
    struct peer_identity model = {.sans = sans};
    struct slice hash = take(reader, CERTIFICATE_HASH_BYTES);
    if (hash.size > 0)
        memcpy(model.certificate_hash, hash.data, hash.size);
    model.not_after_s = (int64_t)take_number(reader, 8);
    model.chain_expiry_s = (int64_t)take_number(reader, 8);
    bool has_id = take_number(reader, 1) == 1;
    model.subject = take_text(reader);
    size_t count = (size_t)take_number(reader, 2);
    for (; reader->good && model.san_count < MIN(count, (size_t)PEER_SANS_MAX); model.san_count++) {
        int kind = (int)take_number(reader, 1);
        sans[model.san_count] = (struct san){(enum san_kind)kind, take_text(reader)};
        if (has_id && kind == SAN_URI &&
            !spiffe_id_parse(sans[model.san_count].text, &model.id, NULL))
            reader->good = false;
    }
    return reader->good ? identity_intern(engine->identities, &model) : NULL;
}

bool resume_accept(struct tls_engine *engine, const struct tls_context *context,
                   SSL_SESSION *session, struct slice server_name, struct peer_identity **identity)
{
    void *data;
    size_t size;
    *identity = NULL;
    if (!SSL_SESSION_get0_ticket_appdata(session, &data, &size) || !data)
        return false;
    struct reader reader = {slice_of(data, size), true};
    struct hash128 name = name_hash(server_name);
    bool same = take_number(&reader, 1) == STATE_VERSION;
    same &= slice_equals(take(&reader, sizeof(name)),
                         slice_of(&context->policy, sizeof(context->policy)));
    same &=
        slice_equals(take(&reader, sizeof(name)), slice_of(&context->own, sizeof(context->own)));
    same &= slice_equals(take(&reader, sizeof(name)), slice_of(&name, sizeof(name)));
    if (!same || !reader.good)
        return false;
    if (take_number(&reader, 1) == 0)
        return context->peer_certificate != TLS_PEER_REQUIRED;
    struct peer_identity *peer = read_identity(engine, &reader);
    if (!peer)
        return false;
    if (peer->chain_expiry_s < engine->now_s && !context->accept_expired) {
        peer_identity_unref(peer);
        return false;
    }
    *identity = peer;
    return true;
}

/* Encrypt, then authenticate name, IV and text: what libssl undoes with the key that our callback gives it. */
static bool seal_ticket(struct tls_engine *engine, const struct ticket_key *key,
                        struct slice session, struct buffer *ticket)
{
    uint8_t iv[TICKET_IV];
    random_secret(iv, sizeof(iv));
    buffer_append(ticket, key->name, TICKET_NAME);
    buffer_append(ticket, iv, sizeof(iv));
    EVP_CIPHER *kind = EVP_CIPHER_fetch(engine->library, "AES-256-CBC", NULL);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    uint8_t *to = (uint8_t *)buffer_reserve(ticket, session.size + 64);
    int size = 0, rest = 0;
    bool good = kind && cipher && EVP_EncryptInit_ex2(cipher, kind, key->cipher, iv, NULL) &&
                EVP_EncryptUpdate(cipher, to, &size, (const unsigned char *)session.data,
                                  (int)session.size) &&
                EVP_EncryptFinal_ex(cipher, to + size, &rest);
    EVP_CIPHER_CTX_free(cipher);
    EVP_CIPHER_free(kind);
    if (!good)
        return false;
    ticket->size += (size_t)(size + rest);
    uint8_t tag[TICKET_MAC];
    struct slice text = buffer_slice(ticket);
    hmac(TICKET_MAC, slice_of(key->mac, TICKET_KEY), &text, 1, tag);
    buffer_append(ticket, tag, sizeof(tag));
    return true;
}

static void nonce_bytes(uint64_t nonce, uint8_t bytes[RESUME_NONCE])
{
    for (int i = RESUME_NONCE - 1; i >= 0; i--, nonce >>= 8)
        bytes[i] = (uint8_t)nonce;
}

static uint32_t lifetime_of(const struct tls_engine *engine, const struct peer_identity *identity)
{
    int64_t left = identity ? identity->chain_expiry_s - engine->now_s : RESUME_LIFETIME_S;
    return (uint32_t)MAX(MIN(left, (int64_t)RESUME_LIFETIME_S), (int64_t)0);
}

static void write_message(const struct buffer *ticket, uint32_t lifetime_s,
                          const uint8_t nonce[RESUME_NONCE], struct buffer *message)
{
    uint32_t age_add;
    random_secret(&age_add, sizeof(age_add));
    size_t body = 4 + 4 + 1 + RESUME_NONCE + 2 + ticket->size + 2;
    buffer_append_byte(message, MESSAGE_NEW_SESSION_TICKET);
    buffer_append_byte(message, (char)(body >> 16));
    put_u16(message, body & 0xffff);
    put_u32(message, lifetime_s);
    put_u32(message, age_add);
    buffer_append_byte(message, RESUME_NONCE);
    buffer_append(message, nonce, RESUME_NONCE);
    put_u16(message, ticket->size);
    buffer_append(message, ticket->data, ticket->size);
    put_u16(message, 0); /* no extensions: no early data */
}

bool resume_issue(struct tls_engine *engine, const struct tls_context *context,
                  const struct resume_state *state, struct slice server_name, uint64_t nonce,
                  struct buffer *message)
{
    uint32_t lifetime_s = lifetime_of(engine, state->identity);
    if (lifetime_s < 60)
        return false;
    uint8_t psk[SECRET_MAX], nonce_text[RESUME_NONCE];
    nonce_bytes(nonce, nonce_text);
    schedule_expand(state->secret, state->secret_size, "resumption",
                    slice_of(nonce_text, sizeof(nonce_text)), psk, state->secret_size);
    struct buffer known = {0}, session = {0}, ticket = {0};
    write_state(context, state->identity, server_name, &known);
    bool good = known.size <= STATE_MAX; /* so that the message fits into one record */
    if (good) {
        struct session_der form = {
            .suite = state->suite,
            .psk = slice_of(psk, state->secret_size),
            .time_s = library_now_s(),
            .timeout_s = lifetime_s,
            .application_data = buffer_slice(&known),
        };
        struct ticket_key key = ticket_keys_current(context->ticket_keys, engine->now_s);
        session_der_write(&form, &session);
        good = seal_ticket(engine, &key, buffer_slice(&session), &ticket);
        secret_wipe(&key, sizeof(key));
    }
    if (good)
        write_message(&ticket, lifetime_s, nonce_text, message);
    secret_wipe(psk, sizeof(psk));
    key_buffer_fini(&session);
    buffer_fini(&known);
    buffer_fini(&ticket);
    return good;
}

/* A client's ticket. */
struct resume_entry {
    struct list node;
    struct resume_place place;
    struct peer_identity *identity; /* a reference, or NULL */
    uint16_t suite;
    uint8_t psk[SECRET_MAX];
    size_t psk_size;
    uint32_t lifetime_s, age_add;
    int64_t library_time_s; /* when it came, by libssl's clock */
    int64_t end_s;          /* by ours */
    size_t ticket_size;
    char ticket[];
};

static struct slice place_key(const struct resume_place *place)
{
    return slice_of(place->hash, sizeof(place->hash));
}

static void forget(struct resume_cache *cache, struct resume_entry *entry)
{
    map_remove(cache->entries, place_key(&entry->place));
    list_remove(&entry->node);
    peer_identity_unref(entry->identity);
    mem_free_secret(entry, sizeof(*entry));
    cache->count--;
}

void resume_cache_init(struct resume_cache *cache)
{
    cache->entries = map_create();
    list_init(&cache->recent);
    cache->count = 0;
}

void resume_cache_fini(struct resume_cache *cache)
{
    LIST_EACH_SAFE(node, after, &cache->recent)
    forget(cache, LIST_ENTRY(node, struct resume_entry, node));
    map_destroy(cache->entries);
}

void resume_cache_trim(struct resume_cache *cache, int64_t now_s)
{
    LIST_EACH_SAFE(node, after, &cache->recent)
    {
        struct resume_entry *entry = LIST_ENTRY(node, struct resume_entry, node);
        if (entry->end_s <= now_s)
            forget(cache, entry);
    }
}

struct resume_place resume_place_of(const struct tls_context *context, struct slice server_name,
                                    const struct san_match *expected, size_t expected_count,
                                    uint64_t peer_key)
{
    owned_buffer text = {0};
    struct resume_place place;
    buffer_append(&text, &context->policy, sizeof(context->policy));
    buffer_append(&text, &context->own, sizeof(context->own));
    put_u64(&text, peer_key);
    put_text(&text, server_name);
    put_u64(&text, expected_count);
    for (size_t i = 0; i < expected_count; i++) {
        put_u32(&text, (uint32_t)expected[i].how);
        put_u32(&text, (uint32_t)expected[i].kind);
        put_u32(&text, expected[i].ignore_case);
        put_u64(&text, expected[i].value.size);
        buffer_append_slice(&text, expected[i].value);
    }
    sha256(buffer_slice(&text), place.hash);
    return place;
}

bool resume_keep(struct tls_engine *engine, const struct resume_place *place,
                 const struct resume_state *state, struct slice body)
{
    struct reader reader = {body, true};
    uint32_t lifetime_s = (uint32_t)take_number(&reader, 4),
             age_add = (uint32_t)take_number(&reader, 4);
    struct slice nonce = take(&reader, (size_t)take_number(&reader, 1));
    struct slice ticket = take_text(&reader);
    take_text(&reader); /* extensions */
    if (!reader.good || reader.left.size > 0 || ticket.size == 0)
        return false;
    if (lifetime_s == 0 || ticket.size > RESUME_TICKET_MAX || nonce.size > 48)
        return true; /* lawful, and of no use */

    struct resume_cache *cache = &engine->resume;
    struct resume_entry *old = map_get(cache->entries, place_key(place));
    if (old)
        forget(cache, old);
    while (cache->count >= RESUME_ENTRIES_MAX)
        forget(cache, LIST_ENTRY(cache->recent.prev, struct resume_entry, node));
    struct resume_entry *entry = mem_calloc(1, sizeof(*entry) + ticket.size);
    entry->place = *place;
    entry->identity = state->identity ? peer_identity_ref(state->identity) : NULL;
    entry->suite = state->suite;
    entry->psk_size = state->secret_size;
    schedule_expand(state->secret, state->secret_size, "resumption", nonce, entry->psk,
                    entry->psk_size);
    entry->lifetime_s = MIN(lifetime_s, 7U * 86400);
    entry->age_add = age_add;
    entry->library_time_s = library_now_s();
    entry->end_s = engine->now_s + entry->lifetime_s;
    if (entry->identity)
        entry->end_s = MIN(entry->end_s, entry->identity->chain_expiry_s);
    entry->ticket_size = ticket.size;
    memcpy(entry->ticket, ticket.data, ticket.size);
    map_put(cache->entries, place_key(place), entry);
    list_push_front(&cache->recent, &entry->node);
    cache->count++;
    return true;
}

SSL_SESSION *resume_find(struct tls_engine *engine, const struct resume_place *place,
                         struct peer_identity **identity)
{
    struct resume_entry *entry = map_get(engine->resume.entries, place_key(place));
    if (!entry)
        return NULL;
    if (entry->end_s <= engine->now_s) {
        forget(&engine->resume, entry);
        return NULL;
    }
    struct session_der form = {
        .suite = entry->suite,
        .psk = slice_of(entry->psk, entry->psk_size),
        .time_s = entry->library_time_s,
        .timeout_s = entry->lifetime_s,
        .ticket = slice_of(entry->ticket, entry->ticket_size),
        .lifetime_s = entry->lifetime_s,
        .age_add = entry->age_add,
    };
    owned_key_buffer der = {0};
    session_der_write(&form, &der);
    const unsigned char *at = (const unsigned char *)der.data;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)der.size);
    if (!session) {
        ERR_clear_error();
        return NULL;
    }
    *identity = entry->identity ? peer_identity_ref(entry->identity) : NULL;
    list_remove(&entry->node);
    list_push_front(&engine->resume.recent, &entry->node);
    return session;
}
