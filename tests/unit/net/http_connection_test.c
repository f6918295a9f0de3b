#include "net/http_connection.h"

#include "base/memory.h"
#include "io/sim.h"
#include "net/exchanges.h"

/* client - relay - origin, on one simulated loop. */
struct world {
    struct loop *loop;
    struct memory_budget budget;
    struct http_connection_options options[2]; /* downstream, upstream */
    struct http_connection *client, *down, *up, *serving;
    struct relay relay;
    struct origin origin;
    bool bad; /* seen by the client */
    unsigned open;
    enum http_closed reasons[4];
    int closed[4]; /* client, down, up, serving */
    enum http_refusal refused;
};

static struct world *world; /* of the running test */

static void note_closed(struct http_connection **slot, int index, enum http_closed reason)
{
    world->closed[index]++;
    world->reasons[index] = reason;
    *slot = NULL;
}
static void client_on_closed(void *owner, struct http_connection *connection,
                             enum http_closed reason, const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->client, 0, reason);
}
static void down_on_closed(void *owner, struct http_connection *connection, enum http_closed reason,
                           const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->down, 1, reason);
}
static void up_on_closed(void *owner, struct http_connection *connection, enum http_closed reason,
                         const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    world->relay.up = NULL;
    note_closed(&world->up, 2, reason);
}
static void serving_on_closed(void *owner, struct http_connection *connection,
                              enum http_closed reason, const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->serving, 3, reason);
}
static void on_refused(void *owner, struct http_connection *connection, enum http_refusal refusal)
{
    (void)owner, (void)connection;
    world->refused = refusal;
}

static const struct http_connection_events client_events = {.on_closed = client_on_closed};
static const struct http_connection_events down_connection_events = {
    .on_request = relay_on_request, .on_refused = on_refused, .on_closed = down_on_closed};
static const struct http_connection_events up_connection_events = {.on_room = relay_on_room,
                                                                   .on_closed = up_on_closed};
static const struct http_connection_events origin_events = {
    .on_request = origin_on_request, .on_refused = on_refused, .on_closed = serving_on_closed};

static struct transport *make_transport(struct world *w, int fd)
{
    static const struct conn_events none = {0};
    static const struct transport_options plain = {0};
    struct conn *conn = conn_adopt(w->loop, fd, 0, &none, NULL);
    CHECK(conn);
    struct transport *transport = transport_create(conn, NULL, &plain, NULL, NULL);
    CHECK(transport);
    return transport;
}

static struct http_connection *join(struct world *w, int fd, enum http_role role,
                                    const struct http_connection_options *options,
                                    const struct http_connection_events *events, void *owner)
{
    struct http_connection *connection =
        http_connection_create(make_transport(w, fd), role, options, events, owner);
    CHECK(connection);
    return connection;
}

static void begin_world(struct world *w, uint64_t seed, enum http_choice down, enum http_choice up)
{
    *w = (struct world){0};
    world = w;
    struct loop_options options = {
        .name = "test", .backend = LOOP_SIM, .budget = &w->budget, .seed = seed};
    CHECK(loop_create(&options, &w->loop) == 0);
    w->options[0] = w->options[1] = http_connection_defaults;
    w->options[0].choice = (uint8_t)down;
    w->options[1].choice = (uint8_t)up;
    w->relay.loop = w->origin.loop = w->loop;
    list_init(&w->relay.waiting);
}

static void connect_up(struct world *w)
{
    int fds[2];
    sim_pair(w->loop, fds);
    w->up = join(w, fds[0], HTTP_CLIENT, &w->options[1], &up_connection_events, &w->relay);
    w->serving = join(w, fds[1], HTTP_SERVER, &w->options[1], &origin_events, &w->origin);
    w->relay.up = w->up;
}

static void connect_down(struct world *w)
{
    int fds[2];
    sim_pair(w->loop, fds);
    w->client = join(w, fds[0], HTTP_CLIENT, &w->options[0], &client_events, w);
    w->down = join(w, fds[1], HTTP_SERVER, &w->options[0], &down_connection_events, &w->relay);
}

static void close_one(struct http_connection **connection)
{
    if (*connection)
        http_connection_close(*connection);
    *connection = NULL;
}

/* Until all is quiet: late completions and slow ends included. */
static void settle(struct world *w, unsigned turns)
{
    bool is_quiet = false;
    while (turns-- > 0 && !is_quiet)
        is_quiet = !loop_turn(w->loop, 100) && sim_open_count(w->loop) == 0 &&
                   w->open + w->relay.open + w->origin.open == 0;
}

static void end_world(struct world *w)
{
    w->relay.up = NULL;
    close_one(&w->client);
    close_one(&w->down);
    close_one(&w->up);
    close_one(&w->serving);
    settle(w, 2000);
    CHECK(w->open == 0 && w->relay.open == 0 && w->origin.open == 0, "open: %u %u %u", w->open,
          w->relay.open, w->origin.open);
    CHECK(sim_open_count(w->loop) == 0, "%u descriptors are open", sim_open_count(w->loop));
    CHECK(block_pool_in_use(loop_blocks(w->loop)) == 0, "%zu bytes of blocks are lent out",
          block_pool_in_use(loop_blocks(w->loop)));
    loop_destroy(w->loop);
    CHECK(w->budget.in_use == 0, "%zu bytes are charged", w->budget.in_use);
}

static const char *name_of(enum http_choice choice)
{
    return choice == HTTP_ONLY_2 ? "HTTP/2" : "HTTP/1";
}

static struct plan random_plan(struct random *random, unsigned id, bool is_alone)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, 70000, 200000};
    struct plan plan = {.id = id, .flags = (unsigned)random_below(random, ALL_FLAGS + 1)};
    plan.response_bytes = sizes[random_below(random, COUNT(sizes))];
    if (random_below(random, 2))
        plan.request_bytes = sizes[random_below(random, COUNT(sizes))];
    if (plan.flags & (EARLY_RESPONSE | HEAD_REQUEST | REQUEST_TRAILERS) && random_below(random, 4))
        plan.flags &= ~(unsigned)(EARLY_RESPONSE | HEAD_REQUEST | REQUEST_TRAILERS);
    if (plan.flags & HEAD_REQUEST)
        plan.request_bytes = 0, plan.flags &= ~(unsigned)REQUEST_TRAILERS;
    if (!is_alone)
        plan.flags &= ~(unsigned)EARLY_RESPONSE;
    return plan;
}

/* --- every cell of (HTTP/1, HTTP/2) x (HTTP/1, HTTP/2) ---------------------------------------------------------- */

static const enum http_choice cells[][2] = {{HTTP_ONLY_1, HTTP_ONLY_1},
                                            {HTTP_ONLY_1, HTTP_ONLY_2},
                                            {HTTP_ONLY_2, HTTP_ONLY_1},
                                            {HTTP_ONLY_2, HTTP_ONLY_2}};

static void check_end(const struct end *end, uint64_t seed, const char *cell)
{
    const struct plan *plan = &end->plan;
    CHECK(end->got_end && !end->was_reset && end->got == end->to_get,
          "seed %llu, %s: request %u (flags %u, %zu up, %zu down): end %d, reset %d, %zu bytes",
          (unsigned long long)seed, cell, plan->id, plan->flags, plan->request_bytes,
          plan->response_bytes, end->got_end, end->was_reset, end->got);
    CHECK(end->informational == (plan->flags & INFORMATIONAL ? 1 : 0), "seed %llu, %s",
          (unsigned long long)seed, cell);
    bool trailers = (plan->flags & RESPONSE_TRAILERS) && !(plan->flags & HEAD_REQUEST);
    CHECK(end->got_trailers == trailers, "seed %llu, %s: request %u", (unsigned long long)seed,
          cell, plan->id);
}

static void relay_with_seed(uint64_t seed, const enum http_choice *cell, bool is_faulty)
{
    struct world w;
    struct random random;
    random_seed(&random, seed);
    begin_world(&w, seed, cell[0], cell[1]);
    if (is_faulty) {
        struct sim_faults faults = sim_usual_faults();
        sim_set_faults(w.loop, &faults);
    }
    connect_down(&w);
    connect_up(&w);
    /* HTTP/1 upstream carries one exchange at a time, and waiting hops take no body. */
    bool is_parallel = cell[0] == HTTP_ONLY_2 && cell[1] == HTTP_ONLY_2;
    enum { REQUESTS = 12 };
    static struct end ends[REQUESTS];
    unsigned asked = 0;
    for (unsigned turn = 0; turn < 60000 && (asked < REQUESTS || w.open > 0); turn++) {
        while (asked < REQUESTS && w.client && (is_parallel || w.open + w.relay.open == 0) &&
               http_connection_room(w.client) > 0) {
            struct plan plan = random_plan(&random, asked, false);
            if (!client_ask(w.client, &ends[asked], &plan, &w.bad, &w.open))
                break;
            asked++;
        }
        loop_turn(w.loop, 100);
    }
    char name[40];
    snprintf(name, sizeof(name), "%s to %s", name_of(cell[0]), name_of(cell[1]));
    CHECK(asked == REQUESTS && w.open == 0, "seed %llu, %s: asked %u, %u are open",
          (unsigned long long)seed, name, asked, w.open);
    for (unsigned i = 0; i < asked; i++)
        check_end(&ends[i], seed, name);
    CHECK(!w.bad && !w.origin.bad, "seed %llu, %s: wrong bytes", (unsigned long long)seed, name);
    CHECK(w.origin.requests == REQUESTS, "seed %llu, %s", (unsigned long long)seed, name);
    CHECK(w.relay.most_held <= 64 * 1024 + 64 * 1024, "seed %llu, %s: held %zu",
          (unsigned long long)seed, name, w.relay.most_held);
    CHECK(w.client && w.down && w.up && w.serving, "seed %llu, %s: a connection was closed",
          (unsigned long long)seed, name);
    end_world(&w);
}

TEST(requests_are_relayed_between_all_protocols)
{
    EACH (cell, cells)
        relay_with_seed(1, *cell, false);
    unsigned seeds = sim_seed_count(30);
    for (unsigned i = 0; i < seeds; i++)
        EACH (cell, cells)
            relay_with_seed(sim_seed(i), *cell, true);
}

/* Connections break anywhere: whoever says that a message is whole must have all of it, and nothing leaks. */
static void break_with_seed(uint64_t seed, const enum http_choice *cell)
{
    struct world w;
    struct random random;
    random_seed(&random, seed);
    begin_world(&w, seed, cell[0], cell[1]);
    struct sim_faults faults = sim_usual_faults();
    faults.reset = 5;
    sim_set_faults(w.loop, &faults);
    enum { REQUESTS = 10 };
    static struct end ends[REQUESTS];
    unsigned asked = 0;
    for (unsigned turn = 0; turn < 30000 && (asked < REQUESTS || w.open > 0); turn++) {
        if (!w.client && !w.down && w.open == 0)
            connect_down(&w);
        if (!w.up && !w.serving && w.relay.open == 0)
            connect_up(&w);
        if (asked < REQUESTS && w.client && w.open + w.relay.open == 0 &&
            http_connection_room(w.client) > 0) {
            struct plan plan = random_plan(&random, asked, true);
            if (client_ask(w.client, &ends[asked], &plan, &w.bad, &w.open))
                asked++;
        }
        loop_turn(w.loop, 100);
        /* A relay whose upstream has gone answers nothing here: give the request up. */
        if (!w.relay.up && !list_is_empty(&w.relay.waiting))
            hop_release(LIST_ENTRY(w.relay.waiting.next, struct hop, node));
    }
    CHECK(!w.bad && !w.origin.bad, "seed %llu: wrong bytes, or too few, were said to be whole",
          (unsigned long long)seed);
    CHECK(w.open == 0, "seed %llu: a client still waits", (unsigned long long)seed);
    end_world(&w);
}

TEST(connections_that_break_leave_nothing_half_and_leak_nothing)
{
    unsigned seeds = sim_seed_count(30);
    for (unsigned i = 0; i < seeds; i++)
        EACH (cell, cells)
            break_with_seed(sim_seed(i), *cell);
}
