/*
 * TCP carried by CONNECT, over a simulated network and both ways at once: one listener's tunneling_config sends to another's
 * connect_config, which sends to the origin. The bytes between are HTTP, so that both ends know what must arrive.
 */
#include "proxy/tcp/carrier.h"

#include "proxy/tcp/traffic.h"

enum { REQUESTS = 12, BACK = 1 /* the origin in whose place the second listener stands */ };

static const char router[] =
    "http_filters: [{name: r, typed_config: {'@type': "
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]";

/* The proxy's own connection arrives at its second listener. */
static void on_accept_back(void *owner, int fd, const struct address *peer)
{
    struct proxy_world *w = owner;
    struct name listener = name_of(SLICE("back"));
    arrival_begin(w->worker, &listener, fd, peer);
}

static void put_back_cluster(struct proxy_world *w, bool is_http2)
{
    owned_buffer yaml = {0};
    buffer_format(&yaml,
                  "{name: back, type: STATIC, load_assignment: {cluster_name: back, endpoints: "
                  "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.%d, "
                  "port_value: 80}}}}]}]}%s}",
                  BACK + 1, is_http2 ? HOPS_HTTP2 : "");
    proxy_put(w, KIND_CLUSTER, "back", yaml.data);
}

static void put_back_listener(struct proxy_world *w)
{
    owned_buffer yaml = {0};
    buffer_format(
        &yaml,
        "{name: back, address: {socket_address: {address: 127.0.0.1, port_value: 10001}}, "
        "filter_chains: [{filters: [{name: h, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
        "stat_prefix: s, upgrade_configs: [{upgrade_type: CONNECT}], http2_protocol_options: "
        "{allow_connect: true}, route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], "
        "routes: [{match: {connect_matcher: {}}, route: {cluster: up, upgrade_configs: "
        "[{upgrade_type: CONNECT, connect_config: {}}]}}]}]}, %s}}]}]}",
        router);
    proxy_put(w, KIND_LISTENER, "back", yaml.data);
}

static void begin(struct traffic *t, uint64_t seed)
{
    struct proxy_world *w = &t->w;
    traffic_begin(t, REQUESTS, seed);
    acceptor_destroy(w->origins[BACK].acceptor);
    CHECK(acceptor_create(w->loop, w->origins[BACK].fd, on_accept_back, w,
                          &w->origins[BACK].acceptor) == 0);
    put_back_cluster(w, random_below(&t->random, 2) == 1);
    put_cluster(w, 5, 1000);
    put_endpoints(w, 1);
    put_back_listener(w);
    proxy_put(
        w, KIND_LISTENER, "in",
        "{name: in, address: {socket_address: {address: 127.0.0.1, port_value: 10000}}, "
        "filter_chains: [{filters: [{name: t, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "
        "s, cluster: back, tunneling_config: {hostname: 'origin.test:80'}}}]}]}");
    commit(w);
    loop_turn(w->loop, 0);
}

static void carry_with_seed(uint64_t seed)
{
    static struct traffic t;
    struct proxy_world *w = &t.w;
    begin(&t, seed);
    traffic_meet_faults(&t);
    for (unsigned turn = 0; turn < 100000 && (t.asked < REQUESTS || open_ends(w) > 0); turn++) {
        traffic_ask_now_and_then(&t);
        loop_turn(w->loop, 100);
    }
    traffic_check_whole(&t);
    traffic_end(&t);
}

TEST(carried_tunnels_lose_nothing)
{
    unsigned seeds = sim_seed_count(40);
    for (unsigned i = 0; i < seeds; i++)
        carry_with_seed(sim_seed(i));
}

static void meddle(struct traffic *t, struct client *client, uint64_t dice)
{
    struct proxy_world *w = &t->w;
    switch (dice) {
    case 0: put_endpoints(w, random_below(&t->random, 2) ? 1 : 0); break;
    case 1: intake_remove(w->intake, KIND_CLUSTER, SLICE("up")); break;
    case 2: put_cluster(w, 3, 1000), put_endpoints(w, 1); break;
    case 3: put_cluster(w, 3, 1), put_endpoints(w, 1); break;
    case 4: put_back_cluster(w, random_below(&t->random, 2) == 1); break;
    case 5:
        if (client->http)
            http_connection_close(give(client->http));
        break;
    default: break;
    }
}

static void suffer_with_seed(uint64_t seed)
{
    static struct traffic t;
    begin(&t, seed);
    traffic_suffer(&t, meddle);
}

TEST(carried_tunnels_that_break_leave_nothing)
{
    unsigned seeds = sim_seed_count(40);
    for (unsigned i = 0; i < seeds; i++)
        suffer_with_seed(sim_seed(i));
}

/* --- each direction ends by itself ------------------------------------------------------------------------------ */

static struct loop *half_loop;
struct half {
    struct conn *conn;
    struct address peer;
    size_t got;
    bool has_ended;
};
static void half_on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct half *half = owner;
    (void)data;
    half->got += size;
    block_unref(block);
}
static void half_on_read_end(void *owner)
{
    struct half *half = owner;
    half->has_ended = true;
}
static void half_on_error(void *owner, int error)
{
    (void)owner;
    CHECK(false, "a half was cut: %d", error);
}
static const struct conn_events half_events = {
    .on_bytes = half_on_bytes, .on_read_end = half_on_read_end, .on_error = half_on_error};

static void half_send(struct half *half, size_t size)
{
    static char bytes[1 << 20];
    struct chain all = {0};
    chain_append_static(&all, slice_of(bytes, size));
    conn_write(half->conn, &all);
    conn_write_end(half->conn);
}

static void on_accept_half(void *owner, int fd, const struct address *peer)
{
    struct half *half = owner;
    (void)peer;
    half->conn = conn_adopt(half_loop, fd, 0, &half_events, half);
    conn_read_start(half->conn);
}

static void await_end(struct proxy_world *w, const struct half *half)
{
    for (unsigned turn = 0; turn < 20000 && !half->has_ended; turn++)
        loop_turn(w->loop, 100);
}

/* first: who ends first. The other one learns of it, and what it then says still arrives. */
static void half_close_with_seed(uint64_t seed, bool client_first)
{
    enum { FIRST = 300000, SECOND = 500000 };
    static struct traffic t;
    struct proxy_world *w = &t.w;
    struct half client = {0}, origin = {0};
    begin(&t, seed);
    acceptor_destroy(w->origins[0].acceptor);
    half_loop = w->loop;
    CHECK(acceptor_create(w->loop, w->origins[0].fd, on_accept_half, &origin,
                          &w->origins[0].acceptor) == 0);
    client.conn = conn_adopt(w->loop, knock(w), 0, &half_events, &client);
    conn_read_start(client.conn);
    for (unsigned turn = 0; turn < 20000 && !origin.conn; turn++)
        loop_turn(w->loop, 100);
    CHECK(origin.conn != NULL, "seed %llu: no tunnel", (unsigned long long)seed);
    struct half *first = client_first ? &client : &origin;
    struct half *second = client_first ? &origin : &client;
    half_send(first, FIRST);
    await_end(w, second);
    CHECK(second->got == FIRST && second->has_ended && !first->has_ended,
          "seed %llu: %zu bytes came, %d", (unsigned long long)seed, second->got,
          second->has_ended);
    half_send(second, SECOND);
    await_end(w, first);
    CHECK(first->got == SECOND && first->has_ended, "seed %llu: %zu bytes came back",
          (unsigned long long)seed, first->got);
    conn_close(client.conn, CONN_CLOSE);
    conn_close(origin.conn, CONN_CLOSE);
    traffic_end(&t);
}

/* Both protocols: the seed says which one carries. */
TEST(either_end_of_a_carried_tunnel_may_end_first)
{
    for (unsigned i = 0; i < 16; i++)
        half_close_with_seed(sim_seed(i), i % 2 == 0);
}
