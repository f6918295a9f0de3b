/*
 * A connection stops, or breaks, behind any byte: in a handshake, a head, a frame, a body, trailers, on each of the four ways
 * between client, proxy and origin, over every kind of hop. Other connections go on meanwhile, what is let go arrives whole, and
 * what is not has an end. TULLE_SEEDS says how many seeds.
 */
#include "proxy/worker.h"

#include "proxy/proxy_world.h"

enum way { TO_PROXY, TO_CLIENT, TO_ORIGIN, FROM_ORIGIN, WAYS };
enum fate { LET_GO, BREAKS, CLIENT_LEAVES, ORIGIN_LEAVES, NEVER, FATES };
enum { STALLED_MS = 2000, ROUTE_TIMEOUT_S = 20, OTHERS = 12, BLOCK_BYTES_MAX = 3 << 20 };

struct run {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    struct hops hops;
    enum way way;
    enum fate fate;
    size_t after;
    int held; /* the descriptor that does not receive; 0: not yet */
    unsigned asked;
    size_t most_blocks;
    struct end end, others[OTHERS];
};
static struct run run;

static bool is_downstream(void)
{
    return run.way == TO_PROXY || run.way == TO_CLIENT;
}

static void hold(int near)
{
    int far = sim_peer(run.w.loop, near);
    run.held = run.way == TO_CLIENT || run.way == TO_ORIGIN ? near : far;
    sim_hold(run.w.loop, run.held, run.after);
}

/* The first connection upstream is the stalled client's. */
static void on_serving(struct serving *serving)
{
    if (!run.held && !is_downstream())
        hold(serving->fd);
}

/* Small numbers as often as large ones: heads and handshakes are small. */
static size_t random_offset(struct random *random)
{
    return (size_t)random_below(random, 1u << random_below(random, 18));
}

static struct plan random_plan(unsigned id)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 100000};
    struct random *random = &run.random;
    struct plan plan = {.id = id, .flags = (unsigned)random_below(random, ALL_FLAGS + 1)};
    plan.flags &=
        CHUNKED_REQUEST | CHUNKED_RESPONSE | REQUEST_TRAILERS | RESPONSE_TRAILERS | INFORMATIONAL;
    plan.response_bytes = sizes[random_below(random, COUNT(sizes))];
    plan.request_bytes = sizes[random_below(random, COUNT(sizes))];
    return plan;
}

static void begin_run(uint64_t seed)
{
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    memset(&run, 0, sizeof(run));
    begin_proxy_world(w, seed);
    random_seed(&run.random, seed);
    run.seed = seed;
    run.hops = hops_of(seed % HOPS);
    run.way = (enum way)random_below(&run.random, WAYS);
    run.fate = (enum fate)random_below(&run.random, FATES);
    run.after = random_offset(&run.random);
    use_hops(w, run.hops);
    w->on_serving = on_serving;
    put_cluster(w, 5, 1000);
    put_endpoints(w, 1);
    put_http_listener(w, ROUTE_TIMEOUT_S, NULL);
    commit(w);
    sim_set_faults(w->loop, &faults);
    loop_turn(w->loop, 0);
}

static void ask(unsigned client, struct end *end, unsigned id)
{
    struct proxy_world *w = &run.w;
    struct plan plan = random_plan(id);
    if (!w->clients[client].http)
        client_connect(w, client);
    CHECK(client_ask(w->clients[client].http, end, &plan, &w->bad, &w->open));
}

static void turn(void)
{
    struct proxy_world *w = &run.w;
    loop_turn(w->loop, 100);
    run.most_blocks = MAX(run.most_blocks, loop_blocks_in_use(w->loop));
}

/* Over HTTP/2 upstream all requests share what stalls. */
static bool are_others_apart(void)
{
    return is_downstream() || !run.hops.up_is_http2;
}

static void check_whole(const struct end *end)
{
    CHECK(end_is_whole(end),
          "seed %llu, %s, way %d, fate %d, behind %zu: request %u: status %u, end %d, reset %d, "
          "%zu of %zu bytes; %s",
          run.seed, hops_name(run.hops), run.way, run.fate, run.after, end->plan.id, end->status,
          end->got_end, end->was_reset, end->got, end->to_get, end->said);
}

/* Requests of other clients, one after another. */
static void serve_others(void)
{
    for (unsigned i = 0; i < OTHERS; i++) {
        struct end *end = &run.others[i];
        unsigned before = run.w.open;
        ask(1 + i % 2, end, i + 1);
        for (unsigned turns = 0; turns < 3000 && end->stream; turns++)
            turn();
        CHECK(run.w.open <= before, "seed %llu, %s, way %d, behind %zu: request %u still waits",
              run.seed, hops_name(run.hops), run.way, run.after, i + 1);
        check_whole(end);
    }
}

static void meet_fate(void)
{
    struct proxy_world *w = &run.w;
    switch (run.fate) {
    case LET_GO: sim_let_go(w->loop, run.held); break;
    case BREAKS: sim_cut(w->loop, run.held); break;
    case CLIENT_LEAVES:
        if (w->clients[0].http)
            http_connection_close(give(w->clients[0].http));
        break;
    case ORIGIN_LEAVES:
        for (unsigned i = 0; i < SERVING_MAX; i++)
            if (w->serving[i].http)
                http_connection_close(give(w->serving[i].http));
        break;
    case NEVER:
    case FATES: break;
    }
}

static void wait_for_end(void)
{
    struct proxy_world *w = &run.w;
    uint64_t until_ms = loop_now_ms(w->loop) + 700 * 1000;
    while (w->open > 0 && loop_now_ms(w->loop) < until_ms)
        turn();
    /* The end of it never arrived, but the proxy has done with it. */
    if (run.fate == NEVER && run.way == TO_CLIENT && w->open > 0)
        sim_let_go(w->loop, run.held);
    for (unsigned turns = 0; turns < 3000 && open_ends(w) > 0; turns++)
        turn();
}

static void stall_with_seed(uint64_t seed)
{
    begin_run(seed);
    struct proxy_world *w = &run.w;
    client_connect(w, 0);
    if (is_downstream())
        hold(w->clients[0].fd);
    ask(0, &run.end, 0);
    uint64_t until_ms = loop_now_ms(w->loop) + STALLED_MS;
    while (run.end.stream && loop_now_ms(w->loop) < until_ms)
        turn();
    bool is_stalled = run.held && run.end.stream;
    if (run.held && !is_stalled) /* it has ended before that byte */
        sim_let_go(w->loop, run.held);
    if (are_others_apart())
        serve_others();
    if (is_stalled)
        meet_fate();
    wait_for_end();
    CHECK(w->open == 0, "seed %llu, %s, way %d, fate %d, behind %zu: a client still waits",
          run.seed, hops_name(run.hops), run.way, run.fate, run.after);
    if (!is_stalled || run.fate == LET_GO)
        check_whole(&run.end);
    CHECK(!w->bad && !w->origin.bad, "seed %llu, %s, way %d, fate %d, behind %zu: wrong bytes",
          run.seed, hops_name(run.hops), run.way, run.fate, run.after);
    CHECK(run.most_blocks < BLOCK_BYTES_MAX, "seed %llu: %zu bytes of blocks", run.seed,
          run.most_blocks);
    end_proxy_world(w, seed);
}

TEST(a_connection_may_stop_or_break_behind_any_byte)
{
    unsigned seeds = sim_seed_count(160);
    for (unsigned i = 0; i < seeds; i++)
        stall_with_seed(sim_seed(i));
}
