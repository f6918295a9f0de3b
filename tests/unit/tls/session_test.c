#include "test.h"
#include "tls/side.h"

#include "tls/session_internal.h"

/* Our own sessions with each other; session_openssl_test.c has strangers. */
struct couple {
    struct pki root, client_leaf, server_leaf;
    struct tls_trust *trust;
    struct side client, server;
};

static const char client_id[] = "spiffe://cluster.local/ns/shop/sa/cart";
static const char server_id[] = "spiffe://cluster.local/ns/shop/sa/pay";

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
    side_reset(&couple->client); /* each may hold blocks of the other's pool */
    side_reset(&couple->server);
    side_stop(&couple->client);
    side_stop(&couple->server);
    tls_trust_unref(couple->trust);
    pki_fini(&couple->root);
    pki_fini(&couple->client_leaf);
    pki_fini(&couple->server_leaf);
}

static void couple_use(struct couple *couple, const struct tls_context_spec *client,
                       const struct tls_context_spec *server)
{
    side_use(&couple->client, pki_context(TLS_CLIENT, &couple->client_leaf, couple->trust, client));
    side_use(&couple->server, pki_context(TLS_SERVER, &couple->server_leaf, couple->trust, server));
}

static void couple_open(struct couple *couple, const struct tls_session_spec *client,
                        const struct tls_session_spec *server)
{
    side_begin(&couple->client, client);
    side_begin(&couple->server, server);
    sides_talk(&couple->client, &couple->server, 0);
}

static void check_open(struct couple *couple)
{
    CHECK(tls_session_is_open(couple->client.session), "%s",
          tls_session_failure_text(couple->client.session));
    CHECK(tls_session_is_open(couple->server.session), "%s",
          tls_session_failure_text(couple->server.session));
}

TEST(two_sessions_shake_hands_and_talk_in_both_versions_and_any_cut)
{
    static const enum tls_version versions[] = {TLS_1_2, TLS_1_3};
    static const size_t pieces[] = {0, 1, 2, 5, 1400};
    struct couple couple;
    couple_start(&couple);
    EACH (version, versions) {
        struct tls_context_spec spec = {
            .min_version = TLS_1_2, .max_version = *version, .peer_certificate = TLS_PEER_REQUIRED};
        couple_use(&couple, &spec, &spec);
        EACH (piece, pieces) {
            struct side *client = &couple.client, *server = &couple.server;
            side_begin(client, NULL);
            side_begin(server, NULL);
            sides_talk(client, server, *piece);
            check_open(&couple);
            CHECK(tls_session_version(server->session) == *version);
            CHECK(slice_equals_str(tls_session_peer(server->session)->id.text, client_id));
            CHECK(slice_equals_str(tls_session_peer(client->session)->id.text, server_id));
            CHECK(slice_equals_str(tls_session_own_id(client->session), client_id));
            CHECK(slice_equals_str(tls_session_own_id(server->session), server_id));
            side_say(client, SLICE("hello"));
            sides_talk(client, server, *piece);
            CHECK(side_heard(server, SLICE("hello")));
            side_say(server, SLICE("world"));
            sides_talk(client, server, *piece);
            CHECK(side_heard(client, SLICE("world")));
        }
    }
    couple_stop(&couple);
}

TEST(each_direction_ends_on_its_own)
{
    struct couple couple;
    struct side *client = &couple.client, *server = &couple.server;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    side_say(client, SLICE("last words"));
    tls_session_end(client->session);
    sides_talk(client, server, 0);
    CHECK(server->last == TLS_FEED_END);
    CHECK(side_heard(server, SLICE("last words")));
    CHECK(tls_session_input_ended(server->session), "close_notify had come");
    side_say(server, SLICE("still here"));
    sides_talk(client, server, 0);
    CHECK(side_heard(client, SLICE("still here")));
    CHECK(client->last == TLS_FEED_MORE);
    CHECK(!tls_session_input_ended(client->session), "an end without close_notify is a truncation");
    tls_session_end(server->session);
    sides_talk(client, server, 0);
    CHECK(client->last == TLS_FEED_END);
    CHECK(!tls_session_wants_flush(server->session) && !tls_session_wants_flush(client->session));
    couple_stop(&couple);
}

TEST(an_end_during_the_handshake_is_a_truncation)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    side_begin(&couple.client, NULL);
    side_begin(&couple.server, NULL);
    side_carry(&couple.client, &couple.server, 0);
    CHECK(!tls_session_input_ended(couple.server.session));
    CHECK(tls_session_failure(couple.server.session) == TLS_FAILURE_TRUNCATED);
    CHECK(tls_engine_counts(couple.server.engine)->failures[TLS_FAILURE_TRUNCATED] == 1);
    couple_stop(&couple);
}

TEST(what_is_written_before_the_handshake_leaves_after_it)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    side_begin(&couple.client, NULL);
    side_begin(&couple.server, NULL);
    side_say(&couple.client, SLICE("early"));
    CHECK(tls_session_backlog(couple.client.session) == 5);
    sides_talk(&couple.client, &couple.server, 0);
    CHECK(side_heard(&couple.server, SLICE("early")));
    CHECK(tls_session_backlog(couple.client.session) == 0);
    couple_stop(&couple);
}

static char *pattern(size_t size)
{
    char *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 131 + (i >> 8));
    return bytes;
}

TEST(many_messages_share_records_and_large_ones_are_cut)
{
    struct couple couple;
    struct side *client = &couple.client, *server = &couple.server;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    for (int i = 0; i < 100; i++)
        side_say(client, SLICE("0123456789"));
    CHECK(tls_session_flush(client->session, &client->out, 0) == TLS_FLUSH_DONE);
    CHECK(client->out.size == 1000 + 22, "one record, not %zu bytes", client->out.size);
    sides_talk(client, server, 0);
    chain_move(&server->in, &client->out);
    side_feed(server);
    CHECK(server->plain.size == 1000);
    chain_fini(&server->plain);

    enum { LARGE = 1000000 };
    char *bytes = pattern(LARGE);
    side_say(client, slice_of(bytes, LARGE));
    sides_talk(client, server, 0);
    CHECK(side_heard(server, slice_of(bytes, LARGE)));
    side_say(server, slice_of(bytes, LARGE));
    sides_talk(client, server, 777);
    CHECK(side_heard(client, slice_of(bytes, LARGE)));
    mem_free(bytes);
    couple_stop(&couple);
}

TEST(feeding_and_flushing_stop_at_their_limits_and_go_on)
{
    struct couple couple;
    struct side *client = &couple.client, *server = &couple.server;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    char *bytes = pattern(200000);
    side_say(client, slice_of(bytes, 200000));
    unsigned flushes = 1, feeds = 1;
    while (tls_session_flush(client->session, &client->out, 40000) == TLS_FLUSH_LIMIT)
        flushes++;
    CHECK(flushes == 5, "%u", flushes);
    chain_move(&server->in, &client->out);
    while ((server->last = tls_session_feed(server->session, &server->in, &server->plain, 50000)) ==
           TLS_FEED_LIMIT)
        feeds++;
    CHECK(feeds == 4, "%u", feeds);
    CHECK(side_heard(server, slice_of(bytes, 200000)));
    mem_free(bytes);
    couple_stop(&couple);
}

TEST(alpn_and_server_name_are_agreed_on)
{
    struct couple couple;
    struct slice offers[] = {SLICE("istio-peer-exchange"), SLICE("h2"), SLICE("http/1.1")};
    struct slice serves[] = {SLICE("http/1.1"), SLICE("h2")};
    struct slice other[] = {SLICE("nothing")};
    struct tls_context_spec client = {.alpn = offers, .alpn_count = 3};
    struct tls_context_spec server = {
        .alpn = serves, .alpn_count = 2, .peer_certificate = TLS_PEER_REQUIRED};
    struct tls_session_spec named = {.server_name = SLICE("outbound_.80_._.Pay.shop")};
    couple_start(&couple);
    couple_use(&couple, &client, &server);
    couple_open(&couple, &named, NULL);
    check_open(&couple);
    CHECK(slice_equals_str(tls_session_alpn(couple.server.session), "http/1.1"),
          "the server's order decides");
    CHECK(slice_equals_str(tls_session_alpn(couple.client.session), "http/1.1"));
    CHECK(slice_equals_str(tls_session_server_name(couple.server.session),
                           "outbound_.80_._.pay.shop"));

    named.alpn = &offers[1];
    named.alpn_count = 1;
    couple_open(&couple, &named, NULL);
    CHECK(slice_equals_str(tls_session_alpn(couple.server.session), "h2"),
          "the session's list replaces");
    named.alpn = other;
    couple_open(&couple, &named, NULL);
    check_open(&couple);
    CHECK(tls_session_alpn(couple.server.session).size == 0,
          "nothing in common, and the connection stands");
    couple_stop(&couple);
}

/* Opens, and lets the server speak so that its ticket goes out. */
static void open_and_get_ticket(struct couple *couple, const struct tls_session_spec *spec)
{
    couple_open(couple, spec, NULL);
    check_open(couple);
    side_say(&couple->server, SLICE("hi"));
    sides_talk(&couple->client, &couple->server, 0);
    CHECK(side_heard(&couple->client, SLICE("hi")));
}

static bool was_resumed(struct couple *couple)
{
    bool resumed = tls_session_is_resumed(couple->server.session);
    CHECK(resumed == tls_session_is_resumed(couple->client.session));
    return resumed;
}

TEST(a_ticket_resumes_only_where_it_was_given)
{
    struct couple couple;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec client = {.resume = true};
    struct tls_context_spec server = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    struct san_match expected = {SAN_MATCH_EXACT, SAN_URI, false, slice_str(server_id)};
    struct tls_session_spec spec = {
        .server_name = SLICE("pay"), .expected = &expected, .expected_count = 1};
    couple_start(&couple);
    couple_use(&couple, &client, &server);
    open_and_get_ticket(&couple, &spec);
    CHECK(!was_resumed(&couple));
    for (int i = 0; i < 3; i++) {
        open_and_get_ticket(&couple, &spec);
        CHECK(was_resumed(&couple));
        CHECK(slice_equals_str(tls_session_peer(couple.server.session)->id.text, client_id));
        CHECK(slice_equals_str(tls_session_peer(couple.server.session)->id.account, "cart"));
        CHECK(slice_equals_str(tls_session_peer(couple.client.session)->id.text, server_id));
    }

    struct tls_session_spec other = spec;
    other.server_name = SLICE("refund");
    open_and_get_ticket(&couple, &other);
    CHECK(!was_resumed(&couple), "another server name");
    other = spec;
    other.peer_key = 7;
    open_and_get_ticket(&couple, &other);
    CHECK(!was_resumed(&couple), "another server");
    other = spec;
    expected.how = SAN_MATCH_PREFIX;
    open_and_get_ticket(&couple, &other);
    CHECK(!was_resumed(&couple), "another expectation");
    expected.how = SAN_MATCH_EXACT;

    /* A client's new certificate is to be seen: a resumed connection would go by the old one. */
    pki_fini(&couple.client_leaf);
    couple.client_leaf = pki_leaf(&couple.root, "spiffe://cluster.local/ns/shop/sa/renamed");
    side_use(&couple.client, pki_context(TLS_CLIENT, &couple.client_leaf, couple.trust, &client));
    open_and_get_ticket(&couple, &spec);
    CHECK(!was_resumed(&couple), "the client's secret was renewed");
    CHECK(slice_equals_str(tls_session_peer(couple.server.session)->id.account, "renamed"));
    open_and_get_ticket(&couple, &spec);
    CHECK(was_resumed(&couple));

    /* Who holds a ticket of a certificate that was replaced, perhaps because it was stolen, must see the new one. */
    pki_fini(&couple.server_leaf);
    couple.server_leaf = pki_leaf(&couple.root, server_id);
    side_use(&couple.server, pki_context(TLS_SERVER, &couple.server_leaf, couple.trust, &server));
    open_and_get_ticket(&couple, &spec);
    CHECK(!was_resumed(&couple), "the server's secret was renewed");
    open_and_get_ticket(&couple, &spec);
    CHECK(was_resumed(&couple));
    tls_ticket_keys_unref(keys);
    couple_stop(&couple);
}

TEST(a_ticket_does_not_outlive_trust_nor_certificate_nor_keys)
{
    struct couple couple;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec client = {.resume = true};
    struct tls_context_spec server = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    couple_start(&couple);
    couple_use(&couple, &client, &server);
    open_and_get_ticket(&couple, NULL);
    open_and_get_ticket(&couple, NULL);
    CHECK(was_resumed(&couple));

    /* The server's bundle changes: the old ticket is refused, the full handshake judges anew. */
    struct pki second = pki_root("spiffe://cluster.local");
    struct trust_source sources[] = {
        {.trust_domain = SLICE("cluster.local"), .roots = buffer_slice(&couple.root.der)},
        {.trust_domain = SLICE("other.local"), .roots = buffer_slice(&second.der)}};
    struct tls_trust *both;
    CHECK(tls_trust_create(sources, 2, &both, NULL));
    side_use(&couple.server, pki_context(TLS_SERVER, &couple.server_leaf, both, &server));
    open_and_get_ticket(&couple, NULL);
    CHECK(!was_resumed(&couple), "the bundle changed");
    open_and_get_ticket(&couple, NULL);
    CHECK(was_resumed(&couple));

    struct tls_ticket_keys *others = tls_ticket_keys_create();
    server.ticket_keys = others;
    side_use(&couple.server, pki_context(TLS_SERVER, &couple.server_leaf, both, &server));
    open_and_get_ticket(&couple, NULL);
    CHECK(!was_resumed(&couple), "a server with other ticket keys");

    /* Thirteen hours later both ticket keys are gone, and so is the client's entry. */
    tls_engine_turn(couple.server.engine, pki_now() + 13 * 3600, 0);
    open_and_get_ticket(&couple, NULL);
    CHECK(!was_resumed(&couple), "the keys were renewed");
    tls_trust_unref(both);
    pki_fini(&second);
    tls_ticket_keys_unref(keys);
    tls_ticket_keys_unref(others);
    couple_stop(&couple);
}

TEST(a_ticket_ends_with_the_chain_of_its_peer)
{
    struct couple couple;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec client = {.resume = true};
    struct tls_context_spec server = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    couple_start(&couple);
    struct certificate_spec leaf = pki_spec(CERTIFICATE_LEAF, client_id);
    leaf.not_after_s = pki_now() + 600;
    pki_fini(&couple.client_leaf);
    couple.client_leaf = pki_issue(&couple.root, leaf);
    couple_use(&couple, &client, &server);
    open_and_get_ticket(&couple, NULL);
    open_and_get_ticket(&couple, NULL);
    CHECK(was_resumed(&couple));
    tls_engine_turn(couple.server.engine, pki_now() + 601, 0);
    couple_open(&couple, NULL, NULL);
    CHECK(tls_session_failure(couple.server.session) == TLS_FAILURE_EXPIRED, "%s",
          tls_session_failure_text(couple.server.session));
    tls_ticket_keys_unref(keys);
    couple_stop(&couple);
}

TEST(a_peer_that_never_resumes_soon_gets_few_tickets)
{
    struct couple couple;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec client = {.resume = false};
    struct tls_context_spec server = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    couple_start(&couple);
    couple_use(&couple, &client, &server);
    unsigned tickets = 0;
    for (int i = 0; i < 40; i++) {
        couple_open(&couple, NULL, NULL);
        check_open(&couple);
        tickets += couple.server.session->ticket_due;
    }
    CHECK(tickets == 6, "the first four, the 17th and the 33rd, not %u", tickets);
    CHECK(tls_engine_counts(couple.server.engine)->handshakes_cached == 39);
    tls_ticket_keys_unref(keys);
    couple_stop(&couple);
}

TEST(the_handshake_budget_of_a_turn_holds)
{
    struct couple couple;
    struct tls_session *sessions[5];
    struct chain hellos[5] = {0}, out = {0}, plain = {0};
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    tls_engine_turn(couple.server.engine, pki_now(), 3);
    for (size_t i = 0; i < 5; i++) {
        struct tls_session_spec spec = {.context = couple.server.context};
        side_begin(&couple.client, NULL);
        CHECK(tls_session_flush(couple.client.session, &hellos[i], 0) == TLS_FLUSH_DONE);
        sessions[i] = tls_session_create(couple.server.engine, couple.server.pool, &spec);
        size_t size = hellos[i].size;
        enum tls_feed feed = tls_session_feed(sessions[i], &hellos[i], &plain, 0);
        CHECK(feed == (i < 3 ? TLS_FEED_MORE : TLS_FEED_LATER), "%zu", i);
        CHECK(i < 3 || hellos[i].size == size, "nothing is taken before its time");
    }
    tls_engine_turn(couple.server.engine, pki_now(), 3);
    for (size_t i = 3; i < 5; i++) {
        CHECK(tls_session_feed(sessions[i], &hellos[i], &plain, 0) == TLS_FEED_MORE);
        CHECK(tls_session_flush(sessions[i], &out, 0) == TLS_FLUSH_DONE && out.size > 0);
        chain_fini(&out);
    }
    for (size_t i = 0; i < 5; i++)
        tls_session_destroy(sessions[i]);
    couple_stop(&couple);
}

TEST(memory_is_charged_and_a_spent_budget_refuses)
{
    enum { SESSION_MEMORY = (sizeof(struct tls_session) + 15) / 16 * 16 }; /* as its pool has it */
    struct couple couple;
    struct memory_budget budget = {.limit = SESSION_MEMORY + HANDSHAKE_MEMORY};
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    struct tls_engine *engine = tls_engine_create(&budget);
    tls_engine_turn(engine, pki_now(), 0);
    struct tls_session_spec spec = {.context = couple.server.context};
    struct tls_session *first = tls_session_create(engine, couple.server.pool, &spec);
    side_begin(&couple.client, NULL);
    CHECK(tls_session_flush(couple.client.session, &couple.client.out, 0) == TLS_FLUSH_DONE);
    CHECK(tls_session_feed(first, &couple.client.out, &couple.client.plain, 0) == TLS_FEED_MORE);
    CHECK(atomic_load(&budget.in_use) == budget.limit);
    CHECK(tls_session_create(engine, couple.server.pool, &spec) == NULL);
    tls_session_destroy(first);
    CHECK(atomic_load(&budget.in_use) == 0);

    budget.limit = SESSION_MEMORY;
    struct tls_session *second = tls_session_create(engine, couple.server.pool, &spec);
    side_begin(&couple.client, NULL);
    CHECK(tls_session_flush(couple.client.session, &couple.client.out, 0) == TLS_FLUSH_DONE);
    CHECK(tls_session_feed(second, &couple.client.out, &couple.client.plain, 0) == TLS_FEED_FAILED);
    CHECK(tls_session_failure(second) == TLS_FAILURE_MEMORY);
    tls_session_destroy(second);
    tls_engine_destroy(engine);
    couple_stop(&couple);
}

TEST(an_open_session_holds_little_and_idle_ciphers_go)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    check_open(&couple);
    side_say(&couple.client, SLICE("x"));
    sides_talk(&couple.client, &couple.server, 0);
    CHECK(couple.client.session->handshake == NULL && couple.server.session->handshake == NULL);
    CHECK(couple.server.session->plain.segments == NULL &&
          couple.server.session->message.data == NULL);
    CHECK(sizeof(struct tls_session) < 1024, "%zu", sizeof(struct tls_session));
    CHECK(couple.server.engine->ciphers.count == 1);
    tls_engine_trim(couple.server.engine);
    tls_engine_trim(couple.server.engine);
    CHECK(couple.server.engine->ciphers.count == 0);
    side_say(&couple.client, SLICE("y"));
    sides_talk(&couple.client, &couple.server, 0);
    CHECK(side_heard(&couple.server, SLICE("xy")));
    couple_stop(&couple);
}

TEST(a_stolen_cipher_object_is_keyed_again)
{
    enum { PAIRS = CIPHERS_LENT_MAX / 2 + 20 };
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    struct side *pairs = mem_calloc(2 * PAIRS, sizeof(*pairs));
    for (int i = 0; i < 2 * PAIRS; i += 2) {
        couple_open(&couple, NULL, NULL);
        check_open(&couple);
        pairs[i] = couple.client;
        pairs[i + 1] = couple.server;
        couple.client.session = couple.server.session = NULL;
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2 * PAIRS; i += 2) {
            side_say(&pairs[i], SLICE("ping"));
            sides_talk(&pairs[i], &pairs[i + 1], 0);
            CHECK(side_heard(&pairs[i + 1], SLICE("ping")));
            side_say(&pairs[i + 1], SLICE("pong"));
            sides_talk(&pairs[i], &pairs[i + 1], 0);
            CHECK(side_heard(&pairs[i], SLICE("pong")));
        }
    }
    CHECK(couple.client.engine->ciphers.count == CIPHERS_LENT_MAX);
    for (int i = 0; i < 2 * PAIRS; i++)
        tls_session_destroy(pairs[i].session);
    mem_free(pairs);
    couple_stop(&couple);
}

/* Seals whatever a broken peer might send. */
static void inject(struct side *from, struct side *to, enum record_type type, struct slice bytes)
{
    struct chain plain = {0};
    chain_append_static(&plain, bytes);
    CHECK(record_seal(&from->session->write, &from->engine->ciphers, type, &plain, bytes.size,
                      &to->in, from->pool));
    side_feed(to);
}

TEST(what_has_no_place_after_the_handshake_fails_with_an_alert)
{
    static const struct {
        const char *name;
        enum tls_version version;
        int type;
        struct slice bytes;
        enum tls_failure failure;
        int alert;
        bool to_client;
    } rows[] = {
        {"a key update with two bytes", TLS_1_3, 22, SLICE("\x18\0\0\2\0\0"), TLS_FAILURE_PROTOCOL,
         50, false},
        {"a key update of value 2", TLS_1_3, 22, SLICE("\x18\0\0\1\2"), TLS_FAILURE_PROTOCOL, 10,
         false},
        {"two messages over a key change", TLS_1_3, 22, SLICE("\x18\0\0\1\0\x18\0\0\1\0"),
         TLS_FAILURE_PROTOCOL, 10, false},
        {"a client's hello again", TLS_1_3, 22, SLICE("\1\0\0\1\0"), TLS_FAILURE_PROTOCOL, 10,
         false},
        {"a ticket for a server", TLS_1_3, 22, SLICE("\4\0\0\1\0"), TLS_FAILURE_PROTOCOL, 10,
         false},
        {"a malformed ticket", TLS_1_3, 22, SLICE("\4\0\0\1\0"), TLS_FAILURE_PROTOCOL, 50, true},
        {"a certificate request", TLS_1_3, 22, SLICE("\x0d\0\0\1\0"), TLS_FAILURE_PROTOCOL, 10,
         true},
        {"an empty handshake record", TLS_1_3, 22, SLICE(""), TLS_FAILURE_PROTOCOL, 10, false},
        {"an overlong message", TLS_1_3, 22, SLICE("\4\2\0\0"), TLS_FAILURE_LIMIT, 47, true},
        {"a change of cipher", TLS_1_3, 20, SLICE("\1"), TLS_FAILURE_PROTOCOL, 10, false},
        {"a type that does not exist", TLS_1_3, 99, SLICE("x"), TLS_FAILURE_PROTOCOL, 10, false},
        {"no type at all", TLS_1_3, 0, SLICE("\0\0\0"), TLS_FAILURE_PROTOCOL, 10, false},
        {"an alert of one byte", TLS_1_3, 21, SLICE("\2"), TLS_FAILURE_PROTOCOL, 50, false},
        {"two alerts in one record", TLS_1_3, 21, SLICE("\2\x28\2\x28"), TLS_FAILURE_PROTOCOL, 50,
         false},
        {"a fatal alert", TLS_1_3, 21, SLICE("\2\x30"), TLS_FAILURE_REFUSED_BY_PEER, -1, false},
        {"a warning that is none in TLS 1.3", TLS_1_3, 21, SLICE("\1\x28"),
         TLS_FAILURE_REFUSED_BY_PEER, -1, false},
        {"renegotiation by the client", TLS_1_2, 22, SLICE("\1\0\0\1\0"), TLS_FAILURE_PROTOCOL, 100,
         false},
        {"renegotiation by the server", TLS_1_2, 22, SLICE("\0\0\0\0"), TLS_FAILURE_PROTOCOL, 100,
         true},
        {"a fatal alert in TLS 1.2", TLS_1_2, 21, SLICE("\2\x28"), TLS_FAILURE_REFUSED_BY_PEER, -1,
         false},
    };
    struct couple couple;
    couple_start(&couple);
    EACH (row, rows) {
        struct tls_context_spec spec = {.min_version = TLS_1_2,
                                        .max_version = row->version,
                                        .peer_certificate = TLS_PEER_REQUIRED,
                                        .resume = true};
        couple_use(&couple, &spec, &spec);
        couple_open(&couple, NULL, NULL);
        check_open(&couple);
        struct side *from = row->to_client ? &couple.server : &couple.client;
        struct side *to = row->to_client ? &couple.client : &couple.server;
        inject(from, to, (enum record_type)row->type, row->bytes);
        CHECK(to->last == TLS_FEED_FAILED, "%s", row->name);
        CHECK(tls_session_failure(to->session) == row->failure, "%s: %s", row->name,
              tls_session_failure_text(to->session));
        CHECK(to->session->alert == row->alert, "%s: alert %d", row->name, to->session->alert);
        side_carry(to, from, 0);
        CHECK(row->alert == ALERT_NONE ||
                  tls_session_failure(from->session) == TLS_FAILURE_REFUSED_BY_PEER,
              "%s", row->name);
    }
    couple_stop(&couple);
}

TEST(messages_without_data_are_rationed)
{
    static const struct {
        const char *name;
        int type;
        struct slice bytes;
    } rows[] = {
        {"empty records", 23, SLICE("")},
        {"key updates", 22, SLICE("\x18\0\0\1\0")},
        {"cancellations", 21, SLICE("\1\x5a")},
        {"pieces of a message", 22, SLICE("\x18")},
    };
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    EACH (row, rows) {
        couple_open(&couple, NULL, NULL);
        check_open(&couple);
        unsigned sent = 0;
        for (; sent < 1000 && couple.server.last != TLS_FEED_FAILED; sent++) {
            if (row->bytes.size == 1) /* a byte at a time of a message that stays incomplete */
                inject(&couple.client, &couple.server, RECORD_HANDSHAKE,
                       sent ? SLICE("\0") : row->bytes);
            else
                inject(&couple.client, &couple.server, (enum record_type)row->type, row->bytes);
            if (row->type == 22 && row->bytes.size > 1 && couple.server.last != TLS_FEED_FAILED)
                session_renew(couple.client.session, &couple.client.session->write,
                              couple.client.session->write_secret);
        }
        CHECK(sent <= IDLE_MESSAGES_MAX + 1, "%s: %u", row->name, sent);
    }
    couple_stop(&couple);
}

TEST(data_renews_the_ration)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    char *bytes = pattern(1 << 20);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < IDLE_MESSAGES_MAX; k++)
            inject(&couple.client, &couple.server, RECORD_DATA, SLICE(""));
        CHECK(couple.server.last == TLS_FEED_MORE);
        side_say(&couple.client, slice_of(bytes, 1 << 20));
        sides_talk(&couple.client, &couple.server, 0);
        CHECK(side_heard(&couple.server, slice_of(bytes, 1 << 20)));
    }
    mem_free(bytes);
    couple_stop(&couple);
}

TEST(a_changed_byte_anywhere_in_a_record_is_found)
{
    static const enum tls_version versions[] = {TLS_1_2, TLS_1_3};
    struct couple couple;
    couple_start(&couple);
    EACH (version, versions) {
        struct tls_context_spec spec = {
            .min_version = TLS_1_2, .max_version = *version, .peer_certificate = TLS_PEER_REQUIRED};
        couple_use(&couple, &spec, &spec);
        for (size_t at = 0;; at++) {
            couple_open(&couple, NULL, NULL);
            side_say(&couple.client, SLICE("abc"));
            CHECK(tls_session_flush(couple.client.session, &couple.server.in, 0) == TLS_FLUSH_DONE);
            if (at >= couple.server.in.size)
                break;
            struct segment *segment = chain_segment(&couple.server.in, 0);
            *(char *)(uintptr_t)(segment->data + at) ^= 1;
            side_feed(&couple.server);
            /* A longer length waits for bytes that a cut connection will not bring. */
            bool waits = (at == 3 || at == 4) && couple.server.last == TLS_FEED_MORE;
            CHECK(waits || couple.server.last == TLS_FEED_FAILED, "byte %zu", at);
            CHECK(chain_is_empty(&couple.server.plain), "byte %zu", at);
        }
    }
    couple_stop(&couple);
}

TEST(a_replayed_or_dropped_record_is_found)
{
    struct couple couple;
    struct chain first = {0}, copy = {0};
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    for (int replay = 0; replay < 2; replay++) {
        char bytes[64];
        couple_open(&couple, NULL, NULL);
        side_say(&couple.client, SLICE("pay 10"));
        CHECK(tls_session_flush(couple.client.session, &first, 0) == TLS_FLUSH_DONE);
        size_t size = chain_copy_out(&first, 0, bytes, sizeof(bytes));
        if (replay) {
            chain_move(&couple.server.in, &first);
            side_feed(&couple.server);
            CHECK(side_heard(&couple.server, SLICE("pay 10")));
            CHECK(chain_append_copy(&copy, couple.server.pool, slice_of(bytes, size)));
            chain_move(&couple.server.in, &copy);
        } else {
            chain_fini(&first);
            side_say(&couple.client, SLICE("pay 20"));
            CHECK(tls_session_flush(couple.client.session, &couple.server.in, 0) == TLS_FLUSH_DONE);
        }
        side_feed(&couple.server);
        CHECK(couple.server.last == TLS_FEED_FAILED && chain_is_empty(&couple.server.plain));
    }
    couple_stop(&couple);
}

TEST(nothing_after_close_notify_counts)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    tls_session_end(couple.client.session);
    CHECK(tls_session_flush(couple.client.session, &couple.server.in, 0) == TLS_FLUSH_DONE);
    chain_append_static(&couple.server.in, SLICE("garbage of any kind"));
    side_feed(&couple.server);
    CHECK(couple.server.last == TLS_FEED_END && couple.server.in.size == 0);
    side_feed(&couple.server);
    CHECK(couple.server.last == TLS_FEED_END);
    couple_stop(&couple);
}

TEST(our_own_keys_are_renewed_before_they_wear_out)
{
    struct couple couple;
    couple_start(&couple);
    couple_use(&couple, NULL, NULL);
    couple_open(&couple, NULL, NULL);
    couple.client.session->write.sequence = RECORDS_A_KEY_MAX;
    couple.server.session->read.sequence = RECORDS_A_KEY_MAX;
    side_say(&couple.client, SLICE("on and on"));
    sides_talk(&couple.client, &couple.server, 0);
    CHECK(side_heard(&couple.server, SLICE("on and on")));
    CHECK(couple.client.session->write.sequence == 1);
    CHECK(tls_engine_counts(couple.server.engine)->key_updates == 1);
    couple_stop(&couple);
}
