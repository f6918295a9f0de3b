#include "test.h"
#include "tls/side.h"

#include "base/map.h"
#include "tls/engine_internal.h"

#include <pthread.h>

static const char client_id[] = "spiffe://cluster.local/ns/shop/sa/cart";
static const char server_id[] = "spiffe://cluster.local/ns/shop/sa/pay";

/* What the threads share: contexts and ticket keys, and nothing else. */
struct shared {
    struct tls_context *client, *server;
    int rounds;
    _Atomic unsigned opened, resumed;
};

static void *work(void *argument)
{
    struct shared *shared = argument;
    struct side client, server;
    side_start(&client);
    side_start(&server);
    side_use(&client, tls_context_ref(shared->client));
    side_use(&server, tls_context_ref(shared->server));
    for (int i = 0; i < shared->rounds; i++) {
        side_begin(&client, NULL);
        side_begin(&server, NULL);
        sides_talk(&client, &server, 0);
        side_say(&server, SLICE("hello"));
        sides_talk(&client, &server, 0);
        if (side_heard(&client, SLICE("hello")))
            atomic_fetch_add(&shared->opened, 1);
        if (tls_session_is_resumed(server.session))
            atomic_fetch_add(&shared->resumed, 1);
    }
    side_reset(&client);
    side_reset(&server);
    side_stop(&client);
    side_stop(&server);
    return NULL;
}

TEST(engines_of_many_threads_share_contexts_and_ticket_keys)
{
    enum { THREADS = 4, ROUNDS = 20 };
    struct pki root = pki_root("spiffe://cluster.local"), one = pki_leaf(&root, client_id),
               two = pki_leaf(&root, server_id);
    struct tls_trust *trust = pki_trust(&root, "cluster.local");
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {
        .resume = true, .ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    struct shared shared = {.client = pki_context(TLS_CLIENT, &one, trust, &spec),
                            .server = pki_context(TLS_SERVER, &two, trust, &spec),
                            .rounds = ROUNDS};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &shared) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(shared.opened == THREADS * ROUNDS, "%u", shared.opened);
    CHECK(shared.resumed == THREADS * (ROUNDS - 1), "%u", shared.resumed);
    tls_context_unref(shared.client);
    tls_context_unref(shared.server);
    tls_ticket_keys_unref(keys);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&one);
    pki_fini(&two);
}

TEST(what_a_rotation_left_behind_goes_with_the_next_context_or_trim)
{
    struct pki root = pki_root("spiffe://cluster.local"), leaf = pki_leaf(&root, server_id);
    struct tls_trust *trust = pki_trust(&root, "cluster.local");
    struct side side;
    side_start(&side);
    for (int i = 0; i < 20; i++) {
        struct tls_context *context = pki_context(TLS_SERVER, &leaf, trust, NULL);
        CHECK(engine_context_for(side.engine, context) == engine_context_for(side.engine, context));
        tls_context_unref(context);
        CHECK(map_count(side.engine->contexts) <= 2, "%d", i);
    }
    tls_engine_trim(side.engine);
    CHECK(map_count(side.engine->contexts) == 0);
    side_stop(&side);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&leaf);
}

/* Two workers, as a proxy has, each with a form of every context: neither keeps it for the other's sake. */
TEST(what_a_rotation_left_behind_goes_though_other_engines_had_it_too)
{
    struct pki root = pki_root("spiffe://cluster.local"), leaf = pki_leaf(&root, server_id);
    struct tls_trust *trust = pki_trust(&root, "cluster.local");
    struct side sides[2];
    for (int s = 0; s < 2; s++)
        side_start(&sides[s]);
    for (int i = 0; i < 20; i++) {
        struct tls_context *context = pki_context(TLS_SERVER, &leaf, trust, NULL);
        for (int s = 0; s < 2; s++) {
            CHECK(engine_context_for(sides[s].engine, context));
            CHECK(map_count(sides[s].engine->contexts) == 1, "%d", i);
        }
        tls_context_unref(context);
    }
    for (int s = 0; s < 2; s++) {
        tls_engine_trim(sides[s].engine);
        CHECK(map_count(sides[s].engine->contexts) == 0);
        side_stop(&sides[s]);
    }
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&leaf);
}

TEST(every_failure_has_a_name)
{
    for (int i = 0; i < TLS_FAILURES; i++)
        CHECK(tls_failure_name((enum tls_failure)i) != NULL, "%d", i);
}
