/*
 * make: the small messages that every resource is put together from. All live in the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "control/registry/registry.h"
#include "pb/any.h"
#include "pb/message.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/core/v3/core.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

#define MAKE(arena, type, prefix) ((type *)pb_new((arena), &prefix##__descriptor))

/* What holds for the whole mesh. */
struct mesh_settings {
    const char *trust_domain;
    bool registry_only;     /* unknown destinations are refused, not passed through */
    const char *access_log; /* path of the file that proxies log to; NULL = none */
};

#define PASSTHROUGH_CLUSTER "PassthroughCluster"
#define BLACK_HOLE_CLUSTER "BlackHoleCluster"
const char *make_unknown_cluster(const struct mesh_settings *mesh);

/* "outbound|8080|v1|cart.shop.svc.cluster.local" */
char *make_cluster_name(struct arena *arena, uint32_t port, const char *subset, struct slice host);
Envoy__Config__Core__V3__ConfigSource *make_ads(struct arena *arena);
/* network_namespace may be empty. */
Envoy__Config__Core__V3__Address *make_address(struct arena *arena, struct slice ip, uint32_t port,
                                               struct slice network_namespace);
/* {filter_metadata: {name: fields}} */
Envoy__Config__Core__V3__Metadata *make_metadata(struct arena *arena, const char *name,
                                                 Google__Protobuf__Struct *fields);
/* {config: "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtual-service/cart"} added to the fields. */
void make_config_path(struct arena *arena, Google__Protobuf__Struct *fields,
                      const struct object *object);
Envoy__Config__Core__V3__TransportSocket *make_transport(struct arena *arena, const char *name,
                                                         const ProtobufCMessage *config);
/* TLS with the workload's certificate from SDS. `accounts` (NAMESPACE/ACCOUNT) are who the server may be; none: anybody of the
 * trust domain. */
Envoy__Config__Core__V3__TransportSocket *
make_upstream_tls(struct arena *arena, const struct mesh_settings *mesh, const char *sni,
                  const struct text_list *accounts, bool http2);
Envoy__Config__Core__V3__TransportSocket *
make_downstream_tls(struct arena *arena, const struct mesh_settings *mesh, bool http);
/* HTTP/1.1 or HTTP/2 towards the cluster's endpoints. */
void make_http_options(struct arena *arena, Envoy__Config__Cluster__V3__Cluster *cluster,
                       bool http2);
Envoy__Config__Listener__V3__Filter *make_tcp_proxy(struct arena *arena,
                                                    const struct mesh_settings *mesh,
                                                    const char *stat_prefix, const char *cluster);
/* With the router as its one HTTP filter; the caller sets routes and what differs by direction. */
Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *
make_hcm(struct arena *arena, const struct mesh_settings *mesh, const char *stat_prefix);
Envoy__Config__Listener__V3__Filter *make_hcm_filter(
    struct arena *arena,
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
        *hcm);
/* A whole assignment of the endpoints, with their weights, identities and names. */
Envoy__Config__Endpoint__V3__ClusterLoadAssignment *
make_assignment(struct arena *arena, const char *name, const struct endpoint_list *endpoints);
