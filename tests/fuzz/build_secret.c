/* Secrets: certificates with their keys, roots to trust, and what a peer's name must be. */
#include "build/secret.h"
#include "build_resource.h"

static void use(const struct secret *secret)
{
    switch (secret->kind) {
    case SECRET_CERTIFICATE:
        if (secret->trust || secret->expected_count > 0)
            abort();
        break;
    case SECRET_TRUST:
        if (secret->generic.size > 0)
            abort();
        break;
    case SECRET_GENERIC:
        if (secret->trust || secret->generic.size > SECRET_MAX_BYTES)
            abort();
        break;
    }
}

FUZZ_BUILD(envoy__extensions__transport_sockets__tls__v3__secret__descriptor, secret, use)
