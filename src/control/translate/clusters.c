#include "control/translate/produce.h"

#include "match/ip.h"

#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;
typedef Istio__Networking__V1alpha3__TrafficPolicy traffic_policy;

enum { CONNECT_TIMEOUT_MS = 10000 };

static cluster_message *make_cluster(struct arena *arena, const char *name, int type, int lb_policy)
{
    cluster_message *cluster =
        MAKE(arena, Envoy__Config__Cluster__V3__Cluster, envoy__config__cluster__v3__cluster);
    cluster->name = arena_copy_str(arena, name);
    cluster->cluster_discovery_type_case =
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    cluster->type = (Envoy__Config__Cluster__V3__Cluster__DiscoveryType)type;
    PB_SET(cluster, lb_policy, (Envoy__Config__Cluster__V3__Cluster__LbPolicy)lb_policy);
    cluster->connect_timeout = pb_duration_new(arena, CONNECT_TIMEOUT_MS);
    Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds *limits =
        MAKE(arena, Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds,
             envoy__config__cluster__v3__circuit_breakers__thresholds);
    limits->max_connections = pb_u32_new(arena, UINT32_MAX);
    limits->max_pending_requests = pb_u32_new(arena, UINT32_MAX);
    limits->max_requests = pb_u32_new(arena, UINT32_MAX);
    limits->max_retries = pb_u32_new(arena, UINT32_MAX);
    PB_SET(limits, track_remaining, true);
    cluster->circuit_breakers = MAKE(arena, Envoy__Config__Cluster__V3__CircuitBreakers,
                                     envoy__config__cluster__v3__circuit_breakers);
    PB_APPEND(arena, cluster->circuit_breakers, thresholds, limits);
    return cluster;
}

void produce_static(struct production *p)
{
    cluster_message *pass =
        make_cluster(p->arena, PASSTHROUGH_CLUSTER,
                     ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST,
                     ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED);
    p->emit(p->to, RESOURCE_CLUSTER, PASSTHROUGH_CLUSTER, &pass->base);
    cluster_message *hole = make_cluster(
        p->arena, BLACK_HOLE_CLUSTER, ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC,
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN);
    p->emit(p->to, RESOURCE_CLUSTER, BLACK_HOLE_CLUSTER, &hole->base);
}

/* --- policy: a subset's block over the rule's ---------------------------------------------------------------------- */

struct policy {
    const traffic_policy *of_subset, *of_rule;
};
#define POLICY_BLOCK(policy, block)                                                                \
    ((policy)->of_subset && (policy)->of_subset->block ? (policy)->of_subset->block                \
     : (policy)->of_rule                               ? (policy)->of_rule->block                  \
                                                       : NULL)

/* gRPC libraries know one of them, and refuse a cluster with another. */
static int lb_policy_of(const struct policy *policy, enum cluster_user user)
{
    if (user == USER_GRPC)
        return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN;
    const Istio__Networking__V1alpha3__LoadBalancerSettings *lb =
        POLICY_BLOCK(policy, load_balancer);
    if (lb && lb->lb_policy_case ==
                  ISTIO__NETWORKING__V1ALPHA3__LOAD_BALANCER_SETTINGS__LB_POLICY_SIMPLE) {
        if (lb->simple ==
            ISTIO__NETWORKING__V1ALPHA3__LOAD_BALANCER_SETTINGS__SIMPLE_LB__ROUND_ROBIN)
            return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN;
        if (lb->simple == ISTIO__NETWORKING__V1ALPHA3__LOAD_BALANCER_SETTINGS__SIMPLE_LB__RANDOM)
            return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RANDOM;
    }
    return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LEAST_REQUEST;
}

static int discovery_of(enum resolution resolution)
{
    switch (resolution) {
    case RESOLUTION_STATIC: return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__EDS;
    case RESOLUTION_DNS: return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS;
    case RESOLUTION_NONE: return ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST;
    }
    return 0;
}

/* --- one cluster --------------------------------------------------------------------------------------------------- */

struct wanted {
    const struct service *service;
    const struct service_port *port;
    const struct destination_rules *rules;
    const Istio__Networking__V1alpha3__Subset *subset; /* NULL: the whole service */
    const struct text_list *accounts;
    struct policy policy;
    enum cluster_user user;
};

static void add_tls_match(struct arena *arena, cluster_message *cluster, const char *name,
                          bool istio, Envoy__Config__Core__V3__TransportSocket *socket)
{
    Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch *match =
        MAKE(arena, Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch,
             envoy__config__cluster__v3__cluster__transport_socket_match);
    match->name = arena_copy_str(arena, name);
    match->match = pb_struct_new(arena);
    if (istio)
        pb_struct_put(arena, match->match, "tlsMode", pb_value_str(arena, "istio"));
    match->transport_socket = socket;
    PB_APPEND(arena, cluster, transport_socket_matches, match);
}

static void secure_cluster(struct production *p, cluster_message *cluster, const struct wanted *w)
{
    const Istio__Networking__V1alpha3__ClientTLSSettings *tls = POLICY_BLOCK(&w->policy, tls);
    int mode = tls && tls->has_mode ? (int)tls->mode : -1;
    if (tls && !tls->has_mode) /* what is not said is DISABLE, as in Istio */
        mode = ISTIO__NETWORKING__V1ALPHA3__CLIENT_TLSSETTINGS__TLSMODE__DISABLE;
    bool always = mode == ISTIO__NETWORKING__V1ALPHA3__CLIENT_TLSSETTINGS__TLSMODE__ISTIO_MUTUAL;
    bool by_endpoint =
        !tls && w->user == USER_SECURE && w->service->resolution == RESOLUTION_STATIC;
    if (!always && !by_endpoint)
        return;
    const char *sni = arena_format(p->arena, "outbound_.%u_.%s_.%.*s", w->port->number,
                                   w->subset ? w->subset->name : "", SLICE_ARG(w->service->host));
    Envoy__Config__Core__V3__TransportSocket *socket =
        make_upstream_tls(p->arena, p->mesh, sni, w->accounts, w->port->protocol == PROTOCOL_HTTP2);
    if (always) {
        cluster->transport_socket = socket;
        return;
    }
    add_tls_match(p->arena, cluster, "tlsMode-istio", true, socket);
    const Envoy__Extensions__TransportSockets__RawBuffer__V3__RawBuffer *raw =
        MAKE(p->arena, Envoy__Extensions__TransportSockets__RawBuffer__V3__RawBuffer,
             envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer);
    add_tls_match(p->arena, cluster, "tlsMode-disabled", false,
                  make_transport(p->arena, "envoy.transport_sockets.raw_buffer", &raw->base));
}

static Envoy__Config__Core__V3__Metadata *cluster_metadata(struct arena *arena,
                                                           const struct wanted *w)
{
    Google__Protobuf__Struct *service = pb_struct_new(arena);
    pb_struct_put(arena, service, "host", pb_value_str(arena, w->service->host.data));
    pb_struct_put(arena, service, "name", pb_value_str(arena, w->service->name.data));
    pb_struct_put(arena, service, "namespace", pb_value_str(arena, w->service->name_space.data));
    Google__Protobuf__ListValue *list =
        MAKE(arena, Google__Protobuf__ListValue, google__protobuf__list_value);
    PB_APPEND(arena, list, values, pb_value_struct(arena, service));
    Google__Protobuf__Value *services =
        MAKE(arena, Google__Protobuf__Value, google__protobuf__value);
    services->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    services->list_value = list;
    Google__Protobuf__Struct *istio = pb_struct_new(arena);
    pb_struct_put(arena, istio, "services", services);
    pb_struct_put(arena, istio, "default_original_port", pb_value_number(arena, w->port->number));
    if (w->service->external)
        pb_struct_put(arena, istio, "external", pb_value_bool(arena, true));
    if (w->subset)
        pb_struct_put(arena, istio, "subset", pb_value_str(arena, w->subset->name));
    if (w->rules->count > 0)
        make_config_path(arena, istio, w->rules->items[0]);
    return make_metadata(arena, "istio", istio);
}

static void fill_discovery(struct production *p, cluster_message *cluster, const struct wanted *w)
{
    if (w->service->resolution == RESOLUTION_STATIC) {
        cluster->eds_cluster_config =
            MAKE(p->arena, Envoy__Config__Cluster__V3__Cluster__EdsClusterConfig,
                 envoy__config__cluster__v3__cluster__eds_cluster_config);
        cluster->eds_cluster_config->eds_config = make_ads(p->arena);
        cluster->eds_cluster_config->service_name = cluster->name;
    } else if (w->service->resolution == RESOLUTION_DNS) {
        struct endpoint_list endpoints =
            registry_endpoints(p->registry, p->reader, w->service, w->port, w->subset, p->arena);
        struct service_endpoint host = {.address = w->service->host,
                                        .port = w->port->target,
                                        .weight = 1,
                                        .account = SLICE("default"),
                                        .name_space = w->service->name_space,
                                        .workload = w->service->name,
                                        .entry = MAKE(p->arena,
                                                      Istio__Networking__V1alpha3__WorkloadEntry,
                                                      istio__networking__v1alpha3__workload_entry)};
        if (w->service->object->service_entry->spec->n_endpoints == 0 && !w->subset &&
            w->service->selector.count == 0)
            endpoints = (struct endpoint_list){&host, 1};
        cluster->load_assignment = make_assignment(p->arena, cluster->name, &endpoints);
        PB_SET(cluster, dns_lookup_family,
               ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY);
    }
}

static void produce_cluster(struct production *p, const struct wanted *w)
{
    const char *name = make_cluster_name(p->arena, w->port->number,
                                         w->subset ? w->subset->name : NULL, w->service->host);
    bool passes = w->service->resolution == RESOLUTION_NONE;
    int lb_policy = passes ? ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED
                           : lb_policy_of(&w->policy, w->user);
    cluster_message *cluster =
        make_cluster(p->arena, name, discovery_of(w->service->resolution), lb_policy);
    const Istio__Networking__V1alpha3__ConnectionPoolSettings *pool =
        POLICY_BLOCK(&w->policy, connection_pool);
    if (pool && pool->tcp && pool->tcp->connect_timeout)
        cluster->connect_timeout =
            pb_duration_new(p->arena, pb_duration_ms(pool->tcp->connect_timeout, 0));
    fill_discovery(p, cluster, w);
    if (protocol_is_http(w->port->protocol))
        make_http_options(p->arena, cluster, w->port->protocol == PROTOCOL_HTTP2);
    if (w->user != USER_GRPC) /* which has no certificate to show */
        secure_cluster(p, cluster, w);
    cluster->metadata = cluster_metadata(p->arena, w);
    p->origin = w->rules->count > 0 ? w->rules->items[0] : w->service->object;
    p->emit(p->to, RESOURCE_CLUSTER, name, &cluster->base);
}

/* --- a service's clusters and endpoints ----------------------------------------------------------------------------- */

/* Calls visit for the whole service and for each subset, each name once. */
static void each_subset(const struct destination_rules *rules,
                        void (*visit)(struct production *p,
                                      const Istio__Networking__V1alpha3__Subset *subset, void *to),
                        struct production *p, void *to)
{
    visit(p, NULL, to);
    for (size_t r = 0; r < rules->count; r++) {
        const Istio__Networking__V1alpha3__DestinationRule *spec =
            rules->items[r]->destination_rule->spec;
        for (size_t i = 0; i < spec->n_subsets; i++) {
            const Istio__Networking__V1alpha3__Subset *subset = spec->subsets[i];
            if (subset->name && destination_rules_subset(rules, subset->name) == subset)
                visit(p, subset, to);
        }
    }
}

static void produce_subset_cluster(struct production *p,
                                   const Istio__Networking__V1alpha3__Subset *subset, void *to)
{
    struct wanted *wanted = to;
    wanted->subset = subset;
    wanted->policy.of_subset = subset ? subset->traffic_policy : NULL;
    wanted->policy.of_rule = destination_rules_policy(wanted->rules);
    produce_cluster(p, wanted);
}

void produce_clusters(struct production *p, struct slice host, struct slice client_name_space,
                      enum cluster_user user)
{
    const struct service *service = registry_service(p->registry, p->reader, host);
    if (!service)
        return;
    struct destination_rules rules =
        model_destination_rules(p->model, p->reader, client_name_space, service->name_space, host);
    struct text_list accounts = registry_accounts(p->registry, p->reader, service, p->arena);
    for (size_t i = 0; i < service->port_count; i++) {
        struct wanted wanted = {.service = service,
                                .port = &service->ports[i],
                                .rules = &rules,
                                .accounts = &accounts,
                                .user = user};
        each_subset(&rules, produce_subset_cluster, p, &wanted);
    }
}

static void produce_subset_endpoints(struct production *p,
                                     const Istio__Networking__V1alpha3__Subset *subset, void *to)
{
    const struct wanted *wanted = to;
    struct endpoint_list list =
        registry_endpoints(p->registry, p->reader, wanted->service, wanted->port, subset, p->arena);
    size_t kept = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct ip ip; /* a name where an address belongs would have the whole assignment refused */
        if (ip_parse(list.items[i].address, &ip))
            list.items[kept++] = list.items[i];
    }
    list.count = kept;
    const char *name = make_cluster_name(p->arena, wanted->port->number,
                                         subset ? subset->name : NULL, wanted->service->host);
    p->origin = wanted->service->object;
    p->emit(p->to, RESOURCE_ENDPOINTS, name, &make_assignment(p->arena, name, &list)->base);
}

void produce_endpoints(struct production *p, struct slice host, struct slice client_name_space)
{
    const struct service *service = registry_service(p->registry, p->reader, host);
    if (!service || service->resolution != RESOLUTION_STATIC)
        return;
    struct destination_rules rules =
        model_destination_rules(p->model, p->reader, client_name_space, service->name_space, host);
    for (size_t i = 0; i < service->port_count; i++) {
        struct wanted wanted = {.service = service, .port = &service->ports[i], .rules = &rules};
        each_subset(&rules, produce_subset_endpoints, p, &wanted);
    }
}
