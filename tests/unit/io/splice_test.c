#include "io/splice.h"

#include "base/memory.h"
#include "base/random.h"
#include "io/conn.h"
#include "io/loop.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* A relay between a client and a server that are plain sockets: what a tunnel does, without its policy. */
struct side {
    struct conn *conn;
    struct side *other;
    size_t copied;
    int read_ends, write_errors, errors;
    int peer; /* the client's or the server's own descriptor */
};
struct relay {
    struct loop *loop;
    struct side client, server;
};

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct side *side = owner;
    side->copied += size;
    conn_write_block(side->other->conn, block, data, size);
}
static void on_read_end(void *owner)
{
    struct side *side = owner;
    side->read_ends++;
    if (!side->other->write_errors)
        conn_write_end(side->other->conn);
}
static void on_write_end(void *owner, int error)
{
    ((struct side *)owner)->write_errors += error != 0;
}
static void on_error(void *owner, int error)
{
    (void)error;
    ((struct side *)owner)->errors++;
}
static const struct conn_events events = {.on_bytes = on_bytes,
                                          .on_read_end = on_read_end,
                                          .on_write_end = on_write_end,
                                          .on_error = on_error};

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 1) == 0, "-");
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0, "-");
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fds[0], (struct sockaddr *)&at, size) == 0, "-");
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0, "-");
    close(listener);
}

static void side_open(struct relay *relay, struct side *side, struct side *other)
{
    int fds[2];
    tcp_pair(fds);
    side->peer = fds[0];
    side->other = other;
    side->conn = conn_adopt(relay->loop, fds[1], 0, &events, side);
    CHECK(side->conn, "-");
}

static struct relay *relay_open(void)
{
    struct relay *relay = mem_new(struct relay);
    struct loop_options options = {.name = "test"};
    signal(SIGPIPE, SIG_IGN);
    CHECK(loop_create(&options, &relay->loop) == 0, "-");
    side_open(relay, &relay->client, &relay->server);
    side_open(relay, &relay->server, &relay->client);
    CHECK(conn_splice(relay->client.conn, relay->server.conn), "-");
    CHECK(conn_splice(relay->server.conn, relay->client.conn), "-");
    CHECK(!conn_splice(relay->client.conn, relay->server.conn), "once is enough");
    conn_read_start(relay->client.conn);
    conn_read_start(relay->server.conn);
    return relay;
}

static void relay_close(struct relay *relay)
{
    conn_close(relay->client.conn, CONN_ABORT);
    conn_close(relay->server.conn, CONN_ABORT);
    loop_settle(relay->loop);
    CHECK(loop_blocks_in_use(relay->loop) == 0, "-");
    loop_destroy(relay->loop);
    close(relay->client.peer);
    close(relay->server.peer);
    mem_free(relay);
}

static char byte_at(size_t at)
{
    return (char)((at * 7 + at / 251) % 251);
}

/* Says what the socket takes of the numbered stream, up to `end`. */
static void say(int fd, size_t *said, size_t end, size_t piece)
{
    char bytes[65536];
    size_t size = MIN(end - *said, piece);
    size = MIN(size, sizeof(bytes));
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(*said + i);
    ssize_t sent = size ? send(fd, bytes, size, MSG_NOSIGNAL) : 0;
    *said += sent > 0 ? (size_t)sent : 0;
}

/* False at the end of the stream. */
static bool hear(int fd, size_t *heard)
{
    static char bytes[1 << 18];
    ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
    for (ssize_t i = 0; i < got; i++)
        CHECK(bytes[i] == byte_at(*heard + (size_t)i), "byte %zu", *heard + (size_t)i);
    *heard += got > 0 ? (size_t)got : 0;
    return got != 0;
}

TEST(splice_carries_bulk_both_ways_and_then_each_end)
{
    enum { SIZE = 8 << 20 };
    struct relay *r = relay_open();
    size_t said[2] = {0}, heard[2] = {0};
    while (heard[0] < SIZE || heard[1] < SIZE) {
        say(r->client.peer, &said[0], SIZE, SIZE);
        say(r->server.peer, &said[1], SIZE, SIZE);
        loop_turn(r->loop, 0);
        hear(r->server.peer, &heard[0]);
        hear(r->client.peer, &heard[1]);
    }
    CHECK(r->client.copied < SIZE / 2, "%zu bytes were copied", r->client.copied);
    CHECK(conn_spliced(r->client.conn).bytes + r->client.copied == SIZE, "-");
    CHECK(conn_received(r->client.conn) == SIZE && conn_sent(r->server.conn) == SIZE, "-");
    shutdown(r->client.peer, SHUT_WR);
    while (hear(r->server.peer, &heard[0]))
        loop_turn(r->loop, 1);
    CHECK(r->client.read_ends == 1 && r->server.read_ends == 0, "a half-close goes one way");
    said[1] = heard[1] = 0;
    while (heard[1] < SIZE) {
        say(r->server.peer, &said[1], SIZE, SIZE);
        loop_turn(r->loop, 0);
        hear(r->client.peer, &heard[1]);
    }
    relay_close(r);
}

TEST(splice_reads_small_messages)
{
    struct relay *r = relay_open();
    size_t said = 0, heard = 0;
    for (int i = 0; i < 200; i++) {
        say(r->client.peer, &said, said + 100, 100);
        while (heard < said) {
            loop_turn(r->loop, 1);
            hear(r->server.peer, &heard);
        }
    }
    CHECK(conn_spliced(r->client.conn).bytes == 0, "-");
    relay_close(r);
}

/* At any mixture of sizes, speeds and pauses, each byte comes once and in order. */
TEST(splice_keeps_the_order_when_sizes_and_speeds_change)
{
    enum { SIZE = 4 << 20 };
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct relay *r = relay_open();
        struct random random;
        random_seed(&random, seed);
        size_t said = 0, heard = 0, piece = 65536;
        while (heard < SIZE) {
            if (random_below(&random, 20) == 0)
                piece = 1 + random_below(&random, random_below(&random, 2) ? 300 : 65536);
            say(r->client.peer, &said, SIZE, piece);
            if (random_below(&random, 3))
                loop_turn(r->loop, 0);
            if (piece > 300 ? random_below(&random, 4) == 0 : true)
                hear(r->server.peer, &heard);
            if (random_below(&random, 10) == 0)
                conn_read_stop(r->client.conn);
            else if (!conn_is_reading(r->client.conn))
                conn_read_start(r->client.conn);
        }
        CHECK(heard == SIZE, "seed %d", (int)seed);
        relay_close(r);
    }
}

TEST(splice_stops_a_writer_whose_reader_stalls)
{
    struct relay *r = relay_open();
    int small = 64 * 1024;
    setsockopt(r->server.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    size_t said = 0, heard = 0, before = 1;
    for (int still = 0; still < 50; still = said == before ? still + 1 : 0) {
        before = said;
        say(r->client.peer, &said, SIZE_MAX, 65536);
        loop_turn(r->loop, 1);
    }
    CHECK(loop_blocks_in_use(r->loop) < 256 * 1024, "%zu", loop_blocks_in_use(r->loop));
    size_t end = said;
    while (heard < end) {
        loop_turn(r->loop, 1);
        hear(r->server.peer, &heard);
    }
    CHECK(conn_spliced(r->client.conn).bytes > 0, "-");
    relay_close(r);
}

/* What the pipe holds is lost with the reader, and the writer must hear of it. */
TEST(splice_tells_of_a_reader_that_resets)
{
    struct relay *r = relay_open();
    struct linger none = {.l_onoff = 1};
    size_t said = 0, heard = 0;
    while (heard < 1 << 20) {
        say(r->client.peer, &said, SIZE_MAX, 65536);
        loop_turn(r->loop, 0);
        hear(r->server.peer, &heard);
    }
    setsockopt(r->server.peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(r->server.peer);
    r->server.peer = dup(r->client.peer);
    while (!r->server.errors && !r->server.write_errors) {
        say(r->client.peer, &said, SIZE_MAX, 65536);
        loop_turn(r->loop, 1);
    }
    relay_close(r);
}

/* A close that drops bytes of the pipe is a reset at the reader, never a clean end. */
TEST(splice_that_ends_with_bytes_in_the_pipe_is_a_reset)
{
    struct relay *r = relay_open();
    size_t said = 0, before = 1;
    for (int still = 0; still < 50; still = said == before ? still + 1 : 0) {
        before = said;
        say(r->client.peer, &said, SIZE_MAX, 65536);
        loop_turn(r->loop, 1);
    }
    conn_close(r->client.conn, CONN_CLOSE);
    conn_close(r->server.conn, CONN_CLOSE);
    loop_settle(r->loop);
    char bytes[65536];
    ssize_t got;
    while ((got = recv(r->server.peer, bytes, sizeof(bytes), 0)) > 0)
        ;
    CHECK(got < 0 && errno == ECONNRESET, "%zd, %d", got, errno);
    loop_destroy(r->loop);
    close(r->client.peer);
    close(r->server.peer);
    mem_free(r);
}

TEST(splice_is_refused_on_other_back_ends)
{
    struct loop *loop;
    struct loop_options options = {.name = "test", .backend = LOOP_IO_URING};
    if (loop_create(&options, &loop))
        return;
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
    struct side side = {0};
    struct conn *a = conn_adopt(loop, fds[0], 0, &events, &side);
    struct conn *b = conn_adopt(loop, fds[1], 0, &events, &side);
    CHECK(!conn_splice(a, b), "-");
    conn_close(a, CONN_ABORT);
    conn_close(b, CONN_ABORT);
    loop_settle(loop);
    loop_destroy(loop);
}
