/*
 * An origin that breaks HTTP/2 in every way that it can (row H2-42): over plaintext and mTLS, asked over HTTP/1 and HTTP/2.
 *
 * It writes its frames by hand. Half of the hosts behave; what goes to those is answered as if nothing were, nobody gets a
 * byte that is not theirs, memory stays bounded, and nothing is left. TULLE_SEEDS says how many seeds; TULLE_IO=epoll or
 * io_uring runs them over real sockets.
 */
#include "proxy/worker.h"

#include "proxy/proxy_world.h"

enum {
    BAD_PORT = 81,
    FIRST_VICTIM = 9000,
    REQUESTS_MAX = 12, /* of each kind */
    REQUESTS_REAL = 2,
    FLOOD_FRAMES = 3000,
    BLOCK_BYTES_MAX = 16 << 20
};

enum frame {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PUSH_PROMISE = 5,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
};
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4 };

/* One connection of the proxy to the origin that misbehaves. */
struct attack {
    struct transport *transport;
    struct buffer out;
    bool has_begun, is_over;
};

struct run {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    struct hops hops;
    unsigned way;
    struct address address; /* of the origin that misbehaves */
    struct listen_group *group;
    struct acceptor *acceptor;
    int fd;
    struct attack attacks[SERVING_MAX];
    unsigned attacked;
    size_t most_blocks;
    bool is_victim_bad; /* it got what the origin made up */
    unsigned requests;  /* of victims, and of others */
    struct end victims[REQUESTS_MAX], others[REQUESTS_MAX];
};
static struct run run;

/* --- frames ------------------------------------------------------------------------------------------------------- */

static void put_frame(struct buffer *out, enum frame type, unsigned flags, uint32_t stream,
                      const void *payload, size_t size)
{
    const uint8_t head[9] = {
        (uint8_t)(size >> 16),   (uint8_t)(size >> 8),   (uint8_t)size,
        (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    buffer_append(out, head, sizeof(head));
    buffer_append(out, payload, size);
}

static void put_word(struct buffer *out, enum frame type, uint32_t stream, uint32_t word)
{
    const uint8_t payload[4] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
                                (uint8_t)word};
    put_frame(out, type, 0, stream, payload, sizeof(payload));
}

/* ":status: 200" is one byte of HPACK. */
static void put_head(struct buffer *out, unsigned flags, uint32_t stream)
{
    put_frame(out, HEADERS, flags, stream, "\x88", 1);
}

static void put_bytes(struct buffer *out, unsigned flags, uint32_t stream, size_t size)
{
    static char foreign[1 << 14];
    memset(foreign, 'x', sizeof(foreign));
    put_frame(out, DATA, flags, stream, foreign, size);
}

/* --- the ways ----------------------------------------------------------------------------------------------------- */

static void out_of_order(struct buffer *out)
{
    put_bytes(out, 0, 1, 100); /* before the head */
    put_head(out, END_HEADERS, 1);
}
static void beyond_the_window(struct buffer *out)
{
    put_head(out, END_HEADERS, 1);
    for (int i = 0; i < 400; i++)
        put_bytes(out, 0, 1, 1 << 14);
}
static void head_after_end(struct buffer *out)
{
    put_head(out, END_HEADERS | END_STREAM, 1);
    put_head(out, END_HEADERS, 1);
    put_bytes(out, 0, 1, 100);
}
static void resets(struct buffer *out)
{
    for (uint32_t i = 0; i < FLOOD_FRAMES; i++)
        put_word(out, RST_STREAM, 2 * i + 1, 8);
}
static void settings(struct buffer *out)
{
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_frame(out, SETTINGS, 0, 0, NULL, 0);
}
static void continuations(struct buffer *out)
{
    put_frame(out, HEADERS, 0, 1, "\x88", 1);
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_frame(out, CONTINUATION, 0, 1, "\0\1a\1b", 5);
}
static void empty_continuations(struct buffer *out)
{
    put_frame(out, HEADERS, 0, 1, "\x88", 1);
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_frame(out, CONTINUATION, 0, 1, NULL, 0);
}
/* An entry of 4,000 bytes, and then one byte for each time that it is meant. */
static void great_head(struct buffer *out)
{
    owned_buffer block = {0};
    buffer_append(&block, "\x88\x40\1a\x7f\xa1\x1e", 7);
    for (int i = 0; i < 4000; i++)
        buffer_append(&block, "b", 1);
    for (int i = 0; i < 10000; i++)
        buffer_append(&block, "\xbe", 1);
    put_frame(out, HEADERS, END_HEADERS, 1, block.data, block.size);
}
static void broken_head(struct buffer *out)
{
    put_frame(out, HEADERS, END_HEADERS | END_STREAM, 1, "\xff\xff\xff\xff\xff\xff\xff", 7);
}
static void pings(struct buffer *out)
{
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_frame(out, PING, 0, 0, "12345678", 8);
}
static void window_overflow(struct buffer *out)
{
    put_head(out, END_HEADERS, 1);
    put_word(out, WINDOW_UPDATE, 1, 0x7fffffff);
    put_word(out, WINDOW_UPDATE, 1, 0x7fffffff);
}
static void connection_window_overflow(struct buffer *out)
{
    put_word(out, WINDOW_UPDATE, 0, 0x7fffffff);
    put_word(out, WINDOW_UPDATE, 0, 0x7fffffff);
}
static void window_updates(struct buffer *out)
{
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_word(out, WINDOW_UPDATE, 1, 1);
}
static void empty_data(struct buffer *out)
{
    put_head(out, END_HEADERS, 1);
    for (int i = 0; i < FLOOD_FRAMES; i++)
        put_frame(out, DATA, 0, 1, NULL, 0);
}
static void frame_too_long(struct buffer *out)
{
    buffer_append(out, "\xff\xff\xff\0\0\0\0\0\1", 9);
    for (int i = 0; i < 40000; i++)
        buffer_append(out, "x", 1);
}
static void unknown_stream(struct buffer *out)
{
    put_head(out, END_HEADERS, 77);
    put_bytes(out, 0, 99, 100);
}
static void promise(struct buffer *out)
{
    put_frame(out, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82\x84\x87", 7);
}
static void goaways(struct buffer *out)
{
    for (uint32_t i = 0; i < 200; i++)
        put_frame(out, GOAWAY, 0, 0, i % 2 ? "\0\0\0\1\0\0\0\0" : "\x7f\xff\xff\xff\0\0\0\0", 8);
}
static void bad_settings(struct buffer *out)
{
    put_frame(out, SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6); /* a window of 4 GiB */
}
static void no_streams(struct buffer *out)
{
    put_frame(out, SETTINGS, 0, 0, "\0\3\0\0\0\0", 6);
}
static void more_than_declared(struct buffer *out)
{
    put_frame(out, HEADERS, END_HEADERS, 1,
              "\x88\x5c\1"
              "5",
              4); /* content-length: 5 */
    put_bytes(out, END_STREAM, 1, 6);
}
static void less_than_declared(struct buffer *out)
{
    put_frame(out, HEADERS, END_HEADERS, 1,
              "\x88\x5c\1"
              "5",
              4);
    put_bytes(out, END_STREAM, 1, 4);
}
static void half_a_frame(struct buffer *out)
{
    buffer_append(out, "\0\0\x20\1\4\0\0\0\1\x88", 10);
}
static void http1(struct buffer *out)
{
    buffer_append_str(out, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxxx");
}

static const struct {
    const char *name;
    void (*write)(struct buffer *out);
} ways[] = {
    {"DATA before the head", out_of_order},
    {"DATA beyond the window", beyond_the_window},
    {"HEADERS after END_STREAM", head_after_end},
    {"a flood of RST_STREAM", resets},
    {"a flood of SETTINGS", settings},
    {"a flood of CONTINUATION", continuations},
    {"a flood of empty CONTINUATION", empty_continuations},
    {"a head that grows by HPACK", great_head},
    {"HPACK that is none", broken_head},
    {"a flood of PING", pings},
    {"a stream's window that overflows", window_overflow},
    {"the connection's window that overflows", connection_window_overflow},
    {"a flood of WINDOW_UPDATE", window_updates},
    {"a flood of empty DATA", empty_data},
    {"a frame that is too long", frame_too_long},
    {"streams that nobody opened", unknown_stream},
    {"PUSH_PROMISE", promise},
    {"GOAWAY up and down", goaways},
    {"a window of 4 GiB", bad_settings},
    {"no streams allowed", no_streams},
    {"a body longer than declared", more_than_declared},
    {"a body shorter than declared", less_than_declared},
    {"half a frame", half_a_frame},
    {"HTTP/1", http1},
};

/* --- the origin that misbehaves ----------------------------------------------------------------------------------- */

static void write_some(struct attack *attack)
{
    struct chain bytes = {0};
    struct slice all = buffer_slice(&attack->out);
    CHECK(chain_append_copy(&bytes, loop_blocks(run.w.loop), all));
    transport_write(attack->transport, &bytes);
    buffer_reset(&attack->out);
}

static void on_open(void *owner)
{
    struct attack *attack = owner;
    transport_read_start(attack->transport);
}

/* Behind the client's first words; its first request is among them, or comes soon. */
static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct attack *attack = owner;
    (void)data, (void)size;
    block_unref(block);
    if (attack->has_begun)
        return;
    attack->has_begun = true;
    put_frame(&attack->out, SETTINGS, 0, 0, NULL, 0);
    put_frame(&attack->out, SETTINGS, ACK, 0, NULL, 0);
    ways[run.way].write(&attack->out);
    write_some(attack);
}

static void close_attack(struct attack *attack)
{
    if (attack->transport)
        transport_close(give(attack->transport), CONN_CLOSE);
    buffer_fini(&attack->out);
}

static void on_read_end(void *owner, bool truncated)
{
    (void)truncated;
    close_attack(owner);
}

static void on_error(void *owner, const struct transport_failure *failure)
{
    (void)failure;
    close_attack(owner);
}

static const struct transport_events attack_events = {
    .on_open = on_open, .on_bytes = on_bytes, .on_read_end = on_read_end, .on_error = on_error};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    (void)owner, (void)peer;
    CHECK(run.attacked < SERVING_MAX, "too many connections");
    struct attack *attack = &run.attacks[run.attacked++];
    attack->transport = origin_transport(&run.w, fd);
    transport_set_owner(attack->transport, &attack_events, attack);
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

static void put_bad_cluster(struct proxy_world *w)
{
    owned_buffer yaml = {0};
    buffer_format(
        &yaml,
        "{name: bad, type: STATIC, connect_timeout: 5s, load_assignment: {cluster_name: bad, "
        "endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, "
        "port_value: %u}}}}]}]}" HOPS_HTTP2 "%s}",
        is_simulated(w) ? "10.0.0.9" : "127.0.0.1", address_port(&run.address),
        w->hops.up_is_tls
            ? HOPS_UPSTREAM_TLS("origin", "", "spiffe://cluster.local/ns/shop/sa/origin")
            : "");
    proxy_put(w, KIND_CLUSTER, "bad", yaml.data);
}

/* Requests with the numbers of victims lead to the origin that misbehaves; some wait for as long as they may. */
static void put_listener(struct proxy_world *w)
{
    owned_buffer yaml = {0};
    buffer_format(
        &yaml,
        "{name: in, address: {socket_address: {address: 127.0.0.1, port_value: 10000}}, "
        "filter_chains: [{filters: [{name: h, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
        "stat_prefix: s, http_filters: [{name: r, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.http.router.v3.Router}}], route_config: {name: r, virtual_hosts: "
        "[{name: v, domains: ['*'], routes: [{match: {prefix: /90}, route: {cluster: bad, timeout: "
        "%s}}, {match: {prefix: /}, route: {cluster: up, timeout: 15s}}]}]}}}]%s}]}",
        is_simulated(w) ? "15s" : "0.2s", w->hops.down_is_tls ? HOPS_DOWNSTREAM_TLS : "");
    proxy_put(w, KIND_LISTENER, "in", yaml.data);
}

static void begin_run(uint64_t seed)
{
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    memset(&run, 0, sizeof(run));
    begin_proxy_world_on(w, world_backend(), seed);
    run.address = address_v4(0x0a000009, BAD_PORT);
    run.fd = world_listen(w, &run.address, &run.group);
    random_seed(&run.random, seed);
    run.seed = seed;
    run.requests = is_simulated(w) ? REQUESTS_MAX : REQUESTS_REAL;
    run.way = (unsigned)(seed % COUNT(ways));
    run.hops = hops_of(seed / COUNT(ways));
    run.hops.up_is_http2 = true;
    run.hops.up_is_tls = random_below(&run.random, 2);
    use_hops(w, run.hops);
    put_cluster(w, 5, 1000);
    put_endpoints(w, 7);
    put_bad_cluster(w);
    put_listener(w);
    commit(w);
    CHECK(acceptor_create(w->loop, run.fd, on_accept, NULL, &run.acceptor) == 0);
    /* Short reads of floods would take the time of thousands of turns. */
    faults.short_read = 100;
    world_meet_faults(w, &faults);
    loop_turn(w->loop, 0);
}

static void end_run(void)
{
    for (unsigned i = 0; i < run.attacked; i++)
        close_attack(&run.attacks[i]);
    acceptor_destroy(run.acceptor);
    world_unlisten(&run.w, run.fd, run.group);
    end_proxy_world(&run.w, run.seed);
}

static struct plan random_plan(unsigned id)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000};
    return (struct plan){.id = id,
                         .flags = (unsigned)random_below(&run.random, 16),
                         .request_bytes = sizes[random_below(&run.random, COUNT(sizes))],
                         .response_bytes = sizes[random_below(&run.random, COUNT(sizes))]};
}

/* Victims by the first client, whose bytes may be any; others by the second. */
static void ask_if_possible(unsigned client, struct end *ends, unsigned *asked)
{
    struct proxy_world *w = &run.w;
    struct plan plan = random_plan(*asked + (client ? 0 : FIRST_VICTIM));
    if (!w->clients[client].http)
        client_connect(w, client);
    if (*asked < run.requests && http_connection_room(w->clients[client].http) > 0 &&
        client_ask(w->clients[client].http, &ends[*asked], &plan,
                   client ? &w->bad : &run.is_victim_bad, &w->open))
        (*asked)++;
}

static void check_others(void)
{
    for (unsigned i = 0; i < run.requests; i++) {
        const struct end *end = &run.others[i];
        CHECK(end_is_whole(end),
              "seed %llu, %s, %s: request %u: status %u, end %d, reset %d, %zu of %zu bytes; %s",
              run.seed, hops_name(run.hops), ways[run.way].name, i, end->status, end->got_end,
              end->was_reset, end->got, end->to_get, end->said);
    }
}

static void attack_with_seed(uint64_t seed)
{
    unsigned victims = 0, others = 0;
    begin_run(seed);
    struct proxy_world *w = &run.w;
    for (unsigned turns = 0;
         turns < 60000 && (victims < run.requests || others < run.requests || w->open); turns++) {
        if (random_below(&run.random, 4) == 0)
            ask_if_possible(0, run.victims, &victims);
        if (random_below(&run.random, 4) == 0)
            ask_if_possible(1, run.others, &others);
        world_turn(w);
        run.most_blocks = MAX(run.most_blocks, loop_blocks_in_use(w->loop));
    }
    CHECK(victims == run.requests && others == run.requests && w->open == 0,
          "seed %llu, %s, %s: %u still wait", run.seed, hops_name(run.hops), ways[run.way].name,
          w->open);
    check_others();
    for (unsigned i = 0; i < run.requests; i++)
        CHECK(run.victims[i].was_reset || run.victims[i].got_end, "seed %llu, %s", run.seed,
              ways[run.way].name);
    CHECK(!w->bad && !w->origin.bad, "seed %llu, %s", run.seed, ways[run.way].name);
    CHECK(run.attacked > 0, "seed %llu: it was not asked", run.seed);
    CHECK(run.most_blocks < BLOCK_BYTES_MAX, "seed %llu, %s: %zu bytes of blocks", run.seed,
          ways[run.way].name, run.most_blocks);
    end_run();
}

TEST(an_origin_that_breaks_http2_harms_nobody_else)
{
    unsigned seeds = world_seed_count(2 * COUNT(ways), COUNT(ways));
    for (unsigned i = 0; i < seeds; i++)
        attack_with_seed(sim_seed(i));
}
