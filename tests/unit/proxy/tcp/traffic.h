/*
 * traffic: exchanges through a TCP proxy under test: HTTP, so that both ends know what must arrive, at random moments of a
 * seed. What the proxy is configured to do with the bytes, and what is done to it meanwhile, is the test's.
 */
#pragma once

#include "proxy/proxy_world.h"

enum { TRAFFIC_MAX = 16 };

struct traffic {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    unsigned asked, wanted; /* of ends */
    struct end ends[TRAFFIC_MAX];
};

static inline void traffic_begin(struct traffic *t, unsigned wanted, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    begin_proxy_world(&t->w, seed);
    random_seed(&t->random, seed);
    t->seed = seed;
    t->wanted = wanted;
}

static inline struct plan traffic_plan(struct traffic *t)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 70000, 200000};
    struct plan plan = {.id = t->asked};
    plan.flags = (unsigned)random_below(&t->random, ALL_FLAGS + 1) &
                 (CHUNKED_REQUEST | CHUNKED_RESPONSE | SLOW_CLIENT | SLOW_ORIGIN);
    plan.response_bytes = sizes[random_below(&t->random, COUNT(sizes))];
    plan.request_bytes = sizes[random_below(&t->random, COUNT(sizes))];
    return plan;
}

static inline void traffic_ask(struct traffic *t)
{
    struct proxy_world *w = &t->w;
    unsigned index = (unsigned)random_below(&t->random, CLIENTS);
    struct client *client = &w->clients[index];
    struct plan plan = traffic_plan(t);
    if (!client->http)
        client_connect(w, index);
    if (http_connection_room(client->http) > 0 &&
        client_ask(client->http, &t->ends[t->asked], &plan, &w->bad, &w->open))
        t->asked++;
}

/* A client asks at one turn of four, as long as there is something to ask. */
static inline void traffic_ask_now_and_then(struct traffic *t)
{
    if (t->asked < t->wanted && random_below(&t->random, 4) == 0)
        traffic_ask(t);
}

/* --- judges ------------------------------------------------------------------------------------------------------- */

/* Nothing broke: everything was answered, over the tunnels that were there from the beginning. */
static inline void traffic_check_whole(const struct traffic *t)
{
    const struct proxy_world *w = &t->w;
    CHECK(t->asked == t->wanted && w->open == 0, "seed %llu: asked %u, %u are open", t->seed,
          t->asked, w->open);
    for (unsigned i = 0; i < t->asked; i++)
        CHECK(end_is_whole(&t->ends[i]), "seed %llu: request %u", t->seed, i);
    CHECK(!w->bad && !w->origin.bad, "seed %llu: wrong bytes", t->seed);
    CHECK(tcp_counted(w, TCP_CX_TOTAL) <= CLIENTS, "seed %llu: a tunnel was cut", t->seed);
}

/* Whatever broke: nobody waits, and nothing half is called whole. */
static inline void traffic_check_ended(const struct traffic *t)
{
    const struct proxy_world *w = &t->w;
    CHECK(t->asked == t->wanted && w->open == 0, "seed %llu: asked %u, %u still wait", t->seed,
          t->asked, w->open);
    CHECK(!w->bad && !w->origin.bad, "seed %llu: half a message was said to be whole", t->seed);
}

static inline void traffic_end(struct traffic *t)
{
    end_proxy_world(&t->w, t->seed);
}

/* Faults of the usual kinds. */
static inline void traffic_meet_faults(struct traffic *t)
{
    struct sim_faults faults = sim_usual_faults();
    sim_set_faults(t->w.loop, &faults);
}

/* And connections that break. */
static inline void traffic_meet_breaks(struct traffic *t)
{
    struct sim_faults faults = sim_usual_faults();
    faults.reset = 5;
    faults.connect_fails = 100;
    sim_set_faults(t->w.loop, &faults);
}

/*
 * All of it, while connections break. In each turn `meddle` does to the proxy what the dice, below 100, says, perhaps to that
 * client.
 */
static inline void traffic_suffer(struct traffic *t,
                                  void (*meddle)(struct traffic *t, struct client *client,
                                                 uint64_t dice))
{
    struct proxy_world *w = &t->w;
    traffic_meet_breaks(t);
    for (unsigned turn = 0; turn < 100000 && (t->asked < t->wanted || w->open > 0); turn++) {
        traffic_ask_now_and_then(t);
        struct client *client = &w->clients[random_below(&t->random, CLIENTS)];
        meddle(t, client, random_below(&t->random, 100));
        commit(w);
        loop_turn(w->loop, 100);
    }
    traffic_check_ended(t);
    traffic_end(t);
}
