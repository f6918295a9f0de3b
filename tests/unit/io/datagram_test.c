#include "io/datagram.h"

#include "base/buffer.h"
#include "io/waiting.h"

#include <errno.h>

struct ear {
    struct datagram *datagram;
    struct datagram_path path;
    struct buffer heard;
    int count;
    bool answers, leaves;
};

static void on_message(void *owner, const struct datagram_path *path, struct slice bytes)
{
    struct ear *ear = owner;
    ear->path = *path;
    ear->count++;
    buffer_reset(&ear->heard);
    buffer_append_slice(&ear->heard, bytes);
    if (ear->answers)
        CHECK(datagram_send(ear->datagram, path, bytes) == 0, "-");
    if (ear->leaves)
        datagram_destroy(ear->datagram);
}

static void listen_at(struct loop *loop, struct ear *ear, const char *text)
{
    struct datagram_options options = {0};
    CHECK(address_parse(slice_str(text), &options.address), "-");
    CHECK(datagram_create(loop, &options, on_message, ear, &ear->datagram) == 0, "%s", text);
}

static void ask(struct ear *from, struct ear *to, const char *host, struct slice bytes)
{
    struct datagram_path path = {.peer = datagram_address(to->datagram)};
    CHECK(address_parse_ip(slice_str(host), address_port(&path.peer), &path.peer), "-");
    CHECK(datagram_send(from->datagram, &path, bytes) == 0, "%s", host);
}

/* A server on the wildcard must answer from the very address that was asked, in both families. */
TEST(datagram_answers_from_the_address_that_was_asked)
{
    static const struct {
        const char *server, *client, *host;
    } rows[] = {
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"},
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.77"},
        {"[::]:0", "[::1]:0", "::1"},
        {"[::]:0", "127.0.0.1:0", "127.0.0.78"},
        {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
    };
    EACH (row, rows) {
        struct loop *loop = loop_for_test();
        struct ear server = {.answers = true}, client = {0};
        listen_at(loop, &server, row->server);
        listen_at(loop, &client, row->client);
        ask(&client, &server, row->host, SLICE("question"));
        WAIT_FOR(loop, client.count == 1);
        CHECK(buffer_equals(&client.heard, "question"), "%s", row->host);
        struct address asked;
        CHECK(address_parse_ip(slice_str(row->host), 0, &asked), "-");
        CHECK(address_equals_ip(&client.path.peer, &asked), "%s", row->host);
        CHECK(address_equals_ip(&server.path.local, &asked), "%s", row->host);
        datagram_destroy(server.datagram);
        datagram_destroy(client.datagram);
        buffer_fini(&server.heard);
        buffer_fini(&client.heard);
        loop_destroy(loop);
    }
}

TEST(datagram_may_be_empty_or_as_long_as_can_be)
{
    static char bytes[65507];
    struct loop *loop = loop_for_test();
    struct ear server = {0}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0");
    listen_at(loop, &client, "127.0.0.1:0");
    ask(&client, &server, "127.0.0.1", slice_of(bytes, 0));
    WAIT_FOR(loop, server.count == 1);
    CHECK(server.heard.size == 0, "-");
    ask(&client, &server, "127.0.0.1", slice_of(bytes, sizeof(bytes)));
    WAIT_FOR(loop, server.count == 2);
    CHECK(server.heard.size == sizeof(bytes), "-");
    struct datagram_path path = {.peer = datagram_address(server.datagram)};
    CHECK(datagram_send(client.datagram, &path, slice_of(bytes, 65508)) != 0, "one byte more");
    datagram_destroy(server.datagram);
    datagram_destroy(client.datagram);
    buffer_fini(&server.heard);
    loop_destroy(loop);
}

TEST(datagram_may_be_destroyed_in_its_callback)
{
    struct loop *loop = loop_for_test();
    struct ear server = {.leaves = true}, client = {0};
    listen_at(loop, &server, "127.0.0.1:0");
    listen_at(loop, &client, "127.0.0.1:0");
    ask(&client, &server, "127.0.0.1", SLICE("one"));
    ask(&client, &server, "127.0.0.1", SLICE("two"));
    WAIT_FOR(loop, server.count == 1);
    loop_turn(loop, 0);
    CHECK(server.count == 1, "-");
    datagram_destroy(client.datagram);
    buffer_fini(&server.heard);
    loop_destroy(loop);
}
