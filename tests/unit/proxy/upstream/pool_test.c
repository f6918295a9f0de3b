#include "proxy/upstream/pool.h"

#include "proxy/proxy_world.h"

/* Somebody who wants a connection, and asks one request on it. */
struct waiting {
    struct pool_waiter waiter;
    struct proxy_world *world;
    struct end end;
    struct plan plan;
    bool is_ready, has_failed;
    enum pool_failure failure;
    uint32_t requests_before;
};

static void on_ready(struct pool_waiter *waiter, struct http_connection *connection)
{
    struct waiting *waiting = CONTAINER_OF(waiter, struct waiting, waiter);
    waiting->is_ready = true;
    waiting->requests_before = http_connection_requests(connection);
    CHECK(client_ask(connection, &waiting->end, &waiting->plan, &waiting->world->bad,
                     &waiting->world->open));
}
static void on_failed(struct pool_waiter *waiter, enum pool_failure failure, const char *text)
{
    struct waiting *waiting = CONTAINER_OF(waiter, struct waiting, waiter);
    CHECK(strlen(text) > 10, "%s", text);
    waiting->has_failed = true;
    waiting->failure = failure;
}

static struct host *begin(struct proxy_world *w, unsigned max_connections)
{
    struct name name = name_of(SLICE("up"));
    struct host *host = NULL;
    begin_proxy_world(w, 1);
    put_cluster(w, 5, max_connections);
    put_endpoints(w, 1);
    commit(w);
    loop_turn(w->loop, 0);
    CHECK(upstream_pick(upstream_find(w->worker, &name), NULL, NULL, &host) == UPSTREAM_PICKED);
    return host;
}

static bool wait_on(struct proxy_world *w, struct host *host, struct waiting *waiting, unsigned id)
{
    waiting->waiter.on_ready = on_ready;
    waiting->waiter.on_failed = on_failed;
    waiting->world = w;
    waiting->plan.id = id;
    waiting->plan.response_bytes = 1000;
    return !pool_wait(host, HTTP_POOL_1, &waiting->waiter);
}

static void turns(struct proxy_world *w)
{
    for (unsigned i = 0; i < 50; i++)
        loop_turn(w->loop, 5);
}

TEST(a_connection_is_lent_again_and_again)
{
    static struct proxy_world w;
    struct waiting first = {0}, second = {0};
    struct host *host = begin(&w, 100);
    struct pool *pool = &host->pools[HTTP_POOL_1];
    CHECK(!pool_borrow(host, HTTP_POOL_1, false));
    CHECK(wait_on(&w, host, &first, 1) && pool->connecting == 1 && pool->waiters == 1);
    turns(&w);
    CHECK(first.is_ready && first.end.got_end && pool->connections == 1 && pool->waiters == 0);
    struct http_connection *http = pool_borrow(host, HTTP_POOL_1, false);
    CHECK(http && http_connection_requests(http) == 1);
    on_ready(&second.waiter, (second.world = &w, second.plan = first.plan, http));
    pool_opened(http);
    CHECK(!pool_borrow(host, HTTP_POOL_1, false), "it is taken");
    turns(&w);
    CHECK(second.end.got_end && pool_borrow(host, HTTP_POOL_1, false) == http);
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* A request that failed on a stale connection was sent again on the next stale one. */
TEST(who_wants_a_fresh_connection_gets_no_other)
{
    static struct proxy_world w;
    struct waiting first = {0}, fresh = {.waiter.wants_fresh = true};
    struct host *host = begin(&w, 100);
    CHECK(wait_on(&w, host, &first, 1));
    first.plan.response_bytes = 50000;
    CHECK(wait_on(&w, host, &fresh, 2) && host->pools[HTTP_POOL_1].connecting == 2);
    turns(&w);
    CHECK(first.end.got_end && fresh.end.got_end && fresh.requests_before == 0);
    host_unref(host);
    end_proxy_world(&w, 1);
}

TEST(at_the_limit_an_idle_connection_gives_way_to_a_fresh_one)
{
    static struct proxy_world w;
    struct waiting first = {0}, fresh = {.waiter.wants_fresh = true};
    struct host *host = begin(&w, 1);
    CHECK(wait_on(&w, host, &first, 1));
    turns(&w);
    CHECK(first.end.got_end && host->pools[HTTP_POOL_1].connections == 1);
    CHECK(wait_on(&w, host, &fresh, 2));
    turns(&w);
    CHECK(fresh.end.got_end && fresh.requests_before == 0);
    CHECK(host->pools[HTTP_POOL_1].connections == 1 && w.open == 0);
    host_unref(host);
    end_proxy_world(&w, 1);
}

TEST(at_the_limit_one_connection_serves_all_who_wait)
{
    static struct proxy_world w;
    static struct waiting all[5];
    memset(all, 0, sizeof(all));
    struct host *host = begin(&w, 1);
    for (unsigned i = 0; i < COUNT(all); i++)
        CHECK(wait_on(&w, host, &all[i], i));
    CHECK(host->pools[HTTP_POOL_1].connections == 1 && host->pools[HTTP_POOL_1].waiters == 5);
    turns(&w);
    for (unsigned i = 0; i < COUNT(all); i++)
        CHECK(all[i].end.got_end && all[i].requests_before == i, "%u", i);
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* One was idle to another host, and the waiter would have waited for ever. */
TEST(at_the_limit_an_idle_connection_of_another_host_gives_way)
{
    static struct proxy_world w;
    static struct waiting first, second;
    struct name name = name_of(SLICE("up"));
    struct host *host = begin(&w, 1), *other = NULL;
    first = second = (struct waiting){0};
    put_endpoints(&w, 3);
    commit(&w);
    loop_turn(w.loop, 0);
    do {
        host_unref(other);
        CHECK(upstream_pick(upstream_find(w.worker, &name), NULL, NULL, &other) == UPSTREAM_PICKED);
    } while (other == host);
    CHECK(wait_on(&w, host, &first, 1));
    turns(&w);
    CHECK(first.end.got_end && wait_on(&w, other, &second, 2));
    turns(&w);
    CHECK(second.end.got_end && host->pools[HTTP_POOL_1].connections == 0);
    CHECK(other->pools[HTTP_POOL_1].connections == 1);
    host_unref(host);
    host_unref(other);
    end_proxy_world(&w, 1);
}

TEST(more_pending_requests_than_the_limit_are_refused)
{
    static struct proxy_world w;
    static struct waiting all[3];
    memset(all, 0, sizeof(all));
    struct host *host = begin(&w, 1);
    put_cluster_with(&w, 5, 1, 2);
    commit(&w);
    loop_turn(w.loop, 0);
    CHECK(wait_on(&w, host, &all[0], 0) && wait_on(&w, host, &all[1], 1));
    CHECK(!wait_on(&w, host, &all[2], 2), "one more than the limit");
    turns(&w);
    CHECK(all[0].end.got_end && all[1].end.got_end && !all[2].is_ready && !all[2].has_failed);
    CHECK(wait_on(&w, host, &all[2], 2) || pool_borrow(host, HTTP_POOL_1, false));
    host_unref(host);
    end_proxy_world(&w, 1);
}

TEST(who_stops_waiting_hears_nothing)
{
    static struct proxy_world w;
    struct waiting waiting = {0};
    struct host *host = begin(&w, 100);
    CHECK(wait_on(&w, host, &waiting, 1));
    pool_cancel(&waiting.waiter);
    CHECK(host->pools[HTTP_POOL_1].waiters == 0);
    turns(&w);
    CHECK(!waiting.is_ready && !waiting.has_failed);
    CHECK(pool_borrow(host, HTTP_POOL_1, false), "the connection is there for the next");
    host_unref(host);
    end_proxy_world(&w, 1);
}

TEST(failures_say_what_happened)
{
    static struct proxy_world w;
    struct waiting gone = {0}, refused = {0};
    struct host *host = begin(&w, 100);
    acceptor_destroy(give(w.origins[0].acceptor));
    accepted_close(w.loop, w.origins[0].fd);
    CHECK(wait_on(&w, host, &refused, 1));
    turns(&w);
    CHECK(refused.has_failed && refused.failure == POOL_CONNECT_FAILED);
    CHECK(wait_on(&w, host, &gone, 2));
    put_endpoints(&w, 2);
    commit(&w);
    loop_turn(w.loop, 0);
    CHECK(gone.has_failed && gone.failure == POOL_GONE && host->is_removed);
    CHECK(!wait_on(&w, host, &gone, 3), "a removed host takes nobody any more");
    host_unref(host);
    w.origins[0].fd = sim_listen(w.loop, &w.origins[0].address);
    end_proxy_world(&w, 1);
}
