#include "tls/certificate.h"

#include "base/memory.h"
#include "tls/key_pair_internal.h"
#include "tls/library_internal.h"
#include "tls/pem_internal.h"
#include "tls/x509_internal.h"

#include <openssl/err.h>

void certificate_summary_fini(struct certificate_summary *summary)
{
    for (size_t i = 0; i < summary->san_count; i++)
        mem_free((char *)summary->sans[i].text.data);
    mem_free(summary->sans);
    mem_free(summary->subject);
    mem_free(summary->issuer);
    *summary = (struct certificate_summary){0};
}

static void write_serial(const X509 *certificate, char hex[SERIAL_HEX_MAX])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    const uint8_t *bytes = ASN1_STRING_get0_data(serial);
    size_t size = MIN((size_t)ASN1_STRING_length(serial), (size_t)(SERIAL_HEX_MAX / 2));
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    hex[2 * size] = '\0';
}

static char *name_copy(const X509_NAME *name)
{
    char text[1024];
    return str_copy_n(text, x509_name_text(name, text, sizeof(text)));
}

/* Names with raw bytes in them are left out: this is for showing. */
static void copy_names(X509 *certificate, struct certificate_summary *summary)
{
    struct x509_names names;
    const char *why;
    if (x509_names_list(certificate, &names, &why) && names.count > 0) {
        summary->sans = mem_calloc(names.count, sizeof(*summary->sans));
        for (; summary->san_count < names.count; summary->san_count++) {
            struct san from = names.sans[summary->san_count];
            summary->sans[summary->san_count] =
                (struct san){from.kind, slice_of(slice_to_str(from.text), from.text.size)};
        }
    }
    x509_names_fini(&names);
}

bool certificate_summarize(struct slice der, struct certificate_summary *summary,
                           struct error *error)
{
    X509 *certificate =
        der.size <= CERTIFICATE_BYTES_MAX ? x509_parse(tls_library_shared(), der) : NULL;
    if (!certificate)
        return error_set(error, NULL, "the bytes are no X.509 certificate in DER");
    *summary = (struct certificate_summary){
        .subject = name_copy(X509_get_subject_name(certificate)),
        .issuer = name_copy(X509_get_issuer_name(certificate)),
        .not_before_s = x509_time_s(X509_get0_notBefore(certificate)),
        .not_after_s = x509_time_s(X509_get0_notAfter(certificate)),
        .is_ca = X509_check_ca(certificate) == 1,
    };
    write_serial(certificate, summary->serial);
    x509_hash(certificate, summary->hash);
    copy_names(certificate, summary);
    X509_free(certificate);
    ERR_clear_error();
    return true;
}

bool certificate_next(struct slice text, size_t *cursor, struct buffer *der, struct error *error)
{
    if (*cursor >= text.size)
        return false;
    if (*cursor == 0 && pem_looks_like_der(text)) {
        buffer_reset(der);
        buffer_append_slice(der, text);
        *cursor = text.size;
        return true;
    }
    struct pem_block block = {.der = *der};
    enum pem_next next;
    do {
        next = pem_next(text, cursor, CERTIFICATE_BYTES_MAX, &block, error);
    } while (next == PEM_BLOCK && strcmp(block.label, "CERTIFICATE") != 0);
    *der = block.der;
    return next == PEM_BLOCK;
}

void certificate_write_pem(struct slice der, struct buffer *pem)
{
    pem_write("CERTIFICATE", der, pem);
}

void certificate_request_fini(struct certificate_request *request)
{
    buffer_fini(&request->public_key);
}

static bool accept_request(X509_REQ *parsed, struct certificate_request *request,
                           struct error *error)
{
    EVP_PKEY *key = parsed ? X509_REQ_get0_pubkey(parsed) : NULL;
    if (!parsed)
        return error_set(error, NULL, "the certificate request is malformed: %s",
                         x509_library_error());
    const char *refusal = x509_public_key_refusal(key);
    if (refusal) {
        ERR_clear_error();
        error_set(error, NULL, "the certificate request is refused: %s", refusal);
        error_fix(error, "make the request with a P-256 key");
        return false;
    }
    if (X509_REQ_verify(parsed, key) != 1) {
        ERR_clear_error();
        return error_set(error, NULL,
                         "the certificate request is not signed by the key that it holds");
    }
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(parsed), &der);
    if (size <= 0)
        return error_set(error, NULL, "the certificate request's key is malformed: %s",
                         x509_library_error());
    buffer_append(&request->public_key, der, (size_t)size);
    OPENSSL_free(der);
    return true;
}

static bool parse_request_der(struct slice der, struct certificate_request *request,
                              struct error *error)
{
    X509_REQ *parsed = X509_REQ_new_ex(tls_library_shared(), NULL);
    const unsigned char *at = (const unsigned char *)der.data;
    bool whole = d2i_X509_REQ(&parsed, &at, (long)der.size) &&
                 at == (const unsigned char *)der.data + der.size;
    bool good = accept_request(whole ? parsed : NULL, request, error);
    X509_REQ_free(parsed);
    return good;
}

bool certificate_request_parse(struct slice text, struct certificate_request *request,
                               struct error *error)
{
    *request = (struct certificate_request){0};
    if (text.size > CSR_BYTES_MAX)
        return error_set(error, NULL, "the certificate request is larger than %d bytes",
                         CSR_BYTES_MAX);
    if (pem_looks_like_der(text))
        return parse_request_der(text, request, error);
    struct pem_block block = {0};
    size_t cursor = 0;
    bool good = false;
    enum pem_next next = pem_next(text, &cursor, CSR_BYTES_MAX, &block, error);
    if (next == PEM_BLOCK && strstr(block.label, "CERTIFICATE REQUEST"))
        good = parse_request_der(buffer_slice(&block.der), request, error);
    else if (next != PEM_BAD)
        error_set(error, NULL, "there is no -----BEGIN CERTIFICATE REQUEST----- in the text");
    pem_block_fini(&block);
    return good;
}

bool certificate_public_key(struct slice der, struct buffer *public_key)
{
    X509 *certificate = x509_parse(tls_library_shared(), der);
    unsigned char *bytes = NULL;
    int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &bytes) : 0;
    if (size > 0)
        buffer_append(public_key, bytes, (size_t)size);
    OPENSSL_free(bytes);
    X509_free(certificate);
    ERR_clear_error();
    return size > 0;
}

bool certificate_is_signed_by(struct slice der, struct slice issuer_der)
{
    X509 *certificate = x509_parse(tls_library_shared(), der);
    X509 *issuer = x509_parse(tls_library_shared(), issuer_der);
    EVP_PKEY *key = issuer ? X509_get0_pubkey(issuer) : NULL;
    bool good = certificate && key && X509_verify(certificate, key) == 1;
    X509_free(certificate);
    X509_free(issuer);
    ERR_clear_error();
    return good;
}
