/*
 * Tiny single-thread epoll HTTP/1.1 upstream: keep-alive, pipelining, fixed-size 200 answers.
 *   backend -p PORT [-s BODY_BYTES] [-b BACKLOG]
 * GET /hold...   is never answered (keeps a request in flight until the peer closes).
 * A request body with Content-Length is read and dropped. Stops on SIGTERM/SIGINT or after -t SECONDS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RBUF = 65536, MAXFD = 65536, BATCH = 32 };

struct conn {
    uint32_t keep; /* bytes of an unfinished request kept in part */
    uint64_t skip; /* request body bytes still to drop */
    char part[4096];
};

static struct conn *conns[MAXFD];
static char rbuf[RBUF + 4096];
static char *resp; /* BATCH copies of the answer, to answer pipelined requests with one send */
static size_t resp_len;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(int fd)
{
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno == EAGAIN || errno == EINTR)
                continue; /* answers are small; a short spin is fine here */
            return;
        }
        p += w;
        n -= (size_t)w;
    }
}

static uint64_t content_length(const char *h, size_t n)
{
    for (const char *p = h, *e = h + n; p < e;) {
        const char *nl = memchr(p, '\n', (size_t)(e - p));
        if (!nl)
            break;
        if (nl - p > 15 && !strncasecmp(p, "content-length:", 15))
            return strtoull(p + 15, NULL, 10);
        p = nl + 1;
    }
    return 0;
}

static int on_read(int fd)
{
    struct conn *c = conns[fd];
    memcpy(rbuf, c->part, c->keep);
    ssize_t r = recv(fd, rbuf + c->keep, RBUF, 0);
    if (r == 0)
        return -1;
    if (r < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    char *p = rbuf, *e = rbuf + c->keep + r;
    unsigned due = 0, close_after = 0;
    c->keep = 0;
    for (;;) {
        if (c->skip) {
            uint64_t s = c->skip < (uint64_t)(e - p) ? c->skip : (uint64_t)(e - p);
            c->skip -= s;
            p += s;
            if (c->skip)
                break;
            due++;
        }
        if (p == e)
            break;
        char *end = memmem(p, (size_t)(e - p), "\r\n\r\n", 4);
        if (!end) {
            if (e - p > (long)sizeof c->part)
                return -1;
            c->keep = (uint32_t)(e - p);
            memcpy(c->part, p, c->keep);
            break;
        }
        end += 4;
        uint64_t body = p[0] == 'P' ? content_length(p, (size_t)(end - p)) : 0;
        if (memmem(p, (size_t)(end - p), "onnection: close", 16))
            close_after = 1;
        int hold = !memcmp(p, "GET /hold", 9);
        p = end;
        if (body)
            c->skip = body;
        else if (!hold)
            due++;
    }
    while (due) {
        unsigned k = due < BATCH ? due : BATCH;
        send_all(fd, resp, k * resp_len);
        due -= k;
    }
    return close_after ? -1 : 0;
}

int main(int argc, char **argv)
{
    int port = 0, size = 1024, backlog = 4096, secs = 3600, o;
    while ((o = getopt(argc, argv, "p:s:b:t:")) != -1)
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 's': size = atoi(optarg); break;
        case 'b': backlog = atoi(optarg); break;
        case 't': secs = atoi(optarg); break;
        default: return 2;
        }
    alarm((unsigned)secs); /* never outlives its bench */
    struct rlimit rl;
    if (!getrlimit(RLIMIT_NOFILE, &rl)) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    char head[256];
    int h = snprintf(
        head, sizeof head,
        "HTTP/1.1 200 OK\r\nServer: b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
        size);
    resp_len = (size_t)(h + size);
    resp = malloc(resp_len * BATCH);
    for (int i = 0; i < BATCH; i++) {
        memcpy(resp + i * resp_len, head, (size_t)h);
        memset(resp + i * resp_len + h, 'x', (size_t)size);
    }

    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, backlog))
        die("bind");
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = ls}, evs[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
    for (;;) {
        int n = epoll_wait(ep, evs, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            if (fd == ls) {
                for (int k = 0; k < 256; k++) {
                    int c = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                    if (c < 0)
                        break;
                    if (c >= MAXFD) {
                        close(c);
                        continue;
                    }
                    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    conns[c] = calloc(1, sizeof **conns);
                    ev.events = EPOLLIN;
                    ev.data.fd = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
                }
            } else if (on_read(fd) < 0)
                drop(fd);
        }
    }
}
