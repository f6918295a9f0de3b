#include "build/bootstrap.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/listener.h"
#include "build/secret.h"
#include "build/values_internal.h"
#include "pb/text_in.h"

enum { BOOTSTRAP_MAX_BYTES = 16 << 20, BOOTSTRAP_FETCH_MS = 15000 };

typedef Envoy__Config__Bootstrap__V3__Bootstrap BootstrapMessage;
typedef Envoy__Config__Core__V3__ApiConfigSource ApiSourceMessage;

struct bootstrap_builder {
    struct builder b;
    struct bootstrap *bootstrap;
    struct table_memory memory; /* for what checks leave behind */
};

static bool build_admin(struct bootstrap_builder *t,
                        const Envoy__Config__Bootstrap__V3__Admin *admin)
{
    struct builder *b = &t->b;
    struct endpoint_address address;
    if (!admin || !admin->address)
        return true;
    /* Harmless: access_log, for the interface is for this host's operators and its requests go into our log. */
    if (!build_enter(b, "admin") || !build_honours(b, admin, "address", "access_log") ||
        !build_address(b, "address", admin->address, false, &address, NULL))
        return false;
    build_leave(b);
    address.text = slice_of(arena_copy(&t->bootstrap->arena, address.text), address.text.size);
    t->bootstrap->admin = address;
    t->bootstrap->has_admin = true;
    return true;
}

static bool has_cluster(const BootstrapMessage *message, const char *name)
{
    for (size_t i = 0; message->static_resources && i < message->static_resources->n_clusters;
         i++) {
        if (strcmp(pb_str(message->static_resources->clusters[i]->name), name) == 0)
            return true;
    }
    return false;
}

static bool build_ads(struct bootstrap_builder *t, const BootstrapMessage *message,
                      const ApiSourceMessage *ads)
{
    struct builder *b = &t->b;
    struct bootstrap *bootstrap = t->bootstrap;
    if (!build_enter(b, "ads_config") ||
        !build_honours(b, ads, "api_type", "grpc_services", "set_node_on_first_message_only",
                       "transport_api_version"))
        return false;
    switch (PB_GET(ads, api_type, 0)) {
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC:
        bootstrap->ads_is_delta = true;
        break;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC: break;
    default: return build_fail_at(b, "api_type", "ADS is GRPC or DELTA_GRPC");
    }
    if (ads->n_grpc_services != 1 || ads->grpc_services[0]->target_specifier_case == 0)
        return build_fail_at(b, "grpc_services", "there is one, with envoy_grpc");
    const Envoy__Config__Core__V3__GrpcService__EnvoyGrpc *grpc = ads->grpc_services[0]->envoy_grpc;
    if (!has_cluster(message, pb_str(grpc->cluster_name)))
        return build_fail_at(b, "grpc_services[0].envoy_grpc.cluster_name",
                             "'%.100s' is no static cluster", pb_str(grpc->cluster_name));
    bootstrap->has_ads = true;
    bootstrap->ads_cluster = slice_str(grpc->cluster_name);
    bootstrap->ads_authority = slice_str(pb_str(grpc->authority));
    build_leave(b);
    return true;
}

static bool build_dynamic(struct bootstrap_builder *t, const BootstrapMessage *message)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__DynamicResources *dynamic =
        message->dynamic_resources;
    struct builder *b = &t->b;
    uint32_t listeners_ms = BOOTSTRAP_FETCH_MS, clusters_ms = BOOTSTRAP_FETCH_MS;
    if (!dynamic)
        return true;
    if (!build_enter(b, "dynamic_resources") ||
        !build_honours(b, dynamic, "lds_config", "cds_config", "ads_config") ||
        (dynamic->ads_config && !build_ads(t, message, dynamic->ads_config)) ||
        (dynamic->lds_config &&
         !build_source(b, "lds_config", dynamic->lds_config, false, &listeners_ms)) ||
        (dynamic->cds_config &&
         !build_source(b, "cds_config", dynamic->cds_config, false, &clusters_ms)))
        return false;
    t->bootstrap->listeners_by_ads = dynamic->lds_config != NULL;
    t->bootstrap->clusters_by_ads = dynamic->cds_config != NULL;
    bool needs_ads = t->bootstrap->listeners_by_ads || t->bootstrap->clusters_by_ads;
    if (needs_ads && !t->bootstrap->has_ads)
        return build_fail_at(b, "ads_config", "lds_config and cds_config need this");
    t->bootstrap->first_fetch_ms =
        listeners_ms == 0 || clusters_ms == 0 ? 0 : MAX(listeners_ms, clusters_ms);
    build_leave(b);
    return true;
}

/* There is no runtime: values that it would give are those that resources call default. What asks for it from outside
 * is refused. */
static bool check_runtime(struct builder *b, const BootstrapMessage *message)
{
    for (size_t i = 0; message->layered_runtime && i < message->layered_runtime->n_layers; i++) {
        const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer =
            message->layered_runtime->layers[i];
        bool is_harmless =
            layer->layer_specifier_case !=
                ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_DISK_LAYER &&
            layer->layer_specifier_case !=
                ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_RTDS_LAYER;
        if (!is_harmless)
            return build_fail_at(b, "layered_runtime.layers",
                                 "a layer from disk or RTDS does not act here yet");
    }
    return true;
}

static bool try_listener(struct builder *b, const ListenerMessage *message)
{
    owned(listener) built = NULL;
    return build_ok(b, listener_build(message, b->options, &built, b->error));
}

static bool try_cluster(struct builder *b, const ClusterMessage *message)
{
    owned(cluster) built = NULL;
    return build_ok(b, cluster_build(message, b->options, &built, b->error));
}

static bool try_secret(struct builder *b, const SecretMessage *message)
{
    owned(secret) built = NULL;
    return build_ok(b, secret_build(message, b->options, &built, b->error));
}

static bool check_static(struct builder *b, const BootstrapMessage *message)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *resources =
        message->static_resources;
    if (!resources)
        return true;
    if (!build_enter(b, "static_resources"))
        return false;
    for (size_t i = 0; i < resources->n_secrets; i++) {
        if (!build_enter_at(b, "secrets", i) || !try_secret(b, resources->secrets[i]))
            return false;
        build_leave(b);
    }
    for (size_t i = 0; i < resources->n_clusters; i++) {
        if (!build_enter_at(b, "clusters", i) || !try_cluster(b, resources->clusters[i]))
            return false;
        build_leave(b);
    }
    for (size_t i = 0; i < resources->n_listeners; i++) {
        if (!build_enter_at(b, "listeners", i) || !try_listener(b, resources->listeners[i]))
            return false;
        build_leave(b);
    }
    build_leave(b);
    return true;
}

static bool build_node(struct bootstrap_builder *t, const BootstrapMessage *message)
{
    struct bootstrap *bootstrap = t->bootstrap;
    bootstrap->node = message->node
                          ? message->node
                          : pb_new(&bootstrap->arena, &envoy__config__core__v3__node__descriptor);
    bootstrap->node_id = slice_str(pb_str(bootstrap->node->id));
    bootstrap->node_cluster = slice_str(pb_str(bootstrap->node->cluster));
    if (bootstrap->has_ads && bootstrap->node_id.size == 0)
        return build_fail_at(&t->b, "node.id", "ADS needs this");
    return true;
}

static bool build(struct bootstrap_builder *t, const BootstrapMessage *message)
{
    struct builder *b = &t->b;
    t->bootstrap->message = message;
    /* Harmless: stats_flush_interval (statistics are read, not flushed) and cluster_manager (the local cluster serves zone
     * awareness, which no cluster can ask for). */
    return build_honours(b, message, "node", "static_resources", "dynamic_resources",
                         "cluster_manager", "stats_flush_interval", "admin", "layered_runtime") &&
           check_runtime(b, message) && build_admin(t, message->admin) &&
           build_dynamic(t, message) && build_node(t, message) && check_static(b, message);
}

bool bootstrap_parse(struct slice text, const char *name, const struct build_options *options,
                     struct bootstrap **out, struct error *error)
{
    owned(bootstrap) bootstrap = mem_new(struct bootstrap);
    arena_init(&bootstrap->arena, NULL);
    const BootstrapMessage *message =
        text_read_yaml(text, name, &envoy__config__bootstrap__v3__bootstrap__descriptor,
                       TEXT_STRICT, &bootstrap->arena, error);
    if (!message)
        return false;
    struct bootstrap_builder t = {.bootstrap = bootstrap};
    table_memory_init(&t.memory);
    builder_init(&t.b, &t.memory, options, error);
    bool ok = build(&t, message);
    builder_fini(&t.b);
    table_memory_fini(&t.memory);
    if (!ok) {
        error_at(error, "%s", name);
        return false;
    }
    *out = give(bootstrap);
    return true;
}

bool bootstrap_read(const char *path, const struct build_options *options, struct bootstrap **out,
                    struct error *error)
{
    owned_buffer text = {0};
    int code = buffer_read_file(&text, path, BOOTSTRAP_MAX_BYTES);
    if (code) {
        error_set(error, "TUL0032", "the configuration file cannot be read: %s", strerror(-code));
        error_at(error, "%s", path);
        return false;
    }
    return bootstrap_parse(buffer_slice(&text), path, options, out, error);
}

void bootstrap_destroy(struct bootstrap *bootstrap)
{
    if (!bootstrap)
        return;
    arena_fini(&bootstrap->arena);
    mem_free(bootstrap);
}
