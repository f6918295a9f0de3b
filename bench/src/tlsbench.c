/*
 * What TLS costs with no socket in the way (OpenSSL, memory BIOs, one thread).
 *   tlsbench hs CERT KEY CA [SECONDS]      full TLS 1.3 mutual handshakes: CPU us of the server's and the client's half
 *   tlsbench bulk CERT KEY CA [BYTES]      AES-128-GCM records: GB/s of SSL_write alone and SSL_read alone
 *   tlsbench mem CERT KEY CA [N]           resident bytes of one established, idle server-side session
 */
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
static void die(void)
{
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL_CTX *mk(const SSL_METHOD *m, char **f)
{
    SSL_CTX *c = SSL_CTX_new(m);
    SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
#ifdef OPENSSL_IS_BORINGSSL /* picks AES-128-GCM and X25519 by itself */
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
#else
    SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(c, "X25519");
    SSL_CTX_set_num_tickets(c, 0);
#endif
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(c, f[0]) != 1 ||
        SSL_CTX_use_PrivateKey_file(c, f[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(c, f[2], NULL) != 1)
        die();
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return c;
}

static void pair(SSL_CTX *sc, SSL_CTX *cc, SSL **s, SSL **c, double *ts, double *tc)
{
    double a = now();
    *c = SSL_new(cc);
    SSL_set_connect_state(*c);
    double b = now();
    *tc += b - a;
    *s = SSL_new(sc);
    SSL_set_accept_state(*s);
    BIO *x, *y;
    if (!BIO_new_bio_pair(&x, 1 << 17, &y, 1 << 17))
        die();
    SSL_set_bio(*c, x, x);
    SSL_set_bio(*s, y, y);
    *ts += now() - b;
    for (int i = 0; i < 10; i++) {
        a = now();
        int rc = SSL_do_handshake(*c);
        b = now();
        *tc += b - a;
        int rs = SSL_do_handshake(*s);
        *ts += now() - b;
        if (rc == 1 && rs == 1)
            return;
    }
    die();
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    SSL_CTX *sc = mk(TLS_server_method(), argv + 2), *cc = mk(TLS_client_method(), argv + 2);
    SSL *s, *c;
    double ts = 0, tc = 0;
    if (!strcmp(argv[1], "hs")) {
        double secs = argc > 5 ? atof(argv[5]) : 3, end;
        long n = 0;
        for (int i = 0; i < 200; i++) {
            pair(sc, cc, &s, &c, &ts, &tc);
            SSL_free(s);
            SSL_free(c);
        }
        ts = tc = 0;
        for (end = now() + secs * 1e6; now() < end; n++) {
            pair(sc, cc, &s, &c, &ts, &tc);
            double a = now();
            SSL_free(s);
            double b = now();
            SSL_free(c);
            ts += b - a;
            tc += now() - b;
        }
        printf("{\"n\":%ld,\"server_us\":%.1f,\"client_us\":%.1f}\n", n, ts / (double)n,
               tc / (double)n);
    } else if (!strcmp(argv[1], "bulk")) {
        int sz = argc > 5 ? atoi(argv[5]) : 16384;
        char *buf = malloc((size_t)sz);
        memset(buf, 'z', (size_t)sz);
        pair(sc, cc, &s, &c, &ts, &tc);
        double tw = 0, tr = 0, total = 0;
        while (tw + tr < 2e6) {
            for (int k = 0; k < 4; k++) {
                double a = now();
                int w = SSL_write(s, buf, sz);
                double b = now();
                tw += b - a;
                if (w != sz)
                    die();
                int got = 0;
                while (got < sz) {
                    int r = SSL_read(c, buf, sz);
                    if (r <= 0)
                        die();
                    got += r;
                }
                tr += now() - b;
                total += sz;
            }
        }
        printf("{\"bytes\":%d,\"write_gbps\":%.3f,\"read_gbps\":%.3f,\"write_us\":%.2f,\"read_us\":"
               "%.2f}\n",
               sz, total / tw / 1e3, total / tr / 1e3, tw * sz / total, tr * sz / total);
    } else {
        int n = argc > 5 ? atoi(argv[5]) : 2000;
        SSL **keep = malloc((size_t)n * sizeof *keep);
        for (int i = 0; i < 50; i++) {
            pair(sc, cc, &s, &c, &ts, &tc);
            SSL_free(s);
            SSL_free(c);
        }
        malloc_trim(0);
        size_t before = mallinfo2().uordblks;
        for (int i = 0; i < n; i++) {
            pair(sc, cc, &s, &c, &ts, &tc);
            SSL_set_bio(s, NULL, NULL);
            SSL_free(c);
            keep[i] = s; /* the BIO pair goes: a socket BIO would take its place */
        }
        printf("{\"n\":%d,\"bytes_per_session\":%zu}\n", n,
               (mallinfo2().uordblks - before) / (size_t)n);
    }
    return 0;
}
