#include "control/conditions/findings.h"

#include "base/buffer.h"
#include "control/model/host.h"
#include "control/translate/fallbacks.h"
#include "control/translate/translate.h"

struct search {
    const struct findings_sources *sources;
    struct reader *reader;
    const struct object *object;
    struct arena *arena;
    struct findings *out;
};

static const struct finding
    NOT_FOUND = {"IST0101", "ReferencedResourceNotFound", FINDING_ERROR, NULL},
    TWO_VIRTUAL_SERVICES = {"IST0109", "ConflictingMeshGatewayVirtualServiceHosts", FINDING_ERROR,
                            NULL},
    TWO_RULES = {"TUL4201", "ConflictingDestinationRules", FINDING_WARNING, NULL},
    TWO_ADDRESSES = {"TUL4202", "ConflictingServiceAddresses", FINDING_ERROR, NULL},
    TWO_SERVICES = {"TUL4203", "ConflictingServiceHosts", FINDING_ERROR, NULL},
    REFUSED = {"TUL4204", "RefusedByProxies", FINDING_ERROR, NULL};

/* The same thing is said once, however often it is there. */
static void found(struct search *search, const struct finding *kind, const char *text)
{
    struct findings *out = search->out;
    for (size_t i = 0; i < out->count; i++) {
        if (strcmp(out->items[i].text, text) == 0)
            return;
    }
    if (out->count == FINDINGS_MAX)
        return;
    out->items[out->count] = *kind;
    out->items[out->count++].text = text;
}

/* "shop/cart,shop/cart-2" */
static const char *names_of(struct search *search, struct object_list list)
{
    owned_buffer text = {0};
    for (size_t i = 0; i < list.count; i++)
        buffer_format(&text, "%s%s/%s", i ? "," : "", list.items[i]->name_space.data,
                      list.items[i]->name.data);
    return arena_copy_str(search->arena, text.data);
}

/* --- VirtualService ---------------------------------------------------------------------------------------------------- */

static const struct service *find_service(struct search *search, struct slice host)
{
    const struct registry *registry = search->sources->registry;
    const struct service *service = registry_service(registry, search->reader, host);
    char text[256];
    size_t at = 0;
    struct slice wildcard;
    while (!service && host_next_wildcard(host, &at, text, &wildcard))
        service = registry_service(registry, search->reader, wildcard);
    return service;
}

static bool has_subset(struct search *search, const struct service *service, struct slice host,
                       const char *subset)
{
    struct destination_rules rules =
        model_destination_rules(search->sources->model, search->reader, search->object->name_space,
                                service->name_space, host);
    return destination_rules_subset(&rules, subset);
}

static void check_destination(struct search *search,
                              const Istio__Networking__V1alpha3__Destination *destination)
{
    if (!destination || !destination->host || !*destination->host)
        return;
    struct slice host =
        host_resolve(slice_str(destination->host), search->object->name_space, search->arena);
    const struct service *service = find_service(search, host);
    if (!service) {
        found(search, &NOT_FOUND,
              arena_format(search->arena, "Referenced host not found: \"%s\"", destination->host));
        return;
    }
    const char *subset = destination->subset;
    if (subset && *subset && !has_subset(search, service, host, subset))
        found(search, &NOT_FOUND,
              arena_format(search->arena,
                           "Referenced host+subset in destinationrule not found: \"%s+%s\"",
                           destination->host, subset));
    if (destination->port && destination->port->has_number &&
        !service_port(service, destination->port->number))
        found(search, &NOT_FOUND,
              arena_format(search->arena, "Referenced host:port not found: \"%s:%u\"",
                           destination->host, destination->port->number));
}

static void check_virtual_service(struct search *search)
{
    const Istio__Networking__V1alpha3__VirtualService *spec = search->object->virtual_service->spec;
    for (size_t i = 0; spec && i < spec->n_hosts; i++) {
        struct slice host =
            host_resolve(slice_str(spec->hosts[i]), search->object->name_space, search->arena);
        struct object_list list =
            model_virtual_services(search->sources->model, search->reader, host);
        if (list.count < 2)
            continue;
        found(search, &TWO_VIRTUAL_SERVICES,
              arena_format(search->arena,
                           "The VirtualServices %s associated with mesh gateway define the same "
                           "host %.*s which can lead to undefined behavior. This can be fixed by "
                           "merging the conflicting VirtualServices into a single resource. Until "
                           "then %s/%s acts, being the oldest.",
                           names_of(search, list), SLICE_ARG(host), list.items[0]->name_space.data,
                           list.items[0]->name.data));
    }
    for (size_t i = 0; spec && i < spec->n_http; i++) {
        for (size_t r = 0; object_rule_acts(search->object, i) && r < spec->http[i]->n_route; r++)
            check_destination(search, spec->http[i]->route[r]->destination);
    }
}

/* --- DestinationRule --------------------------------------------------------------------------------------------------- */

static const char *common_subset(const Istio__Networking__V1alpha3__DestinationRule *a,
                                 const Istio__Networking__V1alpha3__DestinationRule *b)
{
    for (size_t i = 0; i < a->n_subsets; i++) {
        for (size_t k = 0; k < b->n_subsets; k++) {
            if (a->subsets[i]->name && b->subsets[k]->name &&
                strcmp(a->subsets[i]->name, b->subsets[k]->name) == 0)
                return a->subsets[i]->name;
        }
    }
    return NULL;
}

/* Rules of one namespace for one host are joined; two that say the same thing are not. The list is oldest first. */
static void check_twin(struct search *search, const struct object *older,
                       const struct object *younger)
{
    const Istio__Networking__V1alpha3__DestinationRule *a = older->destination_rule->spec,
                                                       *b = younger->destination_rule->spec;
    const char *subset = common_subset(a, b);
    if (!subset && !(a->traffic_policy && b->traffic_policy))
        return;
    found(search, &TWO_RULES,
          arena_format(search->arena,
                       "The DestinationRules %s/%s and %s/%s both define %s%s%s for the host %s. "
                       "This can be fixed by merging them. Until then that of %s/%s acts, being "
                       "the oldest.",
                       older->name_space.data, older->name.data, younger->name_space.data,
                       younger->name.data, subset ? "the subset \"" : "a trafficPolicy",
                       subset ? subset : "", subset ? "\"" : "", a->host, older->name_space.data,
                       older->name.data));
}

static void check_destination_rule(struct search *search)
{
    const struct object *object = search->object;
    const Istio__Networking__V1alpha3__DestinationRule *spec = object->destination_rule->spec;
    if (!spec || !spec->host)
        return;
    struct slice host = host_resolve(slice_str(spec->host), object->name_space, search->arena);
    struct object_list list =
        model_destination_rules_named(search->sources->model, search->reader, host);
    bool older = true;
    for (size_t i = 0; i < list.count; i++) {
        const struct object *other = list.items[i];
        if (other == object)
            older = false;
        else if (slice_equals(other->name_space, object->name_space))
            check_twin(search, older ? other : object, older ? object : other);
    }
}

/* --- ServiceEntry ------------------------------------------------------------------------------------------------------ */

static const char *kind_of(const struct service *service)
{
    return kind_schema(service->object->kind)->kind;
}

static void check_host_taken(struct search *search, struct slice host)
{
    struct service_list list =
        registry_services_for(search->sources->registry, search->reader, host, search->arena);
    for (size_t i = 0; i < list.count; i++) {
        const struct object *other = list.items[i]->object;
        if (other == search->object)
            continue;
        const struct object *acting = list.items[0]->object;
        found(search, &TWO_SERVICES,
              arena_format(search->arena,
                           "The host %.*s is defined by the %s %s/%s too. Until one of them is "
                           "gone the %s %s/%s acts.",
                           SLICE_ARG(host), kind_of(list.items[i]), other->name_space.data,
                           other->name.data, kind_of(list.items[0]), acting->name_space.data,
                           acting->name.data));
        return;
    }
}

/* The first port that both have; 0: none. */
static uint32_t common_port(const struct service *a, const struct service *b)
{
    for (size_t i = 0; i < a->port_count; i++) {
        if (service_port(b, a->ports[i].number))
            return a->ports[i].number;
    }
    return 0;
}

static void check_address_taken(struct search *search, const struct service *service)
{
    if (service->address.size == 0)
        return;
    struct service_list list = registry_services_at(search->sources->registry, search->reader,
                                                    service->address, search->arena);
    for (size_t i = 0; i < list.count; i++) {
        const struct service *other = list.items[i];
        uint32_t port = common_port(service, other);
        if (other->object == service->object || port == 0)
            continue;
        found(search, &TWO_ADDRESSES,
              arena_format(search->arena,
                           "The address %.*s port %u is also that of %.*s (%s %s/%s): connections "
                           "that name only the address go to one of them. Give one of them another "
                           "address.",
                           SLICE_ARG(service->address), port, SLICE_ARG(other->host),
                           kind_of(other), other->object->name_space.data,
                           other->object->name.data));
    }
}

static void check_service_entry(struct search *search)
{
    const Istio__Networking__V1alpha3__ServiceEntry *spec = search->object->service_entry->spec;
    for (size_t i = 0; spec && i < spec->n_hosts; i++) {
        struct slice host = slice_str(spec->hosts[i]);
        if (slice_find_byte(host, '.') < host.size)
            host = host_resolve(host, SLICE_NONE, search->arena);
        check_host_taken(search, host);
        const struct service *service =
            registry_service(search->sources->registry, search->reader, host);
        if (service && service->object == search->object)
            check_address_taken(search, service);
    }
}

/* A Service wins its host, and is told of who wanted it too. */
static void check_service(struct search *search)
{
    const struct object *object = search->object;
    struct slice host = host_of_service(object->name, object->name_space, search->arena);
    check_host_taken(search, host);
    const struct service *service =
        registry_service(search->sources->registry, search->reader, host);
    if (service && service->object == object)
        check_address_taken(search, service);
}

/* --- all ----------------------------------------------------------------------------------------------------------------- */

/* What a newer version or another writer stored, and this version leaves out. */
static void check_problems(struct search *search)
{
    const struct problems *problems = &search->object->problems;
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems->items[i];
        struct finding kind = {problem_code(problem->kind), "FieldDoesNotAct",
                               problem->restricts ? FINDING_ERROR : FINDING_WARNING, NULL};
        found(search, &kind,
              arena_format(search->arena, "%s: %s; %s", problem->path, problem->what,
                           search->object->disabled ? "the object does not act"
                           : problem->restricts     ? "the rule that holds it does not act"
                                                    : "it is left out"));
    }
}

static void check_refusal(struct search *search)
{
    const struct translate *translate = search->sources->translate;
    const char *refusal = translate_refusal(translate, search->reader, search->object->key);
    if (!refusal)
        return;
    bool has_fallback =
        search->object->kind == KIND_VIRTUAL_SERVICE &&
        fallbacks_of(translate_fallbacks(translate), search->reader, search->object);
    found(search, &REFUSED,
          arena_format(search->arena, "Not sent to proxies, which would refuse it: %s%s", refusal,
                       has_fallback ? " (until it is mended the version before acts)" : ""));
}

void findings_of(const struct findings_sources *sources, struct reader *reader,
                 const struct object *object, struct arena *arena, struct findings *out)
{
    struct search search = {sources, reader, object, arena, out};
    out->count = 0;
    check_problems(&search);
    if (sources->translate)
        check_refusal(&search);
    if (object->disabled)
        return;
    switch (object->kind) {
    case KIND_VIRTUAL_SERVICE: check_virtual_service(&search); break;
    case KIND_DESTINATION_RULE: check_destination_rule(&search); break;
    case KIND_SERVICE_ENTRY: check_service_entry(&search); break;
    case KIND_SERVICE: check_service(&search); break;
    case KIND_NAMESPACE:
    case KIND_WORKLOAD_ENTRY:
    case KINDS: break;
    }
}
