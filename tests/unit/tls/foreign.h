/* foreign: OpenSSL used directly, as a peer that knows nothing of us. */
#pragma once

#include "test.h"
#include "tls/side.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

struct foreign {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    struct buffer plain; /* what it has read */
    bool read_ended;     /* close_notify came */
    unsigned long error; /* the first error that it had */
};

UNUSED static X509 *foreign_x509(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    return d2i_X509(NULL, &at, (long)der.size);
}

UNUSED static int foreign_accept_any(X509_STORE_CTX *store, void *nothing)
{
    (void)store;
    (void)nothing;
    return 1;
}

/* leaf NULL: without a certificate. root NULL: accepts any peer. */
UNUSED static SSL_CTX *foreign_context(bool is_server, const struct pki *leaf,
                                       const struct pki *issuer, const struct pki *root)
{
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (leaf) {
        BIO *pem = BIO_new_mem_buf(leaf->key_pem.data, (int)leaf->key_pem.size);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
        X509 *certificate = foreign_x509(buffer_slice(&leaf->der));
        CHECK(SSL_CTX_use_certificate(context, certificate) == 1 &&
              SSL_CTX_use_PrivateKey(context, key) == 1);
        X509_free(certificate);
        EVP_PKEY_free(key);
        BIO_free(pem);
    }
    if (issuer)
        SSL_CTX_add0_chain_cert(context, foreign_x509(buffer_slice(&issuer->der)));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (root) {
        X509 *certificate = foreign_x509(buffer_slice(&root->der));
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
        X509_free(certificate);
    } else {
        SSL_CTX_set_cert_verify_callback(context, foreign_accept_any, NULL);
    }
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"foreign", 7);
    return context;
}

UNUSED static void foreign_versions(SSL_CTX *context, int min, int max)
{
    SSL_CTX_set_min_proto_version(context, min);
    SSL_CTX_set_max_proto_version(context, max);
}

UNUSED static void foreign_reset(struct foreign *foreign)
{
    if (foreign->ssl) /* or its session would count as broken, and not resume */
        SSL_set_shutdown(foreign->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(foreign->ssl);
    foreign->ssl = NULL;
    buffer_fini(&foreign->plain);
    foreign->read_ended = false;
    foreign->error = 0;
    ERR_clear_error();
}

UNUSED static void foreign_begin(struct foreign *foreign, bool is_server)
{
    foreign_reset(foreign);
    foreign->ssl = SSL_new(foreign->context);
    foreign->in = BIO_new(BIO_s_mem());
    foreign->out = BIO_new(BIO_s_mem());
    SSL_set_bio(foreign->ssl, foreign->in, foreign->out);
    if (is_server)
        SSL_set_accept_state(foreign->ssl);
    else
        SSL_set_connect_state(foreign->ssl);
}

UNUSED static void foreign_stop(struct foreign *foreign)
{
    foreign_reset(foreign);
    SSL_CTX_free(foreign->context);
}

/* Handshakes and reads as far as it gets. */
UNUSED static void foreign_work(struct foreign *foreign)
{
    char bytes[20000];
    for (;;) {
        size_t size;
        ERR_clear_error();
        int ret = SSL_read_ex(foreign->ssl, bytes, sizeof(bytes), &size);
        if (ret == 1) {
            buffer_append(&foreign->plain, bytes, size);
            continue;
        }
        int why = SSL_get_error(foreign->ssl, ret);
        if (why == SSL_ERROR_ZERO_RETURN)
            foreign->read_ended = true;
        else if (why != SSL_ERROR_WANT_READ && !foreign->error)
            foreign->error = ERR_peek_error();
        ERR_clear_error();
        return;
    }
}

UNUSED static void foreign_say(struct foreign *foreign, struct slice bytes)
{
    size_t size;
    CHECK(SSL_write_ex(foreign->ssl, bytes.data, bytes.size, &size) == 1 && size == bytes.size);
}

/* True when something moved. */
UNUSED static bool foreign_to_side(struct foreign *foreign, struct side *side, size_t piece)
{
    bool moved = false;
    char bytes[4096];
    int size;
    foreign_work(foreign);
    while ((size = BIO_read(foreign->out, bytes,
                            (int)(piece ? MIN(piece, sizeof(bytes)) : sizeof(bytes)))) > 0) {
        CHECK(chain_append_copy(&side->in, side->pool, slice_of(bytes, (size_t)size)));
        side_feed(side);
        moved = true;
    }
    return moved;
}

UNUSED static bool side_to_foreign(struct side *side, struct foreign *foreign, size_t piece)
{
    bool moved = false;
    char bytes[4096];
    CHECK(tls_session_flush(side->session, &side->out, 0) == TLS_FLUSH_DONE);
    while (side->out.size > 0) {
        size_t size =
            chain_copy_out(&side->out, 0, bytes, piece ? MIN(piece, sizeof(bytes)) : sizeof(bytes));
        chain_consume(&side->out, size);
        BIO_write(foreign->in, bytes, (int)size);
        foreign_work(foreign);
        moved = true;
    }
    return moved;
}

UNUSED static void foreign_talk(struct foreign *foreign, struct side *side, size_t piece)
{
    while ((int)foreign_to_side(foreign, side, piece) | (int)side_to_foreign(side, foreign, piece))
        continue;
}

UNUSED static bool foreign_heard(struct foreign *foreign, struct slice bytes)
{
    bool equal = slice_equals(buffer_slice(&foreign->plain), bytes);
    buffer_reset(&foreign->plain);
    return equal;
}
