/*
 * HTTP/1.1 load generator, one thread, epoll.
 *   loadgen [options] HOST:PORT
 *   -c N      connections (default 64)
 *   -d SEC    measured seconds (default 3)         -w SEC  warm-up seconds, not in the histogram (default 1)
 *   -r RATE   open loop at RATE requests/s, latency counted from the intended send time (no coordinated
 *             omission). Without -r: closed loop, each connection sends its next request when answered.
 *   -j        open loop with Poisson arrivals of a fixed seed in place of even spacing
 *   -P PATH   request path (default /)             -B N    send a POST body of N bytes
 *   -n        a new connection for each request (with -T: a full TLS handshake each)
 *   -2        with -T and -H: HTTP/2 in place of HTTP/1.1
 *   -H SEC    hold: open all connections, one request on each (answered unless the path is /hold),
 *             print "held N", keep them open SEC seconds, then end
 *   -T        TLS 1.3, with -C cert -K key -A ca; no session is resumed
 *   -S        with -T: sessions are resumed by the newest ticket; "resumed" counts the connections that were
 *   -J        print one JSON object (default: a line for people)
 * Latencies are kept in a log-linear histogram (128 steps an octave: error under 0.8 %).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { IDLE, CONNECTING, HANDSHAKE, BUSY, DEAD };
struct conn {
    int fd;
    enum state st;
    SSL *ssl;
    uint64_t intended, sent;
    uint64_t body_left; /* of the answer under way */
    int in_body, close_after;
    unsigned have; /* bytes of a header kept in buf */
    char buf[2048];
};

enum { SUB = 128, NB = 64 * SUB };
struct hist {
    uint64_t b[NB], n, max;
    double sum;
};
static struct hist corrected, service;

static struct conn *cs;
static int *idle, nidle, nconn = 64, ep, use_tls, use_h2, per_req, quiet_json, resumes;
static struct sockaddr_in addr;
static SSL_CTX *ctx;
static SSL_SESSION *newest; /* ticket */
static uint64_t resumed;
static char *req;
static size_t req_len;
static uint64_t t_start, t_meas, t_end, done_total, done_meas, errors, non2xx, conns_made, bytes_in;
static double rate;
static int poisson;
static uint64_t next_at;
static uint64_t backlog_max, sent_total;
static uint64_t rng = 0x9E3779B97F4A7C15ull;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static void die(const char *w)
{
    perror(w);
    exit(1);
}

static unsigned bucket(uint64_t v)
{
    if (v < SUB)
        return (unsigned)v;
    int s = 63 - __builtin_clzll(v) - 7;
    return (unsigned)((s + 1) * SUB + (int)((v >> s) - SUB));
}
static uint64_t unbucket(unsigned b)
{
    if (b < SUB)
        return b;
    unsigned s = b / SUB - 1;
    return ((uint64_t)(b % SUB + SUB) << s) + ((1ull << s) >> 1);
}
static void rec(struct hist *h, uint64_t v)
{
    h->b[bucket(v)]++;
    h->n++;
    h->sum += (double)v;
    if (v > h->max)
        h->max = v;
}
static double pct(struct hist *h, double p)
{
    uint64_t want = (uint64_t)ceil(p / 100 * (double)h->n), seen = 0;
    for (unsigned i = 0; i < NB; i++) {
        seen += h->b[i];
        if (seen >= want && seen) {
            uint64_t v = unbucket(i);
            return (double)(v < h->max ? v : h->max) / 1000;
        }
    }
    return 0;
}
static double frand(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return ((double)(rng >> 11) + 1) / 9007199254740993.0;
}
static uint64_t gap(void)
{
    double g = 1e9 / rate;
    return (uint64_t)(poisson ? -log(frand()) * g : g);
}

static void watch(struct conn *c, uint32_t evs, int op)
{
    struct epoll_event e = {.events = evs, .data.ptr = c};
    epoll_ctl(ep, op, c->fd, &e);
}

static void shut(struct conn *c)
{
    if (c->ssl) {
        /* A session whose connection is freed without an end may not be resumed. */
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    struct linger l = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(c->fd);
    c->fd = -1;
    c->st = DEAD;
}

static void fire(struct conn *c);

static void dial(struct conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->have = 0;
    c->in_body = 0;
    c->close_after = 0;
    c->st = CONNECTING;
    conns_made++;
    if (connect(c->fd, (void *)&addr, sizeof addr) && errno != EINPROGRESS)
        die("connect");
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void fail(struct conn *c)
{
    errors++;
    shut(c);
    if (now() < t_end)
        dial(c);
}

/* Takes the connection's next request: in the closed loop at once, in the open loop when one is due. */
static void ready(struct conn *c)
{
    uint64_t t = now();
    if (rate <= 0) {
        c->intended = t;
        fire(c);
        return;
    }
    if (next_at <= t && t < t_end) {
        c->intended = next_at;
        next_at += gap();
        fire(c);
        return;
    }
    c->st = IDLE;
    if (nidle < nconn) /* one that was dialled again may stand there already */
        idle[nidle++] = (int)(c - cs);
}

static void fire(struct conn *c)
{
    c->sent = now();
    c->st = BUSY;
    sent_total++;
    ssize_t w =
        c->ssl ? SSL_write(c->ssl, req, (int)req_len) : send(c->fd, req, req_len, MSG_NOSIGNAL);
    if (w != (ssize_t)req_len)
        fail(c); /* requests are small: a short write counts as an error */
}

static void finished(struct conn *c)
{
    uint64_t t = now();
    done_total++;
    if (c->intended >= t_meas && c->intended < t_end) {
        rec(&corrected, t - c->intended);
        rec(&service, t - c->sent);
    }
    if (t >= t_meas && t < t_end)
        done_meas++;
    if (per_req || c->close_after) {
        shut(c);
        if (t < t_end) {
            dial(c);
            if (per_req)
                c->intended = t;
        }
        return;
    }
    if (t < t_end)
        ready(c);
    else {
        c->st = IDLE;
    }
}

static void put(struct conn *c, const void *bytes, size_t n)
{
    ssize_t w = c->ssl ? SSL_write(c->ssl, bytes, (int)n) : send(c->fd, bytes, n, MSG_NOSIGNAL);
    if (w != (ssize_t)n)
        fail(c);
}

/* Frames of HTTP/2: acknowledges SETTINGS, and is finished with the end of the one stream. */
static int eat_h2(struct conn *c, const char *p, size_t n)
{
    enum { HEAD = 9, DATA = 0, HEADERS = 1, RST = 3, SETTINGS = 4, GOAWAY = 7, END = 1, ACK = 1 };
    static const char ack[HEAD] = {0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0};
    while (n) {
        if (c->body_left) {
            uint64_t s = c->body_left < n ? c->body_left : n;
            c->body_left -= s;
            p += s;
            n -= s;
        } else {
            c->buf[c->have++] = *p++;
            n--;
            if (c->have < HEAD)
                continue;
            const unsigned char *h = (const unsigned char *)c->buf;
            c->body_left = (uint64_t)h[0] << 16 | (uint64_t)h[1] << 8 | h[2];
            if (h[3] == RST || h[3] == GOAWAY)
                return -1;
            if (h[3] == SETTINGS && !(h[4] & ACK))
                put(c, ack, sizeof ack);
            c->in_body = (h[3] == DATA || h[3] == HEADERS) && (h[4] & END);
            c->have = 0;
        }
        if (c->st == DEAD || c->st == CONNECTING)
            return 0;
        if (c->body_left == 0 && c->in_body) {
            c->in_body = 0;
            finished(c);
        }
    }
    return 0;
}

/* Eats n bytes of an answer; returns 0, or -1 on a broken answer. */
static int eat(struct conn *c, char *p, size_t n)
{
    if (use_h2)
        return eat_h2(c, p, n);
    while (n) {
        if (c->in_body) {
            uint64_t s = c->body_left < n ? c->body_left : n;
            c->body_left -= s;
            p += s;
            n -= s;
            if (c->body_left)
                return 0;
            c->in_body = 0;
            finished(c);
            if (c->st == DEAD || c->st == CONNECTING)
                return 0;
            continue;
        }
        size_t room = sizeof c->buf - c->have, k = n < room ? n : room, old = c->have;
        memcpy(c->buf + c->have, p, k);
        size_t from = old > 3 ? old - 3 : 0, tot = old + k;
        char *e = memmem(c->buf + from, tot - from, "\r\n\r\n", 4);
        if (!e) {
            if (tot == sizeof c->buf)
                return -1;
            c->have = (unsigned)tot;
            return 0;
        }
        size_t hl = (size_t)(e + 4 - c->buf), used = hl - old;
        if (c->buf[9] != '2')
            non2xx++;
        c->buf[hl - 1] = 0;
        char *cl = strcasestr(c->buf, "content-length:");
        if (!cl)
            return -1;
        c->body_left = strtoull(cl + 15, NULL, 10);
        if (strcasestr(c->buf, "connection: close"))
            c->close_after = 1;
        c->have = 0;
        p += used;
        n -= used;
        if (c->body_left)
            c->in_body = 1;
        else {
            finished(c);
            if (c->st == DEAD || c->st == CONNECTING)
                return 0;
        }
    }
    return 0;
}

static void handshake(struct conn *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\0\0\0\4\0\0\0\0\0"; /* SETTINGS */
    int r = SSL_do_handshake(c->ssl);
    if (r == 1) {
        resumed += (uint64_t)SSL_session_reused(c->ssl);
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
        if (use_h2)
            put(c, preface, sizeof preface - 1);
        if (per_req)
            fire(c);
        else
            ready(c);
        return;
    }
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_READ)
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
    else if (e == SSL_ERROR_WANT_WRITE)
        watch(c, EPOLLOUT, EPOLL_CTL_MOD);
    else {
        if (errors < 3)
            ERR_print_errors_fp(stderr);
        fail(c);
    }
}

static void on_event(struct conn *c)
{
    static char buf[65536];
    if (c->st == CONNECTING) {
        int e = 0;
        socklen_t l = sizeof e;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e) {
            if (errors < 3)
                fprintf(stderr, "connect: %s\n", strerror(e));
            fail(c);
            return;
        }
        if (use_tls) {
            c->ssl = SSL_new(ctx);
            SSL_set_fd(c->ssl, c->fd);
            SSL_set_connect_state(c->ssl);
            SSL_set_tlsext_host_name(c->ssl, "mesh.test");
            if (newest)
                SSL_set_session(c->ssl, newest);
            c->st = HANDSHAKE;
            handshake(c);
        } else {
            watch(c, EPOLLIN, EPOLL_CTL_MOD);
            if (per_req)
                fire(c);
            else
                ready(c);
        }
        return;
    }
    if (c->st == HANDSHAKE) {
        handshake(c);
        return;
    }
    for (;;) {
        ssize_t r;
        if (c->ssl) {
            r = SSL_read(c->ssl, buf, sizeof buf);
            if (r <= 0) {
                int e = SSL_get_error(c->ssl, (int)r);
                if (e == SSL_ERROR_WANT_READ)
                    return;
                r = e == SSL_ERROR_ZERO_RETURN ? 0 : -1;
            }
        } else {
            r = recv(c->fd, buf, sizeof buf, 0);
            if (r < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        }
        if (r <= 0) {
            if (now() < t_end)
                fail(c);
            else
                shut(c);
            return;
        }
        bytes_in += (uint64_t)r;
        if (eat(c, buf, (size_t)r) < 0) {
            fail(c);
            return;
        }
        if (!c->ssl || c->st == DEAD || c->st == CONNECTING)
            return;
    }
}

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1; /* the reference is ours now */
}

static void tls_setup(const char *cert, const char *key, const char *ca)
{
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(ctx, "X25519");
    SSL_CTX_set_session_cache_mode(ctx, resumes ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
                                                : SSL_SESS_CACHE_OFF);
    if (resumes)
        SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (use_h2)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\2h2", 3);
    if (cert && (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
                 SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    if (ca) {
        if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
            ERR_print_errors_fp(stderr);
            exit(1);
        }
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
}

/* Waits for the answer, or without one at most two seconds. */
static void ask_once(struct conn *c, int never)
{
    struct epoll_event evs[512];
    uint64_t until = now() + 2000000000ull;
    c->intended = now();
    fire(c);
    while (!never && c->st == BUSY && now() < until) {
        int n = epoll_wait(ep, evs, 512, 100);
        for (int k = 0; k < n; k++) {
            int had = nidle;
            on_event(evs[k].data.ptr);
            nidle = had;
        }
    }
}

int main(int argc, char **argv)
{
    double dur = 3, warm = 1;
    int hold = -1, body = 0, o;
    const char *path = "/", *cert = NULL, *key = NULL, *ca = NULL;
    while ((o = getopt(argc, argv, "c:d:w:r:jP:B:nH:TS2C:K:A:J")) != -1)
        switch (o) {
        case 'c': nconn = atoi(optarg); break;
        case 'd': dur = atof(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'j': poisson = 1; break;
        case 'P': path = optarg; break;
        case 'B': body = atoi(optarg); break;
        case 'n': per_req = 1; break;
        case 'H': hold = atoi(optarg); break;
        case 'T': use_tls = 1; break;
        case 'S': resumes = 1; break;
        case '2': use_h2 = 1; break;
        case 'C': cert = optarg; break;
        case 'K': key = optarg; break;
        case 'A': ca = optarg; break;
        case 'J': quiet_json = 1; break;
        default: return 2;
        }
    if (optind >= argc || dur + warm > 600) {
        fprintf(stderr, "usage: loadgen [options] 127.0.0.1:PORT\n");
        return 2;
    }
    char host[64];
    int port;
    if (sscanf(argv[optind], "%63[^:]:%d", host, &port) != 2)
        return 2;
    addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
        (ntohl(addr.sin_addr.s_addr) >> 24) != 127) {
        fprintf(stderr, "only loopback is loaded\n");
        return 2;
    }
    /* On a busy machine a hundred handshakes take two seconds. */
    alarm((unsigned)(dur + warm + (hold > 0 ? hold : 0) + 60) + (unsigned)nconn / 50);
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGPIPE, SIG_IGN); /* libssl writes without MSG_NOSIGNAL */
    struct rlimit rl;
    if (!getrlimit(RLIMIT_NOFILE, &rl)) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    if (use_tls)
        tls_setup(cert, key, ca);
    static const char h2[] = "\0\0\16\1\5\0\0\0\1"            /* HEADERS, the stream's end */
                             "\x82\x87\x84\x41\x09mesh.test"; /* GET https / */
    req = malloc(1024 + (size_t)body);
    req_len = (size_t)sprintf(
        req, "%s %s HTTP/1.1\r\nHost: mesh.test\r\nUser-Agent: loadgen\r\nAccept: */*\r\n",
        body ? "POST" : "GET", path);
    if (per_req)
        req_len += (size_t)sprintf(req + req_len, "Connection: close\r\n");
    if (body)
        req_len += (size_t)sprintf(req + req_len, "Content-Length: %d\r\n", body);
    req_len += (size_t)sprintf(req + req_len, "\r\n");
    memset(req + req_len, 'y', (size_t)body);
    req_len += (size_t)body;
    if (use_h2)
        memcpy(req, h2, req_len = sizeof h2 - 1);

    ep = epoll_create1(EPOLL_CLOEXEC);
    cs = calloc((size_t)nconn, sizeof *cs);
    idle = calloc((size_t)nconn, sizeof *idle);
    double rate_wanted = rate;
    struct epoll_event evs[512];
    t_start = now();
    t_meas = t_start + (uint64_t)(warm * 1e9);
    t_end = t_meas + (uint64_t)(dur * 1e9);

    if (hold >= 0) { /* open all, a request on each, keep them */
        rate = 1e-9;
        next_at = UINT64_MAX;
        t_end = UINT64_MAX; /* ready() parks them */
        int never = !strncmp(path, "/hold", 5), asked = 0;
        for (int i = 0; i < nconn;) { /* opened in slices, so that no accept queue overflows */
            for (int k = 0; k < 200 && i < nconn; k++, i++)
                dial(&cs[i]);
            uint64_t until = now() + 10000000000ull;
            while (now() < until && nidle + (int)errors < i) {
                int n = epoll_wait(ep, evs, 512, 100);
                for (int k = 0; k < n; k++)
                    on_event(evs[k].data.ptr);
            }
            /* Asked at once, for a server waits for a first request only so long; one by one, so that
             * upstream pools stay as small as they can. */
            for (; asked < nidle; asked++)
                ask_once(&cs[idle[asked]], never);
        }
        int open = nidle;
        printf("held %d errors %lu\n", open, (unsigned long)errors);
        fflush(stdout);
        uint64_t until = now() + (uint64_t)hold * 1000000000ull;
        while (now() < until) {
            int n = epoll_wait(ep, evs, 512, 200);
            for (int k = 0; k < n; k++) {
                struct conn *c = evs[k].data.ptr;
                char b[4096];
                ssize_t r = c->fd >= 0 ? recv(c->fd, b, sizeof b, 0) : -1;
                if (r <= 0 && c->fd >= 0)
                    shut(c);
            }
        }
        return 0;
    }

    /* Connections first, requests after: the open loop's clock starts when all are up. */
    if (!per_req) {
        double r0 = rate;
        rate = 1e-9;
        next_at = UINT64_MAX;
        for (int i = 0; i < nconn;) {
            for (int k = 0; k < 200 && i < nconn; k++, i++)
                dial(&cs[i]);
            uint64_t until = now() + 10000000000ull;
            while (now() < until && nidle < i) {
                int n = epoll_wait(ep, evs, 512, 100);
                for (int k = 0; k < n; k++)
                    on_event(evs[k].data.ptr);
                if (errors > 1000) {
                    fprintf(stderr, "cannot connect\n");
                    return 1;
                }
            }
        }
        rate = r0;
    }
    t_start = now();
    t_meas = t_start + (uint64_t)(warm * 1e9);
    t_end = t_meas + (uint64_t)(dur * 1e9);
    next_at = t_start;
    if (per_req) {
        rate = 0;
        for (int i = 0; i < nconn; i++) {
            dial(&cs[i]);
            cs[i].intended = now();
        }
    } else if (rate <= 0) {
        int k = nidle;
        nidle = 0;
        for (int i = 0; i < k; i++)
            ready(&cs[idle[i]]);
    }

    struct rusage ru0, ru1;
    getrusage(RUSAGE_SELF, &ru0);
    for (;;) {
        uint64_t t = now();
        if (t >= t_end) {
            if (t > t_end + 500000000ull)
                break; /* grace for answers under way */
            int busy = 0;
            for (int i = 0; i < nconn && !busy; i++)
                busy = cs[i].st == BUSY;
            if (!busy)
                break;
        }
        int64_t wait = 50000000;
        if (rate > 0 && t < t_end) {
            while (nidle && next_at <= t) {
                struct conn *c = &cs[idle[--nidle]];
                c->intended = next_at;
                next_at += gap();
                fire(c);
            }
            if (next_at <= t) {
                uint64_t b = (uint64_t)((double)(t - next_at) * rate / 1e9);
                if (b > backlog_max)
                    backlog_max = b;
            }
            if (nidle) {
                wait = (int64_t)next_at - (int64_t)now();
                if (wait < 0)
                    wait = 0;
            }
        }
        struct timespec ts = {wait / 1000000000, wait % 1000000000};
        int n = epoll_pwait2(ep, evs, 512, &ts, NULL);
        for (int i = 0; i < n; i++)
            on_event(evs[i].data.ptr);
    }
    getrusage(RUSAGE_SELF, &ru1);
    double cpu = (double)(ru1.ru_utime.tv_sec - ru0.ru_utime.tv_sec + ru1.ru_stime.tv_sec -
                          ru0.ru_stime.tv_sec) *
                     1e6 +
                 (double)(ru1.ru_utime.tv_usec - ru0.ru_utime.tv_usec + ru1.ru_stime.tv_usec -
                          ru0.ru_stime.tv_usec);
    double rps = (double)done_meas / dur;
    if (quiet_json)
        printf(
            "{\"rps\":%.1f,\"rate\":%.0f,\"done_total\":%lu,\"done\":%lu,\"errors\":%lu,\"non2xx\":"
            "%lu,\"conns_made\":%lu,\"resumed\":%lu,\"bytes\":%lu,\"client_cpu_us\":%.0f,\"backlog_"
            "max\":%lu,"
            "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"mean\":%.1f,\"s_"
            "p50\":%.1f,\"s_p90\":%.1f,\"s_p99\":%.1f,\"s_p999\":%.1f}\n",
            rps, rate_wanted, (unsigned long)done_total, (unsigned long)done_meas,
            (unsigned long)errors, (unsigned long)non2xx, (unsigned long)conns_made,
            (unsigned long)resumed, (unsigned long)bytes_in, cpu, (unsigned long)backlog_max,
            pct(&corrected, 50), pct(&corrected, 90), pct(&corrected, 99), pct(&corrected, 99.9),
            (double)corrected.max / 1000,
            corrected.n ? corrected.sum / (double)corrected.n / 1000 : 0, pct(&service, 50),
            pct(&service, 90), pct(&service, 99), pct(&service, 99.9));
    else
        printf("%.0f req/s  errors %lu  non-2xx %lu  client cpu %.2f us/req\nfrom intended start: "
               "p50 %.1f p90 %.1f p99 %.1f p99.9 %.1f max %.1f us\nfrom send:           p50 %.1f "
               "p90 %.1f p99 %.1f p99.9 %.1f us\n",
               rps, (unsigned long)errors, (unsigned long)non2xx,
               cpu / (double)(done_total ? done_total : 1), pct(&corrected, 50),
               pct(&corrected, 90), pct(&corrected, 99), pct(&corrected, 99.9),
               (double)corrected.max / 1000, pct(&service, 50), pct(&service, 90),
               pct(&service, 99), pct(&service, 99.9));
    return errors > done_total / 100;
}
