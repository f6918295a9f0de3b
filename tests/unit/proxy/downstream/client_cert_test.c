#include "proxy/downstream/client_cert.h"

#include "base/arena.h"
#include "http/header.h"
#include "tls/identity.h"

#include "test.h"

#define HASH "abababababababababababababababababababababababababababababababab"
#define OLD "URI=spiffe://forged"

static const struct {
    const char *name;
    enum hcm_client_cert how;
    bool has_certificate;
    const char *want; /* NULL: no such header */
} cases[] = {
    {"sanitize drops", HCM_CERT_SANITIZE, true, NULL},
    {"sanitize drops a stranger's", HCM_CERT_SANITIZE, false, NULL},
    {"forward keeps", HCM_CERT_FORWARD, true, OLD},
    {"forward drops a stranger's", HCM_CERT_FORWARD, false, NULL},
    {"append drops a stranger's", HCM_CERT_APPEND, false, NULL},
    {"set drops a stranger's", HCM_CERT_SET, false, NULL},
    {"always forward keeps a stranger's", HCM_CERT_ALWAYS_FORWARD, false, OLD},
    {"append adds", HCM_CERT_APPEND, true,
     OLD ",Hash=" HASH ";Subject=\"CN=\\\"a\\\"\";URI=spiffe://m/ns/a/sa/b;DNS=\"x;y\""},
    {"set replaces", HCM_CERT_SET, true,
     "Hash=" HASH ";Subject=\"CN=\\\"a\\\"\";URI=spiffe://m/ns/a/sa/b;DNS=\"x;y\""},
};

TEST(client_cert_tells_whom_the_sidecar_believed)
{
    struct san sans[] = {{SAN_URI, SLICE("spiffe://m/ns/a/sa/b")},
                         {SAN_DNS, SLICE("x;y")},
                         {SAN_DNS, SLICE("line\r\nx: y")}};
    struct peer_identity peer = {
        .refs = 1, .san_count = COUNT(sans), .sans = sans, .subject = SLICE("CN=\"a\"")};
    memset(peer.certificate_hash, 0xab, sizeof(peer.certificate_hash));
    EACH (c, cases) {
        struct arena arena;
        struct headers headers = {0};
        arena_init(&arena, NULL);
        struct hcm hcm = {
            .client_cert = c->how, .cert_subject = true, .cert_dns = true, .cert_uri = true};
        CHECK(headers_add(&headers, &arena, SLICE("X-Forwarded-Client-Cert"), SLICE(OLD)));
        CHECK(client_cert_forward(&hcm, c->has_certificate ? &peer : NULL, &headers, &arena));
        const struct header *header = headers_find_name(&headers, SLICE("x-forwarded-client-cert"));
        CHECK((header != NULL) == (c->want != NULL), "%s", c->name);
        CHECK(!header || slice_equals_str(header_value(header), c->want), "%s: %.*s", c->name,
              SLICE_ARG(header_value(header)));
        arena_fini(&arena);
    }
}
