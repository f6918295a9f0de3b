/*
 * resource_type: the kinds of resource that travel over xDS, their type URLs and their order.
 *
 * The enum's order is the order in which a server sends what is new (what is referred to comes before what refers to
 * it); removals go in the reverse order, one acknowledgement later.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum resource_type {
    RESOURCE_CLUSTER,      /* CDS */
    RESOURCE_ENDPOINTS,    /* EDS */
    RESOURCE_LISTENER,     /* LDS */
    RESOURCE_ROUTE,        /* RDS */
    RESOURCE_VIRTUAL_HOST, /* VHDS */
    RESOURCE_SECRET,       /* SDS */
    RESOURCE_EXTENSION,    /* ECDS */
    RESOURCE_SCOPED_ROUTE, /* SRDS */
    RESOURCE_RUNTIME,      /* RTDS */
    RESOURCE_NAME_TABLE,   /* NDS, Istio's DNS names */
    RESOURCE_PROXY_CONFIG, /* PCDS, Istio's trust bundles */
    RESOURCE_TYPES
};

/* "type.googleapis.com/envoy.config.cluster.v3.Cluster"; static. */
const char *resource_type_url(enum resource_type type);
/* "CDS"; static. For people and metrics. */
const char *resource_type_short(enum resource_type type);
/* "cds"; static. */
const char *resource_type_metric(enum resource_type type);
/* False for a URL that is not in the table. */
MUST_USE bool resource_type_of_url(struct slice url, enum resource_type *type);
/* From "CDS" or "cds". */
MUST_USE bool resource_type_of_short(struct slice name, enum resource_type *type);

/* An empty list of names on the first request of this type means all of them. */
bool resource_type_is_wildcard(enum resource_type type);
/* In state-of-the-world answers absence means deletion (LDS, CDS); other types are additive. */
bool resource_type_is_complete(enum resource_type type);
