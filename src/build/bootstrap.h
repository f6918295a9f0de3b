/*
 * bootstrap: what a proxy starts from, read from an Envoy bootstrap file and checked.
 *
 * Static resources stay messages: proxy/snapshot builds them as it builds those from ADS. All of it lives in the
 * bootstrap's arena.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "build/endpoints.h"
#include "build/name.h"
#include "build/options.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"

struct bootstrap {
    struct arena arena;
    const Envoy__Config__Bootstrap__V3__Bootstrap *message;
    struct slice node_id, node_cluster;
    const Envoy__Config__Core__V3__Node *node; /* never NULL */
    struct endpoint_address admin;             /* port 0 and no text: no admin interface */
    bool has_admin;
    /* ADS */
    bool has_ads, ads_is_delta;
    struct slice ads_cluster; /* static cluster that leads to the control plane */
    struct slice ads_authority;
    bool listeners_by_ads, clusters_by_ads;
    uint32_t first_fetch_ms; /* readiness does not wait longer; 0: for ever */
};

/* A YAML or JSON file; strict, and every static resource is built once to see that it can be. */
MUST_USE bool bootstrap_read(const char *path, const struct build_options *options,
                             struct bootstrap **out, struct error *error);
/* The same from text; `name` is for errors. */
MUST_USE bool bootstrap_parse(struct slice text, const char *name,
                              const struct build_options *options, struct bootstrap **out,
                              struct error *error);
void bootstrap_destroy(struct bootstrap *bootstrap);
OWNED(bootstrap, bootstrap_destroy)
