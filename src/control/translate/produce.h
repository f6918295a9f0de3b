/*
 * produce: resources out of the model, one function a kind of unit. Pure: what a unit reads goes through its reader,
 * what it makes goes to its sink.
 */
#pragma once

#include "base/attributes.h"
#include "control/registry/registry.h"
#include "control/translate/make.h"
#include "control/translate/proxy.h"
#include "xds/resource_type.h"

struct fallbacks;

struct production {
    const struct model *model;
    const struct registry *registry; /* NULL: no service is known */
    const struct fallbacks *fallbacks;
    const struct mesh_settings *mesh;
    struct reader *reader;
    struct arena *arena;
    /* A resource; its bytes are packed before the call returns. Of two with one name the first counts. */
    void (*emit)(void *to, enum resource_type type, const char *name,
                 const ProtobufCMessage *message);
    /* What the object asks for would be refused by proxies, and is left as it was. */
    void (*refuse)(void *to, const struct object *object, const char *reason);
    void *to;
    const struct object
        *origin; /* whom to name when what is emitted next is refused; NULL: nobody */
};

/* PassthroughCluster and BlackHoleCluster. */
void produce_static(struct production *p);
/* Who is to use a cluster: a sidecar without or with an identity of the mesh, or a gRPC client without proxy. */
enum cluster_user { USER_PLAIN = 'p', USER_SECURE = 's', USER_GRPC = 'g' };
/* Every cluster of the service. client_name_space is empty unless that namespace has rules of its own. */
void produce_clusters(struct production *p, struct slice host, struct slice client_name_space,
                      enum cluster_user user);
/* Every endpoint assignment of the service. */
void produce_endpoints(struct production *p, struct slice host, struct slice client_name_space);
/* What is listened to for outbound traffic to a port. */
void produce_outbound(struct production *p, uint32_t port);
/* The route tables of a port, for clients in a namespace. */
void produce_routes(struct production *p, uint32_t port, struct slice client_name_space);
/* The name table. */
void produce_names(struct production *p);
/* What is the proxy's own: virtualOutbound, inbound listeners and clusters. */
void produce_own(struct production *p, const struct proxy_spec *spec);
/* Would proxies take the rules of this VirtualService? False with the builder's words. Whatever else there is. */
MUST_USE bool produce_accepts(const struct object *virtual_service, struct error *error);
/* For gRPC clients: the listener and the route table of every port of the service. */
void produce_grpc(struct production *p, struct slice host, struct slice client_name_space);
#define NAME_TABLE_NAME "name-table"
