/*
 * client_cert: x-forwarded-client-cert, by which a service learns whom its sidecar believed.
 *
 * What a client wrote into it is kept only as the connection manager says (forward_client_cert_details), and never from a
 * client that showed no certificate. What is told: Hash, and as configured Subject, URI and DNS; the own name (By) and whole
 * certificates are not.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "build/hcm.h"

struct arena;
struct headers;
struct peer_identity;

/* `peer` is NULL for a client without a certificate. False when memory is refused. */
MUST_USE bool client_cert_forward(const struct hcm *hcm, const struct peer_identity *peer,
                                  struct headers *headers, struct arena *arena);
