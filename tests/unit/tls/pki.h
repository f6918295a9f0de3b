/* pki: a small certificate authority for tests, and bad certificates of every kind. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/key_pair.h"
#include "tls/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DAY_S = 86400 };

/* An authority or a leaf: its key, its certificate, and the chain to send (itself first, the root not). */
struct pki {
    struct key_pair *key;
    struct buffer der;
    struct buffer chain; /* PEM */
    struct buffer key_pem;
};

/* When the tests take place: now, unless it was set before anything was made. */
static int64_t pki_time;

UNUSED static int64_t pki_now(void)
{
    if (!pki_time)
        pki_time = (int64_t)time(NULL);
    return pki_time;
}

UNUSED static void pki_fini(struct pki *pki)
{
    key_pair_destroy(pki->key);
    buffer_fini(&pki->der);
    buffer_fini(&pki->chain);
    key_buffer_fini(&pki->key_pem);
    *pki = (struct pki){0};
}

UNUSED static struct certificate_spec pki_spec(enum certificate_kind kind, const char *uri)
{
    struct certificate_spec spec = {
        .kind = kind,
        .organization = SLICE("Tulle tests"),
        .common_name = kind == CERTIFICATE_LEAF ? SLICE_NONE : SLICE("authority"),
        .uri = slice_str(uri),
        .not_before_s = pki_now() - 60,
        .not_after_s = pki_now() + (kind == CERTIFICATE_LEAF ? DAY_S : 365 * DAY_S),
    };
    if (kind == CERTIFICATE_LEAF)
        spec.organization = SLICE_NONE;
    random_secret(spec.serial, sizeof(spec.serial));
    return spec;
}

/* issuer NULL: self-signed. Takes the key over. */
UNUSED static struct pki pki_issue_for(struct key_pair *key, const struct pki *issuer,
                                       struct certificate_spec spec)
{
    struct pki made = {.key = key};
    struct buffer public_key = {0};
    struct error error = {0};
    key_pair_write_public_der(made.key, &public_key);
    spec.public_key = buffer_slice(&public_key);
    if (!certificate_issue(&spec, issuer ? buffer_slice(&issuer->der) : SLICE_NONE,
                           issuer ? issuer->key : made.key, &made.der, &error)) {
        printf("%s\n", error.what);
        abort();
    }
    buffer_fini(&public_key);
    certificate_write_pem(buffer_slice(&made.der), &made.chain);
    if (issuer && spec.kind == CERTIFICATE_LEAF && issuer->chain.size > 0)
        buffer_append_slice(&made.chain, buffer_slice(&issuer->chain));
    key_pair_write_pem(made.key, &made.key_pem);
    return made;
}

UNUSED static struct pki pki_issue(const struct pki *issuer, struct certificate_spec spec)
{
    return pki_issue_for(key_pair_generate(), issuer, spec);
}

UNUSED static struct pki pki_root(const char *uri)
{
    struct pki root = pki_issue(NULL, pki_spec(CERTIFICATE_ROOT, uri));
    buffer_reset(&root.chain); /* a root is not sent */
    return root;
}

UNUSED static struct pki pki_leaf(const struct pki *issuer, const char *uri)
{
    return pki_issue(issuer, pki_spec(CERTIFICATE_LEAF, uri));
}

/* domain NULL: for every domain. */
UNUSED static struct tls_trust *pki_trust(const struct pki *root, const char *domain)
{
    struct trust_source source = {.trust_domain = slice_str(domain),
                                  .roots = buffer_slice(&root->der)};
    struct tls_trust *trust;
    struct error error = {0};
    if (!tls_trust_create(&source, 1, &trust, &error)) {
        printf("%s\n", error.what);
        abort();
    }
    return trust;
}

/* What most tests want: 1.2 and 1.3, mutual, verified. */
UNUSED static struct tls_context *pki_context(enum tls_role role, const struct pki *leaf,
                                              struct tls_trust *trust,
                                              const struct tls_context_spec *more)
{
    struct tls_certificate certificate = {0};
    struct tls_context_spec spec = more ? *more : (struct tls_context_spec){.min_version = TLS_1_2};
    struct tls_context *context;
    struct error error = {0};
    if (leaf) {
        certificate =
            (struct tls_certificate){buffer_slice(&leaf->chain), buffer_slice(&leaf->key_pem)};
        spec.certificates = &certificate;
        spec.certificate_count = 1;
    }
    spec.role = role;
    spec.trust = trust;
    if (!more)
        spec.peer_certificate = TLS_PEER_REQUIRED;
    if (!tls_context_create(&spec, pki_now(), &context, &error)) {
        printf("%s\n", error.what);
        abort();
    }
    return context;
}
