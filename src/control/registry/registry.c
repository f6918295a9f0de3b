#include "control/registry/registry.h"

#include "control/registry/registry_internal.h"

#include "base/memory.h"

#include <stdlib.h>

/* --- lists by key -------------------------------------------------------------------------------------------------- */

static struct offers *offers_at(struct map *map, struct slice key)
{
    struct offers *offers = map_get(map, key);
    if (!offers) {
        offers = mem_new(struct offers);
        map_put(map, key, offers);
    }
    return offers;
}

static void drop_if_empty(struct map *map, struct slice key, struct offers *offers)
{
    if (offers->list.count > 0)
        return;
    map_remove(map, key);
    vector_fini(&offers->list);
    mem_free(offers);
}

static void offers_remove(struct map *map, struct slice key, const struct offer *offer)
{
    struct offers *offers = map_get(map, key);
    for (size_t i = 0; offers && i < offers->list.count; i++) {
        if (offers->list.items[i] != offer)
            continue;
        vector_remove(&offers->list, i);
        drop_if_empty(map, key, offers);
        return;
    }
}

/* --- services ----------------------------------------------------------------------------------------------------- */

static bool goes_before(const struct offer *a, const struct offer *b)
{
    if (a->service.from_kubernetes != b->service.from_kubernetes)
        return a->service.from_kubernetes;
    return object_compare_age(a->service.object, b->service.object) < 0;
}

static struct offer *acting(const struct registry *registry, struct slice host)
{
    const struct offers *offers = map_get(registry->hosts, host);
    return offers ? offers->list.items[0] : NULL;
}

static void index_address(struct registry *registry, struct offer *offer, bool now)
{
    struct slice address = offer->service.address;
    if (address.size == 0)
        return;
    if (now)
        vector_push(&offers_at(registry->by_address, address)->list, offer);
    else
        offers_remove(registry->by_address, address, offer);
    facts_changed(registry->facts, "address/%.*s", SLICE_ARG(address));
}

/* Enters or leaves the indexes of services that act. */
static void act(struct registry *registry, struct offer *offer, bool now)
{
    const struct service *service = &offer->service;
    for (size_t i = 0; i < service->port_count; i++) {
        owned_str port = str_format("%u", service->ports[i].number);
        struct offers *offers = offers_at(registry->ports, slice_str(port));
        bool alone = offers->list.count == (now ? 0 : 1);
        if (now)
            vector_push(&offers->list, offer);
        else
            offers_remove(registry->ports, slice_str(port), offer);
        facts_changed(registry->facts, "port/%s", port);
        if (alone)
            facts_changed(registry->facts, "ports");
    }
    if (service->selector.count > 0) {
        if (now)
            vector_push(&offers_at(registry->selectors, service->name_space)->list, offer);
        else
            offers_remove(registry->selectors, service->name_space, offer);
        facts_changed(registry->facts, "selectors/%.*s", SLICE_ARG(service->name_space));
    }
    index_address(registry, offer, now);
    facts_changed(registry->facts, "service/%.*s", SLICE_ARG(service->host));
    facts_changed(registry->facts, "endpoints/%.*s", SLICE_ARG(service->host));
    facts_changed(registry->facts, "accounts/%.*s", SLICE_ARG(service->host));
}

static void give_address(struct registry *registry, struct offer *offer)
{
    if (!offer->has_own_address)
        offer->service.address = slice_str(map_get(registry->addresses, offer->service.host));
}

static void offer_add(struct registry *registry, struct offer *offer)
{
    struct offer *before = acting(registry, offer->service.host);
    if (before)
        act(registry, before, false);
    else
        facts_changed(registry->facts, "services");
    struct offers *offers = offers_at(registry->hosts, offer->service.host);
    size_t at = offers->list.count;
    vector_push(&offers->list, offer);
    for (; at > 0 && goes_before(offer, offers->list.items[at - 1]); at--)
        offers->list.items[at] = offers->list.items[at - 1];
    offers->list.items[at] = offer;
    give_address(registry, offer);
    act(registry, acting(registry, offer->service.host), true);
}

static void offer_remove(struct registry *registry, struct offer *offer)
{
    act(registry, acting(registry, offer->service.host), false);
    offers_remove(registry->hosts, offer->service.host, offer);
    struct offer *now = acting(registry, offer->service.host);
    if (now)
        act(registry, now, true);
    else
        facts_changed(registry->facts, "services");
}

static void change_service(struct registry *registry, const struct object *before,
                           const struct object *now)
{
    if (before) {
        struct offers *old = map_remove(registry->by_object, before->key);
        for (size_t i = 0; old && i < old->list.count; i++) {
            offer_remove(registry, old->list.items[i]);
            offer_destroy(old->list.items[i]);
        }
        if (old)
            vector_fini(&old->list);
        mem_free(old);
    }
    if (!now)
        return;
    struct offers *offers = mem_new(struct offers);
    offers_of_object(now, offers);
    map_put(registry->by_object, now->key, offers);
    for (size_t i = 0; i < offers->list.count; i++)
        offer_add(registry, offers->list.items[i]);
}

/* --- workloads ---------------------------------------------------------------------------------------------------- */

static const Istio__Networking__V1alpha3__WorkloadEntry *entry_of(const struct object *object)
{
    return object && !object->disabled ? object->workload_entry->spec : NULL;
}

/* The accounts behind the service, as one text. */
static char *accounts_text(struct registry *registry, const struct service *service)
{
    struct arena arena = {0};
    struct text_list list = registry_accounts(registry, NULL, service, &arena);
    owned_buffer text = {0};
    for (size_t i = 0; i < list.count; i++)
        buffer_format(&text, "%s ", list.items[i]);
    arena_fini(&arena);
    return buffer_take(&text);
}

static void keep_workload(struct registry *registry, struct slice name_space,
                          const struct object *before, const struct object *now)
{
    struct workloads *workloads = map_get(registry->workloads, name_space);
    if (!workloads) {
        workloads = mem_new(struct workloads);
        map_put(registry->workloads, name_space, workloads);
    }
    for (size_t i = 0; before && i < workloads->list.count; i++) {
        if (workloads->list.items[i] != before)
            continue;
        vector_remove(&workloads->list, i);
        break;
    }
    if (now)
        vector_push(&workloads->list, now);
    if (workloads->list.count > 0)
        return;
    map_remove(registry->workloads, name_space);
    vector_fini(&workloads->list);
    mem_free(workloads);
}

static void change_workload(struct registry *registry, const struct object *before,
                            const struct object *now)
{
    const Istio__Networking__V1alpha3__WorkloadEntry *old = entry_of(before), *new = entry_of(now);
    struct slice name_space = (now ? now : before)->name_space;
    const struct offers *services = map_get(registry->selectors, name_space);
    size_t count = services ? services->list.count : 0;
    char **accounts = mem_calloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        const struct service *service = &services->list.items[i]->service;
        if (labels_match(&service->selector, old) || labels_match(&service->selector, new))
            accounts[i] = accounts_text(registry, service);
    }
    keep_workload(registry, name_space, before, now);
    for (size_t i = 0; i < count; i++) {
        const struct service *service = &services->list.items[i]->service;
        if (!accounts[i])
            continue;
        facts_changed(registry->facts, "endpoints/%.*s", SLICE_ARG(service->host));
        owned_str after = accounts_text(registry, service);
        if (strcmp(accounts[i], after) != 0)
            facts_changed(registry->facts, "accounts/%.*s", SLICE_ARG(service->host));
        mem_free(accounts[i]);
    }
    mem_free(accounts);
    if (old && old->address)
        facts_changed(registry->facts, "workload/%.*s/%s", SLICE_ARG(name_space), old->address);
    if (new &&new->address)
        facts_changed(registry->facts, "workload/%.*s/%s", SLICE_ARG(name_space), new->address);
}

/* --- the registry ------------------------------------------------------------------------------------------------- */

static void on_change(void *owner, const struct object *before, const struct object *now)
{
    switch ((now ? now : before)->kind) {
    case KIND_SERVICE:
    case KIND_SERVICE_ENTRY: change_service(owner, before, now); break;
    case KIND_WORKLOAD_ENTRY: change_workload(owner, before, now); break;
    case KIND_NAMESPACE:
    case KIND_VIRTUAL_SERVICE:
    case KIND_DESTINATION_RULE:
    case KINDS: break;
    }
}

struct registry *registry_create(struct model *model)
{
    struct registry *registry = mem_new(struct registry);
    *registry = (struct registry){.model = model,
                                  .facts = model_facts(model),
                                  .hosts = map_create(),
                                  .by_object = map_create(),
                                  .workloads = map_create(),
                                  .selectors = map_create(),
                                  .ports = map_create(),
                                  .by_address = map_create(),
                                  .addresses = map_create()};
    model_listen(model, on_change, registry);
    return registry;
}

static void destroy_offers(struct map *map, bool own)
{
    struct map_iterator it = {0};
    while (map_next(map, &it)) {
        struct offers *offers = it.value;
        for (size_t i = 0; own && i < offers->list.count; i++)
            offer_destroy(offers->list.items[i]);
        vector_fini(&offers->list);
        mem_free(offers);
    }
    map_destroy(map);
}

void registry_destroy(struct registry *registry)
{
    if (!registry)
        return;
    model_unlisten(registry->model, registry);
    destroy_offers(registry->hosts, false);
    destroy_offers(registry->ports, false);
    destroy_offers(registry->by_address, false);
    destroy_offers(registry->selectors, false);
    destroy_offers(registry->by_object, true);
    struct map_iterator it = {0};
    while (map_next(registry->workloads, &it)) {
        struct workloads *workloads = it.value;
        vector_fini(&workloads->list);
        mem_free(workloads);
    }
    map_destroy(registry->workloads);
    it = (struct map_iterator){0};
    while (map_next(registry->addresses, &it))
        mem_free(it.value);
    map_destroy(registry->addresses);
    mem_free(registry);
}

void registry_set_address(struct registry *registry, struct slice host, struct slice address)
{
    const char *before = map_get(registry->addresses, host);
    if (slice_equals(slice_str(before), address))
        return;
    struct offer *offer = acting(registry, host);
    if (offer)
        index_address(registry, offer, false);
    char *old = address.size > 0 ? map_put(registry->addresses, host, slice_to_str(address))
                                 : map_remove(registry->addresses, host);
    const struct offers *offers = map_get(registry->hosts, host);
    for (size_t i = 0; offers && i < offers->list.count; i++)
        give_address(registry, offers->list.items[i]);
    mem_free(old);
    if (!offer)
        return;
    index_address(registry, offer, true);
    facts_changed(registry->facts, "service/%.*s", SLICE_ARG(host));
    for (size_t i = 0; i < offer->service.port_count; i++)
        facts_changed(registry->facts, "port/%u", offer->service.ports[i].number);
}

void registry_each_without_address(const struct registry *registry,
                                   void (*visit)(struct slice host, void *to), void *to)
{
    struct map_iterator it = {0};
    while (map_next(registry->hosts, &it)) {
        const struct offers *offers = it.value;
        const struct service *service = &offers->list.items[0]->service;
        if (service->address.size == 0 && !service->headless &&
            service->resolution != RESOLUTION_NONE && service->host.data[0] != '*')
            visit(service->host, to);
    }
}

const struct service *registry_service(const struct registry *registry, struct reader *reader,
                                       struct slice host)
{
    facts_read(registry->facts, reader, "service/%.*s", SLICE_ARG(host));
    const struct offer *offer = acting(registry, host);
    return offer ? &offer->service : NULL;
}

static struct service_list list_offers(const struct offers *offers, struct arena *arena)
{
    size_t count = offers ? offers->list.count : 0;
    struct service_list list = {.items = arena_calloc(arena, count + 1, sizeof(list.items[0]))};
    for (size_t i = 0; i < count; i++)
        list.items[list.count++] = &offers->list.items[i]->service;
    return list;
}

struct service_list registry_services_for(const struct registry *registry, struct reader *reader,
                                          struct slice host, struct arena *arena)
{
    facts_read(registry->facts, reader, "service/%.*s", SLICE_ARG(host));
    return list_offers(map_get(registry->hosts, host), arena);
}

static int compare_hosts(const void *a, const void *b)
{
    const struct service *const *left = a, *const *right = b;
    return slice_compare((*left)->host, (*right)->host);
}

static void sort_services(struct service_list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(list->items[0]), compare_hosts);
}

struct service_list registry_services_at(const struct registry *registry, struct reader *reader,
                                         struct slice address, struct arena *arena)
{
    facts_read(registry->facts, reader, "address/%.*s", SLICE_ARG(address));
    struct service_list list = list_offers(map_get(registry->by_address, address), arena);
    sort_services(&list);
    return list;
}

struct service_list registry_services(const struct registry *registry, struct reader *reader,
                                      struct arena *arena)
{
    facts_read(registry->facts, reader, "services");
    struct service_list list = {
        .items = arena_calloc(arena, map_count(registry->hosts) + 1, sizeof(list.items[0]))};
    struct map_iterator it = {0};
    while (map_next(registry->hosts, &it)) {
        const struct offers *offers = it.value;
        list.items[list.count++] = &offers->list.items[0]->service;
    }
    sort_services(&list);
    return list;
}

struct service_list registry_services_on_port(const struct registry *registry,
                                              struct reader *reader, uint32_t port,
                                              struct arena *arena)
{
    facts_read(registry->facts, reader, "port/%u", port);
    owned_str key = str_format("%u", port);
    const struct offers *offers = map_get(registry->ports, slice_str(key));
    size_t count = offers ? offers->list.count : 0;
    struct service_list list = {.items = arena_calloc(arena, count + 1, sizeof(list.items[0]))};
    for (size_t i = 0; i < count; i++)
        list.items[list.count++] = &offers->list.items[i]->service;
    sort_services(&list);
    return list;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

struct port_list registry_ports(const struct registry *registry, struct reader *reader,
                                struct arena *arena)
{
    facts_read(registry->facts, reader, "ports");
    struct port_list list = {
        .items = arena_calloc(arena, map_count(registry->ports) + 1, sizeof(list.items[0]))};
    struct map_iterator it = {0};
    while (map_next(registry->ports, &it)) {
        uint64_t port;
        if (slice_to_u64(it.key, 65535, &port))
            list.items[list.count++] = (uint32_t)port;
    }
    qsort(list.items, list.count, sizeof(list.items[0]), compare_numbers);
    return list;
}
