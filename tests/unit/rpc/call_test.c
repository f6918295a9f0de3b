#include "rpc/call.h"

#include "rpc/pair.h"

static const struct rpc_client_config http2 = {.protocol = RPC_HTTP2, .backoff_base_ms = 100};

/* Echoes every message until the peer ends, then says OK; words in a message make it do otherwise. */
static unsigned opens, closes;
static void on_open(void *owner, struct rpc_exchange *exchange)
{
    (void)owner, (void)exchange;
    opens++;
}
static void on_message(void *owner, struct rpc_exchange *exchange, struct slice message)
{
    (void)owner;
    if (slice_equals_str(message, "fail"))
        rpc_exchange_end(exchange, GRPC_FAILED_PRECONDITION, SLICE("as you wish: 100%"));
    else if (slice_equals_str(message, "reset"))
        rpc_exchange_reset(exchange);
    else if (!slice_equals_str(message, "silence"))
        CHECK(rpc_exchange_send(exchange, message));
}
static void on_end(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    rpc_exchange_end(exchange, GRPC_OK, SLICE_NONE);
}
static void on_close(void *owner, struct rpc_exchange *exchange)
{
    (void)owner, (void)exchange;
    closes++;
}
static const struct rpc_service echo = {
    .on_open = on_open, .on_message = on_message, .on_end = on_end, .on_close = on_close};

static struct pair *open_echo(const struct rpc_client_config *config, uint64_t seed)
{
    struct pair *p = pair_open(NULL, config, seed);
    rpc_server_add_grpc(p->server, "/test.Echo/Talk", &echo, NULL);
    opens = closes = 0;
    return p;
}

static struct rpc_call *talk(struct pair *p, struct heard *h, const char *first)
{
    h->call = rpc_client_grpc(p->client, &(struct rpc_call_config){.path = "/test.Echo/Talk"},
                              &hearing, h);
    if (first)
        CHECK(rpc_call_send(h->call, slice_str(first)));
    return h->call;
}

TEST(call_carries_messages_both_ways_and_a_status)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {0};
    talk(p, &h, "one");
    pair_run(p, NULL, 100);
    HEARD(&h, "head=200 message=one ");
    CHECK(rpc_call_send(h.call, SLICE("two")) && rpc_call_send(h.call, SLICE("")));
    rpc_call_send_end(h.call);
    pair_run(p, &h.ended, 1000);
    HEARD(&h, "head=200 message=one message=two message=  end=OK:");
    CHECK(opens == 1 && closes == 1);
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(call_without_messages_gets_a_status_alone)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {0};
    talk(p, &h, NULL);
    rpc_call_send_end(h.call);
    pair_run(p, &h.ended, 1000);
    HEARD(&h, " end=OK:");
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(call_hears_the_status_that_the_service_gave)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {0}, g = {0}, f = {0};
    talk(p, &h, "fail");
    pair_run(p, &h.ended, 1000);
    HEARD(&h, " end=FAILED_PRECONDITION:as you wish: 100%");
    talk(p, &g, "reset");
    pair_run(p, &g.ended, 1000);
    CHECK(strstr(g.text.data, "end=INTERNAL"), "%s", g.text.data);
    f.call = rpc_client_grpc(p->client, &(struct rpc_call_config){.path = "/test.Echo/Nothing"},
                             &hearing, &f);
    pair_run(p, &f.ended, 1000);
    HEARD(&f, " end=UNIMPLEMENTED:there is no such method here");
    buffer_fini(&h.text);
    buffer_fini(&g.text);
    buffer_fini(&f.text);
    pair_close(p);
}

TEST(call_ends_at_its_deadline_on_both_sides)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {0};
    struct rpc_call_config config = {.path = "/test.Echo/Talk", .timeout_ms = 500};
    h.call = rpc_client_grpc(p->client, &config, &hearing, &h);
    CHECK(rpc_call_send(h.call, SLICE("silence")));
    pair_run(p, &h.ended, 1000);
    CHECK(strstr(h.text.data, "end=DEADLINE_EXCEEDED"), "%s", h.text.data);
    pair_run(p, NULL, 1000);
    CHECK(closes == 1);
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(call_cancelled_reports_nothing_more_and_the_service_hears)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {.cancel_on_message = true}, g = {0};
    talk(p, &h, "one");
    CHECK(rpc_call_send(h.call, SLICE("two")));
    pair_run(p, NULL, 1000);
    HEARD(&h, "head=200 message=one ");
    CHECK(closes == 1);
    rpc_call_cancel(talk(p, &g, "never sent"));
    rpc_call_cancel(NULL);
    pair_run(p, NULL, 1000);
    CHECK(!g.text.data && opens == 1);
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(calls_share_one_connection_and_each_is_its_own)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard heard[50] = {0};
    for (unsigned i = 0; i < COUNT(heard); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%u", i);
        talk(p, &heard[i], text);
        rpc_call_send_end(heard[i].call);
    }
    pair_run(p, NULL, 2000);
    CHECK(rpc_server_connections(p->server) == 1);
    for (unsigned i = 0; i < COUNT(heard); i++) {
        char text[64];
        snprintf(text, sizeof(text), "head=200 message=%u  end=OK:", i);
        HEARD(&heard[i], text);
        buffer_fini(&heard[i].text);
    }
    pair_close(p);
}

TEST(call_message_one_byte_too_long_is_refused)
{
    struct rpc_client_config config = {.protocol = RPC_HTTP2, .max_message = 5000};
    struct pair *p = open_echo(&config, 1);
    char *text = mem_alloc(GRPC_MAX_MESSAGE + 1);
    struct heard h = {0}, g = {0}, f = {0};
    memset(text, 'x', GRPC_MAX_MESSAGE + 1);
    talk(p, &h, NULL);
    CHECK(rpc_call_send(h.call, slice_of(text, 5000)));
    rpc_call_send_end(h.call);
    pair_run(p, &h.ended, 2000);
    CHECK(strstr(h.text.data, "end=OK:"), "%.100s", h.text.data);
    talk(p, &g, NULL);
    CHECK(rpc_call_send(g.call, slice_of(text, 5001)));
    pair_run(p, &g.ended, 2000);
    HEARD(&g, "head=200  end=RESOURCE_EXHAUSTED:a message is longer than max_message allows");
    talk(p, &f, NULL); /* longer than the server takes */
    CHECK(rpc_call_send(f.call, slice_of(text, GRPC_MAX_MESSAGE + 1)));
    pair_run(p, &f.ended, 2000);
    HEARD(&f, " end=RESOURCE_EXHAUSTED:a message is longer than max_message allows");
    mem_free(text);
    buffer_fini(&h.text);
    buffer_fini(&g.text);
    buffer_fini(&f.text);
    pair_close(p);
}

TEST(call_of_megabytes_passes_windows_and_backlogs)
{
    struct rpc_client_config config = {.protocol = RPC_HTTP2, .max_send_backlog = 65536};
    struct pair *p = open_echo(&config, 1);
    struct heard h = {0};
    char *text = mem_alloc(100000);
    memset(text, 'y', 100000);
    talk(p, &h, NULL);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(rpc_call_send(h.call, slice_of(text, 100000)));
        CHECK(!rpc_call_is_writable(h.call));
        unsigned before = h.writables;
        for (unsigned turns = 0; turns < 1000 && h.writables == before; turns++)
            loop_turn(p->loop, 10);
        CHECK(h.writables == before + 1 && rpc_call_is_writable(h.call));
    }
    rpc_call_send_end(h.call);
    pair_run(p, &h.ended, 5000);
    CHECK(h.ended && h.text.size > 2000000, "%zu", h.text.size);
    mem_free(text);
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(call_paused_by_its_owner_stops_the_server_and_goes_on)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {0};
    char *text = mem_alloc(50000);
    memset(text, 'z', 50000);
    talk(p, &h, NULL);
    rpc_call_pause(h.call);
    for (unsigned i = 0; i < 10; i++)
        CHECK(rpc_call_send(h.call, slice_of(text, 50000)));
    rpc_call_send_end(h.call);
    pair_run(p, NULL, 1000);
    CHECK(h.text.size < 100, "%zu bytes were told", h.text.size);
    rpc_call_resume(h.call);
    pair_run(p, &h.ended, 5000);
    CHECK(h.ended && h.text.size > 500000);
    mem_free(text);
    buffer_fini(&h.text);
    pair_close(p);
}

TEST(call_fails_fast_or_waits_while_nobody_listens)
{
    struct rpc_client_config config = {
        .protocol = RPC_HTTP2, .target = {.port = 9999}, .backoff_base_ms = 100};
    struct pair *p = open_echo(&config, 1);
    struct heard h = {0}, g = {0};
    talk(p, &h, "hello");
    struct rpc_call_config patient = {.path = "/test.Echo/Talk", .wait_for_ready = true};
    g.call = rpc_client_grpc(p->client, &patient, &hearing, &g);
    CHECK(rpc_call_send(g.call, SLICE("patience")));
    rpc_call_send_end(g.call);
    pair_run(p, &h.ended, 10000);
    CHECK(strstr(h.text.data, "end=UNAVAILABLE:10.0.0.1:9999: "), "%s", h.text.data);
    CHECK(strstr(rpc_client_error(p->client), "10.0.0.1:9999"));
    pair_run(p, NULL, 1000);
    CHECK(!g.ended && !rpc_client_is_connected(p->client));

    struct address address = address_v4(0x0a000001, 9999);
    p->listeners++;
    CHECK(rpc_server_listen(p->server, &(struct rpc_listen){.fd = sim_listen(p->loop, &address)},
                            NULL) == 1);
    pair_run(p, &g.ended, 60000);
    HEARD(&g, "head=200 message=patience  end=OK:");
    CHECK(rpc_client_is_connected(p->client) && rpc_client_error(p->client)[0] == '\0');
    buffer_fini(&h.text);
    buffer_fini(&g.text);
    pair_close(p);
}

TEST(call_beyond_max_calls_is_refused)
{
    struct rpc_client_config config = {.protocol = RPC_HTTP2, .max_calls = 2};
    struct pair *p = open_echo(&config, 1);
    struct heard heard[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        talk(p, &heard[i], "silence");
    pair_run(p, NULL, 1000);
    CHECK(!heard[0].ended && !heard[1].ended);
    HEARD(&heard[2], " end=RESOURCE_EXHAUSTED:there are more calls than max_calls allows");
    for (unsigned i = 0; i < 3; i++)
        buffer_fini(&heard[i].text);
    pair_close(p);
}

TEST(client_may_be_closed_in_a_report)
{
    struct pair *p = open_echo(&http2, 1);
    struct heard h = {.close_on_end = p->client}, g = {0};
    talk(p, &h, "fail");
    talk(p, &g, "silence");
    pair_run(p, &h.ended, 1000);
    CHECK(h.ended && !g.ended);
    p->client = NULL;
    buffer_fini(&h.text);
    buffer_fini(&g.text);
    pair_close(p);
}

TEST(call_http_is_tried_once_more_when_a_kept_connection_was_closed)
{
    static const struct rpc_client_config http1 = {.protocol = RPC_HTTP1,
                                                   .idle_timeout_ms = 3600000};
    struct pair *p = pair_open(&(struct rpc_server_limits){.idle_timeout_ms = 1000}, &http1, 1);
    for (unsigned i = 0; i < 20; i++) {
        struct heard h = {0};
        h.call = rpc_client_http(p->client, &(struct rpc_call_config){.path = "/"}, SLICE_NONE,
                                 &hearing, &h);
        pair_run(p, &h.ended, 5000);
        CHECK(strstr(h.text.data, "head=404"), "%s", h.text.data);
        buffer_fini(&h.text);
        pair_run(p, NULL, 990 + i); /* around the server's idle timeout */
    }
    pair_close(p);
}

/* Whatever the network does, every call ends exactly once and nothing is left. */
TEST(calls_end_exactly_once_over_a_bad_network)
{
    for (unsigned s = 0; s < sim_seed_count(150); s++) {
        uint64_t seed = sim_seed(s);
        struct pair *p = open_echo(&http2, seed);
        struct sim_faults faults = sim_usual_faults();
        faults.reset = seed % 3 ? 2 : 0;
        faults.connect_fails = seed % 5 ? 0 : 200;
        sim_set_faults(p->loop, &faults);
        struct heard heard[12] = {0};
        for (unsigned i = 0; i < COUNT(heard); i++) {
            static const char *const firsts[] = {"one", "fail", "reset", "one", "two", "three"};
            talk(p, &heard[i], firsts[i % COUNT(firsts)]);
            if (i % 2)
                rpc_call_send_end(heard[i].call);
            pair_run(p, NULL, i * 7);
            if (i % 5 == 4 && !heard[i].ended) {
                rpc_call_cancel(heard[i].call);
                heard[i].ended = true;
            } else if (!heard[i].ended) {
                rpc_call_send_end(heard[i].call);
            }
        }
        for (unsigned i = 0; i < COUNT(heard); i++) {
            pair_run(p, &heard[i].ended, 60000);
            CHECK(heard[i].ended, "seed %llu, call %u: %s", (unsigned long long)seed, i,
                  heard[i].text.data);
            buffer_fini(&heard[i].text);
        }
        pair_run(p, NULL, 1000);
        CHECK(opens == closes, "seed %llu: %u opened, %u closed", (unsigned long long)seed, opens,
              closes);
        pair_close(p);
    }
}
