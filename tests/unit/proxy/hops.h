/*
 * hops: what is spoken on the two hops of a proxy under test: HTTP/1 or HTTP/2, in plaintext or mTLS, on either.
 *
 * One authority and four identities a process. The keys are Ed25519, whose signatures have one size, and the certificates
 * belong to the simulation's time: so one seed gives one run, although handshakes are real and their bytes random. Over
 * real sockets they belong to today.
 */
#pragma once

#include "test.h"
#include "tls/pki.h"

#include "build/secret.h"
#include "build/yaml.h"
#include "net/transport.h"

struct hops {
    bool down_is_http2, up_is_http2, down_is_tls, up_is_tls;
};
enum { HOPS = 16 };

static inline struct hops hops_of(uint64_t cell)
{
    return (struct hops){cell & 1, cell & 2, cell & 4, cell & 8};
}

static inline const char *hops_name(struct hops hops)
{
    static char name[64];
    snprintf(name, sizeof(name), "HTTP/%d%s to HTTP/%d%s", 1 + hops.down_is_http2,
             hops.down_is_tls ? " mTLS" : "", 1 + hops.up_is_http2, hops.up_is_tls ? " mTLS" : "");
    return name;
}

/* When all this is: 0 in the simulation's time. */
static int64_t hops_now_s;

static inline struct build_options hops_build(void)
{
    struct build_options build = here;
    if (hops_now_s)
        build.now_s = hops_now_s;
    return build;
}

/* --- keys and certificates ---------------------------------------------------------------------------------------- */

static struct hops_pki {
    struct pki root;
    struct pki proxies[2]; /* what the proxy presents; there are two, so that it can change */
    struct pki client, origin;
    struct tls_trust *trust;
    struct tls_context *client_contexts[2], *origin_contexts[2]; /* by whether it is HTTP/2 */
} hops_pki;

/* PKCS#8 of an Ed25519 key is these bytes and 32 random ones (RFC 8410). */
static inline struct key_pair *hops_key(void)
{
    char der[48] = "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    struct key_pair *key;
    struct error error = {0};
    random_secret(der + 16, 32);
    CHECK(key_pair_parse(slice_of(der, sizeof(der)), &key, &error), "%s", error.what);
    return key;
}

static inline struct pki hops_leaf(const char *id)
{
    return pki_issue_for(hops_key(), &hops_pki.root, pki_spec(CERTIFICATE_LEAF, id));
}

static inline struct tls_context *hops_context(enum tls_role role, const struct pki *leaf,
                                               bool is_http2)
{
    struct slice alpn = is_http2 ? SLICE("h2") : SLICE("http/1.1");
    struct tls_context_spec spec = {
        .alpn = &alpn, .alpn_count = 1, .peer_certificate = TLS_PEER_REQUIRED, .resume = true};
    return pki_context(role, leaf, hops_pki.trust, &spec);
}

static inline void hops_make_pki(void)
{
    if (hops_pki.trust)
        return;
    pki_time = hops_build().now_s;
    hops_pki.root =
        pki_issue_for(hops_key(), NULL, pki_spec(CERTIFICATE_ROOT, "spiffe://cluster.local"));
    buffer_reset(&hops_pki.root.chain); /* a root is not sent */
    hops_pki.proxies[0] = hops_leaf("spiffe://cluster.local/ns/shop/sa/proxy");
    hops_pki.proxies[1] = hops_leaf("spiffe://cluster.local/ns/shop/sa/proxy");
    hops_pki.client = hops_leaf("spiffe://cluster.local/ns/shop/sa/client");
    hops_pki.origin = hops_leaf("spiffe://cluster.local/ns/shop/sa/origin");
    hops_pki.trust = pki_trust(&hops_pki.root, "cluster.local");
    for (int i = 0; i < 2; i++) {
        hops_pki.client_contexts[i] = hops_context(TLS_CLIENT, &hops_pki.client, i);
        hops_pki.origin_contexts[i] = hops_context(TLS_SERVER, &hops_pki.origin, i);
    }
}

__attribute__((destructor)) static void hops_forget_pki(void)
{
    if (!hops_pki.trust)
        return;
    for (int i = 0; i < 2; i++) {
        tls_context_unref(hops_pki.client_contexts[i]);
        tls_context_unref(hops_pki.origin_contexts[i]);
        pki_fini(&hops_pki.proxies[i]);
    }
    tls_trust_unref(hops_pki.trust);
    pki_fini(&hops_pki.client);
    pki_fini(&hops_pki.origin);
    pki_fini(&hops_pki.root);
}

/* --- what the proxy is given -------------------------------------------------------------------------------------- */

static inline struct secret *hops_certificate(unsigned which)
{
    const struct pki *pki = &hops_pki.proxies[which];
    struct tls_certificate certificate = {buffer_slice(&pki->chain), buffer_slice(&pki->key_pem)};
    struct build_options build = hops_build();
    struct secret *secret;
    CHECK(secret_of_certificate(SLICE("default"), &certificate, &build, &secret, NULL));
    return secret;
}

static inline struct secret *hops_roots(void)
{
    struct trust_source source = {.trust_domain = SLICE("cluster.local"),
                                  .roots = buffer_slice(&hops_pki.root.der)};
    struct secret *secret;
    CHECK(secret_of_trust(SLICE("ROOTCA"), &source, 1, &secret, NULL));
    return secret;
}

#define HOPS_SECRETS(alpn, san)                                                                    \
    "common_tls_context: {alpn_protocols: [" alpn "], tls_certificate_sds_secret_configs: "        \
    "[{name: default, sds_config: {ads: {}}}], combined_validation_context: "                      \
    "{default_validation_context: {match_subject_alt_names: [{prefix: '" san "'}]}, "              \
    "validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}}}"

/* For a filter chain; begins with a comma. Clients must show an identity that begins like this. */
#define HOPS_DOWNSTREAM_TLS_FOR(san)                                                               \
    ", transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/"                 \
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, "                             \
    "require_client_certificate: true, " HOPS_SECRETS("h2, http/1.1", san) "}}"
#define HOPS_DOWNSTREAM_TLS HOPS_DOWNSTREAM_TLS_FOR("spiffe://cluster.local/")
/* For a cluster whose servers show that identity. */
#define HOPS_UPSTREAM_TLS(sni, alpn, san)                                                          \
    ", transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/"                 \
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: " sni                      \
    ", " HOPS_SECRETS(alpn, san) "}}"
/* For a cluster whose servers speak HTTP/2; begins with a comma. */
#define HOPS_HTTP2                                                                                 \
    ", typed_extension_protocol_options: "                                                         \
    "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': type.googleapis.com/"      \
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "               \
    "{http2_protocol_options: {}}}}"
