/* TCP tunnels over a simulated network: the bytes between are HTTP, so that both ends know what must arrive. */
#include "proxy/tcp/tunnel.h"

#include "proxy/tcp/traffic.h"

enum { REQUESTS = 16 };

static void begin(struct traffic *t, uint64_t seed)
{
    struct proxy_world *w = &t->w;
    traffic_begin(t, REQUESTS, seed);
    put_cluster(w, 5, 1000);
    put_endpoints(w, 7);
    put_tcp_listener(w);
    commit(w);
    loop_turn(w->loop, 0);
}

/* Endpoints and clusters come and go; what is open stays open, and everything arrives. */
static void serve_with_seed(uint64_t seed)
{
    static struct traffic t;
    struct proxy_world *w = &t.w;
    begin(&t, seed);
    traffic_meet_faults(&t);
    for (unsigned turn = 0; turn < 100000 && (t.asked < REQUESTS || open_ends(w) > 0); turn++) {
        traffic_ask_now_and_then(&t);
        uint64_t dice = random_below(&t.random, 60);
        if (dice == 0)
            put_endpoints(w, (unsigned)random_below(&t.random, 7) + 1);
        else if (dice == 1)
            put_cluster(w, (unsigned)random_below(&t.random, 9) + 1, 1000);
        if (dice < 2)
            commit(w);
        loop_turn(w->loop, 100);
    }
    traffic_check_whole(&t);
    traffic_end(&t);
}

TEST(tunnels_carry_everything_while_the_configuration_changes)
{
    unsigned seeds = sim_seed_count(40);
    for (unsigned i = 0; i < seeds; i++)
        serve_with_seed(sim_seed(i));
}

static void meddle(struct traffic *t, struct client *client, uint64_t dice)
{
    struct proxy_world *w = &t->w;
    switch (dice) {
    case 0: put_endpoints(w, (unsigned)random_below(&t->random, 8)); break;
    case 1: intake_remove(w->intake, KIND_CLUSTER, SLICE("up")); break;
    case 2: put_cluster(w, 3, 1000), put_endpoints(w, 7); break;
    case 3:
        if (client->http)
            http_connection_close(give(client->http));
        break;
    case 4: put_cluster(w, 3, 2), put_endpoints(w, 7); break;
    default: break;
    }
}

static void suffer_with_seed(uint64_t seed)
{
    static struct traffic t;
    begin(&t, seed);
    traffic_suffer(&t, meddle);
}

TEST(tunnels_that_break_leave_nothing)
{
    unsigned seeds = sim_seed_count(40);
    for (unsigned i = 0; i < seeds; i++)
        suffer_with_seed(sim_seed(i));
}

/* --- the circuit breaker ------------------------------------------------------------------------------------------ */

static void overflow_with_seed(uint64_t seed)
{
    enum { MOST = CLIENTS - 1, LAST = CLIENTS - 1 };
    static struct traffic t;
    struct proxy_world *w = &t.w;
    begin(&t, seed);
    traffic_meet_faults(&t);
    put_cluster(w, 5, MOST);
    commit(w);
    struct limits *limits = cluster_limits_of(w->shared.limits, SLICE("up"));
    for (unsigned i = 0; i < MOST; i++)
        client_connect(w, i);
    for (unsigned turn = 0; turn < 2000 && limits->used[0][LIMIT_CONNECTIONS] < MOST; turn++)
        loop_turn(w->loop, 100);
    client_connect(w, LAST);
    for (unsigned turn = 0; turn < 2000 && w->clients[LAST].http; turn++)
        loop_turn(w->loop, 100);
    CHECK(w->clients[LAST].closed == 1 && w->clients[0].http && w->clients[1].http,
          "seed %llu: only who came last is refused", t.seed);
    CHECK(limits->used[0][LIMIT_CONNECTIONS] == MOST && limits->overflows[LIMIT_CONNECTIONS] == 1,
          "seed %llu", t.seed);
    http_connection_close(give(w->clients[0].http));
    for (unsigned turn = 0; turn < 2000 && limits->used[0][LIMIT_CONNECTIONS] == MOST; turn++)
        loop_turn(w->loop, 100);
    struct plan plan = {.response_bytes = 70000, .request_bytes = 3000};
    client_connect(w, LAST);
    CHECK(client_ask(w->clients[LAST].http, &t.ends[0], &plan, &w->bad, &w->open));
    for (unsigned turn = 0; turn < 20000 && open_ends(w) > 0; turn++)
        loop_turn(w->loop, 100);
    CHECK(end_is_whole(&t.ends[0]) && limits->overflows[LIMIT_CONNECTIONS] == 1,
          "seed %llu: the place of one that left", t.seed);
    traffic_end(&t);
}

/* As Envoy does: who finds every connection of the cluster taken does not wait for one. */
TEST(a_tunnel_beyond_the_limit_of_connections_is_refused)
{
    unsigned seeds = sim_seed_count(16);
    for (unsigned i = 0; i < seeds; i++)
        overflow_with_seed(sim_seed(i));
}

/* --- a reader that stalls ---------------------------------------------------------------------------------------- */

static struct loop *flood_loop;
struct flood {
    struct conn *conn;
    size_t got, sent;
    bool has_ended;
};
static void flood_on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct flood *flood = owner;
    (void)data;
    flood->got += size;
    block_unref(block);
}
static void flood_on_written(void *owner, size_t size)
{
    struct flood *flood = owner;
    flood->sent += size;
}
static void flood_on_read_end(void *owner)
{
    struct flood *flood = owner;
    flood->has_ended = true;
}
static void flood_on_error(void *owner, int error)
{
    (void)owner, (void)error;
}
static const struct conn_events flood_events = {.on_bytes = flood_on_bytes,
                                                .on_written = flood_on_written,
                                                .on_read_end = flood_on_read_end,
                                                .on_error = flood_on_error};

static void on_accept_flood(void *owner, int fd, const struct address *peer)
{
    struct flood *flood = owner;
    (void)peer;
    CHECK(!flood->conn);
    flood->conn = conn_adopt(flood_loop, fd, 0, &flood_events, flood);
}

TEST(a_stalled_reader_holds_its_writer_and_then_gets_all)
{
    static char bytes[4 << 20];
    static struct traffic t;
    struct proxy_world *w = &t.w;
    struct flood client = {0}, origin = {0};
    struct chain all = {0};
    begin(&t, 1);
    acceptor_destroy(w->origins[0].acceptor);
    put_endpoints(w, 1);
    commit(w);
    flood_loop = w->loop;
    CHECK(acceptor_create(w->loop, w->origins[0].fd, on_accept_flood, &origin,
                          &w->origins[0].acceptor) == 0);
    client.conn = conn_adopt(w->loop, knock(w), 0, &flood_events, &client);
    conn_read_start(client.conn);
    chain_append_static(&all, slice_of(bytes, sizeof(bytes)));
    conn_write(client.conn, &all);
    conn_write_end(client.conn);
    for (unsigned turn = 0; turn < 2000; turn++) /* the origin does not read */
        loop_turn(w->loop, 100);
    size_t held = block_pool_in_use(loop_blocks(w->loop));
    CHECK(origin.conn && client.sent < sizeof(bytes) / 2, "%zu bytes were taken", client.sent);
    CHECK(held < 256 * 1024, "%zu bytes are held", held);
    conn_read_start(origin.conn);
    for (unsigned turn = 0; turn < 20000 && !origin.has_ended; turn++)
        loop_turn(w->loop, 100);
    CHECK(origin.got == sizeof(bytes) && origin.has_ended, "%zu bytes came", origin.got);
    conn_write_end(origin.conn);
    for (unsigned turn = 0; turn < 2000 && !client.has_ended; turn++)
        loop_turn(w->loop, 100);
    CHECK(client.has_ended, "the half that was still open ends too");
    conn_close(client.conn, CONN_CLOSE);
    conn_close(origin.conn, CONN_CLOSE);
    traffic_end(&t);
}
