/* Listeners, and the choice of a chain in those that can be built. */
#include "build/listener.h"
#include "build_resource.h"

static void use(const struct listener *listener)
{
    static const struct slice alpn[] = {{"h2", 2}, {"istio", 5}, {"http/1.1", 8}};
    for (unsigned i = 0; i < 64; i++) {
        struct chain_facts facts = {.destination_port = (uint16_t)(i % 4 ? 80 : 9080),
                                    .has_ip = i & 1,
                                    .transport = i & 2 ? CHAIN_TLS : CHAIN_RAW,
                                    .server_name = i & 4 ? SLICE("a.example.com") : SLICE(""),
                                    .alpn = alpn,
                                    .alpn_count = i & 8 ? 3 : 0};
        facts.source.bytes[15] = i & 16 ? 1 : 7;
        const struct filter_chain *chain = listener_chain(listener, &facts);
        if (chain && !!chain->http == !!chain->tcp)
            abort();
        if (chain && !listener_chain_by_key(listener, chain->key))
            abort();
    }
    for (unsigned port = 0; port < 65536; port += 4095)
        (void)(listener_detects(&listener->tls_inspector, (uint16_t)port) +
               listener_detects(&listener->http_inspector, (uint16_t)port));
}

FUZZ_BUILD(envoy__config__listener__v3__listener__descriptor, listener, use)
