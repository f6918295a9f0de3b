#include "test.h"

#include "tls/pki.h"
#include "tls/session.h"

#include "base/block.h"

/* Two of our own sessions that talk to each other through chains. */
struct side {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct tls_context *context;
    struct tls_session *session;
    struct chain in, out, plain;
    enum tls_feed last;
};

struct couple {
    struct pki root, client_leaf, server_leaf;
    struct tls_trust *trust;
    struct side client, server;
};

static const char client_id[] = "spiffe://cluster.local/ns/shop/sa/cart";
static const char server_id[] = "spiffe://cluster.local/ns/shop/sa/pay";

static void side_start(struct side *side)
{
    side->engine = tls_engine_create(NULL);
    tls_engine_turn(side->engine, pki_now(), 0);
    side->pool = block_pool_create(NULL);
}

static void side_reset(struct side *side)
{
    tls_session_destroy(side->session);
    side->session = NULL;
    chain_fini(&side->in);
    chain_fini(&side->out);
    chain_fini(&side->plain);
}

static void side_stop(struct side *side)
{
    side_reset(side);
    tls_context_unref(side->context);
    tls_engine_destroy(side->engine);
    block_pool_destroy(side->pool);
}

static void couple_start(struct couple *couple)
{
    *couple = (struct couple){0};
    couple->root = pki_root("spiffe://cluster.local");
    couple->client_leaf = pki_leaf(&couple->root, client_id);
    couple->server_leaf = pki_leaf(&couple->root, server_id);
    couple->trust = pki_trust(&couple->root, "cluster.local");
    side_start(&couple->client);
    side_start(&couple->server);
}

static void couple_stop(struct couple *couple)
{
    side_stop(&couple->client);
    side_stop(&couple->server);
    tls_trust_unref(couple->trust);
    pki_fini(&couple->root);
    pki_fini(&couple->client_leaf);
    pki_fini(&couple->server_leaf);
}

static void session_start(struct side *side, const struct tls_session_spec *more)
{
    struct tls_session_spec spec = more ? *more : (struct tls_session_spec){0};
    spec.context = side->context;
    side_reset(side);
    side->session = tls_session_create(side->engine, side->pool, &spec);
    side->last = TLS_FEED_MORE;
}

/* Carries what one side has to say to the other, in pieces of at most `piece` bytes. */
static bool carry(struct side *from, struct side *to, size_t piece)
{
    bool moved = false;
    CHECK(tls_session_flush(from->session, &from->out, 0) == TLS_FLUSH_DONE);
    while (from->out.size > 0) {
        chain_move_n(&to->in, &from->out, piece ? MIN(piece, from->out.size) : from->out.size);
        to->last = tls_session_feed(to->session, &to->in, &to->plain, 0);
        moved = true;
    }
    return moved;
}

static void talk(struct couple *couple, size_t piece)
{
    while (carry(&couple->client, &couple->server, piece) |
           carry(&couple->server, &couple->client, piece))
        continue;
}

static void say(struct side *side, const char *text)
{
    struct chain chain = {0};
    CHECK(chain_append_copy(&chain, side->pool, slice_str(text)));
    tls_session_write(side->session, &chain);
}

static bool heard(struct side *side, const char *text)
{
    char got[256];
    size_t size = chain_copy_out(&side->plain, 0, got, sizeof(got));
    bool equal = slice_equals_str(slice_of(got, size), text) && side->plain.size == size;
    chain_fini(&side->plain);
    return equal;
}

TEST(two_sessions_shake_hands_and_talk_in_both_versions)
{
    static const enum tls_version versions[] = {TLS_1_2, TLS_1_3};
    struct couple couple;
    couple_start(&couple);
    EACH (version, versions) {
        struct tls_context_spec spec = {
            .min_version = TLS_1_2, .max_version = *version, .peer_certificate = TLS_PEER_REQUIRED};
        tls_context_unref(couple.client.context);
        tls_context_unref(couple.server.context);
        couple.client.context = pki_context(TLS_CLIENT, &couple.client_leaf, couple.trust, &spec);
        couple.server.context = pki_context(TLS_SERVER, &couple.server_leaf, couple.trust, &spec);
        for (size_t piece = 0; piece < 3; piece++) {
            session_start(&couple.client, NULL);
            session_start(&couple.server, NULL);
            talk(&couple, piece);
            CHECK(tls_session_is_open(couple.client.session), "%s",
                  tls_session_failure_text(couple.client.session));
            CHECK(tls_session_is_open(couple.server.session), "%s",
                  tls_session_failure_text(couple.server.session));
            CHECK(tls_session_version(couple.server.session) == *version);
            CHECK(slice_equals_str(tls_session_peer(couple.server.session)->id.text, client_id));
            CHECK(slice_equals_str(tls_session_peer(couple.client.session)->id.text, server_id));
            say(&couple.client, "hello");
            talk(&couple, piece);
            CHECK(heard(&couple.server, "hello"));
            say(&couple.server, "world");
            talk(&couple, piece);
            CHECK(heard(&couple.client, "world"));
            tls_session_end(couple.client.session);
            talk(&couple, piece);
            CHECK(couple.server.last == TLS_FEED_END);
            say(&couple.server, "still here");
            talk(&couple, piece);
            CHECK(heard(&couple.client, "still here"));
            tls_session_end(couple.server.session);
            talk(&couple, piece);
            CHECK(couple.client.last == TLS_FEED_END);
        }
    }
    couple_stop(&couple);
}
