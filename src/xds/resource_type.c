#include "xds/resource_type.h"

#define GOOGLE "type.googleapis.com/"

static const struct {
    const char *url, *name, *metric;
    bool wildcard, complete;
} table[RESOURCE_TYPES] = {
    [RESOURCE_CLUSTER] = {GOOGLE "envoy.config.cluster.v3.Cluster", "CDS", "cds", true, true},
    [RESOURCE_ENDPOINTS] = {GOOGLE "envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS", "eds",
                            false, false},
    [RESOURCE_LISTENER] = {GOOGLE "envoy.config.listener.v3.Listener", "LDS", "lds", true, true},
    [RESOURCE_ROUTE] = {GOOGLE "envoy.config.route.v3.RouteConfiguration", "RDS", "rds", false,
                        false},
    [RESOURCE_VIRTUAL_HOST] = {GOOGLE "envoy.config.route.v3.VirtualHost", "VHDS", "vhds", false,
                               false},
    [RESOURCE_SECRET] = {GOOGLE "envoy.extensions.transport_sockets.tls.v3.Secret", "SDS", "sds",
                         false, false},
    [RESOURCE_EXTENSION] = {GOOGLE "envoy.config.core.v3.TypedExtensionConfig", "ECDS", "ecds",
                            false, false},
    [RESOURCE_SCOPED_ROUTE] = {GOOGLE "envoy.config.route.v3.ScopedRouteConfiguration", "SRDS",
                               "srds", true, true},
    [RESOURCE_RUNTIME] = {GOOGLE "envoy.service.runtime.v3.Runtime", "RTDS", "rtds", false, false},
    [RESOURCE_NAME_TABLE] = {GOOGLE "istio.networking.nds.v1.NameTable", "NDS", "nds", true, false},
    [RESOURCE_PROXY_CONFIG] = {GOOGLE "istio.mesh.v1alpha1.ProxyConfig", "PCDS", "pcds", true,
                               false},
};

const char *resource_type_url(enum resource_type type)
{
    return table[type].url;
}

const char *resource_type_short(enum resource_type type)
{
    return table[type].name;
}

const char *resource_type_metric(enum resource_type type)
{
    return table[type].metric;
}

bool resource_type_of_url(struct slice url, enum resource_type *type)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (slice_equals_str(url, table[i].url)) {
            *type = (enum resource_type)i;
            return true;
        }
    }
    return false;
}

bool resource_type_of_short(struct slice name, enum resource_type *type)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (slice_equals_str(name, table[i].name) || slice_equals_str(name, table[i].metric)) {
            *type = (enum resource_type)i;
            return true;
        }
    }
    return false;
}

bool resource_type_is_wildcard(enum resource_type type)
{
    return table[type].wildcard;
}

bool resource_type_is_complete(enum resource_type type)
{
    return table[type].complete;
}
