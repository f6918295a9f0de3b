/*
 * access: the key, certificate and token of the loopback listener, kept in the data directory, and the kubeconfig
 * that leads kubectl there.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"

struct tls_context;

struct access {
    struct tls_context *tls;
    struct buffer authority; /* the certificate that clients trust, PEM */
    char token[44];          /* 32 random bytes, base64url */
};
/* Reads DATA/api.pem and DATA/api.token, or makes them (0600) when they are missing or about to expire. */
MUST_USE bool access_open(const char *data, int64_t now_s, struct access *out, struct error *error);
void access_fini(struct access *access);
/* DATA/kubeconfig, 0600, replaced in one step. */
MUST_USE bool access_write_kubeconfig(const struct access *access, const char *data, uint16_t port,
                                      struct error *error);
