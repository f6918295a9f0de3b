#include "control/translate/produce.h"

#include "match/ip.h"

#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"
#include "istio/nds.pb-c.h"

typedef Envoy__Config__Listener__V3__Listener listener_message;
typedef Envoy__Config__Listener__V3__FilterChain filter_chain;

enum { OUTBOUND_PORT = 15001, INBOUND_PORT = 15006 };

static listener_message *make_listener(struct arena *arena, const char *name, struct slice ip,
                                       uint32_t port, struct slice network_namespace, bool outbound)
{
    listener_message *listener =
        MAKE(arena, Envoy__Config__Listener__V3__Listener, envoy__config__listener__v3__listener);
    listener->name = arena_copy_str(arena, name);
    listener->address = make_address(arena, ip, port, network_namespace);
    PB_SET(listener, traffic_direction,
           outbound ? ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND
                    : ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND);
    return listener;
}

static filter_chain *make_chain(struct arena *arena, const char *name,
                                Envoy__Config__Listener__V3__Filter *filter)
{
    filter_chain *chain = MAKE(arena, Envoy__Config__Listener__V3__FilterChain,
                               envoy__config__listener__v3__filter_chain);
    if (name)
        chain->name = arena_copy_str(arena, name);
    PB_APPEND(arena, chain, filters, filter);
    return chain;
}

static Envoy__Config__Listener__V3__FilterChainMatch *match_of(struct arena *arena,
                                                               filter_chain *chain)
{
    if (!chain->filter_chain_match)
        chain->filter_chain_match = MAKE(arena, Envoy__Config__Listener__V3__FilterChainMatch,
                                         envoy__config__listener__v3__filter_chain_match);
    return chain->filter_chain_match;
}

static void add_listener_filter(struct arena *arena, listener_message *listener, const char *name,
                                const ProtobufCMessage *config)
{
    Envoy__Config__Listener__V3__ListenerFilter *filter =
        MAKE(arena, Envoy__Config__Listener__V3__ListenerFilter,
             envoy__config__listener__v3__listener_filter);
    filter->name = arena_copy_str(arena, name);
    filter->config_type_case =
        ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    filter->typed_config = pb_any_pack(config, arena);
    PB_APPEND(arena, listener, listener_filters, filter);
}

static void inspect_http(struct arena *arena, listener_message *listener)
{
    const Envoy__Extensions__Filters__Listener__HttpInspector__V3__HttpInspector *http = pb_new(
        arena,
        &envoy__extensions__filters__listener__http_inspector__v3__http_inspector__descriptor);
    add_listener_filter(arena, listener, "envoy.filters.listener.http_inspector", &http->base);
}

static void inspect_tls(struct arena *arena, listener_message *listener)
{
    const Envoy__Extensions__Filters__Listener__TlsInspector__V3__TlsInspector *tls = pb_new(
        arena, &envoy__extensions__filters__listener__tls_inspector__v3__tls_inspector__descriptor);
    add_listener_filter(arena, listener, "envoy.filters.listener.tls_inspector", &tls->base);
}

/* --- outbound ------------------------------------------------------------------------------------------------------- */

static Envoy__Config__Listener__V3__Filter *
outbound_http(struct production *p, const char *stat_prefix, const char *table)
{
    Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *hcm =
        make_hcm(p->arena, p->mesh, stat_prefix);
    hcm->route_specifier_case =
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS;
    hcm->rds = MAKE(p->arena, Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__Rds,
                    envoy__extensions__filters__network__http_connection_manager__v3__rds);
    hcm->rds->config_source = make_ads(p->arena);
    hcm->rds->route_config_name = arena_copy_str(p->arena, table);
    return make_hcm_filter(p->arena, hcm);
}

static void produce_wildcard(struct production *p, uint32_t port)
{
    char *name = arena_format(p->arena, "0.0.0.0_%u", port);
    listener_message *listener =
        make_listener(p->arena, name, SLICE("0.0.0.0"), port, SLICE_NONE, true);
    listener->bind_to_port = pb_bool_new(p->arena, false);
    PB_APPEND(p->arena, listener, filter_chains,
              make_chain(p->arena, NULL,
                         outbound_http(p, arena_format(p->arena, "outbound_%s;", name),
                                       arena_format(p->arena, "%u", port))));
    p->emit(p->to, RESOURCE_LISTENER, name, &listener->base);
}

/* Declared TCP, or a port of which nothing is said: HTTP is then found by looking at the first bytes. */
static void produce_addressed(struct production *p, const struct service *service,
                              const struct service_port *port)
{
    char *name = arena_format(p->arena, "%.*s_%u", SLICE_ARG(service->address), port->number);
    char *cluster = make_cluster_name(p->arena, port->number, NULL, service->host);
    listener_message *listener =
        make_listener(p->arena, name, service->address, port->number, SLICE_NONE, true);
    listener->bind_to_port = pb_bool_new(p->arena, false);
    filter_chain *tcp =
        make_chain(p->arena, NULL, make_tcp_proxy(p->arena, p->mesh, cluster, cluster));
    if (port->protocol == PROTOCOL_UNKNOWN) {
        filter_chain *http =
            make_chain(p->arena, "http",
                       outbound_http(p, arena_format(p->arena, "outbound_%s;", name),
                                     arena_format(p->arena, "%.*s:%u", SLICE_ARG(service->host),
                                                  port->number)));
        Envoy__Config__Listener__V3__FilterChainMatch *match = match_of(p->arena, http);
        match->transport_protocol = arena_copy_str(p->arena, "raw_buffer");
        PB_APPEND(p->arena, match, application_protocols, arena_copy_str(p->arena, "http/1.1"));
        PB_APPEND(p->arena, match, application_protocols, arena_copy_str(p->arena, "h2c"));
        PB_APPEND(p->arena, listener, filter_chains, http);
        tcp->name = arena_copy_str(p->arena, "tcp");
        listener->default_filter_chain = tcp;
        inspect_tls(p->arena, listener);
        inspect_http(p->arena, listener);
        /* A client that waits for the server to speak is passed on after a moment. */
        listener->listener_filters_timeout = pb_duration_new(p->arena, 100);
        PB_SET(listener, continue_on_listener_filters_timeout, true);
    } else {
        PB_APPEND(p->arena, listener, filter_chains, tcp);
    }
    p->emit(p->to, RESOURCE_LISTENER, name, &listener->base);
}

void produce_outbound(struct production *p, uint32_t port)
{
    struct service_list services =
        registry_services_on_port(p->registry, p->reader, port, p->arena);
    bool http = false;
    for (size_t i = 0; i < services.count; i++) {
        const struct service_port *at = service_port(services.items[i], port);
        if (protocol_is_http(at->protocol))
            http = true;
        else if (services.items[i]->address.size > 0)
            produce_addressed(p, services.items[i], at);
    }
    if (http)
        produce_wildcard(p, port);
}

/* --- the name table ------------------------------------------------------------------------------------------------- */

void produce_names(struct production *p)
{
    Istio__Networking__Nds__V1__NameTable *table = MAKE(
        p->arena, Istio__Networking__Nds__V1__NameTable, istio__networking__nds__v1__name_table);
    struct service_list services = registry_services(p->registry, p->reader, p->arena);
    for (size_t i = 0; i < services.count; i++) {
        const struct service *service =
            registry_service(p->registry, p->reader, services.items[i]->host);
        Istio__Networking__Nds__V1__NameTable__NameInfo *names =
            MAKE(p->arena, Istio__Networking__Nds__V1__NameTable__NameInfo,
                 istio__networking__nds__v1__name_table__name_info);
        if (service->address.size > 0)
            PB_APPEND(p->arena, names, ips, arena_copy(p->arena, service->address));
        if (service->headless) {
            struct endpoint_list list = service->port_count > 0
                                            ? registry_endpoints(p->registry, p->reader, service,
                                                                 &service->ports[0], NULL, p->arena)
                                            : (struct endpoint_list){0};
            for (size_t e = 0; e < list.count; e++)
                PB_APPEND(p->arena, names, ips, arena_copy(p->arena, list.items[e].address));
        }
        if (names->n_ips == 0)
            continue;
        names->registry =
            arena_copy_str(p->arena, service->from_kubernetes ? "Kubernetes" : "External");
        if (service->from_kubernetes) {
            names->shortname = arena_copy(p->arena, service->name);
            names->namespace_ = arena_copy(p->arena, service->name_space);
        }
        PB_PUT(p->arena, table, table,
               &istio__networking__nds__v1__name_table__table_entry__descriptor,
               arena_copy(p->arena, service->host), names);
    }
    p->emit(p->to, RESOURCE_NAME_TABLE, NAME_TABLE_NAME, &table->base);
}

/* --- a proxy's own --------------------------------------------------------------------------------------------------- */

static void produce_virtual_outbound(struct production *p, const struct proxy_spec *spec,
                                     bool loopback)
{
    /* Without a network of its own, every replica on this host needs an address of its own. */
    bool shared = loopback && spec->network_namespace.size == 0;
    listener_message *listener =
        make_listener(p->arena, "virtualOutbound", shared ? spec->address : SLICE("0.0.0.0"),
                      OUTBOUND_PORT, spec->network_namespace, true);
    listener->use_original_dst = pb_bool_new(p->arena, true);
    filter_chain *hole =
        make_chain(p->arena, "virtualOutbound-blackhole",
                   make_tcp_proxy(p->arena, p->mesh, BLACK_HOLE_CLUSTER, BLACK_HOLE_CLUSTER));
    match_of(p->arena, hole)->destination_port = pb_u32_new(p->arena, OUTBOUND_PORT);
    PB_APPEND(p->arena, listener, filter_chains, hole);
    const char *rest = make_unknown_cluster(p->mesh);
    PB_APPEND(p->arena, listener, filter_chains,
              make_chain(p->arena, "virtualOutbound-catchall-tcp",
                         make_tcp_proxy(p->arena, p->mesh, rest, rest)));
    p->emit(p->to, RESOURCE_LISTENER, listener->name, &listener->base);
}

/* A port of the workload, and the first service that leads to it. */
struct own_port {
    uint32_t number;
    const struct service *service;
    const struct service_port *port;
};

static struct own_port *own_ports(struct production *p, const struct proxy_spec *spec,
                                  size_t *count)
{
    struct workload_facts workload = {.name_space = spec->name_space,
                                      .label_keys = spec->keys,
                                      .label_values = spec->values,
                                      .label_count = spec->label_count,
                                      .address = spec->address};
    struct service_list services =
        registry_services_of(p->registry, p->reader, &workload, p->arena);
    size_t room = 0;
    for (size_t i = 0; i < services.count; i++)
        room += services.items[i]->port_count;
    struct own_port *ports = arena_calloc(p->arena, room + 1, sizeof(*ports));
    *count = 0;
    for (size_t i = 0; i < services.count; i++) {
        const struct service *service =
            registry_service(p->registry, p->reader, services.items[i]->host);
        for (size_t k = 0; k < service->port_count; k++) {
            uint32_t number =
                registry_workload_port(p->registry, p->reader, &workload, &service->ports[k]);
            bool known = number == 0 || number > 65535;
            for (size_t o = 0; o < *count && !known; o++)
                known = ports[o].number == number;
            if (!known)
                ports[(*count)++] = (struct own_port){number, service, &service->ports[k]};
        }
    }
    return ports;
}

static void produce_inbound_cluster(struct production *p, const struct proxy_spec *spec,
                                    const struct own_port *own)
{
    Envoy__Config__Cluster__V3__Cluster *cluster =
        MAKE(p->arena, Envoy__Config__Cluster__V3__Cluster, envoy__config__cluster__v3__cluster);
    cluster->name = arena_format(p->arena, "inbound|%u||", own->number);
    cluster->cluster_discovery_type_case =
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    cluster->type = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC;
    cluster->connect_timeout = pb_duration_new(p->arena, 10000);
    if (protocol_is_http(own->port->protocol))
        make_http_options(p->arena, cluster, own->port->protocol == PROTOCOL_HTTP2);

    Envoy__Config__Endpoint__V3__LbEndpoint *endpoint =
        MAKE(p->arena, Envoy__Config__Endpoint__V3__LbEndpoint,
             envoy__config__endpoint__v3__lb_endpoint);
    endpoint->host_identifier_case =
        ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    endpoint->endpoint = MAKE(p->arena, Envoy__Config__Endpoint__V3__Endpoint,
                              envoy__config__endpoint__v3__endpoint);
    endpoint->endpoint->address =
        make_address(p->arena, SLICE("127.0.0.1"), own->number, spec->network_namespace);
    Envoy__Config__Endpoint__V3__LocalityLbEndpoints *locality =
        MAKE(p->arena, Envoy__Config__Endpoint__V3__LocalityLbEndpoints,
             envoy__config__endpoint__v3__locality_lb_endpoints);
    PB_APPEND(p->arena, locality, lb_endpoints, endpoint);
    cluster->load_assignment = MAKE(p->arena, Envoy__Config__Endpoint__V3__ClusterLoadAssignment,
                                    envoy__config__endpoint__v3__cluster_load_assignment);
    cluster->load_assignment->cluster_name = cluster->name;
    PB_APPEND(p->arena, cluster->load_assignment, endpoints, locality);

    Google__Protobuf__Struct *service = pb_struct_new(p->arena);
    pb_struct_put(p->arena, service, "host", pb_value_str(p->arena, own->service->host.data));
    pb_struct_put(p->arena, service, "name", pb_value_str(p->arena, own->service->name.data));
    pb_struct_put(p->arena, service, "namespace",
                  pb_value_str(p->arena, own->service->name_space.data));
    Google__Protobuf__ListValue *list =
        MAKE(p->arena, Google__Protobuf__ListValue, google__protobuf__list_value);
    PB_APPEND(p->arena, list, values, pb_value_struct(p->arena, service));
    Google__Protobuf__Value *services =
        MAKE(p->arena, Google__Protobuf__Value, google__protobuf__value);
    services->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    services->list_value = list;
    Google__Protobuf__Struct *istio = pb_struct_new(p->arena);
    pb_struct_put(p->arena, istio, "services", services);
    cluster->metadata = make_metadata(p->arena, "istio", istio);
    p->emit(p->to, RESOURCE_CLUSTER, cluster->name, &cluster->base);
}

static Envoy__Config__Listener__V3__Filter *inbound_http(struct production *p,
                                                         const struct own_port *own, bool secure)
{
    struct arena *arena = p->arena;
    Envoy__Config__Route__V3__Route *route =
        MAKE(arena, Envoy__Config__Route__V3__Route, envoy__config__route__v3__route);
    route->name = arena_copy_str(arena, "default");
    route->match =
        MAKE(arena, Envoy__Config__Route__V3__RouteMatch, envoy__config__route__v3__route_match);
    route->match->path_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
    route->match->prefix = arena_copy_str(arena, "/");
    route->action_case = ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE;
    route->route =
        MAKE(arena, Envoy__Config__Route__V3__RouteAction, envoy__config__route__v3__route_action);
    route->route->cluster_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    route->route->cluster = arena_format(arena, "inbound|%u||", own->number);
    route->route->timeout = pb_duration_new(arena, 0);
    route->decorator =
        MAKE(arena, Envoy__Config__Route__V3__Decorator, envoy__config__route__v3__decorator);
    route->decorator->operation =
        arena_format(arena, "%.*s:%u/*", SLICE_ARG(own->service->host), own->port->number);
    Envoy__Config__Route__V3__VirtualHost *host =
        MAKE(arena, Envoy__Config__Route__V3__VirtualHost, envoy__config__route__v3__virtual_host);
    host->name = arena_format(arena, "inbound|http|%u", own->number);
    PB_APPEND(arena, host, domains, arena_copy_str(arena, "*"));
    PB_APPEND(arena, host, routes, route);
    Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *hcm =
        make_hcm(arena, p->mesh, arena_format(arena, "inbound_0.0.0.0_%u;", own->number));
    hcm->route_specifier_case =
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG;
    hcm->route_config = MAKE(arena, Envoy__Config__Route__V3__RouteConfiguration,
                             envoy__config__route__v3__route_configuration);
    hcm->route_config->name = arena_copy_str(arena, route->route->cluster);
    hcm->route_config->validate_clusters = pb_bool_new(arena, false);
    PB_APPEND(arena, hcm->route_config, virtual_hosts, host);
    PB_SET(
        hcm, server_header_transformation,
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__SERVER_HEADER_TRANSFORMATION__PASS_THROUGH);
    if (secure) {
        PB_SET(
            hcm, forward_client_cert_details,
            ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD);
        hcm->set_current_client_cert_details = pb_new(
            arena,
            &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__set_current_client_cert_details__descriptor);
        hcm->set_current_client_cert_details->subject = pb_bool_new(arena, true);
        PB_SET(hcm->set_current_client_cert_details, dns, true);
        PB_SET(hcm->set_current_client_cert_details, uri, true);
    }
    return make_hcm_filter(arena, hcm);
}

static filter_chain *inbound_chain(struct production *p, const struct proxy_spec *spec,
                                   const struct own_port *own)
{
    char *name = arena_format(p->arena, "0.0.0.0_%u", own->number);
    char *cluster = arena_format(p->arena, "inbound|%u||", own->number);
    bool http = protocol_is_http(own->port->protocol);
    filter_chain *chain = make_chain(p->arena, name,
                                     http ? inbound_http(p, own, spec->secure)
                                          : make_tcp_proxy(p->arena, p->mesh, cluster, cluster));
    if (spec->secure)
        chain->transport_socket = make_downstream_tls(p->arena, p->mesh, http);
    return chain;
}

static void produce_virtual_inbound(struct production *p, const struct proxy_spec *spec,
                                    const struct own_port *ports, size_t count)
{
    listener_message *listener = make_listener(p->arena, "virtualInbound", SLICE("0.0.0.0"),
                                               INBOUND_PORT, spec->network_namespace, false);
    const Envoy__Extensions__Filters__Listener__OriginalDst__V3__OriginalDst *original =
        pb_new(p->arena,
               &envoy__extensions__filters__listener__original_dst__v3__original_dst__descriptor);
    add_listener_filter(p->arena, listener, "envoy.filters.listener.original_dst", &original->base);
    if (spec->secure)
        inspect_tls(p->arena, listener);
    filter_chain *hole =
        make_chain(p->arena, "virtualInbound-blackhole",
                   make_tcp_proxy(p->arena, p->mesh, BLACK_HOLE_CLUSTER, BLACK_HOLE_CLUSTER));
    match_of(p->arena, hole)->destination_port = pb_u32_new(p->arena, INBOUND_PORT);
    PB_APPEND(p->arena, listener, filter_chains, hole);
    for (size_t i = 0; i < count; i++) {
        filter_chain *chain = inbound_chain(p, spec, &ports[i]);
        match_of(p->arena, chain)->destination_port = pb_u32_new(p->arena, ports[i].number);
        /* Strict: plaintext finds no chain, and its connection is closed. */
        if (spec->secure)
            match_of(p->arena, chain)->transport_protocol = arena_copy_str(p->arena, "tls");
        PB_APPEND(p->arena, listener, filter_chains, chain);
    }
    p->emit(p->to, RESOURCE_LISTENER, listener->name, &listener->base);
}

void produce_own(struct production *p, const struct proxy_spec *spec)
{
    struct ip ip;
    bool loopback = ip_parse(spec->address, &ip) && ip_is_loopback(&ip);
    produce_virtual_outbound(p, spec, loopback);
    size_t count;
    struct own_port *ports = own_ports(p, spec, &count);
    for (size_t i = 0; i < count; i++)
        produce_inbound_cluster(p, spec, &ports[i]);
    if (!loopback) {
        produce_virtual_inbound(p, spec, ports, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *name = arena_format(p->arena, "%.*s_%u", SLICE_ARG(spec->address), ports[i].number);
        listener_message *listener =
            make_listener(p->arena, name, spec->address, ports[i].number, SLICE_NONE, false);
        PB_APPEND(p->arena, listener, filter_chains, inbound_chain(p, spec, &ports[i]));
        p->emit(p->to, RESOURCE_LISTENER, name, &listener->base);
    }
}
