#include "proxy/configure.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "build/bootstrap.h"
#include "build/cluster.h"
#include "build/tls_spec.h"
#include "io/loop.h"
#include "pb/codec.h"
#include "pb/type.h"
#include "proxy/dns_clusters.h"
#include "proxy/last_good.h"
#include "proxy/listen/sockets.h"
#include "proxy/observe/telemetry.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "tls/context.h"
#include "xds/ads_client.h"

#include <stdio.h>
#include <string.h>

struct configure {
    struct loop *loop;
    const struct rpc_means *means;
    const struct bootstrap *bootstrap;
    struct publisher *publisher;
    struct sockets *sockets;
    struct telemetry *telemetry;
    struct intake *intake;
    struct ads_client *ads;
    struct dns_clusters *dns;
    struct last_good *last_good;
    bool has_identity;
    bool answered[RESOURCE_TYPES]; /* ADS has answered this type at least once */
    bool is_started, gave_up_waiting;
    struct timer tick, first_fetch;
    struct tls_context *tls; /* of the channel, when it is ours to give */
    void (*on_names)(void *owner, const struct delta_update *update);
    void *names_owner;
    char waits_for[160];
};

/* --- ADS ------------------------------------------------------------------------------------------------------ */

static bool kind_of(enum resource_type type, enum resource_kind *kind)
{
    switch (type) {
    case RESOURCE_CLUSTER: *kind = KIND_CLUSTER; return true;
    case RESOURCE_ENDPOINTS: *kind = KIND_ENDPOINTS; return true;
    case RESOURCE_LISTENER: *kind = KIND_LISTENER; return true;
    case RESOURCE_ROUTE: *kind = KIND_ROUTE; return true;
    case RESOURCE_SECRET: *kind = KIND_SECRET; return true;
    case RESOURCE_VIRTUAL_HOST:
    case RESOURCE_EXTENSION:
    case RESOURCE_SCOPED_ROUTE:
    case RESOURCE_RUNTIME:
    case RESOURCE_NAME_TABLE:
    case RESOURCE_PROXY_CONFIG:
    case RESOURCE_TYPES: break;
    }
    return false;
}

static bool type_of(enum resource_kind kind, enum resource_type *type)
{
    switch (kind) {
    case KIND_ENDPOINTS: *type = RESOURCE_ENDPOINTS; return true;
    case KIND_ROUTE: *type = RESOURCE_ROUTE; return true;
    case KIND_SECRET: *type = RESOURCE_SECRET; return true;
    case KIND_CLUSTER:
    case KIND_LISTENER:
    case KIND_ADDRESS:
    case KIND_TLS:
    case RESOURCE_KINDS: break;
    }
    return false;
}

static void take(struct configure *configure, struct delta_update *update, enum resource_kind kind)
{
    /* Removals first: what goes may hold an address that what comes will have. */
    for (size_t i = 0; i < update->removed_count; i++)
        intake_remove(configure->intake, kind, update->removed[i]);
    for (size_t i = 0; i < update->added_count; i++) {
        const struct delta_resource *resource = update->added[i];
        owned_error error = {0};
        struct intake_update one = {.kind = kind,
                                    .name = resource->name,
                                    .version = resource->version,
                                    .body = resource->body};
        if (intake_put(configure->intake, &one, &error))
            continue;
        owned_str reason = error_text(&error, true);
        log_warning("xds", "%s %.*s refused: %s", resource_type_short(update->type),
                    SLICE_ARG(resource->name), reason);
        delta_update_refuse(update, i, slice_str(reason));
    }
}

static void on_update(void *owner, struct delta_update *update)
{
    struct configure *configure = owner;
    enum resource_kind kind;
    configure->answered[update->type] = true;
    if (update->type == RESOURCE_NAME_TABLE) {
        if (configure->on_names)
            configure->on_names(configure->names_owner, update);
        return;
    }
    if (kind_of(update->type, &kind))
        take(configure, update, kind);
    configure_commit(configure);
}

static void on_connected(void *owner)
{
    (void)owner;
    log_info("xds", "connected to the control plane");
}

static void on_disconnected(void *owner, const char *reason)
{
    (void)owner;
    log_warning("xds", "the control plane is away: %s; the last configuration keeps serving",
                reason);
}

static const struct ads_consumer consumer = {
    .on_update = on_update, .on_connected = on_connected, .on_disconnected = on_disconnected};

static const struct cluster *static_cluster(struct configure *configure, struct slice name)
{
    struct name key = name_of(name);
    const struct resource *resource =
        snapshot_cluster(publisher_newest(configure->publisher), &key);
    return resource ? resource->cluster : NULL;
}

/* Who is asking, and which program of which version; what the file says of the latter stands. */
static void pack_node(const struct bootstrap *bootstrap, struct buffer *packed)
{
    Envoy__Config__Core__V3__Node node = *bootstrap->node;
    static char name[] = "tulle-proxy", version[] = TULLE_VERSION;
    if (!node.user_agent_name || !*node.user_agent_name)
        node.user_agent_name = name;
    if (!node.user_agent_version_type_case) {
        node.user_agent_version_type_case =
            ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION;
        node.user_agent_version = version;
    }
    pb_pack(&node.base, packed);
}

/* The control plane's cluster is static: one endpoint, perhaps with TLS whose secrets are inline or ours. */
static bool connect_ads(struct configure *configure, struct error *error)
{
    const struct bootstrap *bootstrap = configure->bootstrap;
    const struct cluster *cluster = static_cluster(configure, bootstrap->ads_cluster);
    if (!cluster || !cluster->endpoints || cluster->endpoints->count == 0)
        return error_set(
            error, "TUL1230",
            "the cluster %.*s, which leads to the control plane, has no static endpoint",
            SLICE_ARG(bootstrap->ads_cluster));
    const struct endpoint_address *at = &cluster->endpoints->items[0].address;
    char host[IP_TEXT];
    owned_str text = at->text.size ? slice_to_str(at->text) : NULL;
    ip_format(&at->ip, host);
    owned_buffer node = {0};
    pack_node(bootstrap, &node);
    owned_str authority =
        bootstrap->ads_authority.size ? slice_to_str(bootstrap->ads_authority) : NULL;
    owned_str server_name = cluster->socket.tls && cluster->socket.tls->server_name.size
                                ? slice_to_str(cluster->socket.tls->server_name)
                                : NULL;
    /* With an identity of our own, the control plane is known by the name of its certificate. */
    static const struct san_match istiod = {
        .how = SAN_MATCH_EXACT, .kind = SAN_DNS, .value = {"istiod.istio-system.svc", 23}};
    const struct tls_spec *tls = cluster->socket.tls;
    struct tls_context *context = configure->tls;
    if (!context && tls)
        context = snapshot_tls(publisher_newest(configure->publisher), tls);
    bool is_pipe = at->kind == ENDPOINT_PIPE;
    struct rpc_target target = {.host = is_pipe                     ? NULL
                                        : at->kind == ENDPOINT_HOST ? text
                                                                    : host,
                                .unix_path = is_pipe ? text : NULL,
                                .port = at->port,
                                .authority = authority,
                                .server_name = tls || !context ? server_name : istiod.value.data,
                                .expected = tls ? tls->expected : &istiod,
                                .expected_count = tls       ? tls->expected_count
                                                  : context ? 1
                                                            : 0,
                                .tls = context};
    struct ads_client_config config = {
        .channel = {.target = target,
                    .protocol = RPC_HTTP2,
                    .connect_timeout_ms = cluster->connect_timeout_ms},
        .node = buffer_slice(&node)};
    configure->ads = ads_client_create(configure->means, &config, &consumer, configure);
    return true;
}

static void start_ads(struct configure *configure)
{
    const struct bootstrap *bootstrap = configure->bootstrap;
    owned_error error = {0};
    /* Its own certificate may have to come first. */
    if (configure->has_identity && !configure->tls)
        return;
    if (!connect_ads(configure, &error)) {
        log_critical("xds", "%s", error.what);
        return;
    }
    if (bootstrap->clusters_by_ads)
        ads_client_watch_all(configure->ads, RESOURCE_CLUSTER);
    if (bootstrap->listeners_by_ads)
        ads_client_watch_all(configure->ads, RESOURCE_LISTENER);
    if (configure->on_names)
        ads_client_watch_all(configure->ads, RESOURCE_NAME_TABLE);
    last_good_tell(configure->last_good, configure->ads);
    ads_client_start(configure->ads);
}

/* --- publishing ----------------------------------------------------------------------------------------------- */

static bool is_own_secret(const struct configure *configure, struct slice name)
{
    return configure->has_identity &&
           (slice_equals(name, SLICE("default")) || slice_equals(name, SLICE("ROOTCA")));
}

static void on_interest(void *to, enum resource_kind kind, const struct name *name, bool wanted)
{
    struct configure *configure = to;
    enum resource_type type;
    if (kind == KIND_CLUSTER) {
        dns_clusters_follow(configure->dns, name, wanted);
        return;
    }
    if (!configure->ads || !type_of(kind, &type) ||
        (kind == KIND_SECRET && is_own_secret(configure, name->text)))
        return;
    if (wanted)
        ads_client_subscribe(configure->ads, type, name->text);
    else
        ads_client_unsubscribe(configure->ads, type, name->text);
}

static void on_tick(struct timer *timer)
{
    configure_commit(CONTAINER_OF(timer, struct configure, tick));
}

/* Returns the ms until something that waits has waited long enough. */
static uint64_t publish(struct configure *configure)
{
    struct loop *loop = configure->loop;
    uint64_t next_ms =
        intake_tick(configure->intake, loop_now_ms(loop), loop_wall_us(loop) / 1000000);
    if (intake_commit(configure->intake)) {
        sockets_follow(configure->sockets, publisher_newest(configure->publisher));
        telemetry_follow(configure->telemetry, publisher_newest(configure->publisher));
        last_good_note(configure->last_good);
    }
    return next_ms;
}

void configure_commit(struct configure *configure)
{
    struct loop *loop = configure->loop;
    uint64_t next_ms = publish(configure);
    if (configure->is_started && configure->bootstrap->has_ads && !configure->ads)
        start_ads(configure);
    intake_interest(configure->intake, on_interest, configure);
    if (next_ms != UINT64_MAX)
        loop_timer_start(loop, &configure->tick, next_ms, on_tick);
    else
        loop_timer_stop(loop, &configure->tick);
}

static void on_first_fetch_timeout(struct timer *timer)
{
    struct configure *configure = CONTAINER_OF(timer, struct configure, first_fetch);
    configure->gave_up_waiting = true;
    const char *waits = configure_waits_for(configure);
    log_warning("xds", "the first configuration did not come in time; %s%s",
                *waits ? "not ready without " : "going on with what there is", waits);
}

/* --- readiness ------------------------------------------------------------------------------------------------ */

const char *configure_waits_for(const struct configure *configure)
{
    struct configure *self = (struct configure *)(uintptr_t)configure;
    const struct bootstrap *bootstrap = configure->bootstrap;
    bool clusters = bootstrap->clusters_by_ads && !configure->answered[RESOURCE_CLUSTER];
    bool listeners = bootstrap->listeners_by_ads && !configure->answered[RESOURCE_LISTENER];
    size_t warming = intake_warming(configure->intake, KIND_LISTENER) +
                     intake_warming(configure->intake, KIND_CLUSTER);
    self->waits_for[0] = '\0';
    /* Without any configuration a sidecar would be said to be ready and serve nothing: Istio's agent waits likewise. */
    if (last_good_was_loaded(configure->last_good))
        clusters = listeners = false;
    if (clusters || listeners)
        snprintf(self->waits_for, sizeof(self->waits_for), "the control plane's first %s",
                 clusters ? "clusters" : "listeners");
    else if (warming > 0 && !configure->gave_up_waiting)
        snprintf(self->waits_for, sizeof(self->waits_for), "%zu listeners and clusters to warm",
                 warming);
    return configure->waits_for;
}

bool configure_is_ready(const struct configure *configure)
{
    return *configure_waits_for(configure) == '\0';
}

/* --- the static part ------------------------------------------------------------------------------------------ */

static bool put_static(struct configure *configure, enum resource_kind kind, const char *name,
                       const ProtobufCMessage *message, struct error *error)
{
    owned_buffer body = {0};
    pb_pack(message, &body);
    struct intake_update update = {.kind = kind,
                                   .name = slice_str(name),
                                   .version = SLICE(""),
                                   .body = buffer_slice(&body),
                                   .is_static = true};
    if (intake_put(configure->intake, &update, error))
        return true;
    error_prefix(error, "static %s %s", resource_kind_name(kind), name ? name : "without a name");
    return false;
}

static bool put_all_static(struct configure *configure, struct error *error)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *all =
        configure->bootstrap->message->static_resources;
    for (size_t i = 0; all && i < all->n_clusters; i++)
        if (!put_static(configure, KIND_CLUSTER, all->clusters[i]->name, &all->clusters[i]->base,
                        error))
            return false;
    for (size_t i = 0; all && i < all->n_listeners; i++)
        if (!put_static(configure, KIND_LISTENER, all->listeners[i]->name, &all->listeners[i]->base,
                        error))
            return false;
    for (size_t i = 0; all && i < all->n_secrets; i++)
        if (!put_static(configure, KIND_SECRET, all->secrets[i]->name, &all->secrets[i]->base,
                        error))
            return false;
    return true;
}

bool configure_create(const struct configure_options *options, struct configure **out,
                      struct error *error)
{
    struct configure *configure = mem_new(struct configure);
    struct build_options building = {.here = true, .now_s = loop_wall_us(options->loop) / 1000000};
    configure->loop = options->loop;
    configure->means = options->means;
    configure->bootstrap = options->bootstrap;
    configure->publisher = options->publisher;
    configure->sockets = options->sockets;
    configure->telemetry = options->telemetry;
    configure->has_identity = options->has_identity;
    configure->intake = intake_create(options->publisher, &building, &(struct intake_limits){0});
    configure->dns = dns_clusters_create(options->loop, options->means->mark, configure);
    configure->last_good =
        last_good_create(options->loop, configure, options->publisher, options->state_directory);
    if (!put_all_static(configure, error)) {
        configure_destroy(configure);
        return false;
    }
    *out = configure;
    return true;
}

void configure_start(struct configure *configure)
{
    const struct bootstrap *bootstrap = configure->bootstrap;
    if (bootstrap->has_ads)
        last_good_load(configure->last_good);
    /* The way to the control plane is static, and what it is asked for follows from what is there. */
    (void)publish(configure);
    if (bootstrap->has_ads && bootstrap->first_fetch_ms)
        loop_timer_start(configure->loop, &configure->first_fetch, bootstrap->first_fetch_ms,
                         on_first_fetch_timeout);
    configure->is_started = true;
    configure_commit(configure);
}

void configure_destroy(struct configure *configure)
{
    if (!configure)
        return;
    loop_timer_stop(configure->loop, &configure->tick);
    loop_timer_stop(configure->loop, &configure->first_fetch);
    if (configure->ads)
        ads_client_close(configure->ads);
    dns_clusters_destroy(configure->dns);
    last_good_destroy(configure->last_good);
    intake_destroy(configure->intake);
    tls_context_unref(configure->tls);
    mem_free(configure);
}

struct intake *configure_intake(struct configure *configure)
{
    return configure->intake;
}

void configure_set_tls(struct configure *configure, struct tls_context *tls)
{
    tls_context_unref(configure->tls);
    configure->tls = tls_context_ref(tls);
    if (configure->ads)
        ads_client_set_tls(configure->ads, tls);
}

void configure_on_names(struct configure *configure,
                        void (*on_names)(void *owner, const struct delta_update *update),
                        void *owner)
{
    configure->on_names = on_names;
    configure->names_owner = owner;
}
