/*
 * http_profile: limits and timeouts of HTTP connections, in the codecs' terms, shared by the connections that were made
 * under one configuration, and by all that come out the same. Counted without atomics: it stays on its worker.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"
#include "net/http_connection.h"

struct cluster;
struct hcm;
struct http_series;

struct http_profile {
    struct list node; /* the worker's, the last one found first */
    uint32_t references;
    struct http_series *series; /* a listener's: where its connections are counted; else NULL */
    struct http_limits limits;
    struct http_connection_options options; /* points to limits */
};

/* One reference each; `profiles` is the worker's list of them. */
struct http_profile *http_profile_of_hcm(struct list *profiles, const struct hcm *hcm,
                                         uint32_t buffer_limit, struct http_series *series);
struct http_profile *http_profile_of_cluster(struct list *profiles, const struct cluster *cluster,
                                             enum http_choice choice);
struct http_profile *http_profile_ref(struct http_profile *profile);
/* Accepts NULL. */
void http_profile_unref(struct http_profile *profile);
