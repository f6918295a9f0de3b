/*
 * derivation_internal: what stands in for OpenSSL's TLS13-KDF, by which libssl derives the secrets of a handshake.
 *
 * It derives them by tls/hkdf_internal.h, and notes those that go on after libssl's part.
 */
#pragma once

#include "base/attributes.h"

#include <openssl/core.h>

enum { SECRET_MAX = 48 };

/* Of one TLS 1.3 handshake. */
struct derived_secrets {
    uint8_t client[SECRET_MAX]; /* "c ap traffic" */
    uint8_t server[SECRET_MAX]; /* "s ap traffic" */
    uint8_t resumption[SECRET_MAX];
    size_t size; /* of each */
    bool has_client, has_server, has_resumption;
};

/* While set, secrets that are derived on this thread are noted there; NULL ends that. */
void derivation_note(struct derived_secrets *secrets);

/* The functions of TLS13-KDF with ours among them. Once a process: it keeps them. */
const OSSL_DISPATCH *derivation_functions(const OSSL_DISPATCH *functions);
