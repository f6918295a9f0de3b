#include "control/registry/registry_internal.h"

#include "base/memory.h"
#include "control/model/host.h"
#include "match/ip.h"
#include "pb/message.h"

#include <stdlib.h>

static const struct {
    const char *word;
    enum protocol protocol;
} words[] = {
    {"http", PROTOCOL_HTTP},
    {"http1", PROTOCOL_HTTP},
    {"grpc", PROTOCOL_HTTP2},
    {"grpc-web", PROTOCOL_HTTP},
    {"http2", PROTOCOL_HTTP2},
    {"kubernetes.io/h2c", PROTOCOL_HTTP2},
    {"kubernetes.io/ws", PROTOCOL_HTTP},
    {"https", PROTOCOL_TLS},
    {"kubernetes.io/wss", PROTOCOL_TLS},
    {"tls", PROTOCOL_TLS},
    {"tcp", PROTOCOL_TCP},
    {"mongo", PROTOCOL_TCP},
    {"redis", PROTOCOL_TCP},
    {"mysql", PROTOCOL_TCP},
};

static bool protocol_of_word(struct slice word, enum protocol *protocol)
{
    for (size_t i = 0; i < COUNT(words); i++) {
        if (!slice_equals_nocase(word, slice_str(words[i].word)))
            continue;
        *protocol = words[i].protocol;
        return true;
    }
    return false;
}

enum protocol protocol_of(const char *app_protocol, const char *port_name, uint32_t port)
{
    enum protocol protocol;
    if (app_protocol && protocol_of_word(slice_str(app_protocol), &protocol))
        return protocol;
    struct slice name = slice_str(port_name), head, tail;
    bool web = name.size >= 8 && slice_equals_nocase(slice_first(name, 8), SLICE("grpc-web"));
    slice_cut(name, '-', &head, &tail);
    if (protocol_of_word(web ? SLICE("grpc-web") : head, &protocol))
        return protocol;
    /* Where the server speaks first, looking for HTTP would wait for ever. */
    bool server_first = port == 25 || port == 53 || port == 3306 || port == 27017;
    return server_first ? PROTOCOL_TCP : PROTOCOL_UNKNOWN;
}

/* Datagrams pass by the proxies: such a port is no part of the mesh. */
static bool is_udp(const char *transport, const char *port_name)
{
    struct slice name = slice_str(port_name), head, tail;
    if (transport && *transport)
        return slice_equals_nocase(slice_str(transport), SLICE("UDP"));
    slice_cut(name, '-', &head, &tail);
    return slice_equals_nocase(head, SLICE("udp"));
}

const struct service_port *service_port(const struct service *service, uint32_t number)
{
    for (size_t i = 0; i < service->port_count; i++) {
        if (service->ports[i].number == number)
            return &service->ports[i];
    }
    return NULL;
}

bool labels_match(const struct label_pairs *selector,
                  const Istio__Networking__V1alpha3__WorkloadEntry *entry)
{
    for (size_t i = 0; i < selector->count; i++) {
        bool found = false;
        for (size_t k = 0; entry && k < entry->n_labels && !found; k++)
            found = strcmp(selector->keys[i], entry->labels[k]->key) == 0 &&
                    strcmp(selector->values[i], entry->labels[k]->value) == 0;
        if (!found)
            return false;
    }
    return selector->count > 0;
}

void offer_destroy(struct offer *offer)
{
    arena_fini(&offer->arena);
    mem_free(offer);
}

static struct offer *offer_make(const struct object *object, struct offers *out)
{
    struct offer *offer = mem_new(struct offer);
    arena_init(&offer->arena, NULL);
    offer->service.object = object;
    offer->service.name_space = object->name_space;
    vector_push(&out->list, offer);
    return offer;
}

static int compare_ports(const void *a, const void *b)
{
    const struct service_port *left = a, *right = b;
    return left->number < right->number ? -1 : left->number > right->number;
}

static void read_kubernetes_ports(struct offer *offer,
                                  const K8s__Io__Api__Core__V1__ServiceSpec *spec)
{
    struct service_port *ports = arena_calloc(&offer->arena, spec->n_ports + 1, sizeof(*ports));
    size_t count = 0;
    for (size_t i = 0; i < spec->n_ports; i++) {
        const K8s__Io__Api__Core__V1__ServicePort *port = spec->ports[i];
        if (!port->has_port || port->port < 1 || port->port > 65535 ||
            is_udp(port->protocol, pb_str(port->name)))
            continue;
        struct service_port *to = &ports[count++];
        *to = (struct service_port){.name = port->name ? port->name : "",
                                    .number = (uint32_t)port->port,
                                    .target = (uint32_t)port->port};
        if (port->targetport && port->targetport->strval && *port->targetport->strval) {
            to->target = 0;
            to->target_name = port->targetport->strval;
        } else if (port->targetport && port->targetport->intval > 0) {
            to->target = (uint32_t)port->targetport->intval;
        }
        to->protocol = protocol_of(port->appprotocol, to->name, to->number);
    }
    qsort(ports, count, sizeof(*ports), compare_ports);
    offer->service.ports = ports;
    offer->service.port_count = count;
}

static void offer_kubernetes(const struct object *object, struct offers *out)
{
    const K8s__Io__Api__Core__V1__ServiceSpec *spec = object->service->spec;
    if (!spec)
        return;
    struct offer *offer = offer_make(object, out);
    struct service *service = &offer->service;
    service->name = object->name;
    service->host = host_of_service(object->name, object->name_space, &offer->arena);
    service->from_kubernetes = true;
    const char *cluster_ip = pb_str(spec->clusterip);
    if (!*cluster_ip && spec->n_clusterips > 0)
        cluster_ip = pb_str(spec->clusterips[0]);
    service->headless = strcmp(cluster_ip, "None") == 0;
    offer->has_own_address = *cluster_ip;
    struct ip ip;
    if (ip_parse(slice_str(cluster_ip), &ip))
        service->address = slice_str(cluster_ip);
    read_kubernetes_ports(offer, spec);
    struct label_pairs *selector = &service->selector;
    selector->keys = arena_calloc(&offer->arena, spec->n_selector + 1, sizeof(char *));
    selector->values = arena_calloc(&offer->arena, spec->n_selector + 1, sizeof(char *));
    for (size_t i = 0; i < spec->n_selector; i++) {
        selector->keys[selector->count] = spec->selector[i]->key;
        selector->values[selector->count++] = spec->selector[i]->value;
    }
}

static void read_entry_ports(struct offer *offer,
                             const Istio__Networking__V1alpha3__ServiceEntry *spec)
{
    struct service_port *ports = arena_calloc(&offer->arena, spec->n_ports + 1, sizeof(*ports));
    size_t count = 0;
    for (size_t i = 0; i < spec->n_ports; i++) {
        const Istio__Networking__V1alpha3__ServicePort *port = spec->ports[i];
        if (!port->has_number || port->number < 1 || port->number > 65535)
            continue;
        const char *name = port->name ? port->name : "";
        if (is_udp(port->protocol, name))
            continue;
        ports[count++] = (struct service_port){
            .name = name,
            .number = port->number,
            .target = port->has_target_port && port->target_port ? port->target_port : port->number,
            .protocol = protocol_of(port->protocol, name, port->number)};
    }
    qsort(ports, count, sizeof(*ports), compare_ports);
    offer->service.ports = ports;
    offer->service.port_count = count;
}

static enum resolution resolution_of(const Istio__Networking__V1alpha3__ServiceEntry *spec)
{
    switch (spec->has_resolution ? spec->resolution : 0) {
    case ISTIO__NETWORKING__V1ALPHA3__SERVICE_ENTRY__RESOLUTION__STATIC: return RESOLUTION_STATIC;
    case ISTIO__NETWORKING__V1ALPHA3__SERVICE_ENTRY__RESOLUTION__DNS: return RESOLUTION_DNS;
    default: return RESOLUTION_NONE;
    }
}

static void offer_host(const struct object *object, const char *host, struct offers *out)
{
    const Istio__Networking__V1alpha3__ServiceEntry *spec = object->service_entry->spec;
    struct offer *offer = offer_make(object, out);
    struct service *service = &offer->service;
    service->host = host_resolve(slice_str(host), SLICE_NONE, &offer->arena);
    if (slice_find_byte(slice_str(host), '.') ==
        strlen(host)) /* here a short name is a whole one */
        service->host = slice_str(arena_copy_str(&offer->arena, host));
    service->name = service->host;
    service->external =
        !spec->has_location ||
        spec->location == ISTIO__NETWORKING__V1ALPHA3__SERVICE_ENTRY__LOCATION__MESH_EXTERNAL;
    service->resolution = resolution_of(spec);
    offer->has_own_address = spec->n_addresses > 0;
    if (offer->has_own_address)
        service->address = slice_str(spec->addresses[0]);
    read_entry_ports(offer, spec);
    if (!spec->workload_selector)
        return;
    struct label_pairs *selector = &service->selector;
    size_t count = spec->workload_selector->n_labels;
    selector->keys = arena_calloc(&offer->arena, count + 1, sizeof(char *));
    selector->values = arena_calloc(&offer->arena, count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        selector->keys[selector->count] = spec->workload_selector->labels[i]->key;
        selector->values[selector->count++] = spec->workload_selector->labels[i]->value;
    }
}

void offers_of_object(const struct object *object, struct offers *out)
{
    if (object->disabled)
        return;
    if (object->kind == KIND_SERVICE)
        offer_kubernetes(object, out);
    if (object->kind != KIND_SERVICE_ENTRY || !object->service_entry->spec)
        return;
    for (size_t i = 0; i < object->service_entry->spec->n_hosts; i++)
        offer_host(object, object->service_entry->spec->hosts[i], out);
}
