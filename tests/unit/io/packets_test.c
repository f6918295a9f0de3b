#include "io/packets.h"

#include "io/listener.h"
#include "io/private_network.h"
#include "io/sim.h"
#include "io/waiting.h"

#include <errno.h>

/* A bound socket that hears, and perhaps sends everything back. */
struct ear {
    struct packet_socket socket;
    struct packet_batch batch;
    struct listen_group *group;
    unsigned packets, datagrams, runs, too_long;
    size_t bytes;
    int error; /* of the last receive */
    bool answers;
    union packet_end local; /* of the last one */
    char last;
};

static void on_heard(struct packet_socket *socket)
{
    struct ear *ear = CONTAINER_OF(socket, struct ear, socket);
    struct packet *back[PACKET_BATCH];
    int got = packets_receive(socket, &ear->batch, PACKET_BATCH);
    ear->error = got < 0 ? -got : ear->error;
    for (unsigned i = 0; i < ear->batch.count; i++) {
        struct packet *packet = &ear->batch.packets[i];
        ear->packets++;
        ear->runs += packet->each > 0;
        ear->datagrams += packet_datagrams(packet);
        ear->bytes += packet->size;
        ear->local = packet->local;
        ear->last = packet->size ? packet->bytes[0] : '\0';
        back[i] = packet;
    }
    ear->too_long += ear->batch.too_long;
    ear->batch.too_long = 0;
    if (ear->answers && got > 0) {
        packets_send(socket, back, ear->batch.count);
        for (unsigned i = 0; i < ear->batch.count; i++)
            CHECK(back[i]->error == 0, "%d", back[i]->error);
    }
    packet_batch_clear(&ear->batch);
}

static struct address address_of(const char *text)
{
    struct address address;
    CHECK(address_parse(slice_str(text), &address), "%s", text);
    return address;
}

static void listen_at(struct loop *loop, struct ear *ear, const char *text,
                      const struct packet_socket_options *options)
{
    struct listen_options listening = {.address = address_of(text), .is_datagram = true};
    packet_batch_init(&ear->batch);
    CHECK(listen_group_create(&listening, &ear->group) == 0, "%s", text);
    CHECK(packet_socket_adopt(&ear->socket, loop, listen_group_fd(ear->group, 0), options,
                              on_heard) == 0);
}

static void connect_to(struct loop *loop, struct ear *ear, const char *from, struct address to,
                       const struct packet_socket_options *options)
{
    struct packet_path path = {.to = to, .from = address_of(from), .network_namespace = -1};
    packet_batch_init(&ear->batch);
    CHECK(packet_socket_open(&ear->socket, loop, &path, options, on_heard) == 0, "%s", from);
}

static void close_ear(struct ear *ear)
{
    packet_socket_close(&ear->socket);
    listen_group_destroy(ear->group);
    packet_batch_fini(&ear->batch);
}

/* Puts packets of these sizes into the ear's batch and sends them by one call. */
static void say(struct ear *ear, const uint32_t *sizes, unsigned count, uint16_t each)
{
    struct packet *packets[PACKET_BATCH] = {0};
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i] = &ear->batch.packets[i];
        *packet = (struct packet){.bytes = packet->bytes, .size = sizes[i], .each = each};
        memset(packet->bytes, 'a' + (int)i, sizes[i]);
    }
    packets_send(&ear->socket, packets, count);
    for (unsigned i = 0; i < count; i++)
        CHECK(packets[i]->error == 0, "%u: %d", i, packets[i]->error);
}

static const struct packet_socket_options plain = {.datagram_max = UINT16_MAX};
static const struct packet_socket_options joined = {.datagram_max = UINT16_MAX, .gro = true};
static const struct packet_socket_options telling = {.datagram_max = UINT16_MAX,
                                                     .wants_local = true};

/* A server on the wildcard answers from the very address that was asked, in both families. */
TEST(packets_are_answered_from_the_address_that_was_asked)
{
    static const struct {
        const char *server, *client, *host;
    } rows[] = {
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"},
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.77"},
        {"[::]:0", "[::1]:0", "::1"},
        {"[::]:0", "127.0.0.1:0", "127.0.0.78"},
        {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
    };
    static const uint32_t sizes[] = {0, 1, 1000, 1000, 500, 65000};
    EACH (row, rows) {
        struct loop *loop = loop_for_test();
        struct ear server = {.answers = true}, client = {0};
        struct address to, asked;
        listen_at(loop, &server, row->server, &telling);
        to = packet_socket_address(&server.socket);
        CHECK(address_parse_ip(slice_str(row->host), address_port(&to), &to));
        connect_to(loop, &client, row->client, to, &plain);
        say(&client, sizes, COUNT(sizes), 0);
        /* The client is connected, so what comes from any other address never arrives. */
        WAIT_FOR(loop, client.datagrams == COUNT(sizes));
        CHECK(client.bytes == 67501 && server.bytes == 67501, "%zu", client.bytes);
        asked = packet_end_address(&server.local);
        CHECK(address_equals(&asked, &to), "%s", row->host);
        close_ear(&server);
        close_ear(&client);
        loop_destroy(loop);
    }
}

/* What leaves as a run arrives as single datagrams, or as a run where the receiver joins; and goes back the same way. */
TEST(packets_of_equal_length_travel_as_runs)
{
    static const struct {
        uint32_t sizes[5];
        unsigned count;
        uint16_t each;
        unsigned datagrams;
    } rows[] = {
        {{1000, 1000, 1000, 1000, 1000}, 5, 0, 5},
        {{1000, 1000, 300}, 3, 0, 3},
        {{1000, 300, 1000, 1000}, 4, 0, 4},
        {{300, 1000, 0, 1000}, 4, 0, 4},
        {{5300}, 1, 1000, 6},
        {{4000, 2500}, 2, 1000, 7},
        {{2500, 4000}, 2, 1000, 7},
        {{64000, 2000}, 2, 1000, 66},
    };
    const struct packet_socket_options *const kinds[] = {&plain, &joined};
    EACH (row, rows) {
        EACH (kind, kinds) {
            struct loop *loop = loop_for_test();
            struct ear server = {.answers = true}, client = {0};
            listen_at(loop, &server, "127.0.0.1:0", *kind);
            connect_to(loop, &client, "127.0.0.1:0", packet_socket_address(&server.socket), *kind);
            say(&client, row->sizes, row->count, row->each);
            WAIT_FOR(loop, client.datagrams == row->datagrams);
            CHECK(server.datagrams == row->datagrams && client.bytes == server.bytes);
            CHECK(server.runs > 0 || *kind == &plain || row->count == 4, "a run was joined");
            CHECK(server.runs == 0 || *kind == &joined);
            close_ear(&server);
            close_ear(&client);
            loop_destroy(loop);
        }
    }
}

TEST(packets_that_are_too_long_are_left_out)
{
    static const struct packet_socket_options small = {.datagram_max = 100};
    static const uint32_t sizes[] = {101, 100, 65507, 99};
    struct loop *loop = loop_for_test();
    struct ear server = {.answers = true}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0", &small);
    connect_to(loop, &client, "127.0.0.1:0", packet_socket_address(&server.socket), &plain);
    say(&client, sizes, COUNT(sizes), 0);
    WAIT_FOR(loop, client.datagrams == 2);
    CHECK(server.too_long == 2 && client.bytes == 199, "%u, %zu", server.too_long, client.bytes);
    CHECK(client.last == 'd', "the bytes are those of the last: %c", client.last);
    close_ear(&server);
    close_ear(&client);
    loop_destroy(loop);
}

/* A port where nobody listens says so once; what is sent next is sent. */
TEST(packets_tell_that_nobody_is_there)
{
    static const uint32_t one[] = {10};
    struct loop *loop = loop_for_test();
    struct ear server = {0}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0", &plain);
    struct address gone = packet_socket_address(&server.socket);
    close_ear(&server);
    connect_to(loop, &client, "127.0.0.1:0", gone, &plain);
    say(&client, one, 1, 0);
    WAIT_FOR(loop, client.error == ECONNREFUSED);
    say(&client, one, 1, 0);
    say(&client, one, 1, 0); /* the answer to the one before has come by now, and does not count */
    close_ear(&client);
    loop_destroy(loop);
}

static void on_heard_once(struct packet_socket *socket)
{
    struct ear *ear = CONTAINER_OF(socket, struct ear, socket);
    ear->packets++;
    packet_socket_close(socket);
}

TEST(packets_may_end_their_socket)
{
    static const uint32_t two[] = {10, 20};
    struct loop *loop = loop_for_test();
    struct ear server = {0}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0", &plain);
    server.socket.on_ready = on_heard_once;
    connect_to(loop, &client, "127.0.0.1:0", packet_socket_address(&server.socket), &plain);
    say(&client, two, 2, 0);
    WAIT_FOR(loop, server.packets == 1);
    loop_turn(loop, 0);
    CHECK(server.packets == 1);
    close_ear(&server);
    close_ear(&client);
    loop_destroy(loop);
}

TEST(packets_of_strangers_need_ip)
{
    struct listen_group *group;
    struct listen_options options = {.address = address_of("unix:/tmp/x"), .is_datagram = true};
    CHECK(listen_group_create(&options, &group) == -EAFNOSUPPORT);
}

/* The simulation: what arrives is what was sent, unless it was lost; in any order; joined or not. */
static void simulate(uint64_t seed)
{
    struct loop *loop;
    struct loop_options options = {.name = "sim", .backend = LOOP_SIM, .seed = seed};
    struct ear server = {.answers = true}, client = {0};
    struct sim_faults faults = {.late = 300, .lost = seed % 2 ? 200 : 0, .max_delay_us = 2000};
    static const uint32_t sizes[] = {100, 100, 100, 50, 0, 7000, 100};
    CHECK(loop_create(&options, &loop) == 0);
    sim_set_faults(loop, &faults);
    struct address at = address_v4(0x0a000001, 53);
    int fd = sim_bind_packets(loop, &at);
    packet_batch_init(&server.batch);
    CHECK(packet_socket_adopt(&server.socket, loop, fd, &joined, on_heard) == 0);
    connect_to(loop, &client, "10.0.0.9:0", at, &joined);
    say(&client, sizes, COUNT(sizes), 0);
    for (int i = 0; i < 200; i++)
        loop_turn(loop, 10);
    CHECK(client.datagrams <= server.datagrams && server.datagrams <= COUNT(sizes));
    CHECK(seed % 2 || (client.datagrams == COUNT(sizes) && client.bytes == 7450),
          "seed %llu: %u, %zu", (unsigned long long)seed, client.datagrams, client.bytes);
    close_ear(&client);
    packet_socket_close(&server.socket);
    packet_batch_fini(&server.batch);
    accepted_close(loop, fd);
    CHECK(sim_open_count(loop) == 0);
    loop_destroy(loop);
}

TEST(packets_are_simulated)
{
    unsigned seeds = sim_seed_count(50);
    for (unsigned i = 0; i < seeds; i++)
        simulate(sim_seed(i));
}

/* Runs of datagrams over the path's MTU are refused by the kernel: they go one by one, then and from then on. */
TEST(packets_over_the_mtu_go_one_by_one)
{
    static const uint32_t run[] = {9000}, two[] = {3000, 3000}, small[] = {1000, 1000};
    private_network_or_skip();
    CHECK(system("ip link set lo mtu 1500") == 0);
    struct loop *loop = loop_for_test();
    struct ear server = {0}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0", &joined);
    connect_to(loop, &client, "127.0.0.1:0", packet_socket_address(&server.socket), &plain);
    say(&client, run, 1, 3000);
    WAIT_FOR(loop, server.datagrams == 3);
    CHECK(client.socket.run_below == 3000 && server.runs == 0, "%u", client.socket.run_below);
    say(&client, two, 2, 0);
    say(&client, small, 2, 0);
    WAIT_FOR(loop, server.datagrams == 7);
    CHECK(server.runs == 1 && server.bytes == 17000, "%u, %zu", server.runs, server.bytes);
    close_ear(&server);
    close_ear(&client);
    loop_destroy(loop);
}
