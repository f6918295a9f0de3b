/*
 * csr_service: /istio.v1.auth.IstioCertificateService/CreateCertificate, on the TLS listener.
 *
 * Who asks shows a one-time token (authorization: Bearer) or the client certificate that it renews; that identity, and never a
 * name in the request, is what the certificate says. Every certificate is in the store's issue log before it is handed out.
 */
#pragma once

#include "base/attributes.h"

struct csr_service;
struct figures;
struct loop;
struct rpc_server;
struct signer;
struct store;
struct tokens;

enum { CSR_REQUEST_MAX = 64 << 10 };

/* Adds itself to the server; all must outlive it, and the server is closed first. figures may be NULL. */
struct csr_service *csr_service_create(struct loop *loop, struct rpc_server *server,
                                       struct signer *signer, struct tokens *tokens,
                                       struct store *store, const char *trust_domain,
                                       struct figures *figures);
/* Accepts NULL. */
void csr_service_destroy(struct csr_service *service);
