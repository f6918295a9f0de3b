#include "control/registry/registry_internal.h"

#include "base/memory.h"

#include <stdlib.h>

#define TLS_MODE_LABEL "security.istio.io/tlsMode"

static const char *label_of(const Istio__Networking__V1alpha3__WorkloadEntry *entry,
                            const char *key)
{
    for (size_t i = 0; i < entry->n_labels; i++) {
        if (strcmp(entry->labels[i]->key, key) == 0)
            return entry->labels[i]->value;
    }
    return NULL;
}

static uint32_t port_by_name(const Istio__Networking__V1alpha3__WorkloadEntry *entry,
                             const char *name)
{
    for (size_t i = 0; name && i < entry->n_ports; i++) {
        if (strcmp(entry->ports[i]->key, name) == 0)
            return entry->ports[i]->value;
    }
    return 0;
}

/* The port that the workload has for a port of the service; 0: it serves none. */
static uint32_t port_on(const Istio__Networking__V1alpha3__WorkloadEntry *entry,
                        const struct service_port *port)
{
    uint32_t number = port_by_name(entry, port->name);
    if (number == 0)
        number = port_by_name(entry, port->target_name);
    return number ? number : port->target;
}

static bool in_subset(const Istio__Networking__V1alpha3__WorkloadEntry *entry,
                      const Istio__Networking__V1alpha3__Subset *subset)
{
    for (size_t i = 0; subset && i < subset->n_labels; i++) {
        const char *value = label_of(entry, subset->labels[i]->key);
        if (!value || strcmp(value, subset->labels[i]->value) != 0)
            return false;
    }
    return true;
}

/* Everything behind a service: workloads that it selects, and endpoints that it lists. */
struct backers {
    VECTOR(struct service_endpoint) list;
};

static void add_backer(struct backers *backers, const struct service *service,
                       const struct object *object,
                       const Istio__Networking__V1alpha3__WorkloadEntry *entry)
{
    const char *mode = label_of(entry, TLS_MODE_LABEL);
    const char *account = entry->service_account;
    vector_push(&backers->list,
                {.address = slice_str(entry->address),
                 .weight = entry->has_weight && entry->weight > 0 ? entry->weight : 1,
                 .mtls = mode && strcmp(mode, "istio") == 0,
                 .account = account && *account ? slice_str(account) : SLICE("default"),
                 .name_space = service->name_space,
                 .workload = object->name,
                 .entry = entry});
}

static struct backers backers_of(const struct registry *registry, const struct service *service)
{
    struct backers backers = {0};
    const struct workloads *workloads = map_get(registry->workloads, service->name_space);
    for (size_t i = 0; service->selector.count > 0 && workloads && i < workloads->list.count; i++) {
        const struct object *object = workloads->list.items[i];
        const Istio__Networking__V1alpha3__WorkloadEntry *entry =
            object->disabled ? NULL : object->workload_entry->spec;
        if (entry && entry->address && labels_match(&service->selector, entry))
            add_backer(&backers, service, object, entry);
    }
    if (service->object->kind != KIND_SERVICE_ENTRY)
        return backers;
    const Istio__Networking__V1alpha3__ServiceEntry *spec = service->object->service_entry->spec;
    for (size_t i = 0; i < spec->n_endpoints; i++) {
        if (spec->endpoints[i]->address)
            add_backer(&backers, service, service->object, spec->endpoints[i]);
    }
    return backers;
}

static int compare_endpoints(const void *a, const void *b)
{
    const struct service_endpoint *left = a, *right = b;
    int order = slice_compare(left->address, right->address);
    if (order == 0)
        order = left->port < right->port ? -1 : left->port > right->port;
    return order ? order : slice_compare(left->workload, right->workload);
}

struct endpoint_list registry_endpoints(const struct registry *registry, struct reader *reader,
                                        const struct service *service,
                                        const struct service_port *port,
                                        const Istio__Networking__V1alpha3__Subset *subset,
                                        struct arena *arena)
{
    facts_read(registry->facts, reader, "endpoints/%.*s", SLICE_ARG(service->host));
    struct backers backers = backers_of(registry, service);
    struct endpoint_list list = {
        .items = arena_calloc(arena, backers.list.count + 1, sizeof(struct service_endpoint))};
    VECTOR_EACH(backer, &backers.list)
    {
        backer->port = port_on(backer->entry, port);
        if (backer->port > 0 && backer->port <= 65535 && in_subset(backer->entry, subset))
            list.items[list.count++] = *backer;
    }
    vector_fini(&backers.list);
    qsort(list.items, list.count, sizeof(list.items[0]), compare_endpoints);
    /* One address once: gRPC refuses a table that names it twice. */
    size_t kept = 0;
    for (size_t i = 0; i < list.count; i++) {
        if (kept == 0 || list.items[i].port != list.items[kept - 1].port ||
            !slice_equals(list.items[i].address, list.items[kept - 1].address))
            list.items[kept++] = list.items[i];
    }
    list.count = kept;
    return list;
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

struct text_list registry_accounts(const struct registry *registry, struct reader *reader,
                                   const struct service *service, struct arena *arena)
{
    facts_read(registry->facts, reader, "accounts/%.*s", SLICE_ARG(service->host));
    struct backers backers = backers_of(registry, service);
    struct text_list list = {
        .items = arena_calloc(arena, backers.list.count + 1, sizeof(list.items[0]))};
    VECTOR_EACH(backer, &backers.list)
    {
        if (backer->mtls)
            list.items[list.count++] = arena_format(
                arena, "%.*s/%.*s", SLICE_ARG(backer->name_space), SLICE_ARG(backer->account));
    }
    vector_fini(&backers.list);
    qsort(list.items, list.count, sizeof(list.items[0]), compare_texts);
    size_t kept = 0;
    for (size_t i = 0; i < list.count; i++) {
        if (kept == 0 || strcmp(list.items[i], list.items[kept - 1]) != 0)
            list.items[kept++] = list.items[i];
    }
    list.count = kept;
    return list;
}

/* --- a workload's own view ---------------------------------------------------------------------------------------- */

static bool selects(const struct label_pairs *selector, const struct workload_facts *workload)
{
    for (size_t i = 0; i < selector->count; i++) {
        bool found = false;
        for (size_t k = 0; k < workload->label_count && !found; k++)
            found = slice_equals_str(workload->label_keys[k], selector->keys[i]) &&
                    slice_equals_str(workload->label_values[k], selector->values[i]);
        if (!found)
            return false;
    }
    return selector->count > 0;
}

static int compare_hosts(const void *a, const void *b)
{
    const struct service *const *left = a, *const *right = b;
    return slice_compare((*left)->host, (*right)->host);
}

struct service_list registry_services_of(const struct registry *registry, struct reader *reader,
                                         const struct workload_facts *workload, struct arena *arena)
{
    facts_read(registry->facts, reader, "selectors/%.*s", SLICE_ARG(workload->name_space));
    const struct offers *offers = map_get(registry->selectors, workload->name_space);
    size_t count = offers ? offers->list.count : 0;
    struct service_list list = {.items = arena_calloc(arena, count + 1, sizeof(list.items[0]))};
    for (size_t i = 0; i < count; i++) {
        const struct service *service = &offers->list.items[i]->service;
        if (selects(&service->selector, workload))
            list.items[list.count++] = service;
    }
    if (list.count > 1)
        qsort(list.items, list.count, sizeof(list.items[0]), compare_hosts);
    return list;
}

uint32_t registry_workload_port(const struct registry *registry, struct reader *reader,
                                const struct workload_facts *workload,
                                const struct service_port *port)
{
    facts_read(registry->facts, reader, "workload/%.*s/%.*s", SLICE_ARG(workload->name_space),
               SLICE_ARG(workload->address));
    const struct workloads *workloads = map_get(registry->workloads, workload->name_space);
    const struct object *found = NULL; /* the oldest that has the address */
    for (size_t i = 0; workloads && i < workloads->list.count; i++) {
        const struct object *object = workloads->list.items[i];
        const Istio__Networking__V1alpha3__WorkloadEntry *entry =
            object->disabled ? NULL : object->workload_entry->spec;
        if (entry && entry->address && slice_equals_str(workload->address, entry->address) &&
            (!found || object_compare_age(object, found) < 0))
            found = object;
    }
    return found ? port_on(found->workload_entry->spec, port) : port->target;
}
