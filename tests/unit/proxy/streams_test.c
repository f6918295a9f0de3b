/*
 * One exchange stops, or is given up by either side, at every state that it can be in, while others on the same connection
 * go on (row H2-43): over every kind of hop, up to 100 streams on a connection. And servers say GOAWAY in the middle of bodies.
 * TULLE_SEEDS says how many seeds; TULLE_IO=epoll or io_uring runs them over real sockets.
 */
#include "proxy/worker.h"

#include "http/h2_internal.h"
#include "net/http_connection_internal.h"
#include "proxy/proxy_world.h"

enum { STREAMS_MAX = 100, STOPPED_MS = 1000, STOPPED_REAL_MS = 20, BLOCK_BYTES_MAX = 24 << 20 };
enum fate { LET_GO, CLIENT_CANCELS, ORIGIN_CANCELS, FATES };

static const struct {
    const char *name;
    unsigned flag;
} states[] = {
    {"behind the request's head", CLIENT_KEEPS_BODY},
    {"before the response's head", ORIGIN_ANSWERS_NOT},
    {"behind the response's head", ORIGIN_KEEPS_BODY},
    {"the client reads not", CLIENT_READS_NOT},
    {"the origin reads not", ORIGIN_READS_NOT},
    {"both bodies stop", CLIENT_KEEPS_BODY | ORIGIN_READS_NOT},
    {"before the trailers", CLIENT_READS_NOT | ORIGIN_KEEPS_BODY},
};

struct run {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    struct hops hops;
    unsigned state, streams;
    enum fate fate;
    size_t most_blocks;
    struct end stopped, others[STREAMS_MAX];
};
static struct run run;

/* Real sockets take real time: HTTP/1 and HTTP/2 on both, in plaintext or mTLS alike. */
static struct hops hops_for(uint64_t seed)
{
    bool is_tls = seed / 4 % 2;
    return hops_of(world_backend() == LOOP_SIM ? seed : seed % 4 | (is_tls ? 12 : 0));
}

static void begin_run(uint64_t seed, struct hops hops)
{
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    memset(&run, 0, sizeof(run));
    begin_proxy_world_on(w, world_backend(), seed);
    random_seed(&run.random, seed);
    run.seed = seed;
    run.hops = hops;
    run.state = (unsigned)random_below(&run.random, COUNT(states));
    run.fate = (enum fate)random_below(&run.random, FATES);
    use_hops(w, hops);
    put_cluster(w, 5, 1000);
    put_endpoints(w, 1);
    put_http_listener(w, 0, NULL);
    commit(w);
    world_meet_faults(w, &faults);
    loop_turn(w->loop, 0);
    client_connect(w, 0);
}

/* Long enough for everything that can move to have moved. */
static uint64_t stopped_ms(void)
{
    return is_simulated(&run.w) ? STOPPED_MS : STOPPED_REAL_MS;
}

static void turn(void)
{
    struct proxy_world *w = &run.w;
    world_turn(w);
    run.most_blocks = MAX(run.most_blocks, loop_blocks_in_use(w->loop));
}

/* On the first client's connection while it has room; over HTTP/1 on another one's. */
static void ask(struct end *end, const struct plan *plan)
{
    struct proxy_world *w = &run.w;
    unsigned client = 0;
    for (unsigned turns = 0; turns < 5000; turns++) {
        for (client = 0; client < CLIENTS; client++) {
            if (!w->clients[client].http)
                client_connect(w, client);
            if (http_connection_room(w->clients[client].http) > 0)
                break;
        }
        if (client < CLIENTS)
            break;
        turn();
    }
    CHECK(client < CLIENTS && client_ask(w->clients[client].http, end, plan, &w->bad, &w->open),
          "seed %llu: no room", run.seed);
}

static struct plan random_plan(unsigned id)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000};
    struct plan plan = {.id = id, .flags = (unsigned)random_below(&run.random, ALL_FLAGS + 1)};
    plan.flags &=
        CHUNKED_REQUEST | CHUNKED_RESPONSE | REQUEST_TRAILERS | RESPONSE_TRAILERS | INFORMATIONAL;
    plan.response_bytes = sizes[random_below(&run.random, COUNT(sizes))];
    plan.request_bytes = sizes[random_below(&run.random, COUNT(sizes))];
    return plan;
}

/* Bodies that fit no window, so that whoever stops stops the others' end, too. */
static struct plan stopping_plan(void)
{
    struct plan plan = random_plan(0);
    plan.flags |= states[run.state].flag;
    plan.request_bytes = (size_t)random_below(&run.random, 2) * 300000 + 2;
    plan.response_bytes = (size_t)random_below(&run.random, 2) * 300000 + 2;
    return plan;
}

static void check_whole(const struct end *end)
{
    bool trailers = end->plan.flags & RESPONSE_TRAILERS;
    CHECK(end_is_whole(end) && end->got_trailers == trailers,
          "seed %llu, %s, %s: request %u: status %u, end %d, reset %d, %zu of %zu bytes; %s",
          run.seed, hops_name(run.hops), states[run.state].name, end->plan.id, end->status,
          end->got_end, end->was_reset, end->got, end->to_get, end->said);
}

static void run_until_ended(const struct end *ends, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned turns = 0; turns < 20000 && ends[i].stream; turns++)
            turn();
}

static void serve_others(unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct plan plan = random_plan(first + i + 1);
        ask(&run.others[first + i], &plan);
    }
    run_until_ended(run.others + first, count);
    for (unsigned i = 0; i < count; i++)
        check_whole(&run.others[first + i]);
}

static struct end *stopped_origin(void)
{
    struct list *stopped = &run.w.origin.stopped;
    return list_is_empty(stopped) ? NULL : LIST_ENTRY(stopped->next, struct end, node);
}

static void meet_fate(void)
{
    struct end *origin = stopped_origin();
    switch (run.fate) {
    case LET_GO:
        if (origin)
            end_let_go(origin);
        if (run.stopped.stream)
            end_let_go(&run.stopped);
        break;
    case CLIENT_CANCELS:
        if (run.stopped.stream)
            end_cancel(&run.stopped, HTTP_RESET_CANCEL);
        else if (origin) /* it had all of the answer */
            end_let_go(origin);
        break;
    case ORIGIN_CANCELS:
        run.w.origin.lets_go = true; /* it may be asked again */
        if (origin)
            end_cancel(origin,
                       (enum http_reset_reason)random_below(&run.random, HTTP_RESET_REASONS));
        if (run.stopped.stream)
            end_let_go(&run.stopped);
        break;
    case FATES: break;
    }
}

/* No cancel reaches an origin that has both bodies behind it. */
static void let_go_if_whole(struct end *origin)
{
    if (origin && http_stream_is_whole(origin->stream))
        end_let_go(origin);
}

static void check_end(bool had_origin)
{
    const struct end *end = &run.stopped;
    if (run.fate == LET_GO)
        check_whole(end);
    else if (run.fate == ORIGIN_CANCELS && had_origin)
        CHECK(end->was_reset || end->got_end, "seed %llu", run.seed);
    CHECK(run.w.open == 0 && run.w.origin.open == 0,
          "seed %llu, %s, %s, fate %d: %u and %u ends are open", run.seed, hops_name(run.hops),
          states[run.state].name, run.fate, run.w.open, run.w.origin.open);
    CHECK(!run.w.bad && !run.w.origin.bad, "seed %llu, %s, %s, fate %d: wrong bytes", run.seed,
          hops_name(run.hops), states[run.state].name, run.fate);
    CHECK(run.most_blocks < BLOCK_BYTES_MAX, "seed %llu: %zu bytes of blocks", run.seed,
          run.most_blocks);
}

static void stop_with_seed(uint64_t seed, struct hops hops, unsigned streams)
{
    begin_run(seed, hops);
    struct proxy_world *w = &run.w;
    unsigned before = streams / 2;
    serve_others(0, before);
    struct plan plan = stopping_plan();
    ask(&run.stopped, &plan);
    uint64_t until_ms = loop_now_ms(w->loop) + stopped_ms();
    while (loop_now_ms(w->loop) < until_ms)
        turn();
    serve_others(before, streams - before);
    bool had_origin = stopped_origin() != NULL;
    meet_fate();
    for (unsigned turns = 0; turns < 20000 && open_ends(w) > 0; turns++) {
        turn();
        let_go_if_whole(stopped_origin());
    }
    check_end(had_origin);
    end_proxy_world(w, seed);
}

TEST(an_exchange_that_stops_or_is_given_up_disturbs_no_other)
{
    unsigned seeds = world_seed_count(96, 32);
    for (unsigned i = 0; i < seeds; i++)
        stop_with_seed(sim_seed(i), hops_for(sim_seed(i)), 6);
}

/* 99 on the same connection, all at once, and the hundredth takes, gives or answers nothing. */
TEST(a_stream_that_stops_disturbs_no_other_of_a_hundred)
{
    unsigned seeds = world_seed_count(8, 4);
    for (unsigned i = 0; i < seeds; i++) {
        struct hops hops = hops_of(sim_seed(i) << 1);
        hops.down_is_http2 = true;
        stop_with_seed(sim_seed(i), hops, STREAMS_MAX - 1);
    }
}

/* --- GOAWAY in the middle of bodies ------------------------------------------------------------------------------- */

enum goaway { BY_ORIGIN, BY_ORIGIN_AT_ONCE, BY_PROXY, BY_CLIENT, GOAWAYS };

/* One that leaves out the last of the requests that it was sent, and says so: nobody has begun them. */
static void say_goaway_at_once(struct http_connection *http)
{
    struct h2 *h2 = h2_of(http->codec);
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    int32_t id = (int32_t)random_below(&run.random, ((uint64_t)last + 1) / 2 + 1) * 2 - 1;
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, MAX(id, 0), NGHTTP2_NO_ERROR, NULL, 0);
    h2->said_notice = h2->said_goaway = h2->codec.draining = true;
    h2->goaway_id = last;
    h2->codec.events->wake(&h2->codec);
}

static void go_away(enum goaway how)
{
    struct proxy_world *w = &run.w;
    switch (how) {
    case BY_ORIGIN:
    case BY_ORIGIN_AT_ONCE:
        for (unsigned i = 0; i < SERVING_MAX; i++) {
            struct http_connection *http = w->serving[i].http;
            if (http && how == BY_ORIGIN_AT_ONCE && run.hops.up_is_http2)
                say_goaway_at_once(http);
            else if (http)
                http_connection_drain(http);
        }
        break;
    case BY_PROXY: worker_drain(w->worker); break;
    case BY_CLIENT:
        for (unsigned i = 0; i < CLIENTS; i++)
            if (w->clients[i].http)
                http_connection_drain(w->clients[i].http);
        break;
    case GOAWAYS: break;
    }
}

/* Whoever says that it did not look at a request has not answered it. */
static unsigned random_stop(enum goaway how)
{
    static const unsigned flags[] = {ORIGIN_ANSWERS_NOT, ORIGIN_KEEPS_BODY, CLIENT_KEEPS_BODY,
                                     CLIENT_READS_NOT, ORIGIN_READS_NOT};
    return how == BY_ORIGIN_AT_ONCE ? ORIGIN_ANSWERS_NOT
                                    : flags[random_below(&run.random, COUNT(flags))];
}

static void go_away_with_seed(uint64_t seed)
{
    enum { AT_ONCE = 8, LATER = 4 };
    begin_run(seed, hops_for(seed));
    struct proxy_world *w = &run.w;
    enum goaway how = (enum goaway)random_below(&run.random, GOAWAYS);
    unsigned count = run.hops.down_is_http2 ? AT_ONCE : CLIENTS;
    for (unsigned i = 0; i < count; i++) {
        struct plan plan = random_plan(i);
        plan.flags |= random_stop(how);
        ask(&run.others[i], &plan);
    }
    uint64_t until_ms = loop_now_ms(w->loop) + random_below(&run.random, 100);
    while (loop_now_ms(w->loop) < until_ms)
        turn();
    go_away(how);
    until_ms += random_below(&run.random, stopped_ms());
    while (loop_now_ms(w->loop) < until_ms)
        turn();
    for (unsigned i = 0; i < count; i++)
        if (run.others[i].stream)
            end_let_go(&run.others[i]);
    origin_let_go(&w->origin);
    run_until_ended(run.others, count);
    for (unsigned i = 0; i < count; i++)
        check_whole(&run.others[i]);
    /* Over HTTP/1 a client hears of the end by the end itself. */
    until_ms = loop_now_ms(w->loop) + 2 * HTTP_DRAIN_SILENCE_MS;
    bool hears_at_once = !is_simulated(w) && (run.hops.down_is_http2 || how != BY_PROXY);
    while (!hears_at_once && loop_now_ms(w->loop) < until_ms)
        turn();
    serve_others(count, LATER);
    CHECK(!w->bad && !w->origin.bad, "seed %llu, %s", run.seed, hops_name(run.hops));
    end_proxy_world(w, seed);
}

TEST(a_goaway_in_the_middle_of_bodies_loses_no_request)
{
    unsigned seeds = world_seed_count(96, 8);
    for (unsigned i = 0; i < seeds; i++)
        go_away_with_seed(sim_seed(i));
}
