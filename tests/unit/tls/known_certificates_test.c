#include "test.h"
#include "tls/side.h"

#include "tls/engine_internal.h"
#include "tls/known_certificates_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static X509 *parse(struct slice der)
{
    X509 *certificate = X509_new();
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *parsed = d2i_X509(&certificate, &at, (long)der.size);
    CHECK(!parsed || at == (const unsigned char *)der.data + der.size);
    ERR_clear_error();
    return parsed;
}

static void keep(struct known_certificates *known, X509 *certificate)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    sk_X509_push(chain, certificate);
    known_certificates_keep(known, chain);
    sk_X509_free(chain);
}

TEST(a_certificate_is_found_by_every_byte_of_it)
{
    struct pki root = pki_root("spiffe://cluster.local");
    struct slice der = buffer_slice(&root.der);
    struct known_certificates known;
    known_certificates_init(&known);
    known_certificates_use(&known);
    X509 *first = parse(der);
    keep(&known, first);
    keep(&known, first);
    CHECK(known.count == 1 && known.found == 0);
    for (size_t i = 0; i < der.size; i++) {
        char *other = str_copy_n(der.data, der.size);
        other[i] ^= 1;
        X509_free(parse(slice_of(other, der.size)));
        mem_free(other);
    }
    CHECK(known.found == 0);
    X509_free(parse(slice_first(der, der.size - 1)));
    CHECK(known.found == 0);
    X509 *again = parse(der);
    CHECK(again == first && known.found == 1);
    X509_free(again);
    known_certificates_use(NULL);
    again = parse(der);
    CHECK(again != first && known.found == 1);
    X509_free(again);
    X509_free(first);
    known_certificates_clear(&known);
    pki_fini(&root);
}

TEST(the_least_recent_and_the_large_are_not_kept)
{
    struct known_certificates known;
    struct buffer first = {0}, last = {0};
    known_certificates_init(&known);
    known_certificates_use(&known);
    for (int i = 0; i <= KNOWN_CERTIFICATES_MAX; i++) {
        struct pki root = pki_root("spiffe://cluster.local");
        X509 *parsed = parse(buffer_slice(&root.der));
        keep(&known, parsed);
        X509_free(parsed);
        if (i == 0)
            buffer_append_slice(&first, buffer_slice(&root.der));
        if (i == KNOWN_CERTIFICATES_MAX)
            buffer_append_slice(&last, buffer_slice(&root.der));
        pki_fini(&root);
    }
    CHECK(known.count == KNOWN_CERTIFICATES_MAX);
    X509_free(parse(buffer_slice(&first)));
    CHECK(known.found == 0);
    X509_free(parse(buffer_slice(&last)));
    CHECK(known.found == 1);
    known_certificates_clear(&known);
    CHECK(known.count == 0);

    char *text = mem_calloc(1, KNOWN_CERTIFICATE_BYTES_MAX);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, (const unsigned char *)text, KNOWN_CERTIFICATE_BYTES_MAX);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, NID_netscape_comment, 0, value);
    X509 *large = parse(buffer_slice(&last));
    X509_add_ext(large, extension, -1);
    i2d_re_X509_tbs(large, NULL);
    keep(&known, large);
    CHECK(known.count == 0);
    X509_free(large);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    mem_free(text);
    known_certificates_use(NULL);
    buffer_fini(&first);
    buffer_fini(&last);
}

/* What the place of libcrypto's function is for: libssl calls ours. */
TEST(a_peer_that_was_believed_is_not_parsed_again_and_another_is)
{
    struct pki root = pki_root("spiffe://cluster.local"),
               stranger = pki_root("spiffe://cluster.local"),
               middle =
                   pki_issue(&root, pki_spec(CERTIFICATE_INTERMEDIATE, "spiffe://cluster.local")),
               leaf = pki_leaf(&middle, "spiffe://cluster.local/ns/a/sa/b"),
               false_leaf = pki_leaf(&stranger, "spiffe://cluster.local/ns/a/sa/b");
    struct tls_trust *trust = pki_trust(&root, "cluster.local");
    struct side client, server;
    side_start(&client);
    side_start(&server);
    side_use(&server, pki_context(TLS_SERVER, &leaf, trust, NULL));
    side_use(&client, pki_context(TLS_CLIENT, &false_leaf, trust, NULL));
    side_begin(&client, NULL);
    side_begin(&server, NULL);
    sides_talk(&client, &server, 0);
    CHECK(tls_session_has_failed(server.session));
    CHECK(server.engine->known.count == 0 && client.engine->known.count == 2);

    side_use(&client, pki_context(TLS_CLIENT, &leaf, trust, NULL));
    for (uint64_t i = 0; i < 3; i++) {
        side_begin(&client, NULL);
        side_begin(&server, NULL);
        sides_talk(&client, &server, 0);
        CHECK(tls_session_is_open(client.session) && tls_session_is_open(server.session));
        CHECK(server.engine->known.found == 2 * i && client.engine->known.found == 2 * i + 2);
    }
    tls_engine_trim(server.engine);
    CHECK(server.engine->known.count == 2);
    tls_engine_turn(server.engine, pki_now() + 2 * DAY_S, 0);
    tls_engine_trim(server.engine);
    CHECK(server.engine->known.count == 1); /* the leaf has ended, its issuer has not */
    tls_engine_shrink(server.engine);
    CHECK(server.engine->known.count == 0);
    side_stop(&client);
    side_stop(&server);
    tls_trust_unref(trust);
    struct pki *all[] = {&root, &stranger, &middle, &leaf, &false_leaf};
    EACH (pki, all)
        pki_fini(*pki);
}
