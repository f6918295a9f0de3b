/* A CONNECT that ends at the proxy, byte by byte: what the client hears and what the cluster's host gets. */
#include "proxy/upstream/raw_stream.h"

#include "proxy/proxy_world.h"

static struct loop *test_loop;
struct party {
    struct conn *conn;
    struct buffer got;
    bool has_ended, was_cut;
};
static void party_on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct party *party = owner;
    buffer_append_slice(&party->got, slice_of(data, size));
    block_unref(block);
}
static void party_on_read_end(void *owner)
{
    struct party *party = owner;
    party->has_ended = true;
}
static void party_on_error(void *owner, int error)
{
    struct party *party = owner;
    (void)error;
    party->was_cut = true;
}
static const struct conn_events party_events = {
    .on_bytes = party_on_bytes, .on_read_end = party_on_read_end, .on_error = party_on_error};

static void party_join(struct party *party, int fd)
{
    party->conn = conn_adopt(test_loop, fd, 0, &party_events, party);
    conn_read_start(party->conn);
}

static void on_accept_party(void *owner, int fd, const struct address *peer)
{
    (void)peer;
    party_join(owner, fd);
}

static void say(struct party *party, const char *text)
{
    struct chain bytes = {0};
    chain_append_static(&bytes, slice_str(text));
    conn_write(party->conn, &bytes);
}

static void await(struct proxy_world *w, const struct party *party, const char *text)
{
    for (unsigned turn = 0;
         turn < 2000 && !slice_ends_with(buffer_slice(&party->got), slice_str(text)); turn++)
        loop_turn(w->loop, 100);
    CHECK(slice_ends_with(buffer_slice(&party->got), slice_str(text)), "not \"%s\": %.*s", text,
          SLICE_ARG(buffer_slice(&party->got)));
}

static void begin(struct proxy_world *w, struct party *origin, const char *connect,
                  unsigned max_connections)
{
    owned_buffer yaml = {0};
    begin_proxy_world(w, 1);
    test_loop = w->loop;
    acceptor_destroy(w->origins[0].acceptor);
    CHECK(acceptor_create(w->loop, w->origins[0].fd, on_accept_party, origin,
                          &w->origins[0].acceptor) == 0);
    put_cluster(w, 5, max_connections);
    put_endpoints(w, 1);
    buffer_format(
        &yaml,
        "{name: in, address: {socket_address: {address: 127.0.0.1, port_value: 10000}}, "
        "filter_chains: [{filters: [{name: h, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
        "stat_prefix: s, upgrade_configs: [{upgrade_type: CONNECT}], route_config: {name: r, "
        "virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {connect_matcher: {}}, route: "
        "{cluster: up, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {%s}}]}}]}]}, "
        "http_filters: [{name: r, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}",
        connect);
    proxy_put(w, KIND_LISTENER, "in", yaml.data);
    commit(w);
    loop_turn(w->loop, 0);
}

static void leave(struct party *party)
{
    if (party->conn)
        conn_close(party->conn, CONN_CLOSE);
    buffer_fini(&party->got);
}

TEST(raw_stream_sends_a_proxy_header_before_the_payload)
{
    static struct proxy_world w;
    struct party client = {0}, origin = {0};
    begin(&w, &origin, "proxy_protocol_config: {version: V1}", 10);
    party_join(&client, knock(&w));
    say(&client, "CONNECT origin:1 HTTP/1.1\r\nHost: origin:1\r\n\r\n");
    await(&w, &client, "\r\n\r\n");
    CHECK(slice_starts_with(buffer_slice(&client.got), SLICE("HTTP/1.1 200 OK\r\n")));
    CHECK(!memmem(client.got.data, client.got.size, "ength", 5), "a tunnel has no length: %.*s",
          SLICE_ARG(buffer_slice(&client.got)));
    say(&client, "hello");
    await(&w, &origin, "hello");
    CHECK(slice_starts_with(buffer_slice(&origin.got), SLICE("PROXY ")), "%.*s",
          SLICE_ARG(buffer_slice(&origin.got)));
    CHECK(slice_ends_with(buffer_slice(&origin.got), SLICE("\r\nhello")));
    say(&origin, "and back");
    await(&w, &client, "and back");
    leave(&client);
    leave(&origin);
    end_proxy_world(&w, 1);
}

TEST(raw_stream_counts_among_the_connections_of_its_cluster)
{
    static struct proxy_world w;
    struct party first = {0}, second = {0}, origin = {0};
    begin(&w, &origin, "", 1);
    party_join(&first, knock(&w));
    say(&first, "CONNECT origin:1 HTTP/1.1\r\nHost: origin:1\r\n\r\n");
    await(&w, &first, "\r\n\r\n");
    party_join(&second, knock(&w));
    say(&second, "CONNECT origin:1 HTTP/1.1\r\nHost: origin:1\r\n\r\n");
    await(&w, &second, "its limit of connections is reached");
    CHECK(slice_starts_with(buffer_slice(&second.got), SLICE("HTTP/1.1 503 ")));
    leave(&first);
    leave(&second);
    leave(&origin);
    end_proxy_world(&w, 1);
}

TEST(raw_stream_passes_a_reset_on)
{
    static struct proxy_world w;
    struct party client = {0}, origin = {0};
    begin(&w, &origin, "", 10);
    party_join(&client, knock(&w));
    say(&client, "CONNECT origin:1 HTTP/1.1\r\nHost: origin:1\r\n\r\n");
    await(&w, &client, "\r\n\r\n");
    conn_close(give(origin.conn), CONN_ABORT);
    for (unsigned turn = 0; turn < 2000 && !client.was_cut && !client.has_ended; turn++)
        loop_turn(w.loop, 100);
    CHECK(client.was_cut, "the client takes half for the whole");
    leave(&client);
    leave(&origin);
    end_proxy_world(&w, 1);
}

TEST(raw_stream_holds_its_writer_while_the_client_does_not_read)
{
    enum { ALL = 4 << 20 };
    static char bytes[ALL];
    static struct proxy_world w;
    struct party client = {0}, origin = {0};
    struct chain all = {0};
    begin(&w, &origin, "", 10);
    party_join(&client, knock(&w));
    say(&client, "CONNECT origin:1 HTTP/1.1\r\nHost: origin:1\r\n\r\n");
    await(&w, &client, "\r\n\r\n");
    size_t head = client.got.size;
    conn_read_stop(client.conn);
    chain_append_static(&all, slice_of(bytes, sizeof(bytes)));
    conn_write(origin.conn, &all);
    conn_write_end(origin.conn);
    for (unsigned turn = 0; turn < 2000; turn++)
        loop_turn(w.loop, 100);
    size_t held = block_pool_in_use(loop_blocks(w.loop));
    CHECK(held < 512 * 1024, "%zu bytes are held", held);
    conn_read_start(client.conn);
    for (unsigned turn = 0; turn < 20000 && !client.has_ended; turn++)
        loop_turn(w.loop, 100);
    CHECK(client.has_ended && client.got.size == head + ALL, "%zu bytes came", client.got.size);
    leave(&client);
    leave(&origin);
    end_proxy_world(&w, 1);
}
