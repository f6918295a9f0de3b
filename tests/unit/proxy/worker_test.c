/*
 * The whole data plane of one worker over a simulated network, with seeds: TULLE_SEEDS says how many. TULLE_IO=epoll or io_uring:
 * over real sockets.
 */
#include "proxy/worker.h"

#include "proxy/proxy_world.h"

struct run {
    struct proxy_world w;
    struct random random;
    uint64_t seed;
    unsigned asked;
};
enum { REQUESTS = 24 };
static struct end ends[REQUESTS];

static void begin_run(struct run *run, uint64_t seed, struct hops hops)
{
    struct proxy_world *w = &run->w;
    begin_proxy_world_on(w, world_backend(), seed);
    random_seed(&run->random, seed);
    run->seed = seed;
    run->asked = 0;
    use_hops(w, hops);
    put_cluster(w, 5, (unsigned)random_below(&run->random, 6) + 1);
    put_endpoints(w, 7);
    put_http_listener(w, 0, NULL);
    commit(w);
    loop_turn(w->loop, 0);
}

static struct plan random_plan(struct run *run)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 70000, 200000};
    struct random *random = &run->random;
    struct plan plan = {.id = run->asked, .flags = (unsigned)random_below(random, ALL_FLAGS + 1)};
    plan.flags &= ~(unsigned)EARLY_RESPONSE;
    plan.response_bytes = sizes[random_below(random, COUNT(sizes))];
    if (random_below(random, 2))
        plan.request_bytes = sizes[random_below(random, COUNT(sizes))];
    if (plan.flags & HEAD_REQUEST && random_below(random, 2))
        plan.flags &= ~(unsigned)HEAD_REQUEST;
    if (plan.flags & HEAD_REQUEST)
        plan.request_bytes = 0, plan.flags &= ~(unsigned)REQUEST_TRAILERS;
    return plan;
}

/* Another configuration that differs: endpoints, cluster or routes. */
static void change_configuration(struct run *run)
{
    struct proxy_world *w = &run->w;
    struct random *random = &run->random;
    switch (random_below(random, 3)) {
    case 0: put_endpoints(w, (unsigned)random_below(random, 7) + 1); break;
    case 1:
        put_cluster(w, (unsigned)random_below(random, 20) + 1,
                    (unsigned)random_below(random, 6) + 1);
        break;
    default: put_http_listener(w, (unsigned)random_below(random, 1000) + 1000, NULL); break;
    }
    commit(w);
}

static void ask_if_possible(struct run *run, const struct plan *plan)
{
    struct proxy_world *w = &run->w;
    unsigned index = (unsigned)random_below(&run->random, CLIENTS);
    struct client *client = &w->clients[index];
    if (!client->http)
        client_connect(w, index);
    if (http_connection_room(client->http) > 0 &&
        client_ask(client->http, &ends[run->asked], plan, &w->bad, &w->open))
        run->asked++;
}

/* --- nothing goes wrong: everything is answered, whatever changes ------------------------------------------------ */

static void check_answered(const struct run *run, const struct end *end)
{
    const struct plan *plan = &end->plan;
    CHECK(end_is_whole(end),
          "seed %llu: request %u (flags %u, %zu up, %zu down): status %u, end %d, reset %d, %zu "
          "bytes",
          (unsigned long long)run->seed, plan->id, plan->flags, plan->request_bytes,
          plan->response_bytes, end->status, end->got_end, end->was_reset, end->got);
    bool trailers = (plan->flags & RESPONSE_TRAILERS) && !(plan->flags & HEAD_REQUEST);
    CHECK(end->got_trailers == trailers, "seed %llu: request %u", (unsigned long long)run->seed,
          plan->id);
}

static void serve_with_seed(uint64_t seed, struct hops hops)
{
    static struct run run;
    begin_run(&run, seed, hops);
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    world_meet_faults(w, &faults);
    for (unsigned turn = 0; turn < 100000 && (run.asked < REQUESTS || open_ends(w) > 0); turn++) {
        if (run.asked < REQUESTS && random_below(&run.random, 4) == 0) {
            struct plan plan = random_plan(&run);
            ask_if_possible(&run, &plan);
        }
        if (random_below(&run.random, 40) == 0)
            change_configuration(&run);
        world_turn(w);
    }
    CHECK(run.asked == REQUESTS && w->open == 0, "seed %llu, %s: asked %u, %u are open",
          (unsigned long long)seed, hops_name(hops), run.asked, w->open);
    for (unsigned i = 0; i < run.asked; i++)
        check_answered(&run, &ends[i]);
    CHECK(!w->bad && !w->origin.bad, "seed %llu: wrong bytes", (unsigned long long)seed);
    CHECK(http_counted(w, HTTP_RQ_TOTAL) == REQUESTS && http_answered(w, 2) == REQUESTS,
          "seed %llu: %llu requests counted, %llu of them 2xx", (unsigned long long)seed,
          (unsigned long long)http_counted(w, HTTP_RQ_TOTAL),
          (unsigned long long)http_answered(w, 2));
    end_proxy_world(w, seed);
}

TEST(every_request_is_answered_while_the_configuration_changes)
{
    unsigned seeds = world_seed_count(25, 2);
    for (unsigned i = 0; i < seeds; i++)
        for (unsigned cell = 0; cell < 4; cell++)
            serve_with_seed(sim_seed(i), hops_of(cell | (sim_seed(i) + cell) % 4 << 2));
}

/* --- everything goes wrong: nothing is left, nothing half is called whole ---------------------------------------- */

static struct serving *some_serving(struct run *run)
{
    unsigned first = (unsigned)random_below(&run->random, SERVING_MAX);
    for (unsigned i = 0; i < SERVING_MAX; i++)
        if (run->w.serving[(first + i) % SERVING_MAX].http)
            return &run->w.serving[(first + i) % SERVING_MAX];
    return NULL;
}

static void do_harm(struct run *run)
{
    struct proxy_world *w = &run->w;
    struct serving *serving = some_serving(run);
    struct client *client = &w->clients[random_below(&run->random, CLIENTS)];
    struct end *end = run->asked ? &ends[random_below(&run->random, run->asked)] : NULL;
    switch (random_below(&run->random, 8)) {
    case 0: /* the server goes */
        if (serving)
            http_connection_close(give(serving->http));
        break;
    case 1: /* GOAWAY, Connection: close */
        if (serving)
            http_connection_drain(serving->http);
        break;
    case 2: /* the client goes */
        if (client->http)
            http_connection_close(give(client->http));
        break;
    case 3: /* the client gives up */
    case 4:
        if (end && end->stream) {
            end->was_reset = true;
            end->owed = 0;
            http_stream_reset(end->stream, HTTP_RESET_CANCEL);
            end_release(end);
        }
        break;
    case 5:
        put_endpoints(w, 0);
        commit(w);
        break;
    case 6:
        intake_remove(w->intake, KIND_CLUSTER, SLICE("up"));
        commit(w);
        put_cluster(w, 3, 4);
        put_endpoints(w, 7);
        commit(w);
        break;
    default:
        put_http_listener(w, 1, random_below(&run->random, 2) ? "5xx,reset" : "connect-failure");
        commit(w);
        break;
    }
}

static void suffer_with_seed(uint64_t seed, struct hops hops)
{
    static struct run run;
    begin_run(&run, seed, hops);
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    faults.reset = 4;
    faults.connect_fails = 100;
    world_meet_faults(w, &faults);
    unsigned turn = 0;
    for (; turn < 200000 && (run.asked < REQUESTS || w->open > 0); turn++) {
        if (run.asked < REQUESTS && random_below(&run.random, 4) == 0) {
            struct plan plan = random_plan(&run);
            if (random_below(&run.random, 8) == 0)
                plan.flags |= EARLY_RESPONSE;
            ask_if_possible(&run, &plan);
        }
        uint64_t dice = random_below(&run.random, 60);
        if (dice == 0)
            do_harm(&run);
        else if (dice == 1)
            change_configuration(&run);
        world_turn(w);
    }
    CHECK(run.asked == REQUESTS && w->open == 0,
          "seed %llu, %s: asked %u, %u still wait for an answer", (unsigned long long)seed,
          hops_name(hops), run.asked, w->open);
    for (unsigned i = 0; i < run.asked; i++)
        CHECK(ends[i].was_reset || ends[i].got_end, "seed %llu: request %u has no end",
              (unsigned long long)seed, i);
    CHECK(!w->origin.bad, "seed %llu: the origin was told that half a request is whole",
          (unsigned long long)seed);
    end_proxy_world(w, seed);
}

TEST(whatever_breaks_every_request_has_an_end_and_nothing_is_left)
{
    unsigned seeds = world_seed_count(25, 2);
    for (unsigned i = 0; i < seeds; i++)
        for (unsigned cell = 0; cell < 4; cell++)
            suffer_with_seed(sim_seed(i), hops_of(cell | (sim_seed(i) + cell) % 4 << 2));
}
