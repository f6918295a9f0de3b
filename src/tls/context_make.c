/* context_make: a context in libssl's form. */
#include "tls/context_internal.h"

#include "tls/x509_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static const char suites_13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";
static const char signatures[] =
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:"
    "RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
/* What tickets are bound to besides the policy that they carry; libssl insists on one. */
static const unsigned char session_id_context[] = "tulle";

static STACK_OF(X509) *
    parse_intermediates(const struct context_certificate *certificate, OSSL_LIB_CTX *library)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (size_t i = 1; i < certificate->chain_count; i++)
        sk_X509_push(chain, x509_parse(library, slice_of(certificate->chain[i].data,
                                                         certificate->chain[i].size)));
    return chain;
}

static bool use_certificate(SSL_CTX *ssl, const struct context_certificate *certificate,
                            OSSL_LIB_CTX *library)
{
    X509 *leaf =
        x509_parse(library, slice_of(certificate->chain[0].data, certificate->chain[0].size));
    STACK_OF(X509) *chain = parse_intermediates(certificate, library);
    const unsigned char *at = (const unsigned char *)certificate->key.data;
    EVP_PKEY *key = d2i_AutoPrivateKey_ex(NULL, &at, (long)certificate->key.size, library, NULL);
    bool good = leaf && key && SSL_CTX_use_cert_and_key(ssl, leaf, key, chain, 1) == 1;
    EVP_PKEY_free(key);
    X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
    return good;
}

static void set_options(SSL_CTX *ssl, const struct tls_context *context)
{
    uint64_t options =
        SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION;
    /* Tickets are our own and for TLS 1.3 only; without this flag a server looks for them. */
    if (context->role == TLS_CLIENT || !context->ticket_keys)
        options |= SSL_OP_NO_TICKET;
    SSL_CTX_set_options(ssl, options);
    /* The chain is sent as it was given; libssl would build and verify one at every handshake. */
    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_max_cert_list(ssl, TLS_CHAIN_BYTES_MAX);
    SSL_CTX_set_security_level(ssl, 2);
    int verify = SSL_VERIFY_PEER;
    if (context->role == TLS_SERVER && context->peer_certificate == TLS_PEER_NOT_ASKED)
        verify = SSL_VERIFY_NONE;
    if (context->role == TLS_SERVER && context->peer_certificate == TLS_PEER_REQUIRED)
        verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ssl, verify, NULL);
}

static bool set_parameters(SSL_CTX *ssl, const struct tls_context *context)
{
    return SSL_CTX_set_min_proto_version(ssl, (int)context->min_version) &&
           SSL_CTX_set_max_proto_version(ssl, (int)context->max_version) &&
           SSL_CTX_set_cipher_list(ssl, context->ciphers) &&
           SSL_CTX_set_ciphersuites(ssl, suites_13) && SSL_CTX_set1_groups_list(ssl, groups) &&
           SSL_CTX_set1_sigalgs_list(ssl, signatures) &&
           SSL_CTX_set_session_id_context(ssl, session_id_context, sizeof(session_id_context) - 1);
}

SSL_CTX *context_make(const struct tls_context *context, OSSL_LIB_CTX *library, struct error *error)
{
    const SSL_METHOD *method =
        context->role == TLS_SERVER ? TLS_server_method() : TLS_client_method();
    SSL_CTX *ssl = SSL_CTX_new_ex(library, NULL, method);
    bool good = ssl && set_parameters(ssl, context);
    if (good)
        set_options(ssl, context);
    for (size_t i = 0; good && i < context->certificate_count; i++)
        good = use_certificate(ssl, &context->certificates[i], library);
    if (!good) {
        error_set(error, NULL, "the TLS library refuses this configuration: %s",
                  x509_library_error());
        SSL_CTX_free(ssl);
        return NULL;
    }
    return ssl;
}
