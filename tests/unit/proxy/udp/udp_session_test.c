/* UDP sessions over a simulated network: clients, the proxy's listener and sessions, and endpoints that answer. */
#include "proxy/udp/udp_session.h"

#include "proxy/proxy_world.h"
#include "proxy/udp/udp_listener.h"
#include "proxy/udp/udp_plane.h"

enum { PEERS = 8, SERVERS = 3, DATAGRAMS = 40 };

struct udp_world;
/* A client, or an endpoint that sends back what it hears, with its own number first. */
struct end_point {
    struct udp_world *world;
    struct packet_socket socket;
    struct packet_batch batch;
    int fd;
    unsigned number, sent, heard, wrong;
    unsigned served_by; /* a bit for each endpoint that answered */
};
struct udp_world {
    struct proxy_world w;
    struct udp_listener *listener;
    int fd;
    struct end_point clients[PEERS], servers[SERVERS];
    struct address vip;
    bool was_drained;
};

static const struct packet_socket_options options = {.datagram_max = UINT16_MAX};

/* --- configuration -------------------------------------------------------------------------------------------- */

static void put_udp_listener(struct udp_world *u, const char *name, const char *more,
                             const char *address, unsigned idle_s, unsigned most)
{
    owned_buffer yaml = {0};
    buffer_format(
        &yaml,
        "{name: %s, address: {socket_address: {protocol: UDP, address: %s, port_value: 53}}, %s "
        "udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: %u}}, "
        "listener_filters: [{name: u, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, "
        "stat_prefix: s, cluster: up, idle_timeout: %us}}]}",
        name, address, more, most, idle_s);
    proxy_put(&u->w, KIND_LISTENER, name, yaml.data);
}

static const struct resource *listener_now(void *owner)
{
    struct udp_world *u = owner;
    struct name name = name_of(SLICE("in"));
    return snapshot_find(worker_snapshot(u->w.worker), KIND_LISTENER, &name);
}

static uint64_t udp_counted(struct udp_world *u, enum udp_counter counter)
{
    struct udp_proxy_series *series = udp_proxy_series_of(&u->w.worker->observer->udp, SLICE("s"));
    return stats_sum(telemetry_registry(u->w.process.telemetry), series->slots[counter]);
}

static uint64_t cluster_counted(struct udp_world *u, enum udp_cluster_counter counter)
{
    struct name name = name_of(SLICE("up"));
    const struct resource *cluster =
        snapshot_find(worker_snapshot(u->w.worker), KIND_CLUSTER, &name);
    struct udp_cluster_series *series =
        udp_cluster_series_of(&u->w.worker->observer->udp, cluster->cluster);
    return stats_sum(telemetry_registry(u->w.process.telemetry), series->slots[counter]);
}

/* --- who talks ------------------------------------------------------------------------------------------------ */

static void on_server(struct packet_socket *socket)
{
    struct end_point *server = CONTAINER_OF(socket, struct end_point, socket);
    struct packet_batch *batch = &server->batch;
    int got = packets_receive(socket, batch, PACKET_BATCH);
    struct packet *back[PACKET_BATCH];
    for (unsigned i = 0; i < batch->count; i++) {
        struct packet *packet = back[i] = &batch->packets[i];
        packet->bytes[0] = (char)server->number;
        server->heard++;
    }
    if (got > 0)
        packets_send(socket, back, batch->count);
    packet_batch_clear(batch);
}

/* [server, client, length's low byte, filler...] */
static void on_client(struct packet_socket *socket)
{
    struct end_point *client = CONTAINER_OF(socket, struct end_point, socket);
    struct packet_batch *batch = &client->batch;
    (void)!packets_receive(socket, batch, PACKET_BATCH);
    for (unsigned i = 0; i < batch->count; i++) {
        const struct packet *packet = &batch->packets[i];
        const uint8_t *bytes = (const uint8_t *)packet->bytes;
        client->heard++;
        client->wrong +=
            packet->size < 3 || bytes[1] != client->number || bytes[2] != (uint8_t)packet->size;
        client->served_by |= 1u << bytes[0];
    }
    packet_batch_clear(batch);
}

static void client_say(struct end_point *client, uint32_t size)
{
    struct packet *packet = &client->batch.packets[0];
    char *bytes = packet->bytes;
    *packet = (struct packet){.bytes = bytes, .size = size};
    memset(bytes, 0x55, size);
    bytes[0] = 0;
    bytes[1] = (char)client->number;
    bytes[2] = (char)size;
    packets_send(&client->socket, &packet, 1);
    client->sent++;
}

static void open_client(struct udp_world *u, unsigned i, const struct address *to)
{
    struct end_point *client = &u->clients[i];
    struct packet_path path = {
        .to = *to, .from = address_v4(0x0a000065 + i, 0), .network_namespace = -1};
    client->world = u;
    client->number = i;
    packet_batch_init(&client->batch);
    CHECK(packet_socket_open(&client->socket, u->w.loop, &path, &options, on_client) == 0);
}

static void open_server(struct udp_world *u, unsigned i)
{
    struct end_point *server = &u->servers[i];
    struct address at = address_v4(0x0a000001 + i, 80); /* as put_endpoints has it */
    server->world = u;
    server->number = i;
    packet_batch_init(&server->batch);
    server->fd = sim_bind_packets(u->w.loop, &at);
    CHECK(packet_socket_adopt(&server->socket, u->w.loop, server->fd, &options, on_server) == 0);
}

static void begin_udp(struct udp_world *u, uint64_t seed, const char *bound, const char *more,
                      unsigned idle_s, bool is_transparent)
{
    memset(u, 0, sizeof(*u));
    begin_proxy_world(&u->w, seed);
    put_cluster(&u->w, 5, 1000);
    put_endpoints(&u->w, 7);
    put_udp_listener(u, "in", more, bound, idle_s, 9000);
    commit(&u->w);
    loop_turn(u->w.loop, 0);
    struct address at;
    CHECK(address_parse_ip(slice_str(bound), 53, &at));
    struct packet_socket_options all = {.datagram_max = 9000, .is_transparent = is_transparent};
    u->fd = sim_bind_packets(u->w.loop, &at);
    CHECK(udp_listener_create(u->w.worker, u->fd, &at, &all, listener_now, u, &u->listener) == 0);
    u->vip = at;
    if (address_is_wildcard(&at))
        CHECK(address_parse_ip(SLICE("10.0.0.50"), 53, &u->vip));
    for (unsigned i = 0; i < SERVERS; i++)
        open_server(u, i);
    for (unsigned i = 0; i < PEERS; i++)
        open_client(u, i, &u->vip);
}

static void turns(struct udp_world *u, unsigned count)
{
    while (count-- > 0)
        loop_turn(u->w.loop, 10);
}

static void end_udp(struct udp_world *u, uint64_t seed)
{
    udp_listener_destroy(u->listener);
    for (unsigned i = 0; i < PEERS; i++) {
        CHECK(u->clients[i].wrong == 0, "seed %llu: client %u heard what was another's",
              (unsigned long long)seed, i);
        packet_socket_close(&u->clients[i].socket);
        packet_batch_fini(&u->clients[i].batch);
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        packet_socket_close(&u->servers[i].socket);
        packet_batch_fini(&u->servers[i].batch);
        accepted_close(u->w.loop, u->servers[i].fd);
    }
    accepted_close(u->w.loop, u->fd);
    CHECK(udp_counted(u, UDP_SESS_ACTIVE) == 0, "seed %llu: sessions are left",
          (unsigned long long)seed);
    end_proxy_world(&u->w, seed);
}

/* --- tests ---------------------------------------------------------------------------------------------------- */

static struct udp_world world;

TEST(sessions_keep_a_client_with_its_endpoint)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "0.0.0.0", "", 60, false);
    for (unsigned round = 0; round < DATAGRAMS; round++) {
        for (unsigned i = 0; i < PEERS; i++)
            client_say(&u->clients[i], 3 + round * 20);
        turns(u, 3);
    }
    turns(u, 10);
    for (unsigned i = 0; i < PEERS; i++) {
        unsigned by = u->clients[i].served_by;
        CHECK(u->clients[i].heard == DATAGRAMS, "client %u: %u", i, u->clients[i].heard);
        CHECK(by && (by & (by - 1)) == 0, "client %u was served by %x", i, by);
    }
    CHECK(udp_counted(u, UDP_SESS_TOTAL) == PEERS && udp_counted(u, UDP_SESS_ACTIVE) == PEERS);
    CHECK(udp_counted(u, UDP_RX_DATAGRAMS) == PEERS * DATAGRAMS &&
          udp_counted(u, UDP_TX_DATAGRAMS) == PEERS * DATAGRAMS &&
          udp_counted(u, UDP_RX_BYTES) == udp_counted(u, UDP_TX_BYTES));
    CHECK(cluster_counted(u, UDP_CLUSTER_TX_DATAGRAMS) == PEERS * DATAGRAMS &&
          cluster_counted(u, UDP_CLUSTER_RX_DATAGRAMS) == PEERS * DATAGRAMS);
    end_udp(u, 1);
}

TEST(sessions_end_when_they_are_idle)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "", 2, false);
    client_say(&u->clients[0], 10);
    turns(u, 150); /* 1.5 s */
    CHECK(udp_counted(u, UDP_SESS_ACTIVE) == 1);
    client_say(&u->clients[0], 10);
    turns(u, 150);
    CHECK(udp_counted(u, UDP_SESS_ACTIVE) == 1 && udp_counted(u, UDP_IDLE_TIMEOUT) == 0,
          "a datagram puts it off");
    turns(u, 100);
    CHECK(udp_counted(u, UDP_SESS_ACTIVE) == 0 && udp_counted(u, UDP_IDLE_TIMEOUT) == 1);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    CHECK(udp_counted(u, UDP_SESS_TOTAL) == 2 && u->clients[0].heard == 3);
    end_udp(u, 1);
}

/* One byte more than the limit is dropped and counted; the limit itself passes. */
TEST(sessions_take_datagrams_up_to_the_limit)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "", 60, false);
    client_say(&u->clients[0], 9000);
    client_say(&u->clients[0], 9001);
    turns(u, 10);
    CHECK(u->clients[0].heard == 1 && udp_counted(u, UDP_DROPPED) == 1);
    put_udp_listener(u, "in", "", "10.0.0.50", 60, 9001);
    commit(&u->w);
    turns(u, 2);
    client_say(&u->clients[0], 9001);
    turns(u, 10);
    CHECK(u->clients[0].heard == 2 && udp_counted(u, UDP_SESS_TOTAL) == 1,
          "the listener is followed in place");
    end_udp(u, 1);
}

TEST(sessions_are_limited_by_the_circuit_breaker)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "", 2, false);
    put_cluster(&u->w, 5, 3);
    commit(&u->w);
    for (unsigned i = 0; i < PEERS; i++)
        client_say(&u->clients[i], 10);
    turns(u, 10);
    struct limits *limits = cluster_limits_of(u->w.shared.limits, SLICE("up"));
    CHECK(udp_counted(u, UDP_SESS_ACTIVE) == 3 && limits->used[0][LIMIT_CONNECTIONS] == 3);
    CHECK(limits->overflows[LIMIT_CONNECTIONS] == PEERS - 3);
    turns(u, 300);
    client_say(&u->clients[7], 10);
    turns(u, 10);
    CHECK(u->clients[7].heard == 1, "there is room again");
    end_udp(u, 1);
}

TEST(sessions_leave_endpoints_that_leave)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "", 60, false);
    put_endpoints(&u->w, 1);
    commit(&u->w);
    turns(u, 2);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    put_endpoints(&u->w, 2);
    commit(&u->w);
    turns(u, 2);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    CHECK(u->clients[0].served_by == 3 && udp_counted(u, UDP_SESS_TOTAL) == 2 &&
          udp_counted(u, UDP_SESS_ACTIVE) == 1);
    put_endpoints(&u->w, 0);
    commit(&u->w);
    turns(u, 2);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    CHECK(u->clients[0].heard == 2 && udp_counted(u, UDP_SESS_ACTIVE) == 0, "nobody is left");
    intake_remove(u->w.intake, KIND_CLUSTER, SLICE("up"));
    commit(&u->w);
    turns(u, 2);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    CHECK(udp_counted(u, UDP_SESS_NO_ROUTE) == 1);
    end_udp(u, 1);
}

static void on_drained(void *owner)
{
    struct udp_world *u = owner;
    u->was_drained = true;
}

TEST(sessions_go_on_while_draining_and_none_begins)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "", 60, false);
    client_say(&u->clients[0], 10);
    turns(u, 10);
    udp_listener_drain(u->listener, on_drained);
    client_say(&u->clients[0], 10);
    client_say(&u->clients[1], 10);
    turns(u, 10);
    CHECK(u->clients[0].heard == 2 && u->clients[1].heard == 0 && !u->was_drained);
    turns(u, 200); /* 2 s: idle sessions are not waited for as long as otherwise */
    CHECK(u->was_drained && udp_counted(u, UDP_SESS_ACTIVE) == 0);
    end_udp(u, 1);
}

/* Captured datagrams: answered from the address that was asked; served by the listener that has it, if there is one. */
TEST(sessions_of_captured_clients_answer_from_where_was_asked)
{
    struct udp_world *u = &world;
    begin_udp(u, 1, "10.0.0.50", "transparent: true, use_original_dst: true, ", 60, true);
    struct address other = address_v4(0x0a00003c, 5353);
    packet_socket_close(&u->clients[0].socket);
    packet_batch_fini(&u->clients[0].batch);
    open_client(u, 0, &other);
    sim_capture_packets(u->w.loop, &other, u->fd);
    client_say(&u->clients[0], 10);
    client_say(&u->clients[1], 10); /* to the listener's own address */
    turns(u, 10);
    CHECK(u->clients[0].heard == 1 && u->clients[1].heard == 1, "%u, %u", u->clients[0].heard,
          u->clients[1].heard);
    CHECK(udp_counted(u, UDP_SESS_TOTAL) == 2);
    end_udp(u, 1);
}

static void serve_with_seed(uint64_t seed)
{
    struct udp_world *u = &world;
    struct random random;
    struct sim_faults faults = sim_usual_faults();
    random_seed(&random, seed);
    begin_udp(u, seed, seed % 2 ? "0.0.0.0" : "10.0.0.50", "", 1 + (unsigned)(seed % 3), false);
    faults.lost = 50;
    faults.reset = 20;
    sim_set_faults(u->w.loop, &faults);
    for (unsigned turn = 0; turn < 3000; turn++) {
        struct end_point *client = &u->clients[random_below(&random, PEERS)];
        if (random_below(&random, 3) == 0)
            for (uint64_t n = random_below(&random, 40); n > 0; n--)
                client_say(client, 3 + (uint32_t)random_below(&random, n % 3 ? 3 : 8000));
        switch (random_below(&random, 150)) {
        case 0: put_endpoints(&u->w, (unsigned)random_below(&random, 8)); break;
        case 1: put_cluster(&u->w, 5, 1 + (unsigned)random_below(&random, 10)); break;
        case 2: intake_remove(u->w.intake, KIND_CLUSTER, SLICE("up")); break;
        case 3: put_cluster(&u->w, 5, 1000), put_endpoints(&u->w, 7); break;
        case 4:
            put_udp_listener(u, "in", "", seed % 2 ? "0.0.0.0" : "10.0.0.50",
                             1 + (unsigned)random_below(&random, 5), 9000);
            break;
        default: break;
        }
        commit(&u->w);
        loop_turn(u->w.loop, random_below(&random, 100) == 0 ? 1500 : 10);
    }
    CHECK(udp_counted(u, UDP_SESS_TOTAL) > 10 && udp_counted(u, UDP_TX_DATAGRAMS) > 100,
          "seed %llu: hardly anything passed", (unsigned long long)seed);
    end_udp(u, seed);
}

TEST(sessions_survive_everything)
{
    unsigned seeds = sim_seed_count(10);
    for (unsigned i = 0; i < seeds; i++)
        serve_with_seed(sim_seed(i));
}
