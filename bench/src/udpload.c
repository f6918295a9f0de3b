/*
 * UDP load generator and echo server, one thread each, batches by recvmmsg and sendmmsg.
 *   udpload echo PORT                   sends back what comes, for ever
 *   udpload load [options] HOST:PORT    prints one JSON object
 * -c N    clients, a socket each (default 64)     -w N    datagrams in flight a client (default 1)
 * -s N    bytes a datagram (default 100)          -g N    of them N leave as one run (UDP_SEGMENT; default 1)
 * -d SEC  measured seconds (default 2)
 * Closed loop: a client sends its next datagrams when as many came back; what got lost is sent again after 200 ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, BYTES = 65536, CLIENTS_MAX = 20000 };

static char room[BATCH][BYTES];
static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static struct sockaddr_in peers[BATCH];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int receive(int fd, int most, int with_names)
{
    for (int i = 0; i < most; i++) {
        parts[i] = (struct iovec){room[i], BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        if (with_names) {
            messages[i].msg_hdr.msg_name = &peers[i];
            messages[i].msg_hdr.msg_namelen = sizeof(peers[i]);
        }
    }
    return recvmmsg(fd, messages, (unsigned)most, with_names ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
}

static void run_echo(int port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), large = 8 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
        die("bind");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
    for (;;) {
        int got = receive(fd, BATCH, 1);
        for (int i = 0; i < got; i++)
            parts[i].iov_len = messages[i].msg_len;
        if (got > 0)
            sendmmsg(fd, messages, (unsigned)got, 0);
    }
}

struct client {
    int fd;
    int in_flight;
    double sent_at;
};
static struct client clients[CLIENTS_MAX];
static int count = 64, window = 1, size = 100, run = 1;
static double seconds = 2;

static void send_some(struct client *c, int n)
{
    c->in_flight += n;
    c->sent_at = now();
    if (run > 1) {
        char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
        for (; n > 0; n -= run) {
            struct iovec part = {room[0], (size_t)(size * (n < run ? n : run))};
            struct msghdr m = {.msg_iov = &part,
                               .msg_iovlen = 1,
                               .msg_control = control,
                               .msg_controllen = sizeof(control)};
            struct cmsghdr *h = CMSG_FIRSTHDR(&m);
            uint16_t unit = (uint16_t)size;
            *h = (struct cmsghdr){CMSG_LEN(sizeof(unit)), SOL_UDP, UDP_SEGMENT};
            memcpy(CMSG_DATA(h), &unit, sizeof(unit));
            (void)!sendmsg(c->fd, &m, 0);
        }
        return;
    }
    for (int at = 0; at < n; at += BATCH) {
        int some = n - at < BATCH ? n - at : BATCH;
        for (int i = 0; i < some; i++) {
            parts[i] = (struct iovec){room[i], (size_t)size};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        }
        (void)!sendmmsg(c->fd, messages, (unsigned)some, 0);
    }
}

static void open_clients(const struct sockaddr_in *to, int epoll)
{
    int large = 4 << 20;
    for (int i = 0; i < count; i++) {
        clients[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (clients[i].fd < 0 || connect(clients[i].fd, (const struct sockaddr *)to, sizeof(*to)))
            die("connect");
        setsockopt(clients[i].fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
        send_some(&clients[i], window);
    }
}

static int run_load(const char *target)
{
    char host[64];
    int port, epoll = epoll_create1(0);
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (sscanf(target, "%63[^:]:%d", host, &port) != 2 ||
        inet_pton(AF_INET, host, &to.sin_addr) != 1)
        return 2;
    to.sin_port = htons((uint16_t)port);
    open_clients(&to, epoll);
    double begun = now(), end = begun + seconds, looked = begun;
    uint64_t back = 0, lost = 0;
    while (now() < end) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 50);
        for (int i = 0; i < n; i++) {
            struct client *c = &clients[events[i].data.u32];
            int got = receive(c->fd, BATCH, 0);
            if (got <= 0)
                continue;
            back += (uint64_t)got;
            c->in_flight -= got;
            int gone = window - c->in_flight;
            if (gone >= run || c->in_flight <= 0)
                send_some(c, gone > 0 ? gone : 0);
        }
        if (now() - looked < 0.2)
            continue;
        looked = now();
        for (int i = 0; i < count; i++) {
            if (looked - clients[i].sent_at < 0.2)
                continue;
            lost += (uint64_t)clients[i].in_flight;
            clients[i].in_flight = 0;
            send_some(&clients[i], window);
        }
    }
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"exchanges\": %llu, \"lost\": %llu, \"seconds\": %.3f, \"cpu_us\": %lld}\n",
           (unsigned long long)back, (unsigned long long)lost, now() - begun,
           (long long)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 + use.ru_utime.tv_usec +
               use.ru_stime.tv_usec);
    return 0;
}

int main(int argc, char **argv)
{
    int option;
    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "echo") == 0)
        run_echo(atoi(argv[2]));
    while ((option = getopt(argc - 1, argv + 1, "c:w:s:g:d:")) != -1) {
        switch (option) {
        case 'c': count = atoi(optarg); break;
        case 'w': window = atoi(optarg); break;
        case 's': size = atoi(optarg); break;
        case 'g': run = atoi(optarg); break;
        case 'd': seconds = atof(optarg); break;
        default: return 2;
        }
    }
    if (count < 1 || count > CLIENTS_MAX || size < 0 || size > 65507 || run < 1 || run > 64)
        return 2;
    return run_load(argv[1 + optind]);
}
