#include "proxy/upstream/upstream.h"

#include "proxy/proxy_world.h"

#include "build/cluster.h"
#include "build/endpoints.h"
#include "io/conn_internal.h"

static struct upstream *find(struct proxy_world *w, const char *name)
{
    struct name key = name_of(slice_str(name));
    return upstream_find(w->worker, &key);
}

static void begin(struct proxy_world *w)
{
    begin_proxy_world(w, 1);
    put_cluster(w, 5, 1000);
    put_endpoints(w, 1);
    put_http_listener(w, 0, NULL);
    commit(w);
    loop_turn(w->loop, 0);
}

static void pass(struct proxy_world *w, uint64_t ms)
{
    uint64_t until_ms = loop_now_ms(w->loop) + ms;
    while (loop_now_ms(w->loop) < until_ms)
        loop_turn(w->loop, until_ms - loop_now_ms(w->loop));
}

static void ask(struct proxy_world *w, struct end *end, unsigned id)
{
    struct plan plan = {.id = id, .response_bytes = 10};
    if (!w->clients[0].http)
        client_connect(w, 0);
    pass(w, 10);
    CHECK(client_ask(w->clients[0].http, end, &plan, &w->bad, &w->open));
    pass(w, 1000);
    CHECK(end->got_end && end->status == 200, "%u", end->status);
}

static struct host *pick(struct proxy_world *w)
{
    struct host *host = NULL;
    CHECK(upstream_pick(find(w, "up"), NULL, NULL, &host) == UPSTREAM_PICKED);
    return host;
}

TEST(a_host_that_stays_keeps_its_connections)
{
    static struct proxy_world w;
    static struct end end;
    begin(&w);
    ask(&w, &end, 1);
    struct host *host = pick(&w);
    CHECK(host->pools[HTTP_POOL_1].connections == 1);
    put_endpoints(&w, 3);
    put_cluster(&w, 9, 1000);
    commit(&w);
    pass(&w, 100);
    CHECK(!host->is_removed && host->pools[HTTP_POOL_1].connections == 1);
    CHECK(find(&w, "up")->cluster->connect_timeout_ms == 9000 &&
          find(&w, "up")->endpoints->count == 2);
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* A POST may not be sent twice, so it is not sent where the server has closed, though the loop has not told of it. */
TEST(a_post_goes_by_a_fresh_connection_when_the_kept_one_has_ended_unheard)
{
    static struct proxy_world w;
    static struct end first, second;
    static const struct plan post = {.id = 2, .request_bytes = 100, .response_bytes = 10};
    begin(&w);
    ask(&w, &first, 1);
    struct host *host = pick(&w);
    struct http_connection *kept = pool_borrow(host, HTTP_POOL_1, false);
    const int fd = transport_conn(http_connection_transport(kept))->fd;
    sim_hold(w.loop, fd, 0);
    w.origin_options.idle_timeout_ms = 1; /* of those that are there as well */
    pass(&w, 3000);
    CHECK(pool_borrow(host, HTTP_POOL_1, false) == kept && http_connection_is_stale(kept));
    w.origin_options.idle_timeout_ms = 0;
    CHECK(client_ask(w.clients[0].http, &second, &post, &w.bad, &w.open));
    pass(&w, 1000);
    CHECK(second.got_end && second.status == 200, "%u", second.status);
    CHECK(host->pools[HTTP_POOL_1].connections == 1, "the one that had ended is gone");
    CHECK(pool_borrow(host, HTTP_POOL_1, true));
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* Used a moment ago, it is not looked at; TCP tells that the server had ended before it could hear of the request. */
TEST(a_post_that_went_out_behind_the_end_of_its_connection_is_sent_again)
{
    static struct proxy_world w;
    static struct end ends[3];
    static const struct plan get = {.id = 2, .response_bytes = 10};
    static const struct plan post = {.id = 3, .request_bytes = 30000, .response_bytes = 10};
    begin(&w);
    ask(&w, &ends[0], 1);
    struct host *host = pick(&w);
    const int fd =
        transport_conn(http_connection_transport(pool_borrow(host, HTTP_POOL_1, false)))->fd;
    sim_hold(w.loop, fd, 4096); /* of it, an answer passes, and no end */
    w.origin_options.idle_timeout_ms = 1;
    CHECK(client_ask(w.clients[0].http, &ends[1], &get, &w.bad, &w.open));
    pass(&w, 5);
    CHECK(ends[1].got_end && ends[1].status == 200);
    w.origin_options.idle_timeout_ms = 0;
    CHECK(client_ask(w.clients[0].http, &ends[2], &post, &w.bad, &w.open));
    pass(&w, 5);
    CHECK(!ends[2].got_end && host->pools[HTTP_POOL_1].connections == 1,
          "it went out by the old one");
    sim_let_go(w.loop, fd);
    pass(&w, 1000);
    CHECK(ends[2].got_end && ends[2].status == 200 && !w.bad, "%u", ends[2].status);
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* What was connected in plaintext served on after mutual TLS had been asked for. */
TEST(a_host_whose_transport_socket_changes_gets_new_connections)
{
    static struct proxy_world w;
    static struct end ends[3];
    begin(&w);
    ask(&w, &ends[0], 1);
    struct host *host = pick(&w);
    for (unsigned is_tls = 1; is_tls != UINT32_MAX; is_tls--) {
        use_hops(&w, (struct hops){.up_is_tls = is_tls});
        put_cluster(&w, 5, 1000);
        commit(&w);
        pass(&w, 100);
        CHECK(!host->is_removed && host->pools[HTTP_POOL_1].connections == 0, "idle, it goes");
        ask(&w, &ends[1 + is_tls], 2 + is_tls);
        struct http_connection *http = pool_borrow(host, HTTP_POOL_1, false);
        CHECK(http && !transport_session(http_connection_transport(http)) == !is_tls);
        CHECK(host->pools[HTTP_POOL_1].connections == 1);
    }
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* Records of exchanges and tunnels that outlived their endpoint's set read freed memory. */
TEST(a_removed_host_still_says_who_it_was)
{
    static struct proxy_world w;
    static struct end end;
    begin(&w);
    ask(&w, &end, 1);
    struct host *host = pick(&w);
    uint64_t hash = host->balance.endpoint->hash;
    put_endpoints(&w, 2);
    commit(&w);
    pass(&w, 1000);
    CHECK(publisher_collect(w.publisher) == 0, "the old set is gone");
    CHECK(host->is_removed && host->pools[HTTP_POOL_1].connections == 0);
    CHECK(host->balance.endpoint->hash == hash && host->hash == hash);
    CHECK(slice_equals(host->balance.endpoint->workload, SLICE("w1;default;w;v1;c")), "%.*s",
          SLICE_ARG(host->balance.endpoint->workload));
    ask(&w, &end, 2);
    CHECK(w.origins[1].requests == 1);
    host_unref(host);
    end_proxy_world(&w, 1);
}

/* A removed host with its last connection was freed while its pools were being closed. */
TEST(the_end_of_a_worker_closes_what_removed_hosts_hold)
{
    static struct proxy_world w;
    static struct end slow;
    begin(&w);
    struct plan plan = {.id = 1, .response_bytes = 200000, .flags = SLOW_CLIENT};
    client_connect(&w, 0);
    pass(&w, 10);
    CHECK(client_ask(w.clients[0].http, &slow, &plan, &w.bad, &w.open));
    pass(&w, 20);
    put_endpoints(&w, 6);
    commit(&w);
    pass(&w, 10);
    CHECK(!slow.got_end && w.open == 1, "it is still under way");
    end_proxy_world(&w, 1); /* the sanitizer watches */
    CHECK(slow.was_reset);
}

/* Whoever waited for a connection to a host that left was answered 503, because the new hosts were not in place yet. */
TEST(who_waits_for_a_removed_host_gets_another)
{
    static struct proxy_world w;
    static struct end end;
    begin(&w);
    acceptor_destroy(give(w.origins[0].acceptor));
    accepted_close(w.loop, w.origins[0].fd);
    struct sim_faults faults = {.late = 1000, .max_delay_us = 900 * 1000};
    sim_set_faults(w.loop, &faults); /* so that connecting takes its time */
    struct plan plan = {.id = 1, .response_bytes = 10};
    client_connect(&w, 0);
    pass(&w, 2000);
    CHECK(client_ask(w.clients[0].http, &end, &plan, &w.bad, &w.open));
    struct host *host = pick(&w);
    for (unsigned turn = 0; turn < 1000 && host->pools[HTTP_POOL_1].waiters == 0; turn++)
        loop_turn(w.loop, 1);
    CHECK(host->pools[HTTP_POOL_1].waiters == 1);
    put_endpoints(&w, 2);
    commit(&w);
    pass(&w, 60000);
    CHECK(end.got_end && end.status == 200, "%u", end.status);
    CHECK(host->is_removed && host->pools[HTTP_POOL_1].waiters == 0);
    host_unref(host);
    w.origins[0].fd = sim_listen(w.loop, &w.origins[0].address);
    end_proxy_world(&w, 1);
}

TEST(hosts_of_original_destinations_are_made_and_forgotten)
{
    static struct proxy_world w;
    begin(&w);
    proxy_put(&w, KIND_CLUSTER, "pass",
              "{name: pass, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, connect_timeout: 1s}");
    commit(&w);
    loop_turn(w.loop, 0);
    struct upstream *upstream = find(&w, "pass");
    struct address to = address_v4(0x0a000001, 80), none = {0};
    struct host *host = NULL, *again = NULL;
    CHECK(upstream_pick(upstream, NULL, NULL, &host) == UPSTREAM_NO_DESTINATION);
    CHECK(upstream_pick(upstream, NULL, &none, &host) == UPSTREAM_NO_DESTINATION);
    CHECK(upstream_pick(upstream, NULL, &to, &host) == UPSTREAM_PICKED);
    CHECK(upstream_pick(upstream, NULL, &to, &again) == UPSTREAM_PICKED && again == host);
    host_unref(again);
    pass(&w, 7000);
    CHECK(map_count(upstream->originals) == 1, "somebody holds it");
    host_unref(host);
    pass(&w, 7000);
    upstreams_tidy(w.worker);
    CHECK(map_count(upstream->originals) == 0);
    intake_remove(w.intake, KIND_CLUSTER, SLICE("pass"));
    commit(&w);
    loop_turn(w.loop, 0);
    CHECK(!find(&w, "pass"));
    end_proxy_world(&w, 1);
}
