#include "net/transport.h"

#include "io/party.h"
#include "tls/pki.h"

/* --- one side of a connection ---------------------------------------------------------------- */

struct side {
    struct transport *transport;
    struct buffer got;
    size_t written;
    int opens, read_ends, truncated, write_ends, write_error, errors, late;
    struct transport_failure failure;
    char text[200];
    size_t stop_every, events;
    bool closes_on_open, closes_on_bytes, reads_on_open, is_closed;
};

static void side_close(struct side *side, enum conn_close how)
{
    side->is_closed = true;
    transport_close(side->transport, how);
}

static void on_open(void *owner)
{
    struct side *side = owner;
    side->late += side->is_closed || side->opens || side->events;
    side->opens++;
    if (side->closes_on_open)
        side_close(side, CONN_CLOSE);
    else if (side->reads_on_open)
        transport_read_start(side->transport);
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct side *side = owner;
    side->late += side->is_closed || !side->opens || side->read_ends || side->errors ||
                  !transport_is_reading(side->transport);
    buffer_append(&side->got, data, size);
    block_unref(block);
    side->events++;
    if (side->closes_on_bytes)
        side_close(side, CONN_CLOSE);
    else if (side->stop_every && side->events % side->stop_every == 0)
        transport_read_stop(side->transport);
}

static void on_written(void *owner, size_t size)
{
    struct side *side = owner;
    side->late += side->is_closed;
    side->written += size;
}

static void on_read_end(void *owner, bool truncated)
{
    struct side *side = owner;
    side->late += side->is_closed || side->read_ends || !side->opens;
    side->read_ends++;
    side->truncated += truncated;
}

static void on_write_end(void *owner, int error)
{
    struct side *side = owner;
    side->late += side->is_closed;
    side->write_ends++;
    side->write_error = error;
}

static void on_error(void *owner, const struct transport_failure *failure)
{
    struct side *side = owner;
    side->late += side->is_closed || side->errors;
    side->errors++;
    side->failure = *failure;
    snprintf(side->text, sizeof(side->text), "%s", failure->text);
}

static const struct transport_events side_events = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_written = on_written,
    .on_read_end = on_read_end,
    .on_write_end = on_write_end,
    .on_error = on_error,
};

static void side_say(struct side *side, const char *bytes, size_t size)
{
    struct chain chain = {0};
    bool fits = chain_append_copy(&chain, loop_blocks(transport_loop(side->transport)),
                                  slice_of(bytes, size));
    CHECK(fits, "-");
    transport_write(side->transport, &chain);
}

/* --- the scene: a pair of transports in a world ----------------------------------------------- */

static struct pki root, stranger_root, client_leaf, server_leaf, stranger_leaf;
static struct tls_trust *trust;
static struct tls_context *client_context, *server_context, *stranger_context;

__attribute__((constructor)) static void make_pki(void)
{
    static const struct slice alpn[] = {{"h2", 2}, {"http/1.1", 8}};
    struct tls_context_spec spec = {
        .alpn = alpn, .alpn_count = 2, .peer_certificate = TLS_PEER_REQUIRED};
    root = pki_root("spiffe://mesh");
    stranger_root = pki_root("spiffe://mesh");
    client_leaf = pki_leaf(&root, "spiffe://mesh/ns/shop/sa/cart");
    server_leaf = pki_leaf(&root, "spiffe://mesh/ns/shop/sa/stock");
    stranger_leaf = pki_leaf(&stranger_root, "spiffe://mesh/ns/shop/sa/cart");
    trust = pki_trust(&root, "mesh");
    client_context = pki_context(TLS_CLIENT, &client_leaf, trust, &spec);
    server_context = pki_context(TLS_SERVER, &server_leaf, trust, &spec);
    stranger_context = pki_context(TLS_CLIENT, &stranger_leaf, trust, &spec);
}

__attribute__((destructor)) static void forget_pki(void)
{
    struct pki *all[] = {&root, &stranger_root, &client_leaf, &server_leaf, &stranger_leaf};
    tls_context_unref(client_context);
    tls_context_unref(server_context);
    tls_context_unref(stranger_context);
    tls_trust_unref(trust);
    for (size_t i = 0; i < COUNT(all); i++)
        pki_fini(all[i]);
}

struct scene {
    struct world w;
    struct tls_engine *engine;
    struct side client, server;
    struct party raw; /* the server's conn before it becomes a transport */
    bool is_tls;
};

static void on_turn(void *owner)
{
    tls_engine_turn(owner, pki_now(), 2 * LOOP_TURN_HANDSHAKES);
}

static struct transport *make(struct scene *scene, struct conn *conn, struct tls_context *context,
                              struct chain *input, struct side *side)
{
    struct tls_session_spec spec = {.context = context};
    struct transport_options options = {
        .engine = scene->engine, .tls = scene->is_tls ? &spec : NULL, .handshake_timeout_ms = 5000};
    return transport_create(conn, input, &options, &side_events, side);
}

static void scene_open(struct scene *scene, unsigned i, bool is_tls)
{
    *scene = (struct scene){.is_tls = is_tls};
    world_open_nth(&scene->w, i, NULL);
    scene->engine = tls_engine_create(NULL);
    loop_on_turn(scene->w.loop, on_turn, scene->engine);
    on_turn(scene->engine);
    world_pair(&scene->w);
}

static void connect_both(struct scene *scene, struct tls_context *client)
{
    scene->client.transport = make(scene, scene->w.a.conn, client, NULL, &scene->client);
    scene->server.transport = make(scene, scene->w.b.conn, server_context, NULL, &scene->server);
    CHECK(scene->client.transport && scene->server.transport, "%s", scene->w.name);
    scene->w.a.is_closed = scene->w.b.is_closed = true; /* the transports have the conns now */
}

static void side_fini(struct side *side)
{
    if (side->transport && !side->is_closed)
        side_close(side, CONN_ABORT);
    buffer_fini(&side->got);
}

static void scene_close(struct scene *scene)
{
    side_fini(&scene->client);
    side_fini(&scene->server);
    party_fini(&scene->w.a);
    party_fini(&scene->w.b);
    UNTIL(&scene->w, world_is_empty(&scene->w));
    loop_settle(scene->w.loop);
    CHECK(scene->client.late == 0 && scene->server.late == 0, "%s: events in their order",
          scene->w.name);
    CHECK(tls_engine_counts(scene->engine)->sessions == 0, "%s", scene->w.name);
    loop_on_turn(scene->w.loop, NULL, NULL);
    tls_engine_destroy(scene->engine);
    loop_destroy(scene->w.loop);
}

/* Every world, in plaintext and with TLS. */
#define EACH_SCENE(scene)                                                                          \
    for (unsigned scene_i = 0, scene_n = 2 * (sim_seed_count(12) + WORLDS_WITHOUT_FAULTS);         \
         scene_i < scene_n; scene_i++)                                                             \
        for (bool scene_once = (scene_open(&(scene), scene_i / 2, scene_i % 2), true); scene_once; \
             scene_close(&(scene)), scene_once = false)

#define SCENE(s) "%s%s", (s).w.name, (s).is_tls ? ", TLS" : ""

TEST(transport_opens_and_carries_bytes)
{
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        CHECK(s.client.opens == 0, "a call never calls back");
        transport_read_start(s.server.transport);
        s.client.reads_on_open = true;
        side_say(&s.client, "early", 5);
        UNTIL(&s.w, s.server.got.size == 5);
        side_say(&s.server, "answer", 6);
        UNTIL(&s.w, s.client.got.size == 6 && s.client.written == 5 && s.server.written == 6);
        CHECK(s.client.opens == 1 && s.server.opens == 1, SCENE(s));
        CHECK(buffer_equals(&s.server.got, "early") && buffer_equals(&s.client.got, "answer"),
              SCENE(s));
        CHECK(transport_backlog(s.client.transport) == 0, SCENE(s));
        if (!s.is_tls) {
            CHECK(!transport_peer(s.client.transport) && !transport_session(s.client.transport),
                  SCENE(s));
            continue;
        }
        struct peer_identity *peer = transport_peer(s.server.transport);
        CHECK(peer && slice_equals_str(peer->id.account, "cart"), SCENE(s));
        CHECK(slice_equals_str(transport_alpn(s.server.transport), "h2"), SCENE(s));
    }
}

TEST(transport_ends_each_direction_apart)
{
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        transport_read_start(s.server.transport);
        transport_read_start(s.client.transport);
        side_say(&s.client, "last", 4);
        transport_write_end(s.client.transport);
        UNTIL(&s.w, s.server.read_ends && s.client.write_ends);
        CHECK(buffer_equals(&s.server.got, "last") && s.server.truncated == 0, SCENE(s));
        CHECK(s.client.write_error == 0 && s.client.read_ends == 0, SCENE(s));
        side_say(&s.server, "goes on", 7);
        transport_write_end(s.server.transport);
        UNTIL(&s.w, s.client.read_ends);
        CHECK(buffer_equals(&s.client.got, "goes on") && s.client.truncated == 0, SCENE(s));
    }
}

/* A FIN that no close_notify announced: somebody may have cut the stream. */
TEST(transport_tells_a_truncated_end)
{
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        transport_read_start(s.server.transport);
        side_say(&s.client, "half a", 6);
        UNTIL(&s.w, s.server.got.size == 6);
        UNTIL(&s.w, transport_backlog(s.client.transport) == 0);
        conn_write_end((struct conn *)(uintptr_t)transport_conn(s.client.transport));
        UNTIL(&s.w, s.server.read_ends);
        CHECK(s.server.truncated == s.is_tls, SCENE(s));
        CHECK(s.server.errors == 0, SCENE(s));
    }
}

TEST(transport_tells_a_reset)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (loop_backend(s.w.loop) != LOOP_SIM)
            continue; /* Unix sockets know none */
        connect_both(&s, client_context);
        transport_read_start(s.server.transport);
        side_say(&s.client, "x", 1);
        UNTIL(&s.w, s.server.got.size == 1);
        side_close(&s.client, CONN_ABORT);
        UNTIL(&s.w, s.server.errors);
        CHECK(s.server.failure.kind == TRANSPORT_SOCKET && s.server.failure.error == ECONNRESET,
              SCENE(s));
        CHECK(s.server.read_ends == 0, SCENE(s));
    }
}

TEST(transport_carries_much_with_stops_and_credit)
{
    enum { SIZE = 700000 };
    struct scene s;
    char *bytes = mem_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 13 % 251);
    EACH_SCENE(s)
    {
        size_t at = 0, peak = 0;
        connect_both(&s, client_context);
        s.server.stop_every = 3;
        while (!s.server.read_ends) {
            if (!transport_is_reading(s.server.transport))
                transport_read_start(s.server.transport);
            while (at < SIZE && transport_backlog(s.client.transport) < 100000) {
                size_t size = MIN(1 + random_below(loop_random(s.w.loop), 40000), SIZE - at);
                side_say(&s.client, bytes + at, size);
                if ((at += size) == SIZE)
                    transport_write_end(s.client.transport);
            }
            peak = MAX(peak, loop_blocks_in_use(s.w.loop));
            loop_turn(s.w.loop, 100);
            CHECK(s.server.errors == 0, SCENE(s));
        }
        CHECK(s.server.got.size == SIZE && memcmp(s.server.got.data, bytes, SIZE) == 0, SCENE(s));
        CHECK(s.server.truncated == 0, SCENE(s));
        UNTIL(&s.w, s.client.written == SIZE);
        CHECK(peak < 1024 * 1024, "%s: %zu bytes of blocks", s.w.name, peak);
    }
    mem_free(bytes);
}

/* Credit counts bytes: a writer of small pieces may not make a stalled reader dear. */
TEST(transport_holds_small_pieces_for_a_stalled_reader_in_few_blocks)
{
    enum { MOST = 64 * 1024 };
    static char bytes[40000];
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        UNTIL(&s.w, s.client.opens && s.server.opens);
        for (size_t size = sizeof(bytes); transport_backlog(s.client.transport) < MOST;) {
            side_say(&s.client, bytes, size);
            for (int turns = 0; turns < 3; turns++)
                loop_turn(s.w.loop, 0);
            if (transport_backlog(s.client.transport) > 0)
                size = 100 + random_below(loop_random(s.w.loop), 2100); /* the socket is full */
        }
        size_t in_use = loop_blocks_in_use(s.w.loop);
        /* The simulation holds what is on its wires too. */
        CHECK(loop_backend(s.w.loop) == LOOP_SIM || in_use <= 3 * MOST, "%s%s: %zu bytes of blocks",
              s.w.name, s.is_tls ? ", TLS" : "", in_use);
    }
}

/* Whole messages wait inside TLS when reading starts again, and no socket event will announce them. */
TEST(transport_delivers_what_waits_inside)
{
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        s.server.stop_every = 1;
        transport_read_start(s.server.transport);
        UNTIL(&s.w, s.client.opens);
        for (int i = 0; i < 40; i++) {
            side_say(&s.client, "0123456789", 10);
            loop_turn(s.w.loop, 0); /* a record each */
        }
        UNTIL(&s.w, s.client.written == 400);
        transport_write_end(s.client.transport);
        UNTIL(&s.w, s.client.write_ends);
        for (int i = 0; i < 500 && !s.server.read_ends; i++) {
            transport_read_start(s.server.transport);
            loop_turn(s.w.loop, 1000); /* simulated delays pass; a real socket is ready */
        }
        CHECK(s.server.got.size == 400 && s.server.read_ends == 1, "%s: %zu bytes", s.w.name,
              s.server.got.size);
    }
}

/* Detection reads first, and hands on what it has read. */
TEST(transport_begins_with_bytes_that_were_read)
{
    struct scene s;
    EACH_SCENE(s)
    {
        struct chain input = {0};
        s.client.transport = make(&s, s.w.a.conn, client_context, NULL, &s.client);
        s.w.a.is_closed = true;
        side_say(&s.client, "from the start", 14);
        conn_read_start(s.w.b.conn);
        UNTIL(&s.w, s.w.b.got.size > 0);
        CHECK(chain_append_copy(&input, loop_blocks(s.w.loop), buffer_slice(&s.w.b.got)), "-");
        s.server.transport = make(&s, s.w.b.conn, server_context, &input, &s.server);
        s.w.b.is_closed = true;
        CHECK(chain_is_empty(&input), SCENE(s));
        transport_read_start(s.server.transport);
        UNTIL(&s.w, s.server.got.size == 14);
        CHECK(buffer_equals(&s.server.got, "from the start"), SCENE(s));
    }
}

TEST(transport_close_sends_what_is_queued)
{
    enum { SIZE = 300000 };
    struct scene s;
    char *bytes = mem_calloc(1, SIZE);
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        transport_read_start(s.server.transport);
        UNTIL(&s.w, s.client.opens && s.server.opens);
        side_say(&s.client, bytes, SIZE);
        side_close(&s.client, CONN_CLOSE);
        UNTIL(&s.w, s.server.read_ends || s.server.errors);
        CHECK(s.server.got.size == SIZE && s.server.truncated == 0, "%s: %zu", s.w.name,
              s.server.got.size);
    }
    mem_free(bytes);
}

TEST(transport_may_be_closed_in_any_event)
{
    struct scene s;
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        s.server.closes_on_open = true;
        transport_read_start(s.client.transport);
        side_say(&s.client, "x", 1);
        UNTIL(&s.w, s.server.is_closed && (s.client.read_ends || s.client.errors));
    }
    EACH_SCENE(s)
    {
        char bytes[50000] = {0};
        connect_both(&s, client_context);
        s.server.closes_on_bytes = true;
        transport_read_start(s.server.transport);
        side_say(&s.client, bytes, sizeof(bytes));
        UNTIL(&s.w, s.server.is_closed);
        CHECK(s.server.events == 1, SCENE(s));
    }
    EACH_SCENE(s)
    {
        connect_both(&s, client_context);
        side_close(&s.client, CONN_CLOSE);
        loop_turn(s.w.loop, 0);
        CHECK(s.client.opens == 0, SCENE(s));
    }
}

/* --- TLS that fails -------------------------------------------------------------------------- */

TEST(transport_tells_why_tls_failed)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (!s.is_tls)
            continue;
        connect_both(&s, stranger_context);
        transport_read_start(s.client.transport);
        transport_read_start(s.server.transport);
        UNTIL(&s.w, s.server.errors);
        CHECK(s.server.failure.kind == TRANSPORT_TLS, SCENE(s));
        CHECK(s.server.failure.tls == TLS_FAILURE_UNKNOWN_CA, "%s: %s", s.w.name, s.server.text);
        CHECK(s.server.opens == 0, SCENE(s));
        side_close(&s.server, CONN_CLOSE);
        UNTIL(&s.w, s.client.errors);
        CHECK(s.client.failure.tls == TLS_FAILURE_REFUSED_BY_PEER, "%s: %s", s.w.name,
              s.client.text);
    }
}

TEST(transport_refuses_what_is_not_tls)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (!s.is_tls)
            continue;
        s.server.transport = make(&s, s.w.b.conn, server_context, NULL, &s.server);
        s.w.b.is_closed = true;
        party_say(&s.w.a, "GET / HTTP/1.1\r\n\r\n");
        UNTIL(&s.w, s.server.errors);
        CHECK(s.server.failure.tls == TLS_FAILURE_NOT_TLS, "%s: %s", s.w.name, s.server.text);
    }
}

TEST(transport_handshake_that_ends_early_fails)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (!s.is_tls)
            continue;
        s.server.transport = make(&s, s.w.b.conn, server_context, NULL, &s.server);
        s.w.b.is_closed = true;
        party_write(&s.w.a, "\x16\x03\x01\x02\x00\x01", 6);
        conn_write_end(s.w.a.conn);
        UNTIL(&s.w, s.server.errors);
        CHECK(s.server.failure.kind == TRANSPORT_TLS, SCENE(s));
        CHECK(s.server.failure.tls == TLS_FAILURE_TRUNCATED, "%s: %s", s.w.name, s.server.text);
    }
}

TEST(transport_tells_a_hello_that_found_no_memory)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (!s.is_tls)
            continue;
        struct memory_budget budget = {0};
        struct tls_engine *rich = s.engine;
        s.engine = tls_engine_create(&budget);
        on_turn(s.engine);
        s.client.transport = make(&s, s.w.a.conn, client_context, NULL, &s.client);
        CHECK(s.client.transport, SCENE(s));
        s.w.a.is_closed = true;
        budget.limit = budget.in_use; /* a session, but no handshake */
        UNTIL(&s.w, s.client.errors);
        CHECK(s.client.failure.kind == TRANSPORT_TLS, SCENE(s));
        CHECK(s.client.failure.tls == TLS_FAILURE_MEMORY, "%s: %s", s.w.name, s.client.text);
        side_close(&s.client, CONN_ABORT);
        loop_settle(s.w.loop);
        tls_engine_destroy(s.engine);
        s.engine = rich;
    }
}

TEST(transport_handshake_has_its_time)
{
    struct scene s;
    EACH_SCENE(s)
    {
        if (!s.is_tls || loop_backend(s.w.loop) != LOOP_SIM)
            continue;
        uint64_t since_ms = loop_now_ms(s.w.loop);
        s.server.transport = make(&s, s.w.b.conn, server_context, NULL, &s.server);
        s.w.b.is_closed = true;
        UNTIL(&s.w, s.server.errors);
        CHECK(s.server.failure.kind == TRANSPORT_HANDSHAKE_TIMEOUT, SCENE(s));
        uint64_t took_ms = loop_now_ms(s.w.loop) - since_ms;
        CHECK(took_ms >= 5000 && took_ms < 5200, "%s: %d ms", s.w.name, (int)took_ms);
    }
}

TEST(transport_gives_its_conn_back)
{
    struct scene s;
    EACH_SCENE(s)
    {
        struct chain unread = {0}, input = {0};
        if (s.is_tls)
            continue;
        CHECK(chain_append_copy(&input, loop_blocks(s.w.loop), SLICE("read before")), "-");
        s.client.transport = make(&s, s.w.a.conn, NULL, NULL, &s.client);
        s.server.transport = make(&s, s.w.b.conn, NULL, &input, &s.server);
        s.w.a.is_closed = true;
        UNTIL(&s.w, s.server.opens && s.client.opens);
        struct conn *conn = transport_take_conn(s.server.transport, &unread);
        CHECK(conn == s.w.b.conn && unread.size == 11, SCENE(s));
        s.server.is_closed = true;
        conn_set_owner(conn, &party_events, &s.w.b);
        conn_read_start(conn);
        side_say(&s.client, "and after", 9);
        UNTIL(&s.w, s.w.b.got.size == 9);
        chain_fini(&unread);
    }
}

/* Whatever happens to the connection, what was heard is a beginning of what was said. */
TEST(transport_survives_resets_anywhere)
{
    for (unsigned i = 0, n = sim_seed_count(100); i < 2 * n; i++) {
        struct scene s;
        struct sim_faults faults = sim_usual_faults();
        scene_open(&s, i / 2 + WORLDS_WITHOUT_FAULTS, i % 2);
        faults.reset = 20;
        sim_set_faults(s.w.loop, &faults);
        connect_both(&s, client_context);
        transport_read_start(s.client.transport);
        transport_read_start(s.server.transport);
        size_t said = 0;
        for (int step = 0; step < 100; step++) {
            char bytes[3000];
            size_t size = 1 + random_below(loop_random(s.w.loop), sizeof(bytes));
            for (size_t k = 0; k < size; k++)
                bytes[k] = (char)((said + k) % 251);
            if (transport_backlog(s.client.transport) < 50000) {
                side_say(&s.client, bytes, size);
                said += size;
            }
            loop_turn(s.w.loop, random_below(loop_random(s.w.loop), 3));
        }
        CHECK(s.server.got.size <= said, SCENE(s));
        for (size_t k = 0; k < s.server.got.size; k++)
            CHECK((uint8_t)s.server.got.data[k] == k % 251, "%s: byte %zu", s.w.name, k);
        scene_close(&s);
    }
}
