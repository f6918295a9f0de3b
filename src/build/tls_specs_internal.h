/*
 * tls_specs: TLS demands and secrets from the messages that describe them.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/cluster.h"
#include "build/messages_internal.h"
#include "build/tls_spec.h"

/* A downstream transport socket: NULL in *out for plaintext. `demands` is a hash of all of it, zero for plaintext. */
MUST_USE bool build_downstream_socket(struct builder *b, const char *field,
                                      const TransportSocketMessage *message,
                                      const struct tls_spec **out, struct hash128 *demands);
MUST_USE bool build_upstream_socket(struct builder *b, const char *field,
                                    const TransportSocketMessage *message,
                                    struct upstream_socket *out);
/* Of a PROXY header: 1 or 2; NULL is 1, as in Envoy. */
MUST_USE bool build_proxy_version(struct builder *b, const char *field,
                                  const ProxyHeaderMessage *message, uint8_t *version);
/* Whatever of a spec has been made, also by a builder that failed: the owner calls it for each in its list. */
struct tls_spec *build_new_spec(struct builder *b, enum tls_role role);

/* Secrets that stand inside other messages; the caller owns the reference. */
MUST_USE bool build_certificate_secret(struct builder *b, const CertificateMessage *message,
                                       struct secret **out);
MUST_USE bool build_trust_secret(struct builder *b, const ValidationMessage *message,
                                 struct secret **out);
