/*
 * proxy: what decides what a proxy sees, out of its node and its identity; and the class key that says all of it.
 *
 * Proxies with one key see one view, so the key holds everything that translation may look at and nothing else, and the spec is
 * read back from it.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/buffer.h"
#include "base/slice.h"
#include "rpc/grpc_status.h"
#include "xds/ads_server.h"

enum { PROXY_LABELS_MAX = 64, PROXY_TEXT_MAX = 1024 };

struct proxy_spec {
    bool grpc;   /* a gRPC client without proxy: listeners are asked for by name, no capture */
    bool secure; /* it has an identity of the mesh, and so secrets */
    struct slice name_space, account;
    struct slice address;           /* the first of INSTANCE_IPS; empty: unknown */
    struct slice network_namespace; /* path of the pod's; empty: its own */
    struct slice keys[PROXY_LABELS_MAX], values[PROXY_LABELS_MAX]; /* sorted by key */
    size_t label_count;
};

/* False with a code and a reason (heap) for a node that cannot be served or is not who it says. */
MUST_USE bool proxy_key_of_peer(const struct ads_peer *peer, const char *trust_domain,
                                struct buffer *key, enum grpc_code *code, char **reason);
/* The spec's texts point into the key. False for what proxy_key_of_peer did not write. */
MUST_USE bool proxy_spec_of_key(struct slice key, struct proxy_spec *spec);
