/*
 * tls_spec: what one side of a TLS connection demands, compiled from a DownstreamTlsContext or UpstreamTlsContext.
 *
 * A spec names its secrets and holds none that come by SDS. proxy/snapshot makes a tls_context of a spec and the secrets
 * that are there now, once per `context`: specs that differ only in server name, expected names or ALPN share one,
 * for those belong to the session.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "build/name.h"
#include "tls/context.h"
#include "tls/identity.h"

struct secret;
struct table_memory;

enum { TLS_SPEC_SANS_MAX = 4096 };

struct tls_spec {
    enum tls_role role;
    struct name context;     /* what tells contexts apart, in hexadecimal */
    struct name certificate; /* SDS name; unset: none, or inline */
    struct name trust;       /* SDS name of the validation context; unset: none, or inline */
    struct secret **own_certificates; /* inline; references */
    size_t own_certificate_count;
    struct secret *own_trust; /* inline; a reference */
    bool accept_untrusted;    /* no verification at all: no trust configured, or ACCEPT_UNTRUSTED */
    bool accept_expired;
    enum tls_peer_certificate peer_certificate; /* servers */
    enum tls_version min_version, max_version;
    const char *ciphers; /* TLS 1.2; NULL: the library room's own list */
    bool resume;
    const struct slice *alpn; /* in order of preference */
    size_t alpn_count;
    const struct san_match *expected; /* of the peer; the secret's own matches come in addition */
    size_t expected_count;
    /* Clients. */
    struct slice server_name; /* SNI */
};

/* Of one object. */
struct tls_spec_list {
    struct tls_spec **items;
    size_t count;
};
void tls_spec_list_fini(struct tls_spec_list *list);

/* The references that a spec holds to its inline secrets; the rest lies in the owner's memory. */
void tls_spec_fini(struct tls_spec *spec);
/* Makes the context. certificate and trust are what the two names resolve to now, NULL where a name is unset. */
MUST_USE bool tls_spec_context(const struct tls_spec *spec, const struct secret *certificate,
                               const struct secret *trust, struct tls_ticket_keys *ticket_keys,
                               int64_t now_s, struct tls_context **out, struct error *error);
