#include "test.h"
#include "tls/foreign.h"

#include "tls/session_internal.h"

/* Our sessions against OpenSSL used directly. */
struct town {
    struct pki root, ours, theirs;
    struct tls_trust *trust;
    struct side side;
    struct foreign foreign;
};

static const char our_id[] = "spiffe://cluster.local/ns/shop/sa/ours";
static const char their_id[] = "spiffe://cluster.local/ns/shop/sa/theirs";

static void town_start(struct town *town)
{
    *town = (struct town){0};
    town->root = pki_root("spiffe://cluster.local");
    town->ours = pki_leaf(&town->root, our_id);
    town->theirs = pki_leaf(&town->root, their_id);
    town->trust = pki_trust(&town->root, "cluster.local");
    side_start(&town->side);
}

static void town_stop(struct town *town)
{
    foreign_stop(&town->foreign);
    side_stop(&town->side);
    tls_trust_unref(town->trust);
    pki_fini(&town->root);
    pki_fini(&town->ours);
    pki_fini(&town->theirs);
}

static void town_use(struct town *town, bool we_serve, const struct tls_context_spec *spec)
{
    side_use(&town->side,
             pki_context(we_serve ? TLS_SERVER : TLS_CLIENT, &town->ours, town->trust, spec));
    SSL_CTX_free(town->foreign.context);
    town->foreign.context = foreign_context(!we_serve, &town->theirs, NULL, &town->root);
}

static void town_open(struct town *town, bool we_serve, size_t piece)
{
    side_begin(&town->side, NULL);
    foreign_begin(&town->foreign, !we_serve);
    foreign_talk(&town->foreign, &town->side, piece);
}

static void check_open(struct town *town, const char *what)
{
    CHECK(tls_session_is_open(town->side.session), "%s: %s", what,
          tls_session_failure_text(town->side.session));
    CHECK(SSL_is_init_finished(town->foreign.ssl), "%s: %s", what,
          ERR_reason_error_string(town->foreign.error));
}

static void check_talk(struct town *town, struct slice bytes, size_t piece, const char *what)
{
    foreign_say(&town->foreign, bytes);
    foreign_talk(&town->foreign, &town->side, piece);
    CHECK(side_heard(&town->side, bytes), "%s", what);
    side_say(&town->side, bytes);
    foreign_talk(&town->foreign, &town->side, piece);
    CHECK(foreign_heard(&town->foreign, bytes), "%s", what);
}

TEST(every_suite_in_both_versions_and_both_roles_in_any_cut)
{
    static const struct {
        const char *name;
        int version;
    } rows[] = {
        {"TLS_AES_128_GCM_SHA256", TLS1_3_VERSION},
        {"TLS_AES_256_GCM_SHA384", TLS1_3_VERSION},
        {"TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION},
        {"ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION},
        {"ECDHE-ECDSA-AES256-GCM-SHA384", TLS1_2_VERSION},
        {"ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION},
    };
    static const size_t pieces[] = {0, 1, 3, 1000};
    struct town town;
    struct tls_context_spec spec = {.min_version = TLS_1_2, .peer_certificate = TLS_PEER_REQUIRED};
    char *bytes = mem_alloc(40000);
    random_secret(bytes, 40000);
    town_start(&town);
    EACH (row, rows) {
        for (int we_serve = 0; we_serve < 2; we_serve++) {
            town_use(&town, we_serve, &spec);
            foreign_versions(town.foreign.context, row->version, row->version);
            CHECK(row->version == TLS1_3_VERSION
                      ? SSL_CTX_set_ciphersuites(town.foreign.context, row->name)
                      : SSL_CTX_set_cipher_list(town.foreign.context, row->name));
            EACH (piece, pieces) {
                town_open(&town, we_serve, *piece);
                check_open(&town, row->name);
                CHECK(strcmp(tls_session_cipher(town.side.session),
                             SSL_CIPHER_standard_name(SSL_get_current_cipher(town.foreign.ssl))) ==
                      0);
                CHECK(slice_equals_str(tls_session_peer(town.side.session)->id.text, their_id));
                check_talk(&town, SLICE("a few bytes"), *piece, row->name);
                if (*piece != 1)
                    check_talk(&town, slice_of(bytes, 40000), *piece, row->name);
            }
        }
    }
    mem_free(bytes);
    town_stop(&town);
}

TEST(key_updates_of_the_peer_are_followed_and_answered)
{
    static const int kinds[] = {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED};
    struct town town;
    town_start(&town);
    EACH (kind, kinds) {
        for (int we_serve = 0; we_serve < 2; we_serve++) {
            town_use(&town, we_serve, NULL);
            town_open(&town, we_serve, 0);
            check_open(&town, "key update");
            for (int i = 0; i < 10; i++) {
                CHECK(SSL_key_update(town.foreign.ssl, *kind));
                check_talk(&town, SLICE("under new keys"), (size_t)(i % 2), "key update");
            }
            CHECK(tls_engine_counts(town.side.engine)->key_updates > 0);
        }
    }
    town_stop(&town);
}

TEST(our_key_update_is_understood)
{
    struct town town;
    town_start(&town);
    for (int we_serve = 0; we_serve < 2; we_serve++) {
        town_use(&town, we_serve, NULL);
        town_open(&town, we_serve, 0);
        check_open(&town, "ours");
        for (int i = 0; i < 5; i++) {
            town.side.session->key_update_due = true;
            check_talk(&town, SLICE("under our new keys"), 0, "ours");
        }
    }
    town_stop(&town);
}

static SSL_SESSION *kept;

static int keep(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

TEST(openssl_resumes_with_our_ticket)
{
    struct town town;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    town_start(&town);
    town_use(&town, true, &spec);
    SSL_CTX_set_session_cache_mode(town.foreign.context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(town.foreign.context, keep);
    town_open(&town, true, 0);
    check_open(&town, "first");
    check_talk(&town, SLICE("hello"), 0, "first");
    CHECK(kept != NULL, "the ticket comes with the first data");
    for (int i = 0; i < 3; i++) {
        side_begin(&town.side, NULL);
        foreign_begin(&town.foreign, false);
        CHECK(SSL_set_session(town.foreign.ssl, kept));
        foreign_talk(&town.foreign, &town.side, 0);
        check_open(&town, "again");
        CHECK(SSL_session_reused(town.foreign.ssl) && tls_session_is_resumed(town.side.session));
        CHECK(slice_equals_str(tls_session_peer(town.side.session)->id.text, their_id));
        check_talk(&town, SLICE("hello again"), 0, "again");
    }
    /* The first message of a resumed connection may be cut anywhere too. */
    side_begin(&town.side, NULL);
    foreign_begin(&town.foreign, false);
    CHECK(SSL_set_session(town.foreign.ssl, kept));
    foreign_talk(&town.foreign, &town.side, 1);
    check_open(&town, "cut");
    CHECK(tls_session_is_resumed(town.side.session));

    /* A changed ticket is no ticket, and no failure, whichever byte it is. */
    const unsigned char *ticket;
    size_t size;
    SSL_SESSION_get0_ticket(kept, &ticket, &size);
    for (size_t at = 0; at < size; at += 11) {
        unsigned char *byte = (unsigned char *)(uintptr_t)ticket + at;
        *byte ^= 0x10;
        side_begin(&town.side, NULL);
        foreign_begin(&town.foreign, false);
        CHECK(SSL_set_session(town.foreign.ssl, kept));
        foreign_talk(&town.foreign, &town.side, 0);
        check_open(&town, "forged");
        CHECK(!tls_session_is_resumed(town.side.session), "byte %zu", at);
        *byte ^= 0x10;
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    tls_ticket_keys_unref(keys);
    town_stop(&town);
}

TEST(early_data_is_never_taken)
{
    struct town town;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {.ticket_keys = keys, .peer_certificate = TLS_PEER_REQUIRED};
    town_start(&town);
    town_use(&town, true, &spec);
    SSL_CTX_set_session_cache_mode(town.foreign.context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(town.foreign.context, keep);
    town_open(&town, true, 0);
    check_talk(&town, SLICE("hello"), 0, "first");
    CHECK(kept && SSL_SESSION_get_max_early_data(kept) == 0, "our tickets allow none");
    CHECK(SSL_SESSION_set_max_early_data(kept, 16384)); /* a client that does not care */
    side_begin(&town.side, NULL);
    foreign_begin(&town.foreign, false);
    CHECK(SSL_set_session(town.foreign.ssl, kept));
    size_t size;
    CHECK(SSL_write_early_data(town.foreign.ssl, "DELETE /", 8, &size) == 1);
    bool moved;
    do {
        SSL_do_handshake(town.foreign.ssl); /* reading alone would wait for more early data */
        moved = foreign_to_side(&town.foreign, &town.side, 0);
        moved |= side_to_foreign(&town.side, &town.foreign, 0);
    } while (moved);
    foreign_talk(&town.foreign, &town.side, 0);
    check_open(&town, "early");
    CHECK(SSL_get_early_data_status(town.foreign.ssl) == SSL_EARLY_DATA_REJECTED);
    CHECK(town.side.plain.size == 0, "not a byte of it");
    check_talk(&town, SLICE("hello again"), 0, "after it");
    SSL_SESSION_free(kept);
    kept = NULL;
    tls_ticket_keys_unref(keys);
    town_stop(&town);
}

TEST(we_resume_with_a_ticket_of_openssl)
{
    struct town town;
    struct tls_context_spec spec = {.resume = true};
    town_start(&town);
    town_use(&town, false, &spec);
    for (int i = 0; i < 4; i++) {
        town_open(&town, false, (size_t)(i % 2));
        check_open(&town, "resume");
        check_talk(&town, SLICE("hello"), 0, "resume");
        CHECK(tls_session_is_resumed(town.side.session) == (i > 0));
        CHECK(SSL_session_reused(town.foreign.ssl) == (i > 0));
        CHECK(slice_equals_str(tls_session_peer(town.side.session)->id.text, their_id));
    }
    /* A server that has lost its keys: a full handshake, without an error. */
    town_use(&town, false, &spec);
    town_open(&town, false, 0);
    check_open(&town, "new keys");
    CHECK(!tls_session_is_resumed(town.side.session));
    town_stop(&town);
}

TEST(a_retry_for_another_group_works_and_still_resumes)
{
    struct town town;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {
        .ticket_keys = keys, .resume = true, .peer_certificate = TLS_PEER_REQUIRED};
    town_start(&town);
    for (int we_serve = 0; we_serve < 2; we_serve++) {
        town_use(&town, we_serve, &spec);
        /* As a client it guesses a group that we lack; as a server it lacks the one that we guess. */
        SSL_CTX_set1_groups_list(town.foreign.context, we_serve ? "P-521:P-256" : "P-384");
        SSL_CTX_set_session_cache_mode(town.foreign.context,
                                       SSL_SESS_CACHE_BOTH | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(town.foreign.context, we_serve ? keep : NULL);
        for (int i = 0; i < 2; i++) {
            side_begin(&town.side, NULL);
            foreign_begin(&town.foreign, !we_serve);
            if (we_serve && kept)
                SSL_set_session(town.foreign.ssl, kept);
            foreign_talk(&town.foreign, &town.side, 0);
            check_open(&town, "retry");
            check_talk(&town, SLICE("hello"), 0, "retry");
            CHECK(tls_session_is_resumed(town.side.session) == (i > 0));
        }
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    tls_ticket_keys_unref(keys);
    town_stop(&town);
}

TEST(ends_are_told_both_ways)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct town town;
    town_start(&town);
    EACH (version, versions) {
        for (int we_serve = 0; we_serve < 2; we_serve++) {
            town_use(&town, we_serve, NULL);
            foreign_versions(town.foreign.context, *version, *version);
            town_open(&town, we_serve, 0);
            check_open(&town, "end");
            foreign_say(&town.foreign, SLICE("bye"));
            SSL_shutdown(town.foreign.ssl);
            foreign_talk(&town.foreign, &town.side, 0);
            CHECK(town.side.last == TLS_FEED_END && side_heard(&town.side, SLICE("bye")));
            side_say(&town.side, SLICE("so long"));
            tls_session_end(town.side.session);
            foreign_talk(&town.foreign, &town.side, 0);
            CHECK(foreign_heard(&town.foreign, SLICE("so long")));
            CHECK(town.foreign.read_ended && town.foreign.error == 0);
        }
    }
    town_stop(&town);
}

TEST(renegotiation_in_tls_1_2_is_refused)
{
    struct town town;
    town_start(&town);
    for (int we_serve = 0; we_serve < 2; we_serve++) {
        town_use(&town, we_serve, NULL);
        foreign_versions(town.foreign.context, TLS1_2_VERSION, TLS1_2_VERSION);
        town_open(&town, we_serve, 0);
        check_open(&town, "renegotiation");
        CHECK(SSL_renegotiate(town.foreign.ssl) == 1);
        SSL_do_handshake(town.foreign.ssl);
        foreign_talk(&town.foreign, &town.side, 0);
        CHECK(tls_session_has_failed(town.side.session));
        CHECK(strstr(tls_session_failure_text(town.side.session), "renegotiation"));
        CHECK(town.foreign.error != 0);
    }
    town_stop(&town);
}

TEST(a_client_certificate_is_required_optional_or_not_asked)
{
    static const struct {
        enum tls_peer_certificate ask;
        bool shows, opens, is_known;
    } rows[] = {
        {TLS_PEER_REQUIRED, true, true, true},   {TLS_PEER_REQUIRED, false, false, false},
        {TLS_PEER_OPTIONAL, true, true, true},   {TLS_PEER_OPTIONAL, false, true, false},
        {TLS_PEER_NOT_ASKED, true, true, false}, {TLS_PEER_NOT_ASKED, false, true, false},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct town town;
    town_start(&town);
    EACH (version, versions) {
        EACH (row, rows) {
            struct tls_context_spec spec = {.min_version = TLS_1_2, .peer_certificate = row->ask};
            town_use(&town, true, &spec);
            if (!row->shows) {
                SSL_CTX_free(town.foreign.context);
                town.foreign.context = foreign_context(false, NULL, NULL, &town.root);
            }
            foreign_versions(town.foreign.context, *version, *version);
            town_open(&town, true, 0);
            CHECK(tls_session_is_open(town.side.session) == row->opens, "ask %d shows %d", row->ask,
                  row->shows);
            CHECK((tls_session_peer(town.side.session) != NULL) == row->is_known);
            if (!row->opens) {
                CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_NO_CERTIFICATE, "%s",
                      tls_session_failure_text(town.side.session));
                CHECK(town.foreign.error != 0, "it is told");
            }
        }
    }
    town_stop(&town);
}

TEST(nothing_in_common_is_told_as_what_it_is)
{
    struct town town;
    town_start(&town);
    town_use(&town, true, &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED});
    foreign_versions(town.foreign.context, TLS1_2_VERSION, TLS1_2_VERSION);
    town_open(&town, true, 0);
    CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_VERSION, "%s",
          tls_session_failure_text(town.side.session));

    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    EACH (version, old) {
        town_use(&town, true, NULL);
        SSL_CTX_set_security_level(town.foreign.context, 0);
        foreign_versions(town.foreign.context, *version, *version);
        town_open(&town, true, 0);
        CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_VERSION, "%s",
              tls_session_failure_text(town.side.session));
    }

    town_use(&town, false, &(struct tls_context_spec){0});
    foreign_versions(town.foreign.context, TLS1_2_VERSION, TLS1_2_VERSION);
    town_open(&town, false, 0);
    CHECK(tls_session_has_failed(town.side.session));
    CHECK(strstr(tls_session_failure_text(town.side.session), "version"), "%s",
          tls_session_failure_text(town.side.session));

    town_use(&town, true,
             &(struct tls_context_spec){.min_version = TLS_1_2,
                                        .max_version = TLS_1_2,
                                        .peer_certificate = TLS_PEER_REQUIRED});
    SSL_CTX_set_cipher_list(town.foreign.context, "ECDHE-ECDSA-AES128-SHA");
    town_open(&town, true, 0);
    CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_CIPHER, "%s",
          tls_session_failure_text(town.side.session));

    side_begin(&town.side, NULL);
    chain_append_static(&town.side.in, SLICE("GET / HTTP/1.1\r\nHost: pay\r\n\r\n"));
    side_feed(&town.side);
    CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_NOT_TLS);
    CHECK(strstr(tls_session_failure_text(town.side.session), "plain HTTP"), "%s",
          tls_session_failure_text(town.side.session));

    side_begin(&town.side, NULL);
    chain_append_static(&town.side.in, SLICE("\x05\x01\x00 something else entirely"));
    side_feed(&town.side);
    CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_NOT_TLS, "%s",
          tls_session_failure_text(town.side.session));
    town_stop(&town);
}

TEST(alpn_and_name_are_agreed_with_openssl)
{
    struct town town;
    struct slice protocols[] = {SLICE("h2"), SLICE("http/1.1")};
    struct tls_context_spec spec = {
        .alpn = protocols, .alpn_count = 2, .peer_certificate = TLS_PEER_REQUIRED};
    town_start(&town);
    town_use(&town, true, &spec);
    SSL_CTX_set_alpn_protos(town.foreign.context, (const unsigned char *)"\x08http/1.1\x02h2", 12);
    side_begin(&town.side, NULL);
    foreign_begin(&town.foreign, false);
    SSL_set_tlsext_host_name(town.foreign.ssl, "Pay.Shop.");
    foreign_talk(&town.foreign, &town.side, 0);
    check_open(&town, "alpn");
    CHECK(slice_equals_str(tls_session_alpn(town.side.session), "h2"));
    CHECK(slice_equals_str(tls_session_server_name(town.side.session), "pay.shop"));
    town_stop(&town);
}

TEST(small_fragments_asked_for_are_kept_to)
{
    struct town town;
    town_start(&town);
    town_use(&town, true, NULL);
    SSL_CTX_set_tlsext_max_fragment_length(town.foreign.context, TLSEXT_max_fragment_length_512);
    char bytes[5000];
    memset(bytes, 'x', sizeof(bytes));
    town_open(&town, true, 0);
    check_open(&town, "fragments");
    check_talk(&town, slice_of(bytes, sizeof(bytes)), 0, "fragments");
    town_stop(&town);
}

TEST(a_hello_in_one_byte_records_is_read_and_an_endless_one_is_not)
{
    struct town town;
    unsigned char hello[2000], cut[sizeof(hello) * 6];
    town_start(&town);
    town_use(&town, true, NULL);
    side_begin(&town.side, NULL);
    foreign_begin(&town.foreign, false);
    foreign_work(&town.foreign);
    int size = BIO_read(town.foreign.out, hello, sizeof(hello));
    size_t used = 0;
    for (int i = 5; i < size; i++) {
        memcpy(cut + used, "\x16\x03\x01\x00\x01", 5);
        cut[used + 5] = hello[i];
        used += 6;
    }
    CHECK(chain_append_copy(&town.side.in, town.side.pool, slice_of(cut, used)));
    side_feed(&town.side);
    foreign_talk(&town.foreign, &town.side, 0);
    check_open(&town, "cut into records of a byte");

    /* A message that says it has 16 MB less one. */
    side_begin(&town.side, NULL);
    static const unsigned char endless[16384] = {1, 0xff, 0xff, 0xff};
    for (int i = 0; i < 20 && town.side.last != TLS_FEED_FAILED; i++) {
        CHECK(
            chain_append_copy(&town.side.in, town.side.pool, slice_of("\x16\x03\x01\x40\x00", 5)));
        CHECK(chain_append_copy(&town.side.in, town.side.pool,
                                slice_of(i ? endless + 4 : endless, 16380)));
        CHECK(chain_append_copy(&town.side.in, town.side.pool, slice_of("abcd", 4)));
        side_feed(&town.side);
    }
    CHECK(tls_session_failure(town.side.session) == TLS_FAILURE_LIMIT, "%s",
          tls_session_failure_text(town.side.session));
    town_stop(&town);
}

/* The bytes of a direction are its positions, so that any loss or doubling shows. */
static void fill(char *bytes, size_t size, size_t from)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)((from + i) * 2654435761U >> 13);
}

struct flow {
    size_t said, heard;
};

static void check_flow(struct flow *flow, struct slice bytes, uint64_t seed)
{
    char expected[4096];
    while (bytes.size > 0) {
        struct slice part = slice_take(&bytes, MIN(bytes.size, sizeof(expected)));
        fill(expected, part.size, flow->heard);
        CHECK(memcmp(expected, part.data, part.size) == 0, "seed %llu at %zu",
              (unsigned long long)seed, flow->heard);
        flow->heard += part.size;
    }
}

/* A random quarter of an hour in the life of a connection. */
static void live(struct town *town, bool we_serve, uint64_t seed)
{
    struct random random;
    struct flow up = {0}, down = {0};
    char bytes[40000];
    random_seed(&random, seed);
    side_begin(&town->side, NULL);
    foreign_begin(&town->foreign, !we_serve);
    for (int step = 0; step < 60; step++) {
        size_t size = random_below(&random, random_below(&random, 3) ? 300 : sizeof(bytes)) + 1;
        switch (random_below(&random, 8)) {
        case 0:
        case 1:
            if (!SSL_is_init_finished(town->foreign.ssl))
                break;
            fill(bytes, size, up.said);
            foreign_say(&town->foreign, slice_of(bytes, size));
            up.said += size;
            break;
        case 2:
        case 3:
            fill(bytes, size, down.said);
            side_say(&town->side, slice_of(bytes, size));
            down.said += size;
            break;
        case 4:
            if (SSL_is_init_finished(town->foreign.ssl) &&
                SSL_version(town->foreign.ssl) == TLS1_3_VERSION)
                SSL_key_update(town->foreign.ssl, (int)random_below(&random, 2));
            break;
        case 5:
            if (tls_session_is_open(town->side.session) && town->side.session->write.is_13)
                town->side.session->key_update_due = true;
            break;
        case 6: foreign_to_side(&town->foreign, &town->side, random_below(&random, 3000)); break;
        case 7: side_to_foreign(&town->side, &town->foreign, random_below(&random, 3000)); break;
        }
    }
    foreign_talk(&town->foreign, &town->side, 0);
    check_open(town, "life");
    char *heard = mem_alloc(town->side.plain.size + 1);
    check_flow(&up,
               slice_of(heard, chain_copy_out(&town->side.plain, 0, heard, town->side.plain.size)),
               seed);
    mem_free(heard);
    check_flow(&down, buffer_slice(&town->foreign.plain), seed);
    CHECK(up.heard == up.said && down.heard == down.said, "seed %llu", (unsigned long long)seed);
}

TEST(random_lives_with_openssl_lose_no_byte)
{
    struct town town;
    const char *longer = getenv("TULLE_TLS_LIVES");
    uint64_t lives = longer ? strtoull(longer, NULL, 10) : 60;
    struct tls_ticket_keys *keys = tls_ticket_keys_create();
    struct tls_context_spec spec = {.min_version = TLS_1_2,
                                    .ticket_keys = keys,
                                    .resume = true,
                                    .peer_certificate = TLS_PEER_REQUIRED};
    town_start(&town);
    for (uint64_t seed = 1; seed <= lives; seed++) {
        bool we_serve = seed % 2;
        int version = seed % 4 < 3 ? TLS1_3_VERSION : TLS1_2_VERSION;
        town_use(&town, we_serve, &spec);
        foreign_versions(town.foreign.context, version, version);
        live(&town, we_serve, seed);
    }
    tls_ticket_keys_unref(keys);
    town_stop(&town);
}
