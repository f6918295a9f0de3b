#include "control/translate/dry.h"

#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/listener.h"
#include "build/route_table.h"

static const struct build_options elsewhere = {.here = false, .hides_environment = true};

bool dry_accepts(enum resource_type type, const ProtobufCMessage *message, struct error *error)
{
    if (type == RESOURCE_CLUSTER) {
        owned(cluster) built = NULL;
        return cluster_build((const Envoy__Config__Cluster__V3__Cluster *)message, &elsewhere,
                             &built, error);
    }
    if (type == RESOURCE_ENDPOINTS) {
        owned(endpoints) built = NULL;
        return endpoints_build((const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *)message,
                               &elsewhere, &built, error);
    }
    if (type == RESOURCE_LISTENER) {
        const Envoy__Config__Listener__V3__Listener *from = (const void *)message;
        /* A gRPC client's listener has no address, and our proxies never see it. */
        if (from->api_listener)
            return true;
        owned(listener) built = NULL;
        return listener_build(from, &elsewhere, &built, error);
    }
    if (type == RESOURCE_ROUTE) {
        owned(route_table) built = NULL;
        return route_table_build((const Envoy__Config__Route__V3__RouteConfiguration *)message,
                                 &elsewhere, &built, error);
    }
    return true;
}

bool dry_accepts_host(const Envoy__Config__Route__V3__VirtualHost *host, struct error *error)
{
    char any[] = "*", name[] = "one";
    char *domains[] = {any};
    Envoy__Config__Route__V3__VirtualHost alone = *host;
    Envoy__Config__Route__V3__VirtualHost *hosts[] = {&alone};
    Envoy__Config__Route__V3__RouteConfiguration table =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_CONFIGURATION__INIT;
    alone.domains = domains;
    alone.n_domains = 1;
    table.name = name;
    table.virtual_hosts = hosts;
    table.n_virtual_hosts = 1;
    Google__Protobuf__UInt32Value body_max = GOOGLE__PROTOBUF__UINT32_VALUE__INIT;
    body_max.value = ROUTE_BODY_MAX;
    table.max_direct_response_body_size_bytes = &body_max;
    return dry_accepts(RESOURCE_ROUTE, &table.base, error);
}
