/*
 * Two proxies in a row, client -> A -> mTLS -> B -> origin, while everything between them changes at random moments: B's
 * listener, its filter chain, what its TLS demands and its certificate, A's cluster and endpoints. No request may be lost.
 *
 * One worker is both: A's listener is "out" and its cluster "b", whose servers are two addresses where B's listener accepts.
 * TULLE_SEEDS says how many seeds; TULLE_IO=epoll or io_uring runs them over real sockets.
 */
#include "proxy/worker.h"

#include "proxy/proxy_world.h"
#include "proxy/snapshot/snapshot.h"

enum { REQUESTS = 40, DOORS = 2, NAMES = 2 };

struct run;
/* An address at which B accepts: 10.0.1.1 and 10.0.1.2, port 15006; over real sockets ports of 127.0.0.1. */
struct door {
    struct run *run;
    struct address address;
    struct listen_group *group;
    int fd;
    struct acceptor *acceptor;
};

struct run {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    bool pair_is_http2; /* between A and B */
    bool is_slow;       /* a message may take longer than a draining server waits */
    unsigned asked, listener, chain, demands, certificate, swaps;
    struct door doors[DOORS];
};
static struct end ends[REQUESTS];

/* --- the configuration -------------------------------------------------------------------------------------------- */

#define HCM(routes)                                                                                \
    "filters: [{name: h, typed_config: {'@type': type.googleapis.com/"                             \
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "          \
    "stat_prefix: s, http_filters: [{name: r, typed_config: {'@type': type.googleapis.com/"        \
    "envoy.extensions.filters.http.router.v3.Router}}], route_config: {name: r, virtual_hosts: "   \
    "[{name: v, domains: ['*'], routes: [" routes "]}]}}}]"

static void put_outbound(struct run *run)
{
    proxy_put(
        &run->w, KIND_LISTENER, "in",
        "{name: in, address: {socket_address: {address: 127.0.0.1, port_value: 10000}}, "
        "filter_chains: [{" HCM("{match: {prefix: /}, route: {cluster: b, timeout: 0s}}") "}]}");
}

/* Two names take one address from one another; a chain of another name is another chain. */
static void put_inbound(struct run *run)
{
    owned_buffer yaml = {0};
    char name[] = {'b', (char)('0' + run->listener), 0};
    buffer_format(
        &yaml,
        "{name: %s, address: {socket_address: {address: 0.0.0.0, port_value: 15006}}, "
        "listener_filters: [{name: t, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}], filter_chains: "
        "[{name: c%u, filter_chain_match: {transport_protocol: tls}, " HCM(
            "{match: {prefix: /}, route: {cluster: up, timeout: %us}}") "%s}]}",
        name, run->chain, 1000 + run->swaps,
        run->demands ? HOPS_DOWNSTREAM_TLS_FOR("spiffe://cluster.local/ns/shop/")
                     : HOPS_DOWNSTREAM_TLS);
    proxy_put(&run->w, KIND_LISTENER, name, yaml.data);
}

static void put_pair_cluster(struct run *run)
{
    owned_buffer yaml = {0};
    buffer_format(&yaml,
                  "{name: b, type: EDS, connect_timeout: %us, eds_cluster_config: {eds_config: "
                  "{ads: {}, initial_fetch_timeout: 0s}}%s%s}",
                  5 + (unsigned)random_below(&run->random, 20),
                  run->pair_is_http2 ? HOPS_HTTP2 : "",
                  HOPS_UPSTREAM_TLS("b", "", "spiffe://cluster.local/ns/shop/sa/proxy"));
    proxy_put(&run->w, KIND_CLUSTER, "b", yaml.data);
}

/* A bit for each of the doors. */
static void put_pair_endpoints(struct run *run, unsigned doors)
{
    owned_buffer yaml = {0};
    buffer_append_str(&yaml, "{cluster_name: b, endpoints: [{lb_endpoints: [");
    for (unsigned i = 0; i < DOORS; i++)
        if (doors >> i & 1)
            buffer_format(&yaml,
                          "{endpoint: {address: {socket_address: {address: %s%u, port_value: "
                          "%u}}}}, ",
                          is_simulated(&run->w) ? "10.0.1." : "127.0.0.",
                          is_simulated(&run->w) ? i + 1 : 1, address_port(&run->doors[i].address));
    buffer_append_str(&yaml, "]}]}");
    proxy_put(&run->w, KIND_ENDPOINTS, "b", yaml.data);
}

static void change(struct run *run)
{
    struct random *random = &run->random;
    char name[] = {'b', (char)('0' + run->listener), 0};
    run->swaps++;
    switch (random_below(random, 8)) {
    case 0: /* the same chain with other routes: nobody need notice */ put_inbound(run); break;
    case 1: /* another chain: connections drain */
        run->chain++;
        put_inbound(run);
        break;
    case 2: /* another listener takes the address over */
        intake_remove(run->w.intake, KIND_LISTENER, slice_str(name));
        run->listener = (run->listener + 1) % NAMES;
        put_inbound(run);
        break;
    case 3:
        run->demands = !run->demands;
        put_inbound(run);
        break;
    case 4:
        run->certificate = !run->certificate;
        put_secrets(&run->w, run->certificate);
        break;
    case 5: put_pair_cluster(run); break;
    case 6: put_pair_endpoints(run, (unsigned)random_below(random, 3) + 1); break;
    default: put_endpoints(&run->w, (unsigned)random_below(random, 7) + 1); break;
    }
    if (random_below(random, 4) != 0) /* else the next change comes in the same snapshot */
        commit(&run->w);
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

/* For the listener that has the address in the worker's own snapshot. */
static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct door *door = owner;
    struct worker *worker = door->run->w.worker;
    struct name names[NAMES] = {name_of(SLICE("b0")), name_of(SLICE("b1"))};
    bool is_first = snapshot_find(worker_snapshot(worker), KIND_LISTENER, &names[0]);
    arrival_begin(worker, &names[!is_first], fd, peer);
}

static void begin_run(struct run *run, uint64_t seed, bool pair_is_http2)
{
    struct proxy_world *w = &run->w;
    memset(run, 0, sizeof(*run));
    begin_proxy_world_on(w, world_backend(), seed);
    random_seed(&run->random, seed);
    run->seed = seed;
    run->pair_is_http2 = pair_is_http2;
    hops_make_pki();
    put_secrets(w, 0);
    use_hops(w, hops_of(seed % 4));
    put_cluster(w, 5, 1000);
    put_endpoints(w, 7);
    for (unsigned i = 0; i < DOORS; i++) {
        struct door *door = &run->doors[i];
        door->run = run;
        door->address = address_v4(0x0a000101 + i, 15006);
        door->fd = world_listen(w, &door->address, &door->group);
    }
    put_pair_cluster(run);
    put_pair_endpoints(run, 3);
    put_inbound(run);
    put_outbound(run);
    commit(w);
    for (unsigned i = 0; i < DOORS; i++)
        CHECK(acceptor_create(w->loop, run->doors[i].fd, on_accept, &run->doors[i],
                              &run->doors[i].acceptor) == 0);
    loop_turn(w->loop, 0);
}

static void end_run(struct run *run)
{
    for (unsigned i = 0; i < DOORS; i++) {
        acceptor_destroy(run->doors[i].acceptor);
        world_unlisten(&run->w, run->doors[i].fd, run->doors[i].group);
    }
    end_proxy_world(&run->w, run->seed);
}

static struct plan random_plan(struct run *run)
{
    static const size_t sizes[] = {0, 0, 1, 100, 3000, 20000, 100000};
    struct plan plan = {.id = run->asked,
                        .flags = (unsigned)random_below(&run->random, ALL_FLAGS + 1) &
                                 (CHUNKED_REQUEST | CHUNKED_RESPONSE | REQUEST_TRAILERS |
                                  RESPONSE_TRAILERS | SLOW_CLIENT | SLOW_ORIGIN)};
    plan.response_bytes = sizes[random_below(&run->random, COUNT(sizes))];
    if (random_below(&run->random, 2) && !run->is_slow)
        plan.request_bytes = sizes[random_below(&run->random, COUNT(sizes))];
    else
        plan.flags &= ~(unsigned)REQUEST_TRAILERS;
    return plan;
}

static void ask(struct run *run)
{
    struct proxy_world *w = &run->w;
    struct plan plan = random_plan(run);
    unsigned index = (unsigned)random_below(&run->random, CLIENTS);
    if (!w->clients[index].http)
        client_connect(w, index);
    if (http_connection_room(w->clients[index].http) > 0 &&
        client_ask(w->clients[index].http, &ends[run->asked], &plan, &w->bad, &w->open))
        run->asked++;
}

static void check_answered(const struct run *run, const struct end *end)
{
    CHECK(end_is_whole(end),
          "seed %llu: request %u (flags %u, %zu up, %zu down): status %u, end %d, reset %d, %zu "
          "bytes; %s",
          run->seed, end->plan.id, end->plan.flags, end->plan.request_bytes,
          end->plan.response_bytes, end->status, end->got_end, end->was_reset, end->got, end->said);
}

static void serve_with_seed(uint64_t seed, bool pair_is_http2, unsigned *swaps)
{
    static struct run run;
    begin_run(&run, seed, pair_is_http2);
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    run.is_slow = seed % 3 == 0;
    if (run.is_slow) { /* now and then a long pause, but not so many that a head takes its 10 s */
        faults.max_delay_us = 900000;
        faults.late = faults.short_read = faults.short_write = 60;
    }
    world_meet_faults(w, &faults);
    for (unsigned turn = 0; turn < 100000 && (run.asked < REQUESTS || w->open > 0); turn++) {
        if (run.asked < REQUESTS && random_below(&run.random, 8) == 0)
            ask(&run);
        if (random_below(&run.random, 10) == 0)
            change(&run);
        uint64_t wait_ms = random_below(&run.random, 20) == 0 ? 600 : 100;
        loop_turn(w->loop, is_simulated(w) ? wait_ms : 1);
    }
    CHECK(run.asked == REQUESTS && w->open == 0, "seed %llu: asked %u, %u are open", run.seed,
          run.asked, w->open);
    for (unsigned i = 0; i < run.asked; i++)
        check_answered(&run, &ends[i]);
    CHECK(!w->bad && !w->origin.bad, "seed %llu: wrong bytes", run.seed);
    *swaps += run.swaps;
    end_run(&run);
}

TEST(no_request_between_two_proxies_is_lost_while_everything_between_them_changes)
{
    unsigned seeds = world_seed_count(8, 4), swaps = 0;
    for (unsigned i = 0; i < seeds; i++) {
        serve_with_seed(sim_seed(i), false, &swaps);
        serve_with_seed(sim_seed(i), true, &swaps);
    }
    print_message("%u changes\n", swaps);
}
