/*
 * By which version a request is served: the one that is current on its worker when it begins.
 *
 * The configuration changes at random between requests, and every response names its listener, filter chain and version.
 * The test notes which snapshot the worker was at in the turn in which each request began, and says by its own records what
 * the response must name. TULLE_SEEDS says how many seeds.
 */
#include "proxy/downstream/downstream.h"

#include "proxy/downstream/exchange.h"
#include "proxy/proxy_world.h"

enum {
    REQUESTS = 48,
    EPOCHS = 16384, /* in one run, at most */
    LISTENERS = 2,  /* "l0" and "l1", which take one address from one another */
    CHAINS = 3,     /* for HTTP/1, for HTTP/2, for any */
    CHAIN_ANY = 2,
};

/* What a snapshot says. The chain for any is always there. */
struct said {
    unsigned listener;
    bool has[CHAINS], by_name[CHAINS];
    unsigned version[CHAINS];
    bool is_adopted; /* the worker was at it in some turn */
};

struct asked {
    struct end end;
    unsigned asked_at, begun_at; /* epochs */
    unsigned protocol;           /* the chain for it */
    unsigned spoke_at; /* on a new connection: when the client said the first byte; else 0 */
    unsigned listener, chain, version; /* that the response names */
};

struct run {
    struct proxy_world w;
    struct random random;
    unsigned long long seed;
    struct said now, at[EPOCHS]; /* by epoch */
    unsigned newest, versions, swaps;
    struct http_connection_options options[CLIENTS];
    unsigned connected_at[CLIENTS];
    bool has_asked[CLIENTS];
    struct asked asked[REQUESTS];
    unsigned count;
};

static bool is_http2(unsigned client)
{
    return client == 0;
}

/* --- the configuration -------------------------------------------------------------------------------------------- */

static void append_routes(const struct run *run, unsigned chain, struct buffer *yaml)
{
    buffer_format(
        yaml,
        "virtual_hosts: [{name: v, domains: ['*'], response_headers_to_add: [{header: {key: "
        "x-version, value: '%u %u %u'}}], routes: [{match: {prefix: /}, route: {cluster: up, "
        "timeout: 0s}}]}]}",
        run->now.listener, chain, run->now.version[chain]);
}

static void put_table(struct run *run, unsigned chain)
{
    char name[8];
    owned_buffer yaml = {0};
    snprintf(name, sizeof(name), "t%u%u", run->now.listener, chain);
    run->now.version[chain] = ++run->versions;
    buffer_format(&yaml, "{name: %s, ", name);
    append_routes(run, chain, &yaml);
    proxy_put(&run->w, KIND_ROUTE, name, yaml.data);
}

static void append_chain(const struct run *run, unsigned chain, struct buffer *yaml)
{
    buffer_format(
        yaml,
        "name: c%u, filters: [{name: h, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
        "stat_prefix: s, http_filters: [{name: r, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}], ",
        chain);
    if (run->now.by_name[chain]) {
        buffer_format(yaml, "rds: {route_config_name: t%u%u, config_source: {ads: {}}}",
                      run->now.listener, chain);
    } else {
        buffer_append_str(yaml, "route_config: {name: inside, ");
        append_routes(run, chain, yaml);
    }
    buffer_append_str(yaml, "}}]");
}

static void put_listener(struct run *run)
{
    static const char *const protocols[] = {"'http/1.0', 'http/1.1'", "h2c"};
    owned_buffer yaml = {0};
    char name[] = {'l', (char)('0' + run->now.listener), 0};
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        run->now.has[chain] = chain == CHAIN_ANY || random_below(&run->random, 2);
        run->now.by_name[chain] = random_below(&run->random, 2);
        run->now.version[chain] = ++run->versions;
    }
    buffer_format(&yaml,
                  "{name: %s, address: {socket_address: {address: 127.0.0.1, port_value: 10000}}, "
                  "listener_filters: [{name: i, typed_config: {'@type': type.googleapis.com/"
                  "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}], "
                  "filter_chains: [",
                  name);
    for (unsigned chain = 0; chain < CHAIN_ANY; chain++) {
        if (!run->now.has[chain])
            continue;
        buffer_format(&yaml, "{filter_chain_match: {application_protocols: [%s]}, ",
                      protocols[chain]);
        append_chain(run, chain, &yaml);
        buffer_append_str(&yaml, "}, ");
    }
    buffer_append_str(&yaml, "], default_filter_chain: {");
    append_chain(run, CHAIN_ANY, &yaml);
    buffer_append_str(&yaml, "}}");
    proxy_put(&run->w, KIND_LISTENER, name, yaml.data);
    for (unsigned chain = 0; chain < CHAINS; chain++)
        if (run->now.has[chain] && run->now.by_name[chain])
            put_table(run, chain);
}

static void publish(struct run *run)
{
    if (!intake_commit(run->w.intake))
        return;
    run->newest = (unsigned)publisher_newest(run->w.publisher)->epoch;
    CHECK(run->newest < EPOCHS, "seed %llu", run->seed);
    run->at[run->newest] = run->now;
    run->swaps++;
}

static void change(struct run *run)
{
    struct random *random = &run->random;
    unsigned chain = (unsigned)random_below(random, CHAINS);
    char name[] = {'l', (char)('0' + run->now.listener), 0};
    switch (random_below(random, 5)) {
    case 0: put_endpoints(&run->w, (unsigned)random_below(random, 7) + 1); break;
    case 1: put_cluster(&run->w, (unsigned)random_below(random, 20) + 1, 1000); break;
    case 2: put_listener(run); break;
    case 3: /* another listener takes the address over */
        intake_remove(run->w.intake, KIND_LISTENER, slice_str(name));
        run->now.listener = (run->now.listener + 1) % LISTENERS;
        put_listener(run);
        break;
    default:
        if (run->now.has[chain] && run->now.by_name[chain])
            put_table(run, chain);
        break;
    }
    if (random_below(random, 4) != 0) /* else the next change comes in the same snapshot */
        publish(run);
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

static void on_response(struct http_stream *stream, struct http_response *head, bool is_end)
{
    struct asked *asked = CONTAINER_OF(stream->owner, struct asked, end);
    const struct header *field = headers_find_name(&head->headers, SLICE("x-version"));
    if (head->status >= 200) {
        char text[40] = "";
        CHECK(field && field->value_size < sizeof(text), "request %u: status %u names no version",
              asked->end.plan.id, head->status);
        memcpy(text, field->value, field->value_size);
        CHECK(sscanf(text, "%u %u %u", &asked->listener, &asked->chain, &asked->version) == 3, "%s",
              text);
        CHECK(asked->listener < LISTENERS && asked->chain < CHAINS, "%s", text);
    }
    end_events.on_response(stream, head, is_end);
}

static struct http_stream_events noting_events;

static void client_arrives(struct run *run, unsigned index)
{
    struct proxy_world *w = &run->w;
    struct client *client = &w->clients[index];
    unsigned at = (unsigned)worker_snapshot(w->worker)->epoch;
    char text[] = {'l', (char)('0' + run->at[at].listener), 0};
    struct name listener = name_of(slice_str(text));
    struct address peer = address_v4(0x0a000064, 4000);
    int fds[2];
    sim_pair(w->loop, fds);
    arrival_begin(w->worker, &listener, fds[1], &peer);
    client->world = w;
    client->http = http_connection_create(client_transport(w, fds[0], is_http2(index)), HTTP_CLIENT,
                                          &run->options[index], &client_events, client);
    CHECK(client->http);
    run->connected_at[index] = at;
    run->has_asked[index] = false;
}

static struct plan random_plan(struct run *run)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000};
    struct plan plan = {.id = run->count};
    plan.flags = (unsigned)random_below(&run->random, ALL_FLAGS + 1) &
                 (CHUNKED_REQUEST | CHUNKED_RESPONSE | INFORMATIONAL | SLOW_CLIENT | SLOW_ORIGIN);
    plan.response_bytes = sizes[random_below(&run->random, COUNT(sizes))];
    if (random_below(&run->random, 2))
        plan.request_bytes = sizes[random_below(&run->random, COUNT(sizes))];
    return plan;
}

/* Some time after it has connected. */
static void client_asks(struct run *run, unsigned index)
{
    struct proxy_world *w = &run->w;
    struct asked *asked = &run->asked[run->count];
    struct http_connection *http = w->clients[index].http;
    struct plan plan = random_plan(run);
    if (http_connection_room(http) == 0 || !client_ask(http, &asked->end, &plan, &w->bad, &w->open))
        return;
    asked->end.stream->events = &noting_events;
    asked->asked_at = (unsigned)worker_snapshot(w->worker)->epoch;
    asked->begun_at = 0;
    asked->protocol = is_http2(index);
    /* HTTP/2 begins with a preface, before anything is asked. */
    asked->spoke_at = run->has_asked[index] ? 0
                      : is_http2(index)     ? run->connected_at[index]
                                            : asked->asked_at;
    run->has_asked[index] = true;
    run->count++;
}

static void note_begun(struct run *run, struct list *downstreams)
{
    LIST_EACH(node, downstreams)
    {
        struct downstream *downstream = LIST_ENTRY(node, struct downstream, node);
        LIST_EACH(each, &downstream->exchanges)
        {
            const struct exchange *exchange = LIST_ENTRY(each, struct exchange, node);
            unsigned id = (unsigned)strtoul(exchange->head->path.data + 1, NULL, 10);
            CHECK(id < run->count, "request %u", id);
            if (run->asked[id].begun_at == 0)
                run->asked[id].begun_at = (unsigned)worker_snapshot(run->w.worker)->epoch;
        }
    }
}

/* A snapshot that is published before a turn is the worker's in that turn. */
static void turn(struct run *run)
{
    struct worker *worker = run->w.worker;
    loop_turn(run->w.loop, 100);
    CHECK(worker_snapshot(worker)->epoch == run->newest, "seed %llu: at %llu of %u", run->seed,
          (unsigned long long)worker_snapshot(worker)->epoch, run->newest);
    run->at[run->newest].is_adopted = true;
    note_begun(run, &worker->downstreams);
    note_begun(run, &worker->drain_left);
}

/* --- what must have been ---------------------------------------------------------------------------------------------- */

static bool has_chain(const struct said *said, const struct asked *asked)
{
    return said->is_adopted && said->listener == asked->listener && said->has[asked->chain];
}

/* The version that is in force for a connection of that chain: the chain's last one, when it has gone. */
static unsigned version_for(const struct run *run, const struct asked *asked)
{
    unsigned epoch = asked->begun_at;
    while (epoch > 0 && !has_chain(&run->at[epoch], asked))
        epoch--;
    return run->at[epoch].version[asked->chain];
}

/* A new connection gets the chain that fits what it says, as configured when it says it or later. */
static bool is_fit(const struct run *run, const struct asked *asked)
{
    for (unsigned epoch = asked->spoke_at; epoch <= asked->begun_at; epoch++) {
        const struct said *said = &run->at[epoch];
        unsigned chain = said->has[asked->protocol] ? asked->protocol : CHAIN_ANY;
        if (has_chain(said, asked) && asked->chain == chain)
            return true;
    }
    return false;
}

/* False: the proxy closed a connection that was to end just when the client asked; a client asks again. */
static bool check_answer(const struct run *run, const struct asked *asked)
{
    const struct end *end = &asked->end;
    if (end->was_reset && asked->begun_at == 0)
        return false;
    CHECK(end_is_whole(end), "seed %llu: request %u: status %u, end %d, reset %d", run->seed,
          end->plan.id, end->status, end->got_end, end->was_reset);
    CHECK(asked->begun_at >= asked->asked_at, "seed %llu: request %u began at %u", run->seed,
          end->plan.id, asked->begun_at);
    CHECK(
        asked->version == version_for(run, asked),
        "seed %llu: request %u began at epoch %u, and listener %u, chain %u was at %u; but it was "
        "served by %u",
        run->seed, end->plan.id, asked->begun_at, asked->listener, asked->chain,
        version_for(run, asked), asked->version);
    CHECK(asked->spoke_at == 0 || is_fit(run, asked),
          "seed %llu: request %u of epochs %u to %u got chain %u of listener %u", run->seed,
          end->plan.id, asked->asked_at, asked->begun_at, asked->chain, asked->listener);
    return true;
}

static void begin_run(struct run *run, uint64_t seed)
{
    struct proxy_world *w = &run->w;
    memset(run, 0, sizeof(*run));
    begin_proxy_world(w, seed);
    random_seed(&run->random, seed);
    run->seed = seed;
    noting_events = end_events;
    noting_events.on_response = on_response;
    for (unsigned i = 0; i < CLIENTS; i++) {
        run->options[i] = http_connection_defaults;
        run->options[i].choice = is_http2(i) ? HTTP_ONLY_2 : HTTP_ONLY_1;
    }
    put_cluster(w, 5, 1000);
    put_endpoints(w, 7);
    put_listener(run);
    publish(run);
    turn(run);
}

struct tally {
    unsigned swaps, answered, orphans, late;
};

static void serve_with_seed(uint64_t seed, struct tally *tally)
{
    static struct run run;
    begin_run(&run, seed);
    struct proxy_world *w = &run.w;
    struct sim_faults faults = sim_usual_faults();
    sim_set_faults(w->loop, &faults);
    for (unsigned turns = 0; turns < 100000 && (run.count < REQUESTS || open_ends(w) > 0);
         turns++) {
        unsigned index = (unsigned)random_below(&run.random, CLIENTS);
        if (run.count < REQUESTS && !w->clients[index].http)
            client_arrives(&run, index);
        else if (run.count < REQUESTS && random_below(&run.random, 3) == 0)
            client_asks(&run, index);
        if (random_below(&run.random, 2) == 0)
            change(&run);
        turn(&run);
    }
    CHECK(run.count == REQUESTS && w->open == 0, "seed %llu: asked %u, %u are open", run.seed,
          run.count, w->open);
    CHECK(!w->bad && !w->origin.bad, "seed %llu: wrong bytes", run.seed);
    for (unsigned i = 0; i < run.count; i++) {
        const struct asked *asked = &run.asked[i];
        bool is_answered = check_answer(&run, asked);
        tally->answered += is_answered;
        tally->orphans += is_answered && !has_chain(&run.at[asked->begun_at], asked);
        tally->late += is_answered && asked->asked_at < asked->begun_at;
    }
    tally->swaps += run.swaps;
    end_proxy_world(w, seed);
}

TEST(a_request_is_served_by_what_is_current_on_its_worker_when_it_begins)
{
    unsigned seeds = sim_seed_count(25);
    struct tally tally = {0};
    for (unsigned i = 0; i < seeds; i++)
        serve_with_seed(sim_seed(i), &tally);
    CHECK(seeds < 10 || tally.answered > seeds * REQUESTS * 9 / 10, "%u answered", tally.answered);
    CHECK(seeds < 10 || (tally.orphans > seeds && tally.late > seeds && tally.swaps > seeds * 40),
          "%u swaps, %u orphans, %u began after a swap", tally.swaps, tally.orphans, tally.late);
    print_message(
        "%u swaps, %u requests, %u of them after their chain had gone, %u of them begun after a "
        "swap that they had not seen when they left\n",
        tally.swaps, tally.answered, tally.orphans, tally.late);
}
