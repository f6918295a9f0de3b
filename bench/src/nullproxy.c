/*
 * The floor: a one-to-one TCP relay that looks at no byte. One thread.
 *   nullproxy -l LISTEN_PORT -u UPSTREAM_PORT [-m epoll|uring] [-t SECONDS]
 * What a proxy on this kernel cannot go below without moving fewer bytes or making fewer system calls:
 * per request and direction one recv and one send, and its share of a wait.
 * epoll: level-triggered, recv + send at once. uring: multishot recv into a provided-buffer ring, sends
 * batched into one io_uring_enter per wake-up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAXFD = 65536, BUF = 65536 };
static int peer[MAXFD];
static struct sockaddr_in up;
static int ls;

static void die(const char *w)
{
    perror(w);
    exit(1);
}
static void nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int dial(int nonblock)
{
    int u = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
    nodelay(u);
    if (connect(u, (void *)&up, sizeof up) && errno != EINPROGRESS) {
        close(u);
        return -1;
    }
    return u;
}

static void run_epoll(void)
{
    static char buf[BUF];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = ls}, evs[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
    for (;;) {
        int n = epoll_wait(ep, evs, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            if (fd == ls) {
                int c = accept4(ls, NULL, NULL, SOCK_CLOEXEC), u = c < 0 ? -1 : dial(0);
                if (c < 0)
                    continue;
                if (u < 0) {
                    close(c);
                    continue;
                }
                nodelay(c);
                peer[c] = u;
                peer[u] = c;
                ev.events = EPOLLIN;
                ev.data.fd = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
                ev.data.fd = u;
                epoll_ctl(ep, EPOLL_CTL_ADD, u, &ev);
                continue;
            }
            if (!peer[fd])
                continue;
            ssize_t r = recv(fd, buf, BUF, MSG_DONTWAIT);
            if (r > 0) {
                send(peer[fd], buf, (size_t)r, MSG_NOSIGNAL);
                continue;
            }
            if (r < 0 && errno == EAGAIN)
                continue;
            int p = peer[fd];
            peer[fd] = peer[p] = 0;
            close(fd);
            close(p);
        }
    }
}

enum { NBUF = 1024, BSZ = 4096, GROUP = 7 };
enum { K_ACCEPT = 1, K_RECV, K_SEND };
static uint64_t tag(int k, int fd, int bid)
{
    return (uint64_t)k << 56 | (uint64_t)(bid & 0xffff) << 32 | (uint32_t)fd;
}

static struct io_uring_sqe *sqe(struct io_uring *r)
{
    struct io_uring_sqe *s;
    while (!(s = io_uring_get_sqe(r)))
        io_uring_submit(r);
    return s;
}
static void arm(struct io_uring *r, int fd)
{
    struct io_uring_sqe *s = sqe(r);
    io_uring_prep_recv_multishot(s, fd, NULL, 0, 0);
    s->flags |= IOSQE_BUFFER_SELECT;
    s->buf_group = GROUP;
    io_uring_sqe_set_data64(s, tag(K_RECV, fd, 0));
}

static void run_uring(void)
{
    struct io_uring r;
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE,
                                .cq_entries = 8192};
    if (io_uring_queue_init_params(2048, &r, &p))
        die("io_uring");
    char *mem;
    struct io_uring_buf_ring *br;
    if (posix_memalign((void **)&br, 4096, NBUF * sizeof(struct io_uring_buf)) ||
        posix_memalign((void **)&mem, 4096, (size_t)NBUF * BSZ))
        die("mem");
    memset(br, 0, NBUF * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)br, .ring_entries = NBUF, .bgid = GROUP};
    if (io_uring_register_buf_ring(&r, &reg, 0))
        die("buf ring");
    io_uring_buf_ring_init(br);
    for (int i = 0; i < NBUF; i++)
        io_uring_buf_ring_add(br, mem + (size_t)i * BSZ, BSZ, (unsigned short)i, NBUF - 1, i);
    io_uring_buf_ring_advance(br, NBUF);
    struct io_uring_sqe *s = sqe(&r);
    io_uring_prep_multishot_accept(s, ls, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(s, tag(K_ACCEPT, ls, 0));
    for (;;) {
        io_uring_submit_and_wait(&r, 1);
        struct io_uring_cqe *c;
        unsigned head, seen = 0;
        int back = 0;
        io_uring_for_each_cqe(&r, head, c)
        {
            seen++;
            uint64_t d = c->user_data;
            int k = (int)(d >> 56), fd = (int)(uint32_t)d;
            if (k == K_ACCEPT) {
                int a = c->res;
                if (a >= 0) {
                    int u = dial(0);
                    if (u < 0)
                        close(a);
                    else {
                        nodelay(a);
                        peer[a] = u;
                        peer[u] = a;
                        arm(&r, a);
                        arm(&r, u);
                    }
                }
                if (!(c->flags & IORING_CQE_F_MORE)) {
                    s = sqe(&r);
                    io_uring_prep_multishot_accept(s, ls, NULL, NULL, SOCK_CLOEXEC);
                    io_uring_sqe_set_data64(s, tag(K_ACCEPT, ls, 0));
                }
            } else if (k == K_SEND) {
                int bid = (int)(d >> 32) & 0xffff;
                io_uring_buf_ring_add(br, mem + (size_t)bid * BSZ, BSZ, (unsigned short)bid,
                                      NBUF - 1, back++);
            } else if (c->res > 0) {
                int bid = (int)(c->flags >> IORING_CQE_BUFFER_SHIFT);
                s = sqe(&r);
                io_uring_prep_send(s, peer[fd], mem + (size_t)bid * BSZ, (size_t)c->res,
                                   MSG_NOSIGNAL | MSG_WAITALL);
                io_uring_sqe_set_data64(s, tag(K_SEND, fd, bid));
                if (!(c->flags & IORING_CQE_F_MORE))
                    arm(&r, fd);
            } else if (c->res == -ENOBUFS)
                arm(&r, fd);
            else if (peer[fd]) {
                int q = peer[fd];
                peer[fd] = peer[q] = 0;
                shutdown(fd, SHUT_RDWR);
                shutdown(q, SHUT_RDWR);
                close(fd);
                close(q);
            }
        }
        io_uring_cq_advance(&r, seen);
        if (back)
            io_uring_buf_ring_advance(br, back);
    }
}

int main(int argc, char **argv)
{
    int l = 0, u = 0, secs = 3600, o;
    const char *mode = "epoll";
    while ((o = getopt(argc, argv, "l:u:m:t:")) != -1)
        switch (o) {
        case 'l': l = atoi(optarg); break;
        case 'u': u = atoi(optarg); break;
        case 'm': mode = optarg; break;
        case 't': secs = atoi(optarg); break;
        default: return 2;
        }
    alarm((unsigned)secs);
    struct rlimit rl;
    if (!getrlimit(RLIMIT_NOFILE, &rl)) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    up = (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)u),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in a = up;
    a.sin_port = htons((uint16_t)l);
    int one = 1;
    ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096))
        die("bind");
    if (!strcmp(mode, "uring"))
        run_uring();
    else
        run_epoll();
}
