#include "proxy/admin/dump_internal.h"

#include "base/clock.h"
#include "build/bootstrap.h"
#include "build/cluster.h"
#include "build/listener.h"
#include "build/secret.h"
#include "pb/any.h"
#include "pb/codec.h"
#include "pb/document.h"
#include "pb/text_out.h"
#include "proxy/configure.h"
#include "proxy/process_state.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/upstream/host_counters.h"
#include "proxy/upstream/limits.h"
#include "tls/certificate.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

#include <stdio.h>
#include <string.h>

static const struct text_style style = {.original_names = true};

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    hcm_message;
#define HCM                                                                                        \
    &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor
#define HAS_ROUTES                                                                                 \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG
#define ADMIN_TYPE(name) "type.googleapis.com/envoy.admin.v3." name

/* --- small values --------------------------------------------------------------------------------------------- */

static void put(struct arena *arena, struct value *object, const char *key, struct value *value)
{
    if (value)
        value_put(arena, object, slice_str(key), value);
}

static void put_text(struct arena *arena, struct value *object, const char *key, struct slice text)
{
    put(arena, object, key, value_new_string(arena, text));
}

static void put_time(struct arena *arena, struct value *object, const char *key, int64_t wall_us)
{
    char text[32];
    if (wall_us)
        put_text(arena, object, key, slice_of(text, clock_format(wall_us, text)));
}

static struct value *typed(struct arena *arena, const char *type)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    put_text(arena, object, "@type", slice_str(type));
    return object;
}

/* --- the configuration ---------------------------------------------------------------------------------------- */

/* How each kind stands in its ConfigDump. */
struct shape {
    enum resource_kind kind;
    const char *dump_type, *member, *statics, *active, *warming;
    const ProtobufCMessageDescriptor *message;
};
static const struct shape shapes[] = {
    {KIND_CLUSTER, ADMIN_TYPE("ClustersConfigDump"), "cluster", "static_clusters",
     "dynamic_active_clusters", "dynamic_warming_clusters",
     &envoy__config__cluster__v3__cluster__descriptor},
    {KIND_LISTENER, ADMIN_TYPE("ListenersConfigDump"), "listener", "static_listeners",
     "dynamic_listeners", "dynamic_listeners", &envoy__config__listener__v3__listener__descriptor},
    {KIND_ROUTE, ADMIN_TYPE("RoutesConfigDump"), "route_config", "static_route_configs",
     "dynamic_route_configs", "dynamic_route_configs",
     &envoy__config__route__v3__route_configuration__descriptor},
    {KIND_SECRET, ADMIN_TYPE("SecretsConfigDump"), "secret", "static_secrets",
     "dynamic_active_secrets", "dynamic_warming_secrets",
     &envoy__extensions__transport_sockets__tls__v3__secret__descriptor},
    {KIND_ENDPOINTS, ADMIN_TYPE("EndpointsConfigDump"), "endpoint_config",
     "static_endpoint_configs", "dynamic_endpoint_configs", "dynamic_endpoint_configs",
     &envoy__config__endpoint__v3__cluster_load_assignment__descriptor},
};

struct dumping {
    struct arena *arena;
    const struct shape *shape;
    struct value *statics, *active, *warming;
};

/* A message with its type, keys redacted. */
static struct value *message_value(const ProtobufCMessage *message, struct arena *arena)
{
    struct value *object = typed(arena, pb_type_url(message->descriptor, arena));
    const struct value *fields = text_encode(message, &style, arena);
    VALUE_EACH(member, fields)
    {
        struct value *copy = arena_new(arena, struct value);
        *copy = *member;
        copy->next = NULL;
        value_put(arena, object, member->key, copy);
    }
    return object;
}

/* The resource's own message. */
static struct value *body_of(const struct dumping *dumping, struct slice body)
{
    owned_error error = {0};
    const ProtobufCMessage *message =
        pb_decode(dumping->shape->message, body, dumping->arena, NULL, &error);
    return message ? message_value(message, dumping->arena) : NULL;
}

/* The endpoints that a cluster brings along. */
static void dump_own_endpoints(void *to, const struct intake_entry *entry)
{
    struct dumping *dumping = to;
    struct arena *arena = dumping->arena;
    owned_error error = {0};
    const Envoy__Config__Cluster__V3__Cluster *cluster = (const void *)pb_decode(
        &envoy__config__cluster__v3__cluster__descriptor, entry->body, arena, NULL, &error);
    bool is_static = entry->resource && entry->resource->is_static;
    if (entry->state == INTAKE_REFUSED || !cluster || !cluster->load_assignment)
        return;
    struct value *row = value_new(arena, VALUE_OBJECT);
    put(arena, row, dumping->shape->member, message_value(&cluster->load_assignment->base, arena));
    value_append(is_static ? dumping->statics : dumping->active, row);
}

static void dump_own_routes_of(struct dumping *dumping,
                               const Envoy__Config__Listener__V3__FilterChain *chain)
{
    struct arena *arena = dumping->arena;
    for (size_t i = 0; chain && i < chain->n_filters; i++) {
        owned_error error = {0};
        const Google__Protobuf__Any *any = chain->filters[i]->typed_config;
        const hcm_message *hcm =
            any && pb_any_is(any, HCM) ? pb_any_unpack(any, HCM, arena, NULL, &error) : NULL;
        if (!hcm || hcm->route_specifier_case != HAS_ROUTES)
            continue;
        struct value *row = value_new(arena, VALUE_OBJECT);
        put(arena, row, dumping->shape->member, message_value(&hcm->route_config->base, arena));
        value_append(dumping->statics, row);
    }
}

/* The route tables that a listener brings along: static ones, wherever the listener comes from. */
static void dump_own_routes(void *to, const struct intake_entry *entry)
{
    struct dumping *dumping = to;
    owned_error error = {0};
    const Envoy__Config__Listener__V3__Listener *listener =
        (const void *)pb_decode(&envoy__config__listener__v3__listener__descriptor, entry->body,
                                dumping->arena, NULL, &error);
    if (entry->state == INTAKE_REFUSED || !listener)
        return;
    for (size_t i = 0; i < listener->n_filter_chains; i++)
        dump_own_routes_of(dumping, listener->filter_chains[i]);
    dump_own_routes_of(dumping, listener->default_filter_chain);
}

/* Listeners keep version, message and time in a state of their own. */
static void dump_entry(void *to, const struct intake_entry *entry)
{
    struct dumping *dumping = to;
    struct arena *arena = dumping->arena;
    const struct resource *resource = entry->resource;
    bool is_static = resource && resource->is_static;
    /* What a cluster brings along, or its names resolved to, is shown with the cluster's own. */
    if (dumping->shape->kind == KIND_ENDPOINTS && entry->body.size == 0 &&
        entry->state != INTAKE_REFUSED)
        return;
    struct value *row = value_new(arena, VALUE_OBJECT), *state = row;
    bool has_name = dumping->shape->kind == KIND_LISTENER || dumping->shape->kind == KIND_SECRET;
    if (has_name && !(is_static && dumping->shape->kind == KIND_LISTENER))
        put_text(arena, row, "name", entry->name);
    if (!is_static && dumping->shape->kind == KIND_LISTENER && entry->state != INTAKE_REFUSED) {
        state = value_new(arena, VALUE_OBJECT);
        put(arena, row, entry->state == INTAKE_WARMING ? "warming_state" : "active_state", state);
    }
    if (entry->state == INTAKE_REFUSED) {
        struct value *failure = value_new(arena, VALUE_OBJECT);
        put_time(arena, failure, "last_update_attempt", entry->when_us);
        put_text(arena, failure, "details", slice_str(entry->reason));
        put_text(arena, failure, "version_info", entry->version);
        put(arena, row, "error_state", failure);
        put_text(arena, row, "client_status", SLICE("NACKED"));
    } else {
        if (!is_static)
            put_text(arena, state, "version_info", entry->version);
        put(arena, state, dumping->shape->member, body_of(dumping, entry->body));
        put_time(arena, state, "last_updated", entry->when_us);
        if (!is_static)
            put_text(arena, row, "client_status", SLICE("ACKED"));
    }
    value_append(is_static                        ? dumping->statics
                 : entry->state == INTAKE_WARMING ? dumping->warming
                                                  : dumping->active,
                 row);
}

static struct value *dump_kind(const struct process *process, const struct shape *shape,
                               struct arena *arena)
{
    struct value *dump = typed(arena, shape->dump_type);
    struct dumping dumping = {.arena = arena,
                              .shape = shape,
                              .statics = value_new(arena, VALUE_LIST),
                              .active = value_new(arena, VALUE_LIST)};
    bool apart = strcmp(shape->active, shape->warming) != 0;
    dumping.warming = apart ? value_new(arena, VALUE_LIST) : dumping.active;
    const struct intake *intake = configure_intake(process->configure);
    intake_each(intake, shape->kind, dump_entry, &dumping);
    if (shape->kind == KIND_ENDPOINTS)
        intake_each(intake, KIND_CLUSTER, dump_own_endpoints, &dumping);
    if (shape->kind == KIND_ROUTE)
        intake_each(intake, KIND_LISTENER, dump_own_routes, &dumping);
    if (dumping.statics->count)
        put(arena, dump, shape->statics, dumping.statics);
    if (dumping.active->count)
        put(arena, dump, shape->active, dumping.active);
    if (apart && dumping.warming->count)
        put(arena, dump, shape->warming, dumping.warming);
    return dump;
}

static struct value *dump_all(const struct process *process, bool include_eds, struct arena *arena)
{
    struct value *configs = value_new(arena, VALUE_LIST);
    struct value *bootstrap = typed(arena, ADMIN_TYPE("BootstrapConfigDump"));
    put(arena, bootstrap, "bootstrap",
        text_encode(&process->bootstrap->message->base, &style, arena));
    value_append(configs, bootstrap);
    for (size_t i = 0; i < COUNT(shapes); i++)
        if (shapes[i].kind != KIND_ENDPOINTS || include_eds)
            value_append(configs, dump_kind(process, &shapes[i], arena));
    return configs;
}

unsigned dump_config(const struct process *process, const struct dump_query *query,
                     struct buffer *out)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct dump_refusal refusal = {.status = 200};
    struct value *configs, *all = dump_all(process, query->include_eds, &arena);
    if (dump_filter(all, query, &arena, &configs, &refusal)) {
        struct value *root = value_new(&arena, VALUE_OBJECT);
        if (configs->count > 0)
            put(&arena, root, "configs", configs);
        value_write_json(root, true, out);
    } else {
        buffer_append_str(out, refusal.text);
    }
    arena_fini(&arena);
    return refusal.status;
}

/* --- clusters ------------------------------------------------------------------------------------------------- */

struct listing {
    const struct process *process;
    const struct snapshot *snapshot;
    struct buffer *out;
    struct arena *arena;
    struct value *rows; /* NULL: text */
};

static const char *health_text(enum endpoint_health health)
{
    switch (health) {
    case ENDPOINT_HEALTHY: return "healthy";
    case ENDPOINT_DEGRADED: return "/eds_degraded";
    case ENDPOINT_DRAINING:
    case ENDPOINT_UNHEALTHY: break;
    }
    return "/failed_eds_health";
}

static struct value *address_value(struct arena *arena, const struct endpoint_address *address)
{
    struct value *outer = value_new(arena, VALUE_OBJECT), *inner = value_new(arena, VALUE_OBJECT);
    char ip[IP_TEXT];
    if (address->kind == ENDPOINT_PIPE) {
        put_text(arena, inner, "path", address->text);
        put(arena, outer, "pipe", inner);
        return outer;
    }
    put_text(arena, inner, "address",
             address->kind == ENDPOINT_IP ? slice_of(ip, ip_format(&address->ip, ip))
                                          : address->text);
    put(arena, inner, "port_value", value_new_u64(arena, address->port));
    put(arena, outer, "socket_address", inner);
    return outer;
}

static const struct {
    const char *name;
    bool is_gauge;
} counters[HOST_COUNTERS] = {
    [HOST_CX_ACTIVE] = {"cx_active", true},    [HOST_CX_CONNECT_FAIL] = {"cx_connect_fail", false},
    [HOST_CX_TOTAL] = {"cx_total", false},     [HOST_RQ_ACTIVE] = {"rq_active", true},
    [HOST_RQ_ERROR] = {"rq_error", false},     [HOST_RQ_SUCCESS] = {"rq_success", false},
    [HOST_RQ_TIMEOUT] = {"rq_timeout", false}, [HOST_RQ_TOTAL] = {"rq_total", false},
};

/* What stands of one endpoint, in either form. */
struct told_endpoint {
    const struct cluster *cluster;
    const struct endpoint *endpoint;
    const struct endpoint_locality *locality;
    uint64_t sums[HOST_COUNTERS];
};

static void list_text(struct listing *listing, const struct told_endpoint *told)
{
    const struct endpoint *endpoint = told->endpoint;
    const struct endpoint_locality *locality = told->locality;
    char address[ENDPOINT_TEXT], prefix[ENDPOINT_TEXT + NAME_MAX_BYTES + 8];
    endpoint_address_format(&endpoint->address, address);
    snprintf(prefix, sizeof(prefix), "%s::%s", told->cluster->name.text.data, address);
    struct buffer *out = listing->out;
    for (int i = 0; i < HOST_COUNTERS; i++)
        buffer_format(out, "%s::%s::%llu\n", prefix, counters[i].name,
                      (unsigned long long)told->sums[i]);
    buffer_format(out, "%s::hostname::%.*s\n", prefix, SLICE_ARG(endpoint->hostname));
    buffer_format(out, "%s::health_flags::%s\n", prefix, health_text(endpoint->health));
    buffer_format(out, "%s::weight::%u\n", prefix, endpoint->weight);
    buffer_format(out, "%s::region::%.*s\n", prefix, SLICE_ARG(locality->region));
    buffer_format(out, "%s::zone::%.*s\n", prefix, SLICE_ARG(locality->zone));
    buffer_format(out, "%s::sub_zone::%.*s\n", prefix, SLICE_ARG(locality->sub_zone));
    buffer_format(out, "%s::canary::false\n", prefix);
    buffer_format(out, "%s::priority::%u\n", prefix, endpoint->priority);
    buffer_format(out, "%s::success_rate::-1\n", prefix);
    buffer_format(out, "%s::local_origin_success_rate::-1\n", prefix);
}

/* As protobuf writes it: numbers of 64 bits are strings, and zeros are left out. */
static struct value *stats_value(struct arena *arena, const uint64_t sums[HOST_COUNTERS])
{
    struct value *stats = value_new(arena, VALUE_LIST);
    for (int i = 0; i < HOST_COUNTERS; i++) {
        struct value *stat = value_new(arena, VALUE_OBJECT);
        if (counters[i].is_gauge)
            put_text(arena, stat, "type", SLICE("GAUGE"));
        if (sums[i])
            put_text(arena, stat, "value",
                     slice_str(arena_format(arena, "%llu", (unsigned long long)sums[i])));
        put_text(arena, stat, "name", slice_str(counters[i].name));
        value_append(stats, stat);
    }
    return stats;
}

static void list_json(struct listing *listing, const struct told_endpoint *told,
                      struct value *hosts)
{
    struct arena *arena = listing->arena;
    const struct endpoint *endpoint = told->endpoint;
    struct value *host = value_new(arena, VALUE_OBJECT), *health = value_new(arena, VALUE_OBJECT),
                 *locality = value_new(arena, VALUE_OBJECT);
    put(arena, host, "address", address_value(arena, &endpoint->address));
    put(arena, host, "stats", stats_value(arena, told->sums));
    put_text(arena, health, "eds_health_status",
             endpoint->health == ENDPOINT_HEALTHY    ? SLICE("HEALTHY")
             : endpoint->health == ENDPOINT_DEGRADED ? SLICE("DEGRADED")
                                                     : SLICE("UNHEALTHY"));
    put(arena, host, "health_status", health);
    put(arena, host, "weight", value_new_u64(arena, endpoint->weight));
    put_text(arena, host, "hostname", endpoint->hostname);
    if (endpoint->priority)
        put(arena, host, "priority", value_new_u64(arena, endpoint->priority));
    put_text(arena, locality, "region", told->locality->region);
    put_text(arena, locality, "zone", told->locality->zone);
    put_text(arena, locality, "sub_zone", told->locality->sub_zone);
    put(arena, host, "locality", locality);
    value_append(hosts, host);
}

static void list_endpoint(struct listing *listing, const struct cluster *cluster,
                          const struct endpoints *set, const struct endpoint *endpoint,
                          struct value *hosts)
{
    struct told_endpoint told = {
        .cluster = cluster, .endpoint = endpoint, .locality = &set->localities[endpoint->locality]};
    host_counters_sum(listing->process->shared.host_counters, cluster->name.hash, endpoint->hash,
                      told.sums);
    if (hosts)
        list_json(listing, &told, hosts);
    else
        list_text(listing, &told);
}

/* What is not limited is told as Envoy tells it: the largest number. */
static void list_limits(struct listing *listing, const struct cluster *cluster, struct value *row)
{
    static const char *const priorities[LIMIT_PRIORITIES] = {"default_priority", "high_priority"};
    struct arena *arena = listing->arena;
    struct value *thresholds = value_new(arena, VALUE_LIST);
    for (int p = 0; p < LIMIT_PRIORITIES; p++) {
        const struct cluster_limits *limits = &cluster->limits[p];
        const struct {
            const char *name;
            uint32_t most;
        } rows[] = {{"max_connections", limits->connections},
                    {"max_pending_requests", limits->pending_requests},
                    {"max_requests", limits->requests},
                    {"max_retries", limits->retries}};
        struct value *threshold = value_new(arena, VALUE_OBJECT);
        if (p)
            put_text(arena, threshold, "priority", SLICE("HIGH"));
        for (size_t i = 0; i < COUNT(rows); i++) {
            if (!row)
                buffer_format(listing->out, "%s::%s::%s::%u\n", cluster->name.text.data,
                              priorities[p], rows[i].name, rows[i].most);
            else
                put(arena, threshold, rows[i].name, value_new_u64(arena, rows[i].most));
        }
        value_append(thresholds, threshold);
    }
    if (!row)
        return;
    struct value *breakers = value_new(arena, VALUE_OBJECT);
    put(arena, breakers, "thresholds", thresholds);
    put(arena, row, "circuit_breakers", breakers);
}

static void list_cluster(void *to, const struct resource *resource)
{
    struct listing *listing = to;
    const struct cluster *cluster = resource->cluster;
    const struct endpoints *set = snapshot_endpoints(listing->snapshot, cluster);
    struct value *hosts = NULL;
    if (listing->rows) {
        struct value *row = value_new(listing->arena, VALUE_OBJECT);
        hosts = value_new(listing->arena, VALUE_LIST);
        put_text(listing->arena, row, "name", cluster->name.text);
        put(listing->arena, row, "added_via_api",
            value_new_bool(listing->arena, !resource->is_static));
        put(listing->arena, row, "host_statuses", hosts);
        list_limits(listing, cluster, row);
        put_text(listing->arena, row, "observability_name", cluster->stat_name);
        value_append(listing->rows, row);
    } else {
        const char *const name = cluster->name.text.data;
        buffer_format(listing->out, "%s::observability_name::%.*s\n", name,
                      SLICE_ARG(cluster->stat_name));
        list_limits(listing, cluster, NULL);
        buffer_format(listing->out, "%s::added_via_api::%s\n", name,
                      resource->is_static ? "false" : "true");
    }
    for (uint32_t i = 0; set && i < set->count; i++)
        list_endpoint(listing, cluster, set, &set->items[i], hosts);
}

static void list(const struct process *process, enum resource_kind kind,
                 void (*visit)(void *, const struct resource *), const char *member, bool json,
                 struct buffer *out)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct listing listing = {.process = process,
                              .snapshot = publisher_newest(process->publisher),
                              .out = out,
                              .arena = &arena};
    if (json)
        listing.rows = value_new(&arena, VALUE_LIST);
    if (listing.snapshot)
        name_tree_each(listing.snapshot->trees[kind], visit, &listing);
    if (json) {
        struct value *root = value_new(&arena, VALUE_OBJECT);
        put(&arena, root, member, listing.rows);
        value_write_json(root, true, out);
    }
    arena_fini(&arena);
}

void dump_clusters(const struct process *process, bool json, struct buffer *out)
{
    list(process, KIND_CLUSTER, list_cluster, "cluster_statuses", json, out);
}

static void list_listener(void *to, const struct resource *resource)
{
    struct listing *listing = to;
    const struct listener *listener = resource->listener;
    if (listing->rows) {
        struct value *row = value_new(listing->arena, VALUE_OBJECT);
        put_text(listing->arena, row, "name", listener->name.text);
        if (listener->address_count)
            put(listing->arena, row, "local_address",
                address_value(listing->arena, &listener->addresses[0]));
        value_append(listing->rows, row);
        return;
    }
    for (uint32_t i = 0; i < listener->address_count; i++) {
        char address[ENDPOINT_TEXT];
        size_t size = endpoint_address_format(&listener->addresses[i], address);
        buffer_format(listing->out, "%.*s::%.*s\n", SLICE_ARG(listener->name.text), (int)size,
                      address);
    }
}

void dump_listeners(const struct process *process, bool json, struct buffer *out)
{
    list(process, KIND_LISTENER, list_listener, "listener_statuses", json, out);
}

/* --- certificates --------------------------------------------------------------------------------------------- */

static struct value *san_list(struct arena *arena, const struct certificate_summary *summary)
{
    static const char *const members[SAN_KINDS] = {
        [SAN_URI] = "uri", [SAN_DNS] = "dns", [SAN_IP] = "ip_address", [SAN_EMAIL] = "email"};
    struct value *sans = value_new(arena, VALUE_LIST);
    for (size_t i = 0; i < summary->san_count; i++) {
        struct value *san = value_new(arena, VALUE_OBJECT);
        put_text(arena, san, members[summary->sans[i].kind], summary->sans[i].text);
        value_append(sans, san);
    }
    return sans;
}

static struct value *certificate_value(struct arena *arena,
                                       const struct certificate_summary *summary, const char *path)
{
    struct value *row = value_new(arena, VALUE_OBJECT);
    int64_t left_s = summary->not_after_s - clock_wall_us() / 1000000;
    put_text(arena, row, "path", slice_str(path));
    put_text(arena, row, "serial_number", slice_str(summary->serial));
    put(arena, row, "subject_alt_names", san_list(arena, summary));
    put_text(arena, row, "days_until_expiration",
             slice_str(arena_format(arena, "%lld", (long long)(left_s > 0 ? left_s / 86400 : 0))));
    put_time(arena, row, "valid_from", summary->not_before_s * 1000000);
    put_time(arena, row, "expiration_time", summary->not_after_s * 1000000);
    return row;
}

static void list_certificate(void *to, const struct resource *resource)
{
    struct listing *listing = to;
    const struct secret *secret = resource->secret;
    if (secret->kind != SECRET_CERTIFICATE)
        return;
    struct value *row = value_new(listing->arena, VALUE_OBJECT),
                 *chain = value_new(listing->arena, VALUE_LIST);
    owned_buffer der = {0};
    owned_error error = {0};
    size_t cursor = 0;
    while (certificate_next(secret->certificate.chain, &cursor, &der, &error)) {
        struct certificate_summary summary = {0};
        if (certificate_summarize(buffer_slice(&der), &summary, &error))
            value_append(chain,
                         certificate_value(listing->arena, &summary, secret->name.text.data));
        certificate_summary_fini(&summary);
    }
    put(listing->arena, row, "ca_cert", value_new(listing->arena, VALUE_LIST));
    put(listing->arena, row, "cert_chain", chain);
    value_append(listing->rows, row);
}

void dump_certificates(const struct process *process, struct buffer *out)
{
    list(process, KIND_SECRET, list_certificate, "certificates", true, out);
}
