#include "rpc/client.h"

#include "rpc/pair.h"
#include "tls/engine.h"
#include "tls/identity.h"
#include "tls/pki.h"

/* Answers with the identity of who asks. */
static void tell_identity(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    const struct peer_identity *peer = rpc_exchange_identity(exchange);
    struct slice id = peer ? peer->id.text : SLICE("nobody");
    rpc_exchange_reply(exchange, rpc_exchange_is_encrypted(exchange) ? 200 : 426, NULL, id);
}
static const struct rpc_service identity = {.on_open = tell_identity};

struct scene {
    struct pki root, server, client, stranger;
    struct tls_trust *trust;
    struct tls_context *server_context, *client_context, *stranger_context;
};

static struct scene make_scene(void)
{
    struct scene s = {.root = pki_root("spiffe://mesh")};
    struct tls_context_spec server = {.peer_certificate = TLS_PEER_OPTIONAL};
    struct tls_context_spec client = {0};
    s.server = pki_leaf(&s.root, "spiffe://mesh/ns/tulle/sa/tulled");
    s.client = pki_leaf(&s.root, "spiffe://mesh/ns/shop/sa/cart");
    s.trust = pki_trust(&s.root, "mesh");
    s.server_context = pki_context(TLS_SERVER, &s.server, s.trust, &server);
    s.client_context = pki_context(TLS_CLIENT, &s.client, s.trust, &client);
    s.stranger_context = pki_context(TLS_CLIENT, NULL, s.trust, &client);
    return s;
}

static void end_scene(struct scene *s)
{
    tls_context_unref(s->server_context);
    tls_context_unref(s->client_context);
    tls_context_unref(s->stranger_context);
    tls_trust_unref(s->trust);
    pki_fini(&s->root);
    pki_fini(&s->server);
    pki_fini(&s->client);
}

static void on_turn(void *owner)
{
    tls_engine_turn(owner, pki_now(), 0);
}

static void ask(struct scene *s, enum rpc_protocol protocol, struct tls_context *context,
                const char *expected, const char *answer)
{
    struct tls_engine *engine = tls_engine_create(NULL);
    struct pair *p = pair_open(NULL, NULL, 1);
    struct address address = address_v4(0x0a000001, 9443);
    struct san_match match = {
        .how = SAN_MATCH_EXACT, .kind = SAN_URI, .value = slice_str(expected)};
    struct rpc_client_config config = {.protocol = protocol,
                                       .target = {.host = "10.0.0.1",
                                                  .port = 9443,
                                                  .tls = context,
                                                  .expected = &match,
                                                  .expected_count = 1}};
    struct heard h = {0};
    loop_on_turn(p->loop, on_turn, engine);
    p->means.engine = engine;
    rpc_client_close(p->client);
    rpc_server_close(p->server);
    p->server = rpc_server_create(&p->means, NULL);
    p->client = rpc_client_create(&p->means, &config);
    p->listeners++;
    struct rpc_listen listen = {.fd = sim_listen(p->loop, &address), .tls = s->server_context};
    CHECK(rpc_server_listen(p->server, &listen, NULL) == 0);
    rpc_server_add_http(p->server, "/", &identity, NULL);
    h.call = rpc_client_http(p->client, &(struct rpc_call_config){.path = "/"}, SLICE_NONE,
                             &hearing, &h);
    pair_run(p, &h.ended, 20000);
    CHECK(h.text.data && strstr(h.text.data, answer), "heard \"%s\", not \"%s\"", h.text.data,
          answer);
    buffer_fini(&h.text);
    pair_close(p);
    tls_engine_destroy(engine);
}

TEST(client_and_server_know_each_other_by_their_certificates)
{
    struct scene s = make_scene();
    static const enum rpc_protocol protocols[] = {RPC_HTTP1, RPC_HTTP2};
    EACH (protocol, protocols) {
        ask(&s, *protocol, s.client_context, "spiffe://mesh/ns/tulle/sa/tulled",
            "head=200 spiffe://mesh/ns/shop/sa/cart end=OK:");
        ask(&s, *protocol, s.stranger_context, "spiffe://mesh/ns/tulle/sa/tulled",
            "head=200 nobody end=OK:");
        ask(&s, *protocol, s.client_context, "spiffe://mesh/ns/tulle/sa/impostor",
            "end=UNAVAILABLE:10.0.0.1:9443:");
    }
    end_scene(&s);
}
