/*
 * Physical limits of this machine and kernel, each the best of several rounds, in ns unless said.
 * limits [CPU_A CPU_B]  -> one JSON object
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static void pin(int cpu)
{
    cpu_set_t s;
    CPU_ZERO(&s);
    CPU_SET(cpu, &s);
    sched_setaffinity(0, sizeof s, &s);
}

static void tcp_pair(int *a, int *b)
{
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t sl = sizeof s;
    bind(l, (void *)&s, sizeof s);
    listen(l, 1);
    getsockname(l, (void *)&s, &sl);
    *a = socket(AF_INET, SOCK_STREAM, 0);
    connect(*a, (void *)&s, sizeof s);
    *b = accept(l, NULL, NULL);
    close(l);
    setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}
/*
 * Short cut between two local TCP sockets: what a sends lands on b's receive queue, past the TCP stack
 * (sk_msg program: return bpf_msg_redirect_map(msg, to, 0, BPF_F_INGRESS)). 0 when the kernel says no.
 */
static int shortcut(int a, int b)
{
    union bpf_attr m = {
        .map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
    int from = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &m, sizeof m),
        to = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &m, sizeof m), key = 0;
    struct bpf_insn p[] = {
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 2, .src_reg = BPF_PSEUDO_MAP_FD, .imm = to},
        {0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = BPF_F_INGRESS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_msg_redirect_map},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr l = {.prog_type = BPF_PROG_TYPE_SK_MSG,
                        .insns = (uint64_t)(uintptr_t)p,
                        .insn_cnt = sizeof p / sizeof *p,
                        .license = (uint64_t)(uintptr_t) "GPL",
                        .expected_attach_type = BPF_SK_MSG_VERDICT};
    int prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &l, sizeof l);
    union bpf_attr at = {.target_fd = (uint32_t)from,
                         .attach_bpf_fd = (uint32_t)prog,
                         .attach_type = BPF_SK_MSG_VERDICT};
    union bpf_attr ua = {.map_fd = (uint32_t)from,
                         .key = (uint64_t)(uintptr_t)&key,
                         .value = (uint64_t)(uintptr_t)&a},
                   ub = {.map_fd = (uint32_t)to,
                         .key = (uint64_t)(uintptr_t)&key,
                         .value = (uint64_t)(uintptr_t)&b};
    return prog >= 0 && !syscall(SYS_bpf, BPF_PROG_ATTACH, &at, sizeof at) &&
           !syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &ub, sizeof ub) &&
           !syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &ua, sizeof ua);
}

static int cmp(const void *x, const void *y)
{
    double a = *(double *)x, b = *(double *)y;
    return (a > b) - (a < b);
}

enum { N = 20000 };
static double v[N];
/* Median round trip of 1 byte through a socket pair, echoed by a child on another (or the same) CPU. */
static double rtt(int tcp, int ca, int cb, int spin)
{
    int a, b;
    char c = 0;
    if (tcp) {
        tcp_pair(&a, &b);
        if (tcp > 1 && !(shortcut(a, b) && shortcut(b, a)))
            return 0;
    } else {
        int p[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
            return 0;
        a = p[0];
        b = p[1];
    }
    int fl = spin ? MSG_DONTWAIT : 0;
    pid_t k = fork();
    if (!k) {
        pin(cb);
        close(a);
        for (;;) {
            ssize_t r;
            while ((r = recv(b, &c, 1, fl)) < 0)
                ;
            if (!r)
                _exit(0);
            send(b, &c, 1, MSG_NOSIGNAL);
        }
    }
    pin(ca);
    close(b);
    for (int i = 0; i < N; i++) {
        double t = now();
        send(a, &c, 1, MSG_NOSIGNAL);
        while (recv(a, &c, 1, fl) < 0)
            ;
        v[i] = now() - t;
    }
    close(a);
    kill(k, SIGKILL);
    waitpid(k, NULL, 0);
    qsort(v, N, sizeof *v, cmp);
    return v[N / 2];
}

#define BEST(name, n, ...)                                                                         \
    do {                                                                                           \
        double best = 1e18;                                                                        \
        for (int r = 0; r < 7; r++) {                                                              \
            double t = now();                                                                      \
            for (int i = 0; i < (n); i++) {                                                        \
                __VA_ARGS__;                                                                       \
            }                                                                                      \
            t = (now() - t) / (n);                                                                 \
            if (t < best)                                                                          \
                best = t;                                                                          \
        }                                                                                          \
        printf("\"%s\":%.1f,", name, best);                                                        \
    } while (0)

int main(int argc, char **argv)
{
    int ca = argc > 2 ? atoi(argv[1]) : 0, cb = argc > 2 ? atoi(argv[2]) : 1, a, b,
        ep = epoll_create1(0);
    alarm(120);
    pin(ca);
    struct epoll_event ev = {.events = EPOLLIN}, out[8];
    char buf[65536];
    memset(buf, 1, sizeof buf);
    printf("{");
    BEST("syscall_getppid", 200000, syscall(SYS_getppid));
    BEST("clock_gettime", 200000, now());
    BEST("epoll_wait_empty", 200000, epoll_wait(ep, out, 8, 0));
    tcp_pair(&a, &b);
    epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev);
    BEST("tcp_recv_eagain", 200000, recv(b, buf, 1, MSG_DONTWAIT));
    BEST("tcp_send_recv_128", 100000, send(a, buf, 128, 0); recv(b, buf, sizeof buf, 0));
    BEST("tcp_send_recv_1k", 100000, send(a, buf, 1160, 0); recv(b, buf, sizeof buf, 0));
    BEST("tcp_send_recv_16k", 30000, send(a, buf, 16384, 0);
         recv(b, buf, sizeof buf, MSG_WAITALL & 0));
    BEST("tcp_send_epoll_recv_1k", 100000, send(a, buf, 1160, 0); epoll_wait(ep, out, 8, 0);
         recv(b, buf, sizeof buf, 0));
    int c, d;
    tcp_pair(&c, &d);
    if (shortcut(c, d)) {
        BEST("tcp_sockmap_send_recv_1k", 100000, send(c, buf, 1160, 0);
             recv(d, buf, sizeof buf, 0));
        BEST("tcp_sockmap_send_recv_16k", 30000, send(c, buf, 16384, 0);
             recv(d, buf, sizeof buf, 0));
    }
    int u[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, u))
        return 1;
    BEST("unix_send_recv_1k", 100000, send(u[0], buf, 1160, 0); recv(u[1], buf, sizeof buf, 0));
    BEST("tcp_connect_accept_close", 3000, int x; int y; tcp_pair(&x, &y); struct linger l = {1, 0};
         setsockopt(x, SOL_SOCKET, SO_LINGER, &l, sizeof l); close(x); close(y));
    size_t M = 64 << 20;
    char *m = malloc(M), *w = malloc(M);
    memset(m, 1, M);
    memset(w, 2, M);
    double best = 1e18;
    for (int i = 0; i < 5; i++) {
        double t = now();
        memcpy(w, m, M);
        t = now() - t;
        if (t < best)
            best = t;
    }
    printf("\"memcpy_dram_GBps\":%.2f,", (double)M / best);
    best = 1e18;
    for (int i = 0; i < 5; i++) {
        double t = now();
        for (int k = 0; k < 4096; k++) {
            memcpy(w, m, 16384);
            __asm__ volatile("" ::: "memory");
        }
        t = now() - t;
        if (t < best)
            best = t;
    }
    printf("\"memcpy_16k_hot_GBps\":%.2f,", 4096.0 * 16384 / best);
    printf("\"rtt_tcp_same_cpu\":%.0f,", rtt(1, ca, ca, 0));
    printf("\"rtt_tcp_two_cpus\":%.0f,", rtt(1, ca, cb, 0));
    printf("\"rtt_tcp_two_cpus_busy_poll\":%.0f,", rtt(1, ca, cb, 1));
    printf("\"rtt_tcp_sockmap_same_cpu\":%.0f,", rtt(2, ca, ca, 0));
    printf("\"rtt_unix_same_cpu\":%.0f,", rtt(0, ca, ca, 0));
    printf("\"rtt_unix_two_cpus\":%.0f}\n", rtt(0, ca, cb, 0));
    return 0;
}
