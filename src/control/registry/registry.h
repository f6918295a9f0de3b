/*
 * registry: the services of the mesh and who stands behind them, in one neutral form wherever they come from.
 *
 * Services come from Service and ServiceEntry, workloads from WorkloadEntry and from the endpoints that a ServiceEntry lists. Of
 * several services with one host a Service wins, then the oldest. Translation sees nothing else of them. Endpoints are
 * found when they are asked for; a change of a workload touches only the services that select it, and what clusters read
 * (the accounts behind a service) only when it really is another.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "control/model/model.h"

struct registry;

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_TCP, PROTOCOL_TLS, PROTOCOL_HTTP, PROTOCOL_HTTP2 };
enum resolution { RESOLUTION_STATIC, RESOLUTION_DNS, RESOLUTION_NONE };
/* gRPC counts as HTTP2. appProtocol first, then the port's name up to its first dash. */
enum protocol protocol_of(const char *app_protocol, const char *port_name, uint32_t port);
static inline bool protocol_is_http(enum protocol protocol)
{
    return protocol == PROTOCOL_HTTP || protocol == PROTOCOL_HTTP2;
}

struct service_port {
    const char *name; /* "" when it has none */
    uint32_t number;
    uint32_t target;         /* 0: by target_name */
    const char *target_name; /* NULL unless target is 0 */
    enum protocol protocol;
};

struct label_pairs {
    const char **keys, **values;
    size_t count;
};

struct service {
    struct slice host; /* cart.shop.svc.cluster.local; NUL-terminated, as all texts here */
    struct slice name; /* cart; the host for those of a ServiceEntry */
    struct slice name_space;
    bool from_kubernetes; /* from a Service: has short names */
    bool external;        /* MESH_EXTERNAL */
    bool headless;
    enum resolution resolution;
    struct slice address;             /* virtual; empty: none yet */
    const struct service_port *ports; /* by number */
    size_t port_count;
    struct label_pairs selector; /* of workloads in its namespace; none: it selects none */
    const struct object *object; /* where it is written */
};
const struct service_port *service_port(const struct service *service, uint32_t number);

/* One place where a port of a service is served. */
struct service_endpoint {
    struct slice address; /* an IP, or a name with RESOLUTION_DNS */
    uint32_t port;
    uint32_t weight;         /* at least 1 */
    bool mtls;               /* it has a sidecar: label security.istio.io/tlsMode: istio */
    struct slice account;    /* "default" when none is written */
    struct slice name_space; /* of the workload */
    struct slice workload;   /* the object's name */
    const Istio__Networking__V1alpha3__WorkloadEntry *entry; /* labels */
};
struct endpoint_list {
    struct service_endpoint *items; /* by address, then port; in the arena */
    size_t count;
};

/* Listens to the model. */
struct registry *registry_create(struct model *model);
/* Before the model. Accepts NULL. */
void registry_destroy(struct registry *registry);

/* A virtual address that was allocated; empty = taken back. */
void registry_set_address(struct registry *registry, struct slice host, struct slice address);
/* Calls visit for each service that should have a virtual address and for which none was set. */
void registry_each_without_address(const struct registry *registry,
                                   void (*visit)(struct slice host, void *to), void *to);

/* Answers are borrowed until the next change. Each records what it was asked; reader may be NULL. */
const struct service *registry_service(const struct registry *registry, struct reader *reader,
                                       struct slice host);
/* Every service, in order of host; in the arena. */
struct service_list {
    const struct service **items;
    size_t count;
};
/* All that are written for the host: the first acts. In the arena. */
struct service_list registry_services_for(const struct registry *registry, struct reader *reader,
                                          struct slice host, struct arena *arena);
/* Those that act and have the address, in order of host; in the arena. */
struct service_list registry_services_at(const struct registry *registry, struct reader *reader,
                                         struct slice address, struct arena *arena);
struct service_list registry_services(const struct registry *registry, struct reader *reader,
                                      struct arena *arena);
/* Those that have the port. */
struct service_list registry_services_on_port(const struct registry *registry,
                                              struct reader *reader, uint32_t port,
                                              struct arena *arena);
/* The ports that any service has, ascending; in the arena. */
struct port_list {
    uint32_t *items;
    size_t count;
};
struct port_list registry_ports(const struct registry *registry, struct reader *reader,
                                struct arena *arena);
/* Those with labels (NULL = all) on the service's port. */
struct endpoint_list registry_endpoints(const struct registry *registry, struct reader *reader,
                                        const struct service *service,
                                        const struct service_port *port,
                                        const Istio__Networking__V1alpha3__Subset *subset,
                                        struct arena *arena);
/* "NAMESPACE/ACCOUNT" of each endpoint with a sidecar, sorted, each once; in the arena. */
struct text_list {
    const char **items;
    size_t count;
};
struct text_list registry_accounts(const struct registry *registry, struct reader *reader,
                                   const struct service *service, struct arena *arena);

/* A workload as its own sidecar describes it. */
struct workload_facts {
    struct slice name_space;
    const struct slice *label_keys, *label_values;
    size_t label_count;
    struct slice address; /* empty: unknown */
};
/* The services that select it, in order of host, and the port that the workload has for each port of theirs. */
struct service_list registry_services_of(const struct registry *registry, struct reader *reader,
                                         const struct workload_facts *workload,
                                         struct arena *arena);
uint32_t registry_workload_port(const struct registry *registry, struct reader *reader,
                                const struct workload_facts *workload,
                                const struct service_port *port);
