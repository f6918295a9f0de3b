#include "net/http_connection.h"

#include "net/http_connection_internal.h"
#include "net/http_world.h"
#include "tls/pki.h"

static const char *name_of(enum http_choice choice)
{
    return choice == HTTP_ONLY_2 ? "HTTP/2" : "HTTP/1";
}

static struct plan random_plan(struct random *random, unsigned id, bool is_alone)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 70000, 200000};
    struct plan plan = {.id = id, .flags = (unsigned)random_below(random, ALL_FLAGS + 1)};
    plan.response_bytes = sizes[random_below(random, COUNT(sizes))];
    if (random_below(random, 2))
        plan.request_bytes = sizes[random_below(random, COUNT(sizes))];
    if (plan.flags & (EARLY_RESPONSE | HEAD_REQUEST | REQUEST_TRAILERS) && random_below(random, 4))
        plan.flags &= ~(unsigned)(EARLY_RESPONSE | HEAD_REQUEST | REQUEST_TRAILERS);
    if (plan.flags & HEAD_REQUEST)
        plan.request_bytes = 0, plan.flags &= ~(unsigned)REQUEST_TRAILERS;
    if (!is_alone)
        plan.flags &= ~(unsigned)EARLY_RESPONSE;
    return plan;
}

/* --- every cell of (HTTP/1, HTTP/2) x (HTTP/1, HTTP/2) ---------------------------------------------------------- */

static const enum http_choice cells[][2] = {{HTTP_ONLY_1, HTTP_ONLY_1},
                                            {HTTP_ONLY_1, HTTP_ONLY_2},
                                            {HTTP_ONLY_2, HTTP_ONLY_1},
                                            {HTTP_ONLY_2, HTTP_ONLY_2}};

static void check_end(const struct end *end, uint64_t seed, const char *cell)
{
    const struct plan *plan = &end->plan;
    CHECK(end->got_end && !end->was_reset && end->got == end->to_get,
          "seed %llu, %s: request %u (flags %u, %zu up, %zu down): end %d, reset %d, %zu bytes",
          (unsigned long long)seed, cell, plan->id, plan->flags, plan->request_bytes,
          plan->response_bytes, end->got_end, end->was_reset, end->got);
    CHECK(end->informational == (plan->flags & INFORMATIONAL ? 1 : 0), "seed %llu, %s",
          (unsigned long long)seed, cell);
    bool trailers = (plan->flags & RESPONSE_TRAILERS) && !(plan->flags & HEAD_REQUEST);
    CHECK(end->got_trailers == trailers, "seed %llu, %s: request %u", (unsigned long long)seed,
          cell, plan->id);
}

static void relay_with_seed(uint64_t seed, const enum http_choice *cell, bool is_faulty)
{
    struct world w;
    struct random random;
    random_seed(&random, seed);
    begin_world(&w, seed, cell[0], cell[1]);
    if (is_faulty) {
        struct sim_faults faults = sim_usual_faults();
        sim_set_faults(w.loop, &faults);
    }
    connect_down(&w);
    connect_up(&w);
    /* HTTP/1 upstream carries one exchange at a time, and waiting hops take no body. */
    bool is_parallel = cell[0] == HTTP_ONLY_2 && cell[1] == HTTP_ONLY_2;
    enum { REQUESTS = 12 };
    static struct end ends[REQUESTS];
    unsigned asked = 0;
    for (unsigned turn = 0; turn < 60000 && (asked < REQUESTS || w.open > 0); turn++) {
        while (asked < REQUESTS && w.client && (is_parallel || w.open + w.relay.open == 0) &&
               http_connection_room(w.client) > 0) {
            struct plan plan = random_plan(&random, asked, false);
            if (!client_ask(w.client, &ends[asked], &plan, &w.bad, &w.open))
                break;
            asked++;
        }
        loop_turn(w.loop, 100);
    }
    char name[40];
    snprintf(name, sizeof(name), "%s to %s", name_of(cell[0]), name_of(cell[1]));
    CHECK(asked == REQUESTS && w.open == 0, "seed %llu, %s: asked %u, %u are open",
          (unsigned long long)seed, name, asked, w.open);
    for (unsigned i = 0; i < asked; i++)
        check_end(&ends[i], seed, name);
    CHECK(!w.bad && !w.origin.bad, "seed %llu, %s: wrong bytes", (unsigned long long)seed, name);
    CHECK(w.origin.requests == REQUESTS, "seed %llu, %s", (unsigned long long)seed, name);
    CHECK(w.relay.most_held <= 64 * 1024 + 64 * 1024, "seed %llu, %s: held %zu",
          (unsigned long long)seed, name, w.relay.most_held);
    CHECK(w.client && w.down && w.up && w.serving, "seed %llu, %s: a connection was closed",
          (unsigned long long)seed, name);
    end_world(&w);
}

TEST(requests_are_relayed_between_all_protocols)
{
    EACH (cell, cells)
        relay_with_seed(1, *cell, false);
    unsigned seeds = sim_seed_count(30);
    for (unsigned i = 0; i < seeds; i++)
        EACH (cell, cells)
            relay_with_seed(sim_seed(i), *cell, true);
}

/* Connections break anywhere: whoever says that a message is whole must have all of it, and nothing leaks. */
static void break_with_seed(uint64_t seed, const enum http_choice *cell)
{
    struct world w;
    struct random random;
    random_seed(&random, seed);
    begin_world(&w, seed, cell[0], cell[1]);
    struct sim_faults faults = sim_usual_faults();
    faults.reset = 5;
    sim_set_faults(w.loop, &faults);
    enum { REQUESTS = 10 };
    static struct end ends[REQUESTS];
    unsigned asked = 0;
    for (unsigned turn = 0; turn < 30000 && (asked < REQUESTS || w.open > 0); turn++) {
        if (!w.client && !w.down && w.open == 0)
            connect_down(&w);
        if (!w.up && !w.serving && w.relay.open == 0)
            connect_up(&w);
        if (asked < REQUESTS && w.client && w.open + w.relay.open == 0 &&
            http_connection_room(w.client) > 0) {
            struct plan plan = random_plan(&random, asked, true);
            if (client_ask(w.client, &ends[asked], &plan, &w.bad, &w.open))
                asked++;
        }
        loop_turn(w.loop, 100);
        /* A relay whose upstream has gone answers nothing here: give the request up. */
        if (!w.relay.up && !list_is_empty(&w.relay.waiting))
            hop_release(LIST_ENTRY(w.relay.waiting.next, struct hop, node));
    }
    CHECK(!w.bad && !w.origin.bad, "seed %llu: wrong bytes, or too few, were said to be whole",
          (unsigned long long)seed);
    CHECK(w.open == 0, "seed %llu: a client still waits", (unsigned long long)seed);
    end_world(&w);
}

TEST(connections_that_break_leave_nothing_half_and_leak_nothing)
{
    unsigned seeds = sim_seed_count(30);
    for (unsigned i = 0; i < seeds; i++)
        EACH (cell, cells)
            break_with_seed(sim_seed(i), *cell);
}

TEST(the_last_request_says_close)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    w.options[1].max_requests = 3;
    connect_raw(&w, &raw);
    raw_say(&w, &raw, ORIGIN_GET ORIGIN_GET ORIGIN_GET ORIGIN_GET);
    pass(&w, 100);
    CHECK(w.origin.requests == 3 && w.closed[3] == 1);
    CHECK(w.reasons[3] == HTTP_CLOSED_MAX_REQUESTS && raw.ends == 1);
    const char *close = strstr(heard(&raw), "connection: close");
    CHECK(close && !strstr(close + 1, "connection: close"), "%s", heard(&raw));
    raw_fini(&raw);
    end_world(&w);
}

TEST(a_plaintext_server_knows_both_protocols_by_the_first_bytes)
{
    for (size_t cut = 1; cut <= 30; cut++) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        struct slice all = SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0");
        while (all.size > 0) {
            struct slice piece = slice_take(&all, MIN(cut, all.size));
            struct chain bytes = {0};
            CHECK(chain_append_copy(&bytes, loop_blocks(w.loop), piece));
            conn_write(raw.conn, &bytes);
            settle(&w, 3);
        }
        CHECK(http_connection_protocol(w.serving) == HTTP_PROTOCOL_2, "by %zu", cut);
        raw_fini(&raw);
        end_world(&w);

        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        /* Shares its first bytes with the preface. */
        const char *text = "PROPFIND /1/0/5/0 HTTP/1.1\r\nHost: origin:80\r\n\r\n";
        for (size_t at = 0; at < strlen(text); at += cut) {
            char piece[64] = "";
            strncat(piece, text + at, cut);
            raw_say(&w, &raw, piece);
            settle(&w, 3);
        }
        pass(&w, 10);
        CHECK(w.origin.requests == 1 && strstr(heard(&raw), "200 OK"), "by %zu", cut);
        raw_fini(&raw);
        end_world(&w);
    }
}

static void on_turn_of_engine(void *engine)
{
    tls_engine_turn(engine, pki_now(), 2 * LOOP_TURN_HANDSHAKES);
}

static struct transport *tls_transport(struct world *w, int fd, struct tls_engine *engine,
                                       struct tls_context *context)
{
    static const struct conn_events none = {0};
    struct tls_session_spec session = {.context = context};
    struct transport_options options = {.engine = engine, .tls = &session};
    return transport_create(conn_adopt(w->loop, fd, 0, &none, NULL), NULL, &options, NULL, NULL);
}

/* A tunnel's ends agree on no protocol inside TLS, and what it carries may be either. */
TEST(a_tls_server_without_alpn_knows_both_protocols_by_the_first_bytes)
{
    static const enum http_choice asked[] = {HTTP_ONLY_1, HTTP_ONLY_2};
    struct pki root = pki_root("spiffe://mesh"),
               leaf = pki_leaf(&root, "spiffe://mesh/ns/shop/sa/cart");
    struct tls_trust *trust = pki_trust(&root, "mesh");
    struct tls_context *contexts[] = {pki_context(TLS_SERVER, &leaf, trust, NULL),
                                      pki_context(TLS_CLIENT, &leaf, trust, NULL)};
    EACH (choice, asked) {
        struct world w;
        int fds[2];
        begin_world(&w, 1, *choice, HTTP_CHOOSE);
        struct tls_engine *engine = tls_engine_create(NULL);
        loop_on_turn(w.loop, on_turn_of_engine, engine);
        on_turn_of_engine(engine);
        sim_pair(w.loop, fds);
        w.serving = http_connection_create(tls_transport(&w, fds[0], engine, contexts[0]),
                                           HTTP_SERVER, &w.options[1], &origin_events, &w.origin);
        w.client = http_connection_create(tls_transport(&w, fds[1], engine, contexts[1]),
                                          HTTP_CLIENT, &w.options[0], &client_events, &w);
        struct plan plan = {.id = 1, .request_bytes = 3000, .response_bytes = 70000};
        static struct end end;
        CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        for (unsigned turn = 0; turn < 2000 && w.open + w.origin.open > 0; turn++)
            loop_turn(w.loop, 100);
        CHECK(w.open == 0 && w.origin.requests == 1 && !w.bad && !w.origin.bad, "%s",
              name_of(*choice));
        CHECK(http_connection_protocol(w.serving) ==
              (*choice == HTTP_ONLY_2 ? HTTP_PROTOCOL_2 : HTTP_PROTOCOL_1));
        close_one(&w.client);
        close_one(&w.serving);
        settle(&w, 200);
        loop_on_turn(w.loop, NULL, NULL);
        tls_engine_destroy(engine);
        end_world(&w);
    }
    tls_context_unref(contexts[0]);
    tls_context_unref(contexts[1]);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&leaf);
}

TEST(a_tls_hello_or_text_where_http_should_be_is_refused)
{
    static const char *const texts[] = {"\x16\x03\x01\x02", "hello world\r\n\r\n",
                                        "GET / HTTP/1.1\r\n\r\n"};
    EACH (text, texts) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        raw_say(&w, &raw, *text);
        pass(&w, 100);
        CHECK(w.refused != HTTP_REFUSAL_NONE && w.reasons[3] == HTTP_CLOSED_REFUSED, "%s", *text);
        CHECK(strncmp(heard(&raw), "HTTP/1.1 400 ", 13) == 0 && raw.ends == 1, "%s", *text);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* The client sends on and on, and still reads the answer: no reset may overtake it. */
TEST(an_early_413_reaches_a_client_that_is_still_sending)
{
    unsigned seeds = sim_seed_count(50);
    for (unsigned i = 0; i < seeds; i++) {
        struct world w;
        struct raw raw;
        begin_world(&w, sim_seed(i), HTTP_ONLY_1, HTTP_ONLY_1);
        struct sim_faults faults = sim_usual_faults();
        sim_set_faults(w.loop, &faults);
        int fds[2];
        raw = (struct raw){0};
        sim_pair(w.loop, fds);
        raw.conn = conn_adopt(w.loop, fds[0], 0, &raw_events, &raw);
        conn_read_start(raw.conn);
        w.down = join(&w, fds[1], HTTP_SERVER, &w.options[0], &down_connection_events, &w.relay);
        connect_up(&w);
        raw_say(&w, &raw,
                "POST /1/100000000/9/256 HTTP/1.1\r\nHost: origin:80\r\n"
                "Content-Length: 100000000\r\n\r\n");
        uint64_t until_ms = loop_now_ms(w.loop) + 10000;
        while (loop_now_ms(w.loop) < until_ms && raw.ends == 0 && raw.errors == 0) {
            if (conn_backlog(raw.conn) < 30000)
                raw_say(&w, &raw, "a piece of a body that is much too long");
            loop_turn(w.loop, 10);
        }
        CHECK(raw.errors == 0 && raw.ends == 1, "seed %llu: %d errors",
              (unsigned long long)sim_seed(i), raw.errors);
        CHECK(strncmp(heard(&raw), "HTTP/1.1 413 ", 13) == 0, "%s", heard(&raw));
        CHECK(strstr(heard(&raw), "connection: close"), "%s", heard(&raw));
        raw_fini(&raw);
        end_world(&w);
    }
}

/* --- draining, room and the end ----------------------------------------------------------------------------------- */

TEST(a_drained_connection_ends_when_its_streams_do)
{
    EACH (cell, cells) {
        struct world w;
        struct end end;
        begin_world(&w, 1, (*cell)[0], (*cell)[1]);
        connect_down(&w);
        connect_up(&w);
        struct plan plan = {.id = 1, .response_bytes = 50000, .flags = SLOW_CLIENT};
        CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        settle(&w, 20);
        http_connection_drain(w.down);
        http_connection_drain(w.up);
        CHECK(http_connection_is_draining(w.down));
        for (int turn = 0; turn < 5000 && (w.down || w.up); turn++)
            loop_turn(w.loop, 10);
        CHECK(end.got_end && end.got == 50000 && !end.was_reset, "got %zu", end.got);
        CHECK(w.closed[1] == 1 && w.reasons[1] == HTTP_CLOSED_DONE);
        CHECK(w.closed[2] == 1 && w.reasons[2] == HTTP_CLOSED_DONE);
        end_world(&w);
    }
}

/* A request that was on its way when the server began to drain met a closed connection. */
TEST(a_drained_server_takes_the_request_that_is_on_its_way)
{
    for (int said = 0; said < 3; said++) { /* nothing yet, half a head, one request before */
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        if (said == 1)
            raw_say(&w, &raw, "GET /1/0/5/0 HT");
        else if (said == 2)
            raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 50);
        buffer_reset(&raw.got);
        http_connection_drain(w.serving);
        pass(&w, 100);
        CHECK(w.serving && raw.ends == 0, "it waits");
        raw_say(&w, &raw, said == 1 ? "TP/1.1\r\nHost: origin:80\r\n\r\n" : ORIGIN_GET);
        pass(&w, 50);
        CHECK(strstr(heard(&raw), "200 OK") && strstr(heard(&raw), "connection: close"), "%d: %s",
              said, heard(&raw));
        pass(&w, 2500);
        CHECK(!w.serving && raw.ends == 1 && w.reasons[3] == HTTP_CLOSED_DONE, "%d", said);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* Soon when it has been asked before, and later when its client has just come: that one will hardly ask nothing. */
TEST(a_drained_server_that_nobody_asks_anything_closes)
{
    static const uint64_t silences_ms[] = {HTTP_DRAIN_FIRST_SILENCE_MS, HTTP_DRAIN_SILENCE_MS};
    for (unsigned asked = 0; asked < 2; asked++) {
        struct world w;
        struct raw raw;
        begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
        connect_raw(&w, &raw);
        if (asked)
            raw_say(&w, &raw, ORIGIN_GET);
        pass(&w, 50);
        http_connection_drain(w.serving);
        pass(&w, silences_ms[asked] / 5);
        CHECK(w.serving && raw.ends == 0, "it waits");
        pass(&w, silences_ms[asked]);
        CHECK(!w.serving && raw.ends == 1 && w.reasons[3] == HTTP_CLOSED_DONE, "%u", asked);
        raw_fini(&raw);
        end_world(&w);
    }
}

/* The head of the answer that was under way said keep-alive, so the client may have sent the next request already. */
TEST(a_server_that_begins_to_drain_behind_a_head_takes_one_more_request)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    connect_raw(&w, &raw);
    conn_read_stop(raw.conn);
    raw_say(&w, &raw, "GET /1/0/500000/0 HTTP/1.1\r\nHost: origin:80\r\n\r\n");
    pass(&w, 50);
    CHECK(w.origin.open == 1, "under way");
    http_connection_drain(w.serving);
    conn_read_start(raw.conn);
    pass(&w, 50);
    CHECK(w.serving && raw.ends == 0 && !strstr(heard(&raw), "connection: close"));
    buffer_reset(&raw.got);
    raw_say(&w, &raw, ORIGIN_GET);
    pass(&w, 50);
    CHECK(strstr(heard(&raw), "200 OK") && strstr(heard(&raw), "connection: close"), "%s",
          heard(&raw));
    CHECK(!w.serving && raw.ends == 1 && w.reasons[3] == HTTP_CLOSED_DONE);
    raw_fini(&raw);
    end_world(&w);
}

/* Its last words were cut when a client paused for two seconds. */
TEST(a_connection_that_closes_behind_an_answer_lets_a_slow_reader_have_all_of_it)
{
    struct world w;
    struct raw raw;
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    connect_raw(&w, &raw);
    conn_read_stop(raw.conn);
    raw_say(&w, &raw, "GET /1/0/100000/0 HTTP/1.1\r\nHost: origin:80\r\nConnection: close\r\n\r\n");
    pass(&w, 20000);
    conn_read_start(raw.conn);
    pass(&w, 100);
    CHECK(raw.got.size > 100000 && raw.ends == 1 && raw.errors == 0, "%zu bytes, %d errors",
          raw.got.size, raw.errors);
    CHECK(!w.serving && w.reasons[3] == HTTP_CLOSED_DONE);
    raw_fini(&raw);
    end_world(&w);
}

/* Before the handshake is done no request can come; that one is in vain shows only afterwards. */
TEST(a_drained_server_waits_for_the_handshake)
{
    enum { HANDSHAKE_MS = 5000 };
    struct pki root = pki_root("spiffe://mesh"),
               leaf = pki_leaf(&root, "spiffe://mesh/ns/shop/sa/cart");
    struct tls_trust *trust = pki_trust(&root, "mesh");
    struct tls_context *context = pki_context(TLS_SERVER, &leaf, trust, NULL);
    struct tls_session_spec session = {.context = context};
    struct world w;
    struct raw raw = {0};
    int fds[2];
    begin_world(&w, 1, HTTP_CHOOSE, HTTP_CHOOSE);
    struct tls_engine *engine = tls_engine_create(NULL);
    struct transport_options options = {
        .engine = engine, .tls = &session, .handshake_timeout_ms = HANDSHAKE_MS};
    loop_on_turn(w.loop, on_turn_of_engine, engine);
    on_turn_of_engine(engine);
    sim_pair(w.loop, fds);
    raw.conn = conn_adopt(w.loop, fds[0], 0, &raw_events, &raw);
    conn_read_start(raw.conn);
    static const struct conn_events none = {0};
    struct transport *transport =
        transport_create(conn_adopt(w.loop, fds[1], 0, &none, NULL), NULL, &options, NULL, NULL);
    w.serving =
        http_connection_create(transport, HTTP_SERVER, &w.options[1], &origin_events, &w.origin);
    CHECK(w.serving);
    http_connection_drain(w.serving);
    pass(&w, HTTP_DRAIN_SILENCE_MS + 100);
    CHECK(w.serving && raw.ends == 0, "it waits");
    pass(&w, HANDSHAKE_MS);
    CHECK(!w.serving, "not for ever");
    raw_fini(&raw);
    settle(&w, 20);
    loop_on_turn(w.loop, NULL, NULL);
    tls_engine_destroy(engine);
    end_world(&w);
    tls_context_unref(context);
    tls_trust_unref(trust);
    pki_fini(&root);
    pki_fini(&leaf);
}

TEST(a_drain_has_an_end)
{
    EACH (cell, cells) {
        struct world w;
        struct end end;
        begin_world(&w, 1, (*cell)[0], (*cell)[1]);
        connect_down(&w);
        connect_up(&w);
        struct plan plan = {.id = 1, .request_bytes = 100, .flags = CHUNKED_REQUEST};
        CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        settle(&w, 20);
        plan.id = 2;
        plan.response_bytes = 500000;
        plan.flags = SLOW_CLIENT;
        if (w.open == 0)
            CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        settle(&w, 20);
        w.options[0].drain_timeout_ms = 20;
        http_connection_drain(w.down);
        pass(&w, 200);
        CHECK(!w.down && end.was_reset && w.relay.open == 0);
        end_world(&w);
    }
}

TEST(a_connection_that_its_owner_closes_resets_its_streams_and_says_nothing)
{
    EACH (cell, cells) {
        struct world w;
        struct end end;
        begin_world(&w, 1, (*cell)[0], (*cell)[1]);
        connect_down(&w);
        connect_up(&w);
        struct plan plan = {.id = 1, .response_bytes = 500000, .flags = SLOW_CLIENT};
        CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        settle(&w, 20);
        http_connection_close(w.client);
        w.client = NULL;
        CHECK(!end.was_reset, "no event comes inside the call");
        settle(&w, 50);
        CHECK(end.was_reset && w.closed[0] == 0 && w.closed[1] == 1);
        end_world(&w);
    }
}

TEST(an_upstream_that_goes_away_between_exchanges_is_known_at_once)
{
    struct world w;
    struct end end;
    begin_world(&w, 1, HTTP_ONLY_1, HTTP_ONLY_1);
    connect_up(&w);
    struct plan plan = {.id = 1, .response_bytes = 10};
    CHECK(client_ask(w.up, &end, &plan, &w.bad, &w.open));
    settle(&w, 20);
    CHECK(end.got_end && http_connection_room(w.up) == 1);
    CHECK(http_connection_requests(w.up) == 1);
    close_one(&w.serving);
    settle(&w, 20);
    CHECK(w.closed[2] == 1 && w.reasons[2] == HTTP_CLOSED_DONE);
    end_world(&w);
}

TEST(an_idle_connection_holds_no_buffer)
{
    EACH (cell, cells) {
        struct world w;
        struct end end;
        begin_world(&w, 1, (*cell)[0], (*cell)[1]);
        connect_down(&w);
        connect_up(&w);
        struct plan plan = {.id = 1, .request_bytes = 50000, .response_bytes = 50000};
        CHECK(client_ask(w.client, &end, &plan, &w.bad, &w.open));
        for (int turn = 0; turn < 500; turn++)
            loop_turn(w.loop, 10);
        CHECK(end.got_end && w.open + w.relay.open + w.origin.open == 0);
        CHECK(loop_blocks_in_use(w.loop) == 0, "%zu bytes of blocks", loop_blocks_in_use(w.loop));
        end_world(&w);
    }
}

/* Memory that is refused ends an exchange, never the process. */
TEST(a_budget_that_is_spent_refuses_and_recovers)
{
    EACH (cell, cells) {
        struct world w;
        begin_world(&w, 1, (*cell)[0], (*cell)[1]);
        connect_down(&w);
        connect_up(&w);
        settle(&w, 20);
        static struct end ends[8];
        w.budget.limit = w.budget.in_use + 20000;
        unsigned asked = 0;
        for (unsigned i = 0; i < COUNT(ends); i++) {
            struct plan plan = {.id = i, .request_bytes = 0, .response_bytes = 30000};
            if (w.client && client_ask(w.client, &ends[asked], &plan, &w.bad, &w.open))
                asked++;
            for (int turn = 0; turn < 30; turn++)
                loop_turn(w.loop, 10);
        }
        w.budget.limit = 0;
        for (int turn = 0; turn < 200; turn++)
            loop_turn(w.loop, 10);
        CHECK(!w.bad && !w.origin.bad);
        end_world(&w);
    }
}
