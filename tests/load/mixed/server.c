/*
 * mixed_server: the back end of mixed_client: HTTP/1.1 and HTTP/2 with prior knowledge on each PORT.
 *
 *   mixed_server PORT...
 *
 * Compares each request's body with what its path says, and answers with the body that the path asks for. Ends when stdin does,
 * with a line of counts.
 */
#include "server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, PREFACE = 3 };

struct door {
    struct watched watched;
    struct server *server;
};

/* --- what is counted ------------------------------------------------------------------------- */

bool server_begins(struct server *server, const char *path, size_t size, struct ask *out)
{
    server->requests++;
    if (!ask_parse(path, size, out) || out->id >= IDS_MOST) {
        server->wrong++;
        fprintf(stderr, "no path of ours: %.*s\n", (int)size, path);
        return false;
    }
    uint8_t bit = (uint8_t)(1u << (out->id & 7));
    if (out->up > 0 && server->seen[out->id >> 3] & bit)
        server->doubled++;
    server->seen[out->id >> 3] |= bit;
    return true;
}

bool server_ends(struct server *server, const struct sink *up)
{
    if (up->left > 0) {
        server->wrong++;
        fprintf(stderr, "%zu bytes missing from a request's body\n", up->left);
        return false;
    }
    server->whole++;
    return true;
}

/* --- connections ----------------------------------------------------------------------------- */

static void close_peer(struct peer *peer)
{
    if (peer->session)
        h2_end(peer);
    else
        h1_end(peer);
    poller_close(&peer->server->poller, &peer->watched, false);
}

static bool send_what_waits(struct peer *peer)
{
    if (!(peer->session ? h2_send(peer) : h1_send(peer)))
        return false;
    poller_want(&peer->server->poller, &peer->watched,
                (uint32_t)EPOLLIN | (peer->out_size > 0 ? (uint32_t)EPOLLOUT : 0));
    return true;
}

/* HTTP/2's preface begins with PRI, which is no method of HTTP/1. */
static bool learn(struct peer *peer)
{
    char first[PREFACE];
    if (recv(peer->watched.fd, first, sizeof(first), MSG_PEEK) < PREFACE)
        return false;
    peer->is_known = true;
    if (memcmp(first, "PRI", PREFACE) == 0)
        h2_begin(peer);
    return true;
}

static void on_ready(struct watched *watched, uint32_t events)
{
    static uint8_t bytes[64 * 1024];
    struct peer *peer = (struct peer *)watched;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        if (!peer->is_known && !(events & (EPOLLHUP | EPOLLERR)) && !learn(peer)) {
            if (recv(watched->fd, bytes, 1, MSG_PEEK) == 0)
                close_peer(peer);
            return;
        }
        ssize_t size = recv(watched->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
            close_peer(peer);
            return;
        }
        if (size > 0) {
            if (peer->session)
                h2_on_bytes(peer, bytes, (size_t)size);
            else
                h1_on_bytes(peer, bytes, (size_t)size);
        }
    }
    if (watched->fd >= 0 && !send_what_waits(peer))
        close_peer(peer);
}

static void on_gone(struct watched *watched)
{
    free(watched);
}

static void on_door(struct watched *watched, uint32_t events)
{
    struct server *server = ((struct door *)watched)->server;
    int one = 1, fd;
    (void)events;
    while ((fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *peer = calloc(1, sizeof(*peer));
        if (!peer)
            die("memory");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        peer->watched = (struct watched){.fd = fd, .on_ready = on_ready, .on_gone = on_gone};
        peer->server = server;
        server->connections++;
        poller_watch(&server->poller, &peer->watched, EPOLLIN);
    }
}

static void listen_on(struct server *server, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct door *door = calloc(1, sizeof(*door));
    int one = 1;
    if (!door)
        die("memory");
    door->watched =
        (struct watched){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                         .on_ready = on_door,
                         .on_gone = on_gone};
    door->server = server;
    (void)setsockopt(door->watched.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(door->watched.fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(door->watched.fd, BACKLOG) != 0)
        die(port);
    poller_watch(&server->poller, &door->watched, EPOLLIN);
}

/* --- the whole ------------------------------------------------------------------------------- */

static bool is_over;

static void on_stdin(struct watched *watched, uint32_t events)
{
    char bytes[64];
    (void)events;
    is_over = read(watched->fd, bytes, sizeof(bytes)) <= 0;
}

int main(int argc, char **argv)
{
    struct server server = {.seen = calloc(1, IDS_MOST / 8)};
    struct watched input = {.fd = STDIN_FILENO, .on_ready = on_stdin};
    if (!server.seen)
        die("memory");
    ask_make_table();
    poller_init(&server.poller);
    for (int i = 1; i < argc; i++)
        listen_on(&server, argv[i]);
    poller_watch(&server.poller, &input, EPOLLIN);
    while (!is_over)
        poller_turn(&server.poller, -1);
    printf(
        "{\"requests\": %llu, \"whole\": %llu, \"cut\": %llu, \"wrong\": %llu, \"doubled\": %llu, "
        "\"connections\": %llu}\n",
        (unsigned long long)server.requests, (unsigned long long)server.whole,
        (unsigned long long)server.cut, (unsigned long long)server.wrong,
        (unsigned long long)server.doubled, (unsigned long long)server.connections);
    fflush(stdout);
    _exit(EXIT_SUCCESS); /* what is open goes with the process */
}
