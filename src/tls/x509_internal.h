/* x509_internal: what a certificate says, read carefully. For the files of this room that hold libcrypto's types. */
#pragma once

#include "base/error.h"
#include "base/slice.h"
#include "tls/identity.h"

#include <openssl/x509v3.h>

/* One DER certificate and nothing after it; NULL otherwise. library NULL = the process's own. */
X509 *x509_parse(OSSL_LIB_CTX *library, struct slice der);
/* Unix seconds; the beginning of the year 1 for a time that is none. */
int64_t x509_time_s(const ASN1_TIME *time);
void x509_hash(X509 *certificate, uint8_t hash[CERTIFICATE_HASH_BYTES]);
/* RFC 2253 with control and non-ASCII bytes escaped, cut at `size` - 1; returns the length. */
size_t x509_name_text(const X509_NAME *name, char *to, size_t size);
/* NULL when the public key is one that we work with, else a phrase: "its RSA key has 1024 bits". */
const char *x509_key_refusal(X509 *certificate);
const char *x509_public_key_refusal(EVP_PKEY *key);

/* Writes a SubjectPublicKeyInfo (DER) into a certificate or request under construction; false when it is none. libcrypto's own
   setters parse the key again in the process's default library, with all of its decoders. */
MUST_USE bool x509_set_public_key(X509_PUBKEY *to, struct slice der);

/* Subject alternative names; texts point into `holder` and `addresses`. */
struct x509_names {
    GENERAL_NAMES *holder;
    struct san sans[PEER_SANS_MAX];
    size_t count;
    size_t uri_count;
    struct spiffe_id id; /* text empty when the certificate has none */
    char addresses[PEER_SANS_MAX * 46 / 8];
    size_t addresses_size;
};
/* False with a phrase in *why: too many, two extensions, a NUL or control byte inside. No names at all is fine. */
bool x509_names_list(X509 *certificate, struct x509_names *names, const char **why);
/* And as a peer's leaf: also false for a SPIFFE ID that is malformed or not the only URI. */
bool x509_names_read(X509 *certificate, struct x509_names *names, const char **why);
void x509_names_fini(struct x509_names *names);

/* The reason on top of libcrypto's error queue in words, and an empty queue; "unknown" when it was empty. */
const char *x509_library_error(void);
