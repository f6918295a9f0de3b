/*
 * api: the Kubernetes-style REST API over the store, for `tulle`, kubectl and runners.
 *
 * It listens on DATA/api.sock (0600) and on loopback over TLS with a bearer token; DATA/kubeconfig (0600) leads kubectl
 * there. Lives on the loop of its store. Every request is put before authorize() (authorize.h) first.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "control/api/authorize.h"
#include "rpc/means.h"

struct api;
struct figures;
struct store;
struct value;
struct arena;

/* What a token request ended with. On failure `reason` says why (borrowed) and the rest is empty. */
struct api_token {
    const char *token, *spiffe_id;
    const char *reason;
};
typedef void api_on_token(void *owner, const struct api_token *token);

/* What the rest of the process does for the API. Those that are NULL are answered with 501. */
struct api_services {
    void *owner;
    /* A one-time token for this account. Answers once by on_token, at once or later, unless api_destroy came first. */
    void (*issue_token)(void *owner, struct slice name_space, struct slice account,
                        api_on_token *on_token, void *to);
    /* Rows for `tulle proxy status`: objects appended to `items`, made in the arena. */
    void (*proxies)(void *owner, struct value *items, struct arena *arena);
};

struct api_options {
    const char *data;    /* the directory for api.sock, kubeconfig, api.pem and api.token */
    uint16_t port;       /* on 127.0.0.1, with TLS; 0 = any */
    bool socket_only;    /* no TCP listener: also when means->engine is NULL */
    const char *version; /* of tulled, for /version */
    struct authorizer authorizer;
    struct api_services services;
    struct figures *figures; /* counts verdicts; may be NULL */
};
/* False when the listeners or files cannot be made. What is passed must outlive the API; options are copied. */
MUST_USE bool api_create(const struct rpc_means *means, struct store *store,
                         const struct api_options *options, struct api **out, struct error *error);
/* Ends watches so that their clients begin them anew elsewhere, or here later, and takes no new connections. */
void api_drain(struct api *api);
size_t api_connections(const struct api *api);
/* Ends every request and watch at once. Accepts NULL. */
void api_destroy(struct api *api);
OWNED(api, api_destroy)
/* 0 without a TCP listener. */
uint16_t api_port(const struct api *api);
