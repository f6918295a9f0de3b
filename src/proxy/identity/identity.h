/*
 * identity: the workload's own certificate: asked for with a key that never leaves this process, renewed at half-life.
 *
 * The CA is Istio's certificate service (/istio.v1.auth.IstioCertificateService/CreateCertificate). The first request is
 * authenticated by a token, later ones by the certificate itself. What comes back becomes the secrets "default" and
 * "ROOTCA", which take effect on new handshakes; no connection is closed.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct identity;
struct process;

/* *out is NULL when no CA is configured. Reads the token at once and closes its descriptor. */
MUST_USE bool identity_create(struct process *process, struct identity **out, struct error *error);
/* After the configuration was created. */
void identity_start(struct identity *identity);
/* Accepts NULL. */
void identity_destroy(struct identity *identity);
