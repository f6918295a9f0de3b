/*
 * Bulk TCP over loopback.
 *   bulk source -p PORT [-t SEC]                     sends without end to whoever connects (sendfile from memory: no
 * copy of its own)
 *   bulk sink -d SEC [-w SEC] [-c CONNS] HOST:PORT   reads and counts (MSG_TRUNC: the kernel drops the bytes, no copy);
 * prints JSON
 *   bulk copysink ...                                the same with a real copy out, as an application would
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static void die(const char *w)
{
    perror(w);
    exit(1);
}

static int source(int port)
{
    int m = memfd_create("bulk", 0), one = 1;
    if (ftruncate(m, CHUNK))
        die("memfd");
    char *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
    for (int i = 0; i < CHUNK; i++)
        p[i] = (char)(i * 131);
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 1024))
        die("bind");
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = ls}, evs[64];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
    for (;;) {
        int n = epoll_wait(ep, evs, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            if (fd == ls) {
                int c = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
                if (c < 0)
                    continue;
                ev.events = EPOLLOUT | EPOLLRDHUP;
                ev.data.fd = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
                continue;
            }
            if (evs[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                close(fd);
                continue;
            }
            off_t off = 0;
            if (sendfile(fd, m, &off, CHUNK) < 0 && errno != EAGAIN)
                close(fd);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    const char *mode = argv[1];
    int port = 0, conns = 1, secs = 3600, o;
    double dur = 3, warm = 0.5;
    argc--;
    argv++;
    while ((o = getopt(argc, argv, "p:d:w:c:t:")) != -1)
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'd': dur = atof(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 'c': conns = atoi(optarg); break;
        case 't': secs = atoi(optarg); break;
        default: return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(mode, "source")) {
        alarm((unsigned)secs);
        return source(port);
    }
    char host[64];
    if (optind >= argc || sscanf(argv[optind], "%63[^:]:%d", host, &port) != 2)
        return 2;
    alarm((unsigned)(dur + warm + 30));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    if ((ntohl(a.sin_addr.s_addr) >> 24) != 127)
        return 2;
    int ep = epoll_create1(0), flags = !strcmp(mode, "copysink") ? 0 : MSG_TRUNC;
    struct epoll_event ev = {.events = EPOLLIN}, evs[64];
    for (int i = 0; i < conns; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (void *)&a, sizeof a))
            die("connect");
        ev.data.fd = fd;
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
    static char buf[CHUNK];
    uint64_t bytes = 0, all = 0;
    double t0 = now(), t1 = t0 + warm, t2 = t1 + dur, t;
    while ((t = now()) < t2) {
        int n = epoll_wait(ep, evs, 64, 100);
        for (int i = 0; i < n; i++) {
            ssize_t r = recv(evs[i].data.fd, buf, CHUNK, flags | MSG_DONTWAIT);
            if (r == 0) {
                fprintf(stderr, "closed early\n");
                return 1;
            }
            if (r > 0) {
                all += (uint64_t)r;
                if (t >= t1)
                    bytes += (uint64_t)r;
            }
        }
    }
    printf("{\"gbps\":%.3f,\"bytes_total\":%lu}\n", (double)bytes / dur / 1e9, (unsigned long)all);
    return 0;
}
