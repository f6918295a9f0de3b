/*
 * known_certificates_internal: the certificates of peers that were believed, parsed, for the next handshake with them.
 *
 * libssl parses each certificate that a peer sends by d2i_X509, a sixth of the CPU of a handshake, most of it for the
 * curve of its key. This room defines d2i_X509 in the place of libcrypto's: it looks here first, by every byte of the
 * certificate. What is found says only what the certificate says; whether it is believed is asked anew each time.
 * libssl finds ours because names are looked up in the program first; where it does not, it parses as ever.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"

#include <openssl/x509.h>

/* A certificate with its parsed form takes some 8 KB. */
enum { KNOWN_CERTIFICATES_MAX = 16, KNOWN_CERTIFICATE_BYTES_MAX = 4 << 10 };

/* Belongs to one engine, as its certificates belong to the engine's library. */
struct known_certificates {
    struct list recent; /* the newest first */
    size_t count;
    uint64_t found; /* certificates that were not parsed again */
};
void known_certificates_init(struct known_certificates *known);
/* Forgets those that have ended. */
void known_certificates_trim(struct known_certificates *known, int64_t now_s);
/* Forgets all. */
void known_certificates_clear(struct known_certificates *known);

/* While set, d2i_X509 on this thread answers from there; NULL ends that. */
void known_certificates_use(struct known_certificates *known);
/* Keeps those of a chain that was believed. */
void known_certificates_keep(struct known_certificates *known, const STACK_OF(X509) * chain);
