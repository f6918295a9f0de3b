/*
 * certificate: X.509 read for people and issued for workloads.
 *
 * Everything here works on bytes (PEM or DER) and is for the main thread, helpers and the signing child; peers'
 * chains on live connections are judged inside the engine.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "tls/identity.h"

struct key_pair;

enum { CERTIFICATE_BYTES_MAX = 64 << 10, CSR_BYTES_MAX = 16 << 10, SERIAL_HEX_MAX = 41 };

/* What `/certs` and `proxy status` show. */
struct certificate_summary {
    char *subject; /* RFC 2253 */
    char *issuer;
    char serial[SERIAL_HEX_MAX]; /* lower-case hexadecimal */
    int64_t not_before_s, not_after_s;
    bool is_ca;
    uint8_t hash[CERTIFICATE_HASH_BYTES];
    struct san *sans; /* texts belong to the summary */
    size_t san_count;
};
void certificate_summary_fini(struct certificate_summary *summary);
/* One DER certificate. */
MUST_USE bool certificate_summarize(struct slice der, struct certificate_summary *summary,
                                    struct error *error);

/* Walks the certificates of a PEM text (or yields a single DER one): calls for each in order are made with a cursor
   that starts at 0; false at the end or, with error set, at something that is no certificate. `der` is the caller's
   buffer and is overwritten each time. */
MUST_USE bool certificate_next(struct slice text, size_t *cursor, struct buffer *der,
                               struct error *error);
/* Appends one certificate in PEM. */
void certificate_write_pem(struct slice der, struct buffer *pem);

/* A request, PEM or DER: its signature is checked, its public key kept, and every name and extension in it ignored. */
struct certificate_request {
    struct buffer public_key; /* SubjectPublicKeyInfo, DER */
};
void certificate_request_fini(struct certificate_request *request);
MUST_USE bool certificate_request_parse(struct slice text, struct certificate_request *request,
                                        struct error *error);

/* The SubjectPublicKeyInfo of a DER certificate, appended; false when it is none. */
MUST_USE bool certificate_public_key(struct slice der, struct buffer *public_key);
/* Whether the issuer's key made the signature on it (both DER); says nothing about time or use. */
MUST_USE bool certificate_is_signed_by(struct slice der, struct slice issuer_der);

enum certificate_kind { CERTIFICATE_ROOT, CERTIFICATE_INTERMEDIATE, CERTIFICATE_LEAF };
struct certificate_spec {
    enum certificate_kind kind;
    struct slice
        common_name; /* authorities; a leaf's subject is empty and its SAN critical, as X.509-SVID says */
    struct slice organization;
    struct slice
        uri; /* the SPIFFE ID (authorities: spiffe://DOMAIN); may be empty with dns_names */
    const struct slice *dns_names;
    size_t dns_count;
    struct slice public_key; /* SubjectPublicKeyInfo, DER */
    int64_t not_before_s, not_after_s;
    uint8_t serial[16]; /* random; certificate_serial says what becomes of it */
};
/* The serial number as it will stand in the certificate: positive, and never short. */
void certificate_serial(const uint8_t random[16], uint8_t serial[16]);
/* Signed by `issuer_key`, whose certificate is issuer_der (empty: self-signed, a root). */
MUST_USE bool certificate_issue(const struct certificate_spec *spec, struct slice issuer_der,
                                const struct key_pair *issuer_key, struct buffer *der,
                                struct error *error);
