/*
 * secret: a certificate with its key, a set of trusted roots, or opaque bytes, compiled from a TLS Secret.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "build/counted.h"
#include "build/name.h"
#include "build/options.h"
#include "match/table_memory.h"
#include "tls/context.h"
#include "tls/identity.h"
#include "tls/trust.h"

#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

enum secret_kind { SECRET_CERTIFICATE, SECRET_TRUST, SECRET_GENERIC };
enum { SECRET_MAX_BYTES = 4 << 20 }; /* of one file or inline value */

struct secret {
    struct counted counted;
    struct table_memory memory;
    struct name name;
    enum secret_kind kind;
    struct hash128 content; /* equal content, equal hash */
    /* CERTIFICATE: key material is wiped when the secret goes. */
    struct tls_certificate certificate;
    int64_t not_after_s; /* of the leaf */
    /* TRUST */
    struct tls_trust *trust; /* NULL: nothing to verify against */
    bool accept_untrusted;
    bool accept_expired;
    const struct san_match *expected;
    size_t expected_count;
    /* GENERIC */
    struct slice generic;
    /* Files to watch: the secret is to be built again when one of them changes. */
    const char *const *files;
    size_t file_count;
};

MUST_USE bool secret_build(const Envoy__Extensions__TransportSockets__Tls__V3__Secret *message,
                           const struct build_options *options, struct secret **out,
                           struct error *error);
/* From PEM that the proxy got itself: an SVID and the bundles of its trust domains. */
MUST_USE bool secret_of_certificate(struct slice name, const struct tls_certificate *certificate,
                                    const struct build_options *options, struct secret **out,
                                    struct error *error);
MUST_USE bool secret_of_trust(struct slice name, const struct trust_source *sources, size_t count,
                              struct secret **out, struct error *error);
void secret_unref(struct secret *secret);
OWNED(secret, secret_unref)
