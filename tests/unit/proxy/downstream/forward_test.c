/* How a request gets to its host, over a simulated network. */
#include "proxy/downstream/exchange.h"

#include "proxy/proxy_world.h"
#include "proxy/upstream/pool.h"

static struct proxy_world w;
static struct end end;

static void begin(void)
{
    begin_proxy_world(&w, 1);
    put_cluster(&w, 5, 1000);
    put_endpoints(&w, 1);
    put_http_listener(&w, 0, NULL);
    commit(&w);
    loop_turn(w.loop, 0);
}

/* A connection is dialled for somebody who then does not want it any more: it lies idle and has served nobody. */
static void dial_in_vain(void)
{
    struct pool_waiter waiter = {0};
    struct name name = name_of(SLICE("up"));
    struct host *host = NULL;
    struct upstream *upstream = upstream_find(w.worker, &name);
    CHECK(upstream && upstream_pick(upstream, NULL, NULL, &host) == UPSTREAM_PICKED);
    list_init(&waiter.node);
    CHECK(!pool_wait(host, HTTP_POOL_1, &waiter));
    pool_cancel(&waiter);
    host_unref(host);
    for (int turns = 0; turns < 20; turns++)
        loop_turn(w.loop, 0);
    CHECK(w.serving[0].http && w.origins[0].requests == 0, "an idle connection");
}

/* The only request under way; NULL before it has begun. */
static const struct exchange *under_way(void)
{
    if (list_is_empty(&w.worker->downstreams))
        return NULL;
    struct downstream *downstream = LIST_ENTRY(w.worker->downstreams.next, struct downstream, node);
    return list_is_empty(&downstream->exchanges)
               ? NULL
               : LIST_ENTRY(downstream->exchanges.next, struct exchange, node);
}

/* Its host closes it as a request is sent: as little the client's matter as with a connection that was used. */
TEST(a_request_is_sent_again_when_an_idle_connection_closes_that_served_nobody_yet)
{
    struct plan plan = {.id = 1, .response_bytes = 100};
    begin();
    dial_in_vain();
    client_connect(&w, 0);
    CHECK(client_ask(w.clients[0].http, &end, &plan, &w.bad, &w.open));
    while (!under_way() || !under_way()->attempt.stream)
        loop_turn(w.loop, 100);
    CHECK(w.origins[0].requests == 0, "it is on its way");
    http_connection_close(give(w.serving[0].http));
    for (int turns = 0; turns < 1000 && w.open > 0; turns++)
        loop_turn(w.loop, 100);
    CHECK(end.got_end && end.status == 200, "status %u", end.status);
    CHECK(w.origins[0].requests == 1);
    end_proxy_world(&w, 1);
}

/* --- RES-03: memory that peers drive is refused, from the N-th byte on ------------------------------------------- */

static void finish(unsigned turns)
{
    for (unsigned turn = 0; turn < turns && w.open > 0; turn++)
        loop_turn(w.loop, 100);
}

/* What it finds no memory for fails alone; when there is some again, the next request is served. */
static void starve(size_t bytes)
{
    struct plan plan = {.id = 1, .request_bytes = 20000, .response_bytes = 30000},
                after = {.id = 2};
    static struct end next;
    begin();
    client_connect(&w, 0);
    client_connect(&w, 1);
    dial_in_vain();
    w.budget.limit = w.budget.in_use + bytes;
    if (client_ask(w.clients[0].http, &end, &plan, &w.bad, &w.open))
        finish(300);
    w.budget.limit = 0;
    if (end.was_reset)
        end_release(&end); /* it was the client itself that found no memory */
    finish(5000);
    CHECK(w.open == 0, "%zu bytes: a request hangs", bytes);
    CHECK(!w.bad && !w.origin.bad, "%zu bytes: half a message was said to be whole", bytes);
    if (!w.clients[1].http)
        client_connect(&w, 1);
    CHECK(client_ask(w.clients[1].http, &next, &after, &w.bad, &w.open));
    finish(5000);
    CHECK(next.got_end && next.status == 200, "%zu bytes: status %u afterwards", bytes,
          next.status);
    end_proxy_world(&w, 1);
}

TEST(wherever_memory_is_refused_one_request_fails_and_nothing_is_lost)
{
    for (size_t bytes = 1; bytes < 200000; bytes += 997)
        starve(bytes);
}
