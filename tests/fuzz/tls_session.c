/*
 * Sessions and hostile peers. The first byte chooses: raw bytes to a server or to a client that has said hello; a
 * conversation of two honest sessions with bytes changed on the way; records that an authenticated but broken
 * peer seals.
 */
#include "../unit/tls/pki.h"
#include "tls/session_internal.h"

#include "base/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct tls_context *context;
    struct tls_session *session;
    struct chain in, plain;
};

static struct end client, server;

static void start_end(struct end *end)
{
    end->engine = tls_engine_create(NULL);
    tls_engine_turn(end->engine, pki_now(), 0);
    end->pool = block_pool_create(NULL);
}

static void start(void)
{
    struct pki root = pki_root("spiffe://td"), one = pki_leaf(&root, "spiffe://td/a"),
               two = pki_leaf(&root, "spiffe://td/b");
    struct tls_trust *trust = pki_trust(&root, "td");
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {.min_version = TLS_1_2,
                                    .peer_certificate = TLS_PEER_REQUIRED,
                                    .resume = true,
                                    .ticket_keys = keys};
    start_end(&client);
    start_end(&server);
    client.context = pki_context(TLS_CLIENT, &one, trust, &spec);
    server.context = pki_context(TLS_SERVER, &two, trust, &spec);
    tls_ticket_keys_unref(keys);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&one);
    pki_fini(&two);
}

static void begin(struct end *end)
{
    struct tls_session_spec spec = {.context = end->context};
    end->session = tls_session_create(end->engine, end->pool, &spec);
}

static void stop(struct end *end)
{
    tls_session_destroy(end->session);
    end->session = NULL;
    chain_fini(&end->in);
    chain_fini(&end->plain);
}

static void feed(struct end *end)
{
    enum tls_feed feed = tls_session_feed(end->session, &end->in, &end->plain, 0);
    if ((feed == TLS_FEED_FAILED) != tls_session_has_failed(end->session))
        abort();
    if (feed == TLS_FEED_FAILED && !*tls_session_failure_text(end->session))
        abort();
}

static void deliver(struct end *end, struct slice bytes, size_t step)
{
    while (bytes.size > 0) {
        if (!chain_append_copy(&end->in, end->pool, slice_take(&bytes, MIN(bytes.size, step))))
            abort();
        feed(end);
    }
}

static struct slice take(struct slice *from, size_t size)
{
    return slice_take(from, MIN(from->size, size));
}

/* What one end says, with some bytes changed: pairs of distance and mask. */
static bool carry(struct end *from, struct end *to, struct slice *changes)
{
    struct chain out = {0};
    if (tls_session_flush(from->session, &out, 0) != TLS_FLUSH_DONE)
        abort();
    if (chain_is_empty(&out))
        return false;
    char *bytes = mem_alloc(out.size);
    size_t size = chain_copy_out(&out, 0, bytes, out.size), at = 0;
    chain_fini(&out);
    while (changes->size >= 2) {
        at += (uint8_t)changes->data[0];
        if (at >= size)
            break;
        bytes[at] = (char)(bytes[at] ^ changes->data[1]);
        slice_take(changes, 2);
    }
    deliver(to, slice_of(bytes, size), size);
    mem_free(bytes);
    return true;
}

static void converse(struct slice *changes)
{
    struct chain text = {0};
    for (int turn = 0; turn < 12; turn++) {
        bool moved = carry(&client, &server, changes);
        moved |= carry(&server, &client, changes);
        if (turn == 3 && !tls_session_has_failed(client.session)) {
            chain_append_static(&text, SLICE("some words"));
            tls_session_write(client.session, &text);
            continue;
        }
        if (!moved)
            break;
    }
}

/* Records of the given types and sizes, sealed with the peer's own key. */
static void inject(struct slice script)
{
    struct slice nothing = SLICE_NONE;
    converse(&nothing);
    bool to_client = script.size > 0 && slice_take_byte(&script) & 1;
    struct end *from = to_client ? &server : &client, *to = to_client ? &client : &server;
    while (script.size >= 2 && tls_session_is_open(to->session)) {
        uint8_t type = slice_take_byte(&script);
        struct chain plain = {0};
        chain_append_static(&plain, take(&script, slice_take_byte(&script)));
        if (!record_seal(&from->session->write, &from->engine->ciphers, (enum record_type)type,
                         &plain, plain.size, &to->in, to->pool))
            abort();
        chain_fini(&plain);
        uint64_t renewed = tls_engine_counts(to->engine)->key_updates;
        feed(to);
        for (; renewed < tls_engine_counts(to->engine)->key_updates; renewed++)
            session_renew(from->session, &from->session->write, from->session->write_secret);
    }
    carry(to, from, &nothing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!client.engine)
        start();
    if (size < 2)
        return 0;
    struct slice script = slice_of(data + 2, size - 2);
    size_t step = data[1] ? data[1] : 4096;
    begin(&client);
    begin(&server);
    struct chain hello = {0};
    switch (data[0] % 4) {
    case 0: deliver(&server, script, step); break;
    case 1:
        if (tls_session_flush(client.session, &hello, 0) != TLS_FLUSH_DONE)
            abort();
        chain_fini(&hello);
        deliver(&client, script, step);
        break;
    case 2: converse(&script); break;
    case 3: inject(script); break;
    }
    stop(&client);
    stop(&server);
    return 0;
}
