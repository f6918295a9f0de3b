/*
 * What our own TLS sessions cost with no socket in the way; beside tlsbench, which asks OpenSSL alone.
 *   tlsroom handshakes [N]   server's and client's half of N handshakes of each kind, CPU us each
 *   tlsroom records [N]      sealing and opening messages of several sizes, CPU us each (the clock's own cost is taken off)
 *   tlsroom memory [N]       heap bytes of an idle session, with its cipher objects and after they were given back
 */
#include "../../tests/unit/tls/pki.h"

#include "base/block.h"
#include "tls/session.h"

#include <malloc.h>

struct side {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct tls_context *context;
    struct tls_session *session;
    struct chain in, out, plain;
    double us;
};

struct town {
    struct pki root, middle, near, far; /* near: signed by the root; far: by the intermediate */
    struct tls_trust *trust;
    struct tls_ticket_keys *keys;
    struct side client, server;
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double clock_cost_us(void)
{
    double from = now_us();
    for (int i = 0; i < 100000; i++)
        now_us();
    return (now_us() - from) / 100000;
}

static void side_start(struct side *side)
{
    side->engine = tls_engine_create(NULL);
    side->pool = block_pool_create(NULL);
    tls_engine_turn(side->engine, pki_now(), 0);
}

static void town_start(struct town *town)
{
    *town =
        (struct town){.root = pki_root("spiffe://cluster.local"), .keys = tls_ticket_keys_create()};
    town->middle =
        pki_issue(&town->root, pki_spec(CERTIFICATE_INTERMEDIATE, "spiffe://cluster.local"));
    town->near = pki_leaf(&town->root, "spiffe://cluster.local/ns/shop/sa/cart");
    town->far = pki_leaf(&town->middle, "spiffe://cluster.local/ns/shop/sa/cart");
    town->trust = pki_trust(&town->root, "cluster.local");
    side_start(&town->client);
    side_start(&town->server);
}

static void use(struct town *town, const struct pki *leaf, const struct tls_context_spec *spec)
{
    tls_context_unref(town->client.context);
    tls_context_unref(town->server.context);
    town->client.context = pki_context(TLS_CLIENT, leaf, town->trust, spec);
    town->server.context = pki_context(TLS_SERVER, leaf, town->trust, spec);
}

static void begin(struct side *side)
{
    double from = now_us();
    struct tls_session_spec spec = {.context = side->context};
    side->session = tls_session_create(side->engine, side->pool, &spec);
    side->us += now_us() - from;
}

static void end(struct side *side)
{
    double from = now_us();
    tls_session_destroy(side->session);
    chain_fini(&side->in);
    chain_fini(&side->plain);
    side->us += now_us() - from;
}

static bool carry(struct side *from, struct side *to)
{
    double start = now_us();
    if (tls_session_flush(from->session, &from->out, 0) != TLS_FLUSH_DONE)
        abort();
    from->us += now_us() - start;
    if (chain_is_empty(&from->out))
        return false;
    chain_move(&to->in, &from->out);
    start = now_us();
    if (tls_session_feed(to->session, &to->in, &to->plain, 0) == TLS_FEED_FAILED) {
        printf("%s\n", tls_session_failure_text(to->session));
        exit(1);
    }
    to->us += now_us() - start;
    return true;
}

static void talk(struct town *town)
{
    while (carry(&town->client, &town->server) | carry(&town->server, &town->client))
        continue;
}

static void say(struct side *side, size_t size)
{
    static char bytes[64000];
    struct chain chain = {0};
    if (!chain_append_copy(&chain, side->pool, slice_of(bytes, size)))
        abort();
    tls_session_write(side->session, &chain);
}

static void shake(struct town *town, bool with_data)
{
    begin(&town->client);
    begin(&town->server);
    talk(town);
    if (with_data) {
        say(&town->client, 1);
        talk(town);
        say(&town->server, 1);
        talk(town);
    }
}

/* Time passes and comes back, so that every chain is forgotten. */
static void forget(struct side *side)
{
    tls_engine_turn(side->engine, pki_now() + 4000 * (int64_t)DAY_S, 0);
    tls_engine_trim(side->engine);
    tls_engine_turn(side->engine, pki_now(), 0);
}

static void bench_handshakes(struct town *town, int count)
{
    static const struct {
        const char *name;
        enum tls_version version;
        bool through_intermediate, forgets, resumes, gives_tickets, with_data;
    } rows[] = {
        {"1.3, chain known", TLS_1_3, true, false, false, false, false},
        {"1.3, chain new", TLS_1_3, true, true, false, false, false},
        {"1.3, chain known, no intermediate", TLS_1_3, false, false, false, false, false},
        {"1.3, chain new, no intermediate", TLS_1_3, false, true, false, false, false},
        {"1.3, resumed, with a byte each way and a ticket", TLS_1_3, true, false, true, true, true},
        {"1.3, chain known, with a byte each way and a ticket", TLS_1_3, true, false, false, true,
         true},
        {"1.2, chain known", TLS_1_2, true, false, false, false, false},
    };
    for (size_t r = 0; r < COUNT(rows); r++) {
        struct tls_context_spec spec = {.min_version = rows[r].version,
                                        .max_version = rows[r].version,
                                        .peer_certificate = TLS_PEER_REQUIRED,
                                        .resume = rows[r].resumes,
                                        .ticket_keys = rows[r].gives_tickets ? town->keys : NULL};
        use(town, rows[r].through_intermediate ? &town->far : &town->near, &spec);
        for (int i = -20; i < count; i++) {
            if (i == 0)
                town->client.us = town->server.us = 0;
            if (rows[r].forgets) {
                forget(&town->client);
                forget(&town->server);
            }
            shake(town, rows[r].with_data);
            end(&town->client);
            end(&town->server);
        }
        printf("{\"handshake\":\"%s\",\"server_us\":%.1f,\"client_us\":%.1f}\n", rows[r].name,
               town->server.us / count, town->client.us / count);
    }
}

static void bench_records(struct town *town, int count)
{
    static const size_t sizes[] = {100, 1024, 4096, 16000, 64000};
    double cost = clock_cost_us();
    use(town, &town->far, &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED});
    shake(town, true);
    for (size_t s = 0; s < COUNT(sizes); s++) {
        double sealed = 0, opened = 0;
        for (int i = 0; i < count; i++) {
            say(&town->client, sizes[s]);
            double from = now_us();
            if (tls_session_flush(town->client.session, &town->server.in, 0) != TLS_FLUSH_DONE)
                abort();
            sealed += now_us() - from - cost;
            from = now_us();
            if (tls_session_feed(town->server.session, &town->server.in, &town->server.plain, 0) !=
                TLS_FEED_MORE)
                abort();
            opened += now_us() - from - cost;
            chain_fini(&town->server.plain);
        }
        printf("{\"bytes\":%zu,\"seal_us\":%.3f,\"open_us\":%.3f}\n", sizes[s], sealed / count,
               opened / count);
    }
    end(&town->client);
    end(&town->server);
}

static void bench_memory(struct town *town, int count)
{
    use(town, &town->far, &(struct tls_context_spec){.peer_certificate = TLS_PEER_REQUIRED});
    for (int i = 0; i < 20; i++) {
        shake(town, true);
        end(&town->client);
        end(&town->server);
    }
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < count; i++) {
        shake(town, true); /* and it is kept: the process ends soon */
        chain_fini(&town->client.plain);
        chain_fini(&town->server.plain);
    }
    size_t lent = mallinfo2().uordblks - before;
    struct side *sides[] = {&town->client, &town->server};
    for (int i = 0; i < 4; i++)
        tls_engine_trim(sides[i % 2]->engine);
    printf("{\"sessions\":%d,\"bytes_each\":%zu,\"bytes_each_idle\":%zu}\n", 2 * count,
           lent / (size_t)(2 * count), (mallinfo2().uordblks - before) / (size_t)(2 * count));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "handshakes";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    struct town town;
    uint8_t first[32];
    sha256(SLICE("our allocator before libcrypto's first use"), first);
    town_start(&town);
    if (!strcmp(what, "records"))
        bench_records(&town, count ? count : 20000);
    else if (!strcmp(what, "memory"))
        bench_memory(&town, count ? count : 2000);
    else
        bench_handshakes(&town, count ? count : 500);
    return 0;
}
