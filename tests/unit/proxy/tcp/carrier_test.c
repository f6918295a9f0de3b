/*
 * TCP carried by CONNECT, over a simulated network and both ways at once: one listener's tunneling_config sends to another's
 * connect_config, which sends to the origin. The bytes between are HTTP, so that both ends know what must arrive.
 */
#include "proxy/tcp/carrier.h"

#include "proxy/proxy_world.h"

enum { REQUESTS = 12, BACK = 1 /* the origin in whose place the second listener stands */ };
static struct end ends[REQUESTS];

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
    static const char http2[] =
        ", typed_extension_protocol_options: "
        "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
        "explicit_http_config: {http2_protocol_options: {}}}}";
    owned_buffer yaml = {0};
    buffer_format(&yaml,
                  "{name: back, type: STATIC, load_assignment: {cluster_name: back, endpoints: "
                  "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.%d, "
                  "port_value: 80}}}}]}]}%s}",
                  BACK + 1, is_http2 ? http2 : "");
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

static void begin(struct proxy_world *w, struct random *random, uint64_t seed)
{
    begin_proxy_world(w, seed);
    random_seed(random, seed);
    acceptor_destroy(w->origins[BACK].acceptor);
    CHECK(acceptor_create(w->loop, w->origins[BACK].fd, on_accept_back, w,
                          &w->origins[BACK].acceptor) == 0);
    put_back_cluster(w, random_below(random, 2) == 1);
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

static unsigned ask(struct proxy_world *w, struct random *random, unsigned asked)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 70000, 200000};
    struct client *client = &w->clients[random_below(random, CLIENTS)];
    struct plan plan = {.id = asked};
    plan.flags = (unsigned)random_below(random, ALL_FLAGS + 1) &
                 (CHUNKED_REQUEST | CHUNKED_RESPONSE | SLOW_CLIENT | SLOW_ORIGIN);
    plan.response_bytes = sizes[random_below(random, COUNT(sizes))];
    plan.request_bytes = sizes[random_below(random, COUNT(sizes))];
    if (!client->http)
        client_connect(w, (unsigned)(client - w->clients));
    if (http_connection_room(client->http) > 0 &&
        client_ask(client->http, &ends[asked], &plan, &w->bad, &w->open))
        asked++;
    return asked;
}

static void carry_with_seed(uint64_t seed)
{
    static struct proxy_world w;
    struct random random;
    unsigned asked = 0;
    begin(&w, &random, seed);
    struct sim_faults faults = sim_usual_faults();
    sim_set_faults(w.loop, &faults);
    for (unsigned turn = 0; turn < 100000 && (asked < REQUESTS || open_ends(&w) > 0); turn++) {
        if (asked < REQUESTS && random_below(&random, 4) == 0)
            asked = ask(&w, &random, asked);
        loop_turn(w.loop, 100);
    }
    CHECK(asked == REQUESTS && w.open == 0, "seed %llu: asked %u, %u are open",
          (unsigned long long)seed, asked, w.open);
    for (unsigned i = 0; i < asked; i++)
        CHECK(ends[i].got_end && !ends[i].was_reset && ends[i].status == 200,
              "seed %llu: request %u", (unsigned long long)seed, i);
    CHECK(!w.bad && !w.origin.bad, "seed %llu: wrong bytes", (unsigned long long)seed);
    CHECK(tcp_counted(&w, TCP_CX_TOTAL) <= CLIENTS, "seed %llu: a tunnel was cut",
          (unsigned long long)seed);
    end_proxy_world(&w, seed);
}

TEST(carried_tunnels_lose_nothing)
{
    unsigned seeds = sim_seed_count(40);
    for (unsigned i = 0; i < seeds; i++)
        carry_with_seed(sim_seed(i));
}

static void suffer_with_seed(uint64_t seed)
{
    static struct proxy_world w;
    struct random random;
    unsigned asked = 0;
    begin(&w, &random, seed);
    struct sim_faults faults = sim_usual_faults();
    faults.reset = 5;
    faults.connect_fails = 100;
    sim_set_faults(w.loop, &faults);
    for (unsigned turn = 0; turn < 100000 && (asked < REQUESTS || w.open > 0); turn++) {
        if (asked < REQUESTS && random_below(&random, 4) == 0)
            asked = ask(&w, &random, asked);
        struct client *client = &w.clients[random_below(&random, CLIENTS)];
        switch (random_below(&random, 100)) {
        case 0: put_endpoints(&w, random_below(&random, 2) ? 1 : 0); break;
        case 1: intake_remove(w.intake, KIND_CLUSTER, SLICE("up")); break;
        case 2: put_cluster(&w, 3, 1000), put_endpoints(&w, 1); break;
        case 3: put_cluster(&w, 3, 1), put_endpoints(&w, 1); break;
        case 4: put_back_cluster(&w, random_below(&random, 2) == 1); break;
        case 5:
            if (client->http)
                http_connection_close(give(client->http));
            break;
        default: break;
        }
        commit(&w);
        loop_turn(w.loop, 100);
    }
    CHECK(asked == REQUESTS && w.open == 0, "seed %llu: asked %u, %u still wait",
          (unsigned long long)seed, asked, w.open);
    CHECK(!w.bad && !w.origin.bad, "seed %llu: half a message was said to be whole",
          (unsigned long long)seed);
    end_proxy_world(&w, seed);
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
    static struct proxy_world w;
    struct random random;
    struct half client = {0}, origin = {0};
    begin(&w, &random, seed);
    acceptor_destroy(w.origins[0].acceptor);
    half_loop = w.loop;
    CHECK(acceptor_create(w.loop, w.origins[0].fd, on_accept_half, &origin,
                          &w.origins[0].acceptor) == 0);
    client.conn = conn_adopt(w.loop, knock(&w), 0, &half_events, &client);
    conn_read_start(client.conn);
    for (unsigned turn = 0; turn < 20000 && !origin.conn; turn++)
        loop_turn(w.loop, 100);
    CHECK(origin.conn != NULL, "seed %llu: no tunnel", (unsigned long long)seed);
    struct half *first = client_first ? &client : &origin;
    struct half *second = client_first ? &origin : &client;
    half_send(first, FIRST);
    await_end(&w, second);
    CHECK(second->got == FIRST && second->has_ended && !first->has_ended,
          "seed %llu: %zu bytes came, %d", (unsigned long long)seed, second->got,
          second->has_ended);
    half_send(second, SECOND);
    await_end(&w, first);
    CHECK(first->got == SECOND && first->has_ended, "seed %llu: %zu bytes came back",
          (unsigned long long)seed, first->got);
    conn_close(client.conn, CONN_CLOSE);
    conn_close(origin.conn, CONN_CLOSE);
    end_proxy_world(&w, seed);
}

/* Both protocols: the seed says which one carries. */
TEST(either_end_of_a_carried_tunnel_may_end_first)
{
    for (unsigned i = 0; i < 16; i++)
        half_close_with_seed(sim_seed(i), i % 2 == 0);
}
