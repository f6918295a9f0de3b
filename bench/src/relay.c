/*
 * What src/io costs by itself: a one-to-one TCP relay over conns, with backpressure and half-close, that looks at no byte.
 *   relay -l LISTEN_PORT -u UPSTREAM_PORT [-t SECONDS] [-m epoll|io_uring]
 * The difference to nullproxy is the loop, the conns and the blocks; the difference of tulle-proxy to this is HTTP.
 */
#include "base/memory.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BACKLOG_MAX = 64 * 1024 };

struct pair;
struct half {
    struct pair *pair;
    struct half *other;
    struct conn *conn;
    bool has_ended;
};
struct pair {
    struct half down, up;
};

static struct loop *loop;
static struct address upstream;

static void end_pair(struct pair *pair, enum conn_close how)
{
    conn_close(pair->down.conn, how);
    conn_close(pair->up.conn, how);
    mem_free(pair);
}

static void on_connected(void *owner)
{
    (void)owner;
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct half *half = owner;
    conn_write_block(half->other->conn, block, data, size);
    if (conn_backlog(half->other->conn) > BACKLOG_MAX)
        conn_read_stop(half->conn);
}

static void on_written(void *owner, size_t size)
{
    (void)size;
    struct half *half = owner;
    if (!conn_is_reading(half->other->conn) && conn_backlog(half->conn) <= BACKLOG_MAX / 2)
        conn_read_start(half->other->conn);
}

static void on_read_end(void *owner)
{
    struct half *half = owner;
    half->has_ended = true;
    if (half->other->has_ended)
        end_pair(half->pair, CONN_CLOSE);
    else
        conn_write_end(half->other->conn);
}

static void on_error(void *owner, int error)
{
    (void)error;
    end_pair(((struct half *)owner)->pair, CONN_ABORT);
}

static const struct conn_events events = {
    .on_connected = on_connected,
    .on_bytes = on_bytes,
    .on_written = on_written,
    .on_read_end = on_read_end,
    .on_error = on_error,
};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    (void)owner, (void)peer;
    struct pair *pair = mem_new(struct pair);
    struct conn_connect_options options = {.to = upstream};
    pair->down = (struct half){.pair = pair, .other = &pair->up};
    pair->up = (struct half){.pair = pair, .other = &pair->down};
    pair->down.conn = conn_adopt(loop, fd, 0, &events, &pair->down);
    if (!pair->down.conn || conn_connect(loop, &options, &events, &pair->up, &pair->up.conn)) {
        end_pair(pair, CONN_ABORT);
        return;
    }
    conn_read_start(pair->down.conn);
    conn_read_start(pair->up.conn);
}

int main(int argc, char **argv)
{
    struct loop_options loop_options = {.name = "relay"};
    int listen_port = 0, upstream_port = 0, seconds = 3600, option;
    while ((option = getopt(argc, argv, "l:u:t:m:")) != -1)
        switch (option) {
        case 'l': listen_port = atoi(optarg); break;
        case 'u': upstream_port = atoi(optarg); break;
        case 'm':
            loop_options.backend = strcmp(optarg, "io_uring") ? LOOP_EPOLL : LOOP_IO_URING;
            break;
        case 't': seconds = atoi(optarg); break;
        default: return 2;
        }
    alarm((unsigned)seconds);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    upstream = address_v4(INADDR_LOOPBACK, (uint16_t)upstream_port);
    struct listen_options listen_options = {.address =
                                                address_v4(INADDR_LOOPBACK, (uint16_t)listen_port)};
    struct listen_group *group;
    struct acceptor *acceptor;
    if (loop_create(&loop_options, &loop) || listen_group_create(&listen_options, &group) ||
        acceptor_create(loop, listen_group_fd(group, 0), on_accept, NULL, &acceptor)) {
        perror("relay");
        return 1;
    }
    loop_run(loop);
}
