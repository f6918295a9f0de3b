#include "rpc/server.h"

#include "base/error.h"
#include "rpc/pair.h"

#include <sys/socket.h>
#include <unistd.h>

static const struct rpc_client_config http1 = {.protocol = RPC_HTTP1},
                                      http2 = {.protocol = RPC_HTTP2};

/* A service that answers with what it was asked. */
static void echo_body(void *owner, struct rpc_exchange *exchange, struct slice body)
{
    struct buffer text = {0};
    (void)owner;
    buffer_format(&text, "%.*s %.*s?%.*s %.*s", SLICE_ARG(rpc_exchange_method(exchange)),
                  SLICE_ARG(rpc_exchange_path(exchange)), SLICE_ARG(rpc_exchange_query(exchange)),
                  SLICE_ARG(body));
    rpc_exchange_reply(exchange, 200, "text/plain", buffer_slice(&text));
    buffer_fini(&text);
}
static unsigned closes;
static void count_close(void *owner, struct rpc_exchange *exchange)
{
    (void)owner, (void)exchange;
    closes++;
}
static const struct rpc_service echo = {.on_body = echo_body, .on_close = count_close};

static struct heard *call(struct pair *p, const char *method, const char *path, const char *body,
                          struct heard *h)
{
    struct rpc_call_config config = {.method = method, .path = path};
    *h = (struct heard){0};
    h->call = rpc_client_http(p->client, &config, slice_str(body), &hearing, h);
    pair_run(p, &h->ended, 20000);
    return h;
}

TEST(server_routes_http_by_the_longest_prefix_in_either_protocol)
{
    static const struct rpc_client_config *const protocols[] = {&http1, &http2};
    EACH (config, protocols) {
        struct pair *p = pair_open(NULL, *config, 1);
        struct heard h;
        rpc_server_add_http(p->server, "/api/", &echo, NULL);
        closes = 0;
        HEARD(call(p, NULL, "/api/v1/things?limit=2", "", &h),
              "head=200 GET /api/v1/things?limit=2  end=OK:");
        buffer_fini(&h.text);
        HEARD(call(p, NULL, "/api/x", "hello", &h), "head=200 POST /api/x? hello end=OK:");
        buffer_fini(&h.text);
        HEARD(call(p, NULL, "/nowhere", "", &h), "head=404 there is no such path here\n end=OK:");
        buffer_fini(&h.text);
        HEARD(call(p, "HEAD", "/api/x", "", &h), "head=200  end=OK:");
        buffer_fini(&h.text);
        CHECK(closes == 3, "%u", closes);
        pair_close(p);
    }
}

TEST(server_refuses_a_body_one_byte_too_long)
{
    struct pair *p = pair_open(&(struct rpc_server_limits){.max_body = 1000}, &http1, 1);
    char body[1002];
    struct heard h;
    rpc_server_add_http(p->server, "/", &echo, NULL);
    memset(body, 'x', sizeof(body));
    body[1000] = '\0';
    call(p, NULL, "/", body, &h);
    CHECK(strstr(h.text.data, "head=200"), "%s", h.text.data);
    buffer_fini(&h.text);
    body[1000] = 'x';
    body[1001] = '\0';
    HEARD(call(p, NULL, "/", body, &h),
          "head=413 the body is longer than max_body allows\n end=OK:");
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(server_answers_only_for_its_hosts)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", NULL};
    static const struct {
        const char *authority;
        bool allowed;
    } cases[] = {{"localhost:8080", true}, {"LOCALHOST", true},
                 {"127.0.0.1:1", true},    {"evil.example:8080", false},
                 {"10.0.0.1:8080", false}, {"localhost.evil.example", false}};
    EACH (c, cases) {
        struct pair *p = pair_open(
            NULL,
            &(struct rpc_client_config){.protocol = RPC_HTTP1,
                                        .target = {.port = 9090, .authority = c->authority}},
            1);
        struct address address = address_v4(0x0a000001, 9090);
        p->listeners++;
        struct heard h;
        CHECK(rpc_server_listen(
                  p->server,
                  &(struct rpc_listen){.fd = sim_listen(p->loop, &address), .hosts = hosts},
                  NULL) == 1);
        rpc_server_add_http(p->server, "/", &echo, NULL);
        call(p, NULL, "/", "", &h);
        CHECK(strstr(h.text.data, c->allowed ? "head=200" : "head=421"), "%s: %s", c->authority,
              h.text.data);
        buffer_fini(&h.text);
        pair_close(p);
    }
}

/* A watch: the head at once, a line now and then. */
static struct rpc_exchange *watched;
static void open_watch(void *owner, struct rpc_exchange *exchange)
{
    struct rpc_header type = {SLICE("content-type"), SLICE("application/json")};
    (void)owner;
    rpc_exchange_start(exchange, 200, &type, 1);
    watched = exchange;
}
static void close_watch(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    CHECK(watched == exchange);
    watched = NULL;
}
static const struct rpc_service watch = {.on_open = open_watch, .on_close = close_watch};

TEST(server_streams_an_answer_and_hears_when_the_client_leaves)
{
    static const struct rpc_client_config *const protocols[] = {&http1, &http2};
    EACH (config, protocols) {
        struct pair *p = pair_open(NULL, *config, 1);
        struct heard h = {0};
        rpc_server_add_http(p->server, "/watch", &watch, NULL);
        h.call = rpc_client_http(p->client, &(struct rpc_call_config){.path = "/watch"}, SLICE_NONE,
                                 &hearing, &h);
        pair_run(p, NULL, 100);
        CHECK(watched && rpc_server_exchange(p->server, rpc_exchange_handle(watched)) == watched);
        uint64_t name = rpc_exchange_handle(watched);
        CHECK(rpc_exchange_write(watched, SLICE("{1}")));
        pair_run(p, NULL, 100);
        CHECK(rpc_exchange_write(watched, SLICE("{2}")));
        pair_run(p, NULL, 200000); /* longer than any idle timeout of an exchange */
        HEARD(&h, "head=200 {1}{2}");
        rpc_call_cancel(h.call);
        pair_run(p, NULL, 1000);
        CHECK(!watched && !rpc_server_exchange(p->server, name));

        buffer_reset(&h.text);
        h.call = rpc_client_http(p->client, &(struct rpc_call_config){.path = "/watch"}, SLICE_NONE,
                                 &hearing, &h);
        pair_run(p, NULL, 100);
        CHECK(rpc_exchange_write(watched, SLICE("{3}")));
        rpc_exchange_finish(watched);
        pair_run(p, &h.ended, 1000);
        HEARD(&h, "head=200 {3} end=OK:");
        CHECK(!watched);
        buffer_fini(&h.text);
        pair_close(p);
    }
}

TEST(server_that_closes_in_the_middle_reports_nothing_more)
{
    struct pair *p = pair_open(NULL, &http2, 1);
    struct heard h = {0};
    rpc_server_add_http(p->server, "/watch", &watch, NULL);
    rpc_client_http(p->client, &(struct rpc_call_config){.path = "/watch"}, SLICE_NONE, &hearing,
                    &h);
    pair_run(p, NULL, 100);
    CHECK(watched);
    rpc_server_close(p->server);
    p->server = rpc_server_create(&p->means, NULL);
    pair_run(p, &h.ended, 1000);
    CHECK(h.ended && watched, "the client is told, the service is not");
    watched = NULL;
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(server_refuses_more_connections_than_its_limit)
{
    struct pair *p = pair_open(&(struct rpc_server_limits){.max_connections = 1}, &http2, 1);
    struct heard h = {0}, g = {0};
    rpc_server_add_http(p->server, "/watch", &watch, NULL);
    rpc_client_http(p->client, &(struct rpc_call_config){.path = "/watch"}, SLICE_NONE, &hearing,
                    &h);
    pair_run(p, NULL, 100);
    CHECK(rpc_server_connections(p->server) == 1);
    struct rpc_client_config config = {.target = {.host = "10.0.0.1", .port = 8080}};
    struct rpc_client *second = rpc_client_create(&p->means, &config);
    rpc_client_http(second, &(struct rpc_call_config){.path = "/watch"}, SLICE_NONE, &hearing, &g);
    pair_run(p, &g.ended, 10000);
    CHECK(g.ended && strstr(g.text.data, "end=UNAVAILABLE"), "%s", g.text.data);
    CHECK(rpc_server_connections(p->server) == 1 && !h.ended);
    rpc_client_close(second);
    buffer_fini(&h.text);
    buffer_fini(&g.text);
    pair_close(p);
}

TEST(server_asks_old_connections_to_go_and_loses_no_call)
{
    struct pair *p = pair_open(&(struct rpc_server_limits){.max_age_ms = 1000}, &http2, 1);
    rpc_server_add_http(p->server, "/", &echo, NULL);
    for (unsigned i = 0; i < 40; i++) {
        struct heard h;
        call(p, NULL, "/", "", &h);
        CHECK(strstr(h.text.data, "end=OK"), "%s", h.text.data);
        buffer_fini(&h.text);
        pair_run(p, NULL, 150);
    }
    pair_close(p);
}

TEST(server_says_why_it_cannot_listen)
{
    struct loop *loop;
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &loop) == 0);
    struct rpc_means means = {.loop = loop};
    struct rpc_server *server = rpc_server_create(&means, NULL);
    int first = rpc_server_listen(server, &(struct rpc_listen){.address = "127.0.0.1"}, NULL);
    CHECK(first == 0 && rpc_server_port(server, first) != 0);
    owned_error error = {0};
    struct rpc_listen again = {.address = "127.0.0.1", .port = rpc_server_port(server, first)};
    CHECK(rpc_server_listen(server, &again, &error) < 0);
    CHECK(strstr(error.what, "cannot listen on 127.0.0.1:") && error.fix, "%s", error.what);
    error_fini(&error);
    CHECK(rpc_server_listen(server, &(struct rpc_listen){.address = "localhost"}, &error) < 0);
    CHECK(strcmp(error.what, "localhost is no IP address to listen on") == 0, "%s", error.what);
    rpc_server_close(server);
    loop_turn(loop, 0);
    loop_destroy(loop);
}
