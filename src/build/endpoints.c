#include "build/endpoints.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/values_internal.h"
#include "pb/codec.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t hash_address(const struct endpoint_address *address)
{
    uint64_t seed = (uint64_t)address->kind << 16 | address->port;
    if (address->network_namespace.size > 0)
        seed = hash64(address->network_namespace, seed);
    if (address->kind == ENDPOINT_IP)
        return hash64(slice_of(address->ip.bytes, sizeof(address->ip.bytes)), seed);
    return hash64(address->text, seed);
}

static bool build_health(struct builder *b, const EndpointMessage *message,
                         enum endpoint_health *health)
{
    static const enum endpoint_health healths[] = {
        ENDPOINT_HEALTHY,  ENDPOINT_HEALTHY,   ENDPOINT_UNHEALTHY,
        ENDPOINT_DRAINING, ENDPOINT_UNHEALTHY, ENDPOINT_DEGRADED,
    };
    uint32_t status = (uint32_t)PB_GET(message, health_status, 0);
    if (status >= COUNT(healths))
        return build_fail_at(b, "health_status", "%u is no status", status);
    *health = healths[status];
    return true;
}

static const StructMessage *metadata_of(const MetadataMessage *metadata, const char *space)
{
    for (size_t i = 0; metadata && i < metadata->n_filter_metadata; i++) {
        if (strcmp(pb_str(metadata->filter_metadata[i]->key), space) == 0)
            return metadata->filter_metadata[i]->value;
    }
    return NULL;
}

bool build_labels(struct builder *b, const char *field, const StructMessage *object,
                  const struct endpoint_label **labels, uint32_t *count)
{
    size_t size = object ? object->n_fields : 0;
    if (size > ENDPOINT_LABELS_MAX)
        return build_fail_at(b, field, "there are %zu labels, and the limit is %d", size,
                             ENDPOINT_LABELS_MAX);
    struct endpoint_label *items = build_array(b, struct endpoint_label, size);
    for (size_t i = 0; i < size; i++) {
        const ValueMessage *value = object->fields[i]->value;
        if (!value || value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
            return build_fail_at(b, field, "'%.64s' is no string", pb_str(object->fields[i]->key));
        items[i] = (struct endpoint_label){build_text(b, pb_str(object->fields[i]->key)),
                                           build_text(b, pb_str(value->string_value))};
    }
    *labels = items;
    *count = (uint32_t)size;
    return true;
}

static bool build_endpoint(struct builder *b, const EndpointMessage *message, struct endpoint *out)
{
    enum endpoint_health health = ENDPOINT_UNHEALTHY;
    /* What else stands in the metadata is for others to read. */
    if (!build_honours(b, message, "endpoint", "health_status", "metadata",
                       "load_balancing_weight"))
        return false;
    if (message->host_identifier_case !=
        ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT)
        return build_fail_at(b, "endpoint", "this is required");
    if (!build_enter(b, "endpoint") ||
        !build_honours(b, message->endpoint, "address", "hostname") ||
        !build_address(b, "address", message->endpoint->address, true, &out->address, NULL))
        return false;
    build_leave(b);
    if (!build_health(b, message, &health) ||
        !build_u32(b, "load_balancing_weight", message->load_balancing_weight, 1, 1, UINT32_MAX,
                   &out->weight) ||
        !build_labels(b, "metadata", metadata_of(message->metadata, "envoy.transport_socket_match"),
                      &out->labels, &out->label_count))
        return false;
    out->health = health;
    out->hostname = build_text(b, pb_str(message->endpoint->hostname));
    out->workload = build_metadata_text(b, message->metadata, "istio", "workload");
    out->hash = hash_address(&out->address);
    return true;
}

struct set_builder {
    struct builder b;
    struct endpoint *items;
    struct endpoint_locality *localities;
    size_t *order; /* indexes of the localities' messages, in order of priority */
    size_t locality_count;
    size_t count;
};

static bool check_priority(struct set_builder *s, const LocalityMessage *message, size_t index)
{
    uint32_t priority = PB_GET(message, priority, 0);
    if (!build_enter_at(&s->b, "endpoints", index) ||
        !build_honours(&s->b, message, "locality", "lb_endpoints", "load_balancing_weight",
                       "priority", "metadata"))
        return false;
    if (priority >= ENDPOINT_PRIORITIES_MAX)
        return build_fail_at(&s->b, "priority", "%u is not below %d", priority,
                             ENDPOINT_PRIORITIES_MAX);
    s->count += message->n_lb_endpoints;
    if (s->count > ENDPOINTS_MAX)
        return build_fail_at(&s->b, "lb_endpoints", "there are more than %d endpoints",
                             ENDPOINTS_MAX);
    build_leave(&s->b);
    return true;
}

/* Stable, so that localities keep their order within a priority; empty ones still count for priorities. */
static bool sort_localities(struct set_builder *s, const AssignmentMessage *message)
{
    size_t count = message->n_endpoints;
    if (count > UINT16_MAX)
        return build_fail_at(&s->b, "endpoints", "there are %zu localities, and the limit is %d",
                             count, UINT16_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!check_priority(s, message->endpoints[i], i))
            return false;
    }
    s->order = arena_calloc(&s->b.scratch, count + 1, sizeof(*s->order));
    for (uint32_t priority = 0; priority < ENDPOINT_PRIORITIES_MAX; priority++) {
        size_t before = s->locality_count;
        for (size_t i = 0; i < count; i++) {
            if (PB_GET(message->endpoints[i], priority, 0) == priority)
                s->order[s->locality_count++] = i;
        }
        if (s->locality_count == before && before < count)
            return build_fail_at(&s->b, "endpoints",
                                 "priority %u is missing, though higher numbers are there",
                                 priority);
        if (s->locality_count == count)
            break;
    }
    return true;
}

static bool build_locality(struct set_builder *s, const AssignmentMessage *set, size_t index,
                           uint32_t *next)
{
    const LocalityMessage *message = set->endpoints[s->order[index]];
    struct endpoint_locality *locality = &s->localities[index];
    struct builder *b = &s->b;
    if (!build_enter_at(b, "endpoints", s->order[index]) ||
        !build_u32(b, "load_balancing_weight", message->load_balancing_weight, 0, 0, UINT32_MAX,
                   &locality->weight))
        return false;
    if (message->locality) {
        locality->region = build_text(b, pb_str(message->locality->region));
        locality->zone = build_text(b, pb_str(message->locality->zone));
        locality->sub_zone = build_text(b, pb_str(message->locality->sub_zone));
    }
    locality->priority = (uint8_t)PB_GET(message, priority, 0);
    locality->first = *next;
    locality->count = (uint32_t)message->n_lb_endpoints;
    for (size_t i = 0; i < message->n_lb_endpoints; i++) {
        struct endpoint *endpoint = &s->items[(*next)++];
        if (!build_enter_at(b, "lb_endpoints", i) ||
            !build_endpoint(b, message->lb_endpoints[i], endpoint))
            return false;
        endpoint->locality = (uint16_t)index;
        endpoint->priority = locality->priority;
        build_leave(b);
    }
    build_leave(b);
    return true;
}

/* Runs of localities with one priority. */
static void fill_priorities(struct endpoints *set, struct endpoint_priority *priorities)
{
    for (uint32_t i = 0; i < set->locality_count; i++) {
        const struct endpoint_locality *locality = &set->localities[i];
        struct endpoint_priority *priority = &priorities[locality->priority];
        if (priority->locality_count++ == 0) {
            priority->first_locality = i;
            priority->first = locality->first;
        }
        priority->count += locality->count;
        for (uint32_t e = locality->first; e < locality->first + locality->count; e++) {
            priority->healthy += set->items[e].health == ENDPOINT_HEALTHY;
            priority->degraded += set->items[e].health == ENDPOINT_DEGRADED;
        }
        set->priority_count = (uint32_t)locality->priority + 1;
    }
}

static void finish(struct endpoints *set, const struct endpoint *items,
                   const struct endpoint_locality *localities, size_t count, size_t locality_count)
{
    set->items = items;
    set->count = (uint32_t)count;
    set->localities = localities;
    set->locality_count = (uint32_t)locality_count;
    uint32_t priority_count =
        locality_count > 0 ? (uint32_t)localities[locality_count - 1].priority + 1 : 0;
    if (priority_count > 0) {
        struct endpoint_priority *priorities =
            arena_calloc(&set->memory.arena, priority_count, sizeof(*priorities));
        fill_priorities(set, priorities);
        set->priorities = priorities;
    }
    for (size_t i = 0; i < count; i++)
        set->has_hosts = set->has_hosts || items[i].address.kind == ENDPOINT_HOST;
}

static struct endpoints *create(void)
{
    struct endpoints *set = mem_new(struct endpoints);
    counted_init(&set->counted);
    table_memory_init(&set->memory);
    set->overprovisioning = 140;
    return set;
}

static bool build_policy(struct builder *b,
                         const Envoy__Config__Endpoint__V3__ClusterLoadAssignment__Policy *policy,
                         uint32_t *overprovisioning)
{
    if (!policy)
        return true;
    if (!build_enter(b, "policy") || !build_honours(b, policy, "overprovisioning_factor") ||
        !build_u32(b, "overprovisioning_factor", policy->overprovisioning_factor, 140, 100, 1000000,
                   overprovisioning))
        return false;
    build_leave(b);
    return true;
}

static bool build(struct set_builder *s, const AssignmentMessage *message, struct endpoints *set)
{
    struct builder *b = &s->b;
    uint32_t next = 0;
    if (!build_honours(b, message, "cluster_name", "endpoints", "policy") ||
        !build_reference(b, "cluster_name", message->cluster_name, &set->name) ||
        !build_policy(b, message->policy, &set->overprovisioning) || !sort_localities(s, message))
        return false;
    s->items = build_array(b, struct endpoint, s->count);
    s->localities = build_array(b, struct endpoint_locality, s->locality_count);
    for (size_t i = 0; i < s->locality_count; i++) {
        if (!build_locality(s, message, i, &next))
            return false;
    }
    finish(set, s->items, s->localities, s->count, s->locality_count);
    set->content = pb_hash(&message->base);
    return true;
}

bool endpoints_build(const AssignmentMessage *message, const struct build_options *options,
                     struct endpoints **out, struct error *error)
{
    owned(endpoints) set = create();
    struct set_builder s = {0};
    builder_init(&s.b, &set->memory, options, error);
    bool ok = build(&s, message, set);
    builder_fini(&s.b);
    if (!ok) {
        error_at(error, "endpoints %s", pb_str(message->cluster_name));
        return false;
    }
    *out = give(set);
    return true;
}

struct endpoints *endpoints_create_empty(struct slice name)
{
    struct endpoints *set = create();
    set->name = name_of(table_memory_copy(&set->memory, name));
    return set;
}

struct resolution {
    VECTOR(struct ip) ips; /* of all names, one after the other */
    uint32_t *ends;        /* by endpoint: where its addresses end in ips; no address unless HOST */
    size_t count;          /* endpoints in the result */
};

static void resolve(const struct endpoints *templates,
                    size_t (*addresses)(void *owner, struct slice host, struct ip *out),
                    void *owner, struct resolution *r)
{
    r->ends = mem_calloc(templates->count + 1u, sizeof(*r->ends));
    for (uint32_t i = 0; i < templates->count; i++) {
        const struct endpoint *endpoint = &templates->items[i];
        struct ip ips[ENDPOINT_ADDRESSES_MAX];
        size_t count = 1;
        if (endpoint->address.kind == ENDPOINT_HOST) {
            count = addresses(owner, endpoint->address.text, ips);
            for (size_t ip = 0; ip < count; ip++)
                vector_push(&r->ips, ips[ip]);
        }
        r->count += count;
        r->ends[i] = (uint32_t)r->ips.count;
    }
}

static struct endpoint copy_endpoint(struct table_memory *memory, const struct endpoint *from)
{
    struct endpoint to = *from;
    to.address.text = table_memory_copy(memory, from->address.text);
    to.hostname = table_memory_copy(memory, from->hostname);
    to.workload = table_memory_copy(memory, from->workload);
    struct endpoint_label *labels =
        from->label_count ? arena_calloc(&memory->arena, from->label_count, sizeof(*labels)) : NULL;
    for (uint32_t i = 0; i < from->label_count; i++)
        labels[i] = (struct endpoint_label){table_memory_copy(memory, from->labels[i].key),
                                            table_memory_copy(memory, from->labels[i].value)};
    to.labels = labels;
    return to;
}

/* One endpoint for each address in [begin, end). */
static void add_resolved(struct table_memory *memory, const struct endpoint *from,
                         const struct resolution *r, uint32_t begin, uint32_t end,
                         struct endpoint *items, uint32_t *next)
{
    for (uint32_t i = begin; i < end; i++) {
        struct endpoint to = copy_endpoint(memory, from);
        if (to.hostname.size == 0)
            to.hostname = to.address.text;
        to.address = (struct endpoint_address){
            .kind = ENDPOINT_IP, .port = from->address.port, .ip = r->ips.items[i]};
        to.hash = hash_address(&to.address);
        items[(*next)++] = to;
    }
}

static struct hash128 hash_content(const struct endpoints *templates, const struct endpoint *items,
                                   uint32_t count)
{
    owned_buffer bytes = {0};
    buffer_append(&bytes, &templates->content, sizeof(templates->content));
    for (uint32_t i = 0; i < count; i++)
        buffer_append(&bytes, &items[i].hash, sizeof(items[i].hash));
    return hash128(buffer_slice(&bytes));
}

struct endpoints *
endpoints_resolve(const struct endpoints *templates,
                  size_t (*addresses)(void *owner, struct slice host, struct ip *out), void *owner)
{
    struct resolution r = {0};
    resolve(templates, addresses, owner, &r);
    struct endpoints *set = create();
    struct table_memory *memory = &set->memory;
    struct endpoint *items = arena_calloc(&memory->arena, r.count + 1, sizeof(*items));
    struct endpoint_locality *localities =
        arena_calloc(&memory->arena, templates->locality_count + 1u, sizeof(*localities));
    uint32_t next = 0;
    for (uint32_t l = 0; l < templates->locality_count; l++) {
        const struct endpoint_locality *from = &templates->localities[l];
        localities[l] = *from;
        localities[l].region = table_memory_copy(memory, from->region);
        localities[l].zone = table_memory_copy(memory, from->zone);
        localities[l].sub_zone = table_memory_copy(memory, from->sub_zone);
        localities[l].first = next;
        for (uint32_t e = from->first; e < from->first + from->count; e++) {
            uint32_t begin = e > 0 ? r.ends[e - 1] : 0;
            if (templates->items[e].address.kind == ENDPOINT_HOST)
                add_resolved(memory, &templates->items[e], &r, begin, r.ends[e], items, &next);
            else
                items[next++] = copy_endpoint(memory, &templates->items[e]);
        }
        localities[l].count = next - localities[l].first;
    }
    set->name = name_of(table_memory_copy(memory, templates->name.text));
    set->overprovisioning = templates->overprovisioning;
    finish(set, items, localities, r.count, templates->locality_count);
    set->content = hash_content(templates, items, next);
    vector_fini(&r.ips);
    mem_free(r.ends);
    return set;
}

struct endpoints *endpoints_ref(struct endpoints *set)
{
    counted_take(&set->counted);
    return set;
}

void endpoints_unref(struct endpoints *set)
{
    if (!set || !counted_drop(&set->counted))
        return;
    table_memory_fini(&set->memory);
    mem_free(set);
}

size_t endpoint_address_format(const struct endpoint_address *address, char text[ENDPOINT_TEXT])
{
    char ip[IP_TEXT];
    int size = 0;
    switch (address->kind) {
    case ENDPOINT_IP:
        ip_format(&address->ip, ip);
        size = snprintf(text, ENDPOINT_TEXT, ip_is_v4(&address->ip) ? "%s:%u" : "[%s]:%u", ip,
                        address->port);
        break;
    case ENDPOINT_PIPE:
        size = snprintf(text, ENDPOINT_TEXT, "unix:%.*s", SLICE_ARG(address->text));
        break;
    case ENDPOINT_HOST:
        size = snprintf(text, ENDPOINT_TEXT, "%.*s:%u", SLICE_ARG(address->text), address->port);
        break;
    }
    return (size_t)size;
}
