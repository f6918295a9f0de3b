/*
 * http_profile: limits and timeouts of HTTP connections, in the codecs' terms, shared by the connections that were made
 * under one configuration. Counted without atomics: it stays on its worker.
 */
#pragma once

#include "base/attributes.h"
#include "net/http_connection.h"

struct cluster;
struct hcm;

struct http_profile {
    uint32_t references;
    struct http_limits limits;
    struct http_connection_options options; /* points to limits */
};

/* One reference each. */
struct http_profile *http_profile_of_hcm(const struct hcm *hcm, uint32_t buffer_limit);
struct http_profile *http_profile_of_cluster(const struct cluster *cluster,
                                             enum http_choice choice);
struct http_profile *http_profile_ref(struct http_profile *profile);
/* Accepts NULL. */
void http_profile_unref(struct http_profile *profile);
