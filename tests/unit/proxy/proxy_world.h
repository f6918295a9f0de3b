/*
 * proxy_world: a whole worker on a simulated loop: clients, the proxy's downstream, exchanges and upstream, origins. Or on one
 * over real sockets (proxy/kernel_world.h), where nothing breaks but what the test breaks.
 *
 * Clients arrive as accepted connections do; the proxy dials the origins by address. The configuration goes through the
 * intake and the publisher, as in the process. What is spoken on either side is a parameter: use_hops. end_proxy_world checks
 * that nothing is left: no connection, TLS session, block, byte of the budget, pin, limit or active gauge.
 */
#pragma once

#include "net/exchanges.h"
#include "proxy/hops.h"
#include "proxy/kernel_world.h"

#include "build/yaml.h"

#include "base/buffer.h"
#include "base/map.h"
#include "base/random.h"
#include "build/bootstrap.h"
#include "io/listener.h"
#include "net/transport.h"
#include "pb/codec.h"
#include "proxy/downstream/downstream.h"
#include "proxy/listen/arrival.h"
#include "proxy/observe/observer_internal.h"
#include "proxy/observe/telemetry.h"
#include "proxy/process_state.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/upstream/host_counters.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/upstream.h"

enum { ORIGINS = 3, CLIENTS = 3, SERVING_MAX = 256 };

struct proxy_world;

/* One server that the proxy may dial: 10.0.0.1 to 10.0.0.3, port 80; over real sockets 127.0.0.1 and a port of its own. */
struct served {
    struct proxy_world *world;
    struct address address;
    struct listen_group *group; /* NULL in the simulation */
    struct acceptor *acceptor;
    int fd;
    unsigned requests;
};
struct serving {
    struct proxy_world *world;
    struct served *served;
    struct http_connection *http;
    int fd;
};

struct client {
    struct proxy_world *world;
    struct http_connection *http;
    int fd;
    unsigned closed;
};

struct proxy_world {
    struct loop *loop;
    struct memory_budget budget;
    struct publisher *publisher;
    struct intake *intake;
    struct worker_shared shared;
    struct worker *worker;
    struct hops hops;
    struct tls_engine *engine; /* of the clients and the origins */
    struct process process;
    struct bootstrap bootstrap;
    Envoy__Config__Core__V3__Node node;
    struct http_connection_options client_options, origin_options;
    struct served origins[ORIGINS];
    struct serving serving[SERVING_MAX];
    void (*on_serving)(struct serving *serving); /* an origin has accepted one; may be NULL */
    struct client clients[CLIENTS];
    struct origin origin;
    unsigned open; /* of the clients' ends */
    bool bad;
    unsigned versions;
    unsigned files; /* descriptors of the process before all of this */
};

static inline bool is_simulated(const struct proxy_world *w)
{
    return loop_backend(w->loop) == LOOP_SIM;
}

/* --- configuration --------------------------------------------------------------------------------------------- */

static inline bool proxy_put(struct proxy_world *w, enum resource_kind kind, const char *name,
                             const char *yaml)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [KIND_CLUSTER] = &envoy__config__cluster__v3__cluster__descriptor,
        [KIND_ENDPOINTS] = &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
        [KIND_LISTENER] = &envoy__config__listener__v3__listener__descriptor,
        [KIND_ROUTE] = &envoy__config__route__v3__route_configuration__descriptor,
    };
    struct arena arena;
    struct error error = {0};
    char version[16];
    arena_init(&arena, NULL);
    snprintf(version, sizeof(version), "%u", ++w->versions);
    struct intake_update update = {
        .kind = kind, .name = slice_str(name), .version = slice_str(version)};
    update.body = pb_pack_to(from_yaml(&arena, types[kind], yaml), &arena);
    bool is_taken = intake_put(w->intake, &update, &error);
    CHECK(is_taken, "%s: %s", name, error.what ? error.what : "");
    arena_fini(&arena);
    return is_taken;
}

/* A bit for each of the origins. */
static inline void put_endpoints(struct proxy_world *w, unsigned origins)
{
    owned_buffer yaml = {0};
    buffer_append_str(&yaml, "{cluster_name: up, endpoints: [{lb_endpoints: [");
    for (unsigned i = 0; i < ORIGINS; i++)
        if (origins >> i & 1)
            buffer_format(
                &yaml,
                "{endpoint: {address: {socket_address: {address: %s%u, port_value: %u}}}, "
                "metadata: {filter_metadata: {istio: {workload: "
                "'w%u;default;w;v1;c'}}}}, ",
                is_simulated(w) ? "10.0.0." : "127.0.0.", is_simulated(w) ? i + 1 : 1,
                address_port(&w->origins[i].address), i + 1);
    buffer_append_str(&yaml, "]}]}");
    proxy_put(w, KIND_ENDPOINTS, "up", yaml.data);
}

/* Both before listeners and clusters that need them. */
static inline void put_secrets(struct proxy_world *w, unsigned certificate)
{
    struct error error = {0};
    bool is_taken = intake_put_secret(w->intake, hops_certificate(certificate), &error) &&
                    intake_put_secret(w->intake, hops_roots(), &error);
    CHECK(is_taken, "%s", error.what ? error.what : "");
}

/* What the next configuration, clients and origins are like. */
static inline void use_hops(struct proxy_world *w, struct hops hops)
{
    w->hops = hops;
    w->client_options.choice = hops.down_is_http2 ? HTTP_ONLY_2 : HTTP_ONLY_1;
    w->origin_options.choice = hops.up_is_http2 ? HTTP_ONLY_2 : HTTP_ONLY_1;
    if (!hops.down_is_tls && !hops.up_is_tls)
        return;
    hops_make_pki();
    put_secrets(w, 0);
}

static inline void put_cluster_with(struct proxy_world *w, unsigned connect_timeout_s,
                                    unsigned max_connections, unsigned max_pending)
{
    owned_buffer yaml = {0};
    buffer_format(&yaml,
                  "{name: up, type: EDS, connect_timeout: %us, circuit_breakers: {thresholds: "
                  "[{max_connections: %u, max_pending_requests: %u, max_requests: 1000}]}, "
                  "eds_cluster_config: {eds_config: {ads: {}, initial_fetch_timeout: 0s}}%s%s}",
                  connect_timeout_s, max_connections, max_pending,
                  w->hops.up_is_http2 ? HOPS_HTTP2 : "",
                  w->hops.up_is_tls
                      ? HOPS_UPSTREAM_TLS("origin", "", "spiffe://cluster.local/ns/shop/sa/origin")
                      : "");
    proxy_put(w, KIND_CLUSTER, "up", yaml.data);
}

static inline void put_cluster(struct proxy_world *w, unsigned connect_timeout_s,
                               unsigned max_connections)
{
    put_cluster_with(w, connect_timeout_s, max_connections, 1000);
}

static inline void put_http_listener(struct proxy_world *w, unsigned route_timeout_s,
                                     const char *retry_on)
{
    owned_buffer yaml = {0};
    buffer_format(
        &yaml,
        "{name: in, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, "
        "port_value: 10000}}, filter_chains: [{filters: [{name: h, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager, stat_prefix: s, route_config: {name: r, virtual_hosts: [{name: v, "
        "domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up, timeout: %us%s%s%s}}]}]"
        "}, http_filters: [{name: r, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]%s}]}",
        route_timeout_s, retry_on ? ", retry_policy: {num_retries: 3, retry_on: '" : "",
        retry_on ? retry_on : "", retry_on ? "'}" : "",
        w->hops.down_is_tls ? HOPS_DOWNSTREAM_TLS : "");
    proxy_put(w, KIND_LISTENER, "in", yaml.data);
}

static inline void put_tcp_listener(struct proxy_world *w)
{
    proxy_put(
        w, KIND_LISTENER, "in",
        "{name: in, traffic_direction: OUTBOUND, address: {socket_address: {address: "
        "127.0.0.1, port_value: 10000}}, filter_chains: [{filters: [{name: t, typed_config: "
        "{'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "
        "stat_prefix: s, cluster: up}}]}]}");
}

/* --- origins --------------------------------------------------------------------------------------------------- */

static inline void serving_on_request(void *owner, struct http_connection *connection,
                                      struct http_stream *stream)
{
    struct serving *serving = owner;
    serving->served->requests++;
    origin_on_request(&serving->world->origin, connection, stream);
}

static inline void serving_on_closed(void *owner, struct http_connection *connection,
                                     enum http_closed reason,
                                     const struct transport_failure *failure)
{
    struct serving *serving = owner;
    (void)connection, (void)reason, (void)failure;
    serving->http = NULL;
}

static const struct http_connection_events serving_events = {.on_request = serving_on_request,
                                                             .on_closed = serving_on_closed};

/* context NULL: plaintext. */
static inline struct transport *end_transport(struct proxy_world *w, int fd,
                                              struct tls_context *context)
{
    static const struct conn_events none = {0};
    struct tls_session_spec session = {.context = context};
    struct transport_options options = {.engine = w->engine, .tls = context ? &session : NULL};
    struct conn *conn = conn_adopt(w->loop, fd, 0, &none, NULL);
    CHECK(conn);
    return transport_create(conn, NULL, &options, NULL, NULL);
}

static inline struct transport *client_transport(struct proxy_world *w, int fd, bool is_http2)
{
    return end_transport(w, fd, w->hops.down_is_tls ? hops_pki.client_contexts[is_http2] : NULL);
}

static inline struct transport *origin_transport(struct proxy_world *w, int fd)
{
    bool is_http2 = w->hops.up_is_http2;
    return end_transport(w, fd, w->hops.up_is_tls ? hops_pki.origin_contexts[is_http2] : NULL);
}

static inline void origin_on_accept(void *owner, int fd, const struct address *peer)
{
    struct served *served = owner;
    struct proxy_world *w = served->world;
    (void)peer;
    for (unsigned i = 0; i < SERVING_MAX; i++) {
        struct serving *serving = &w->serving[i];
        if (serving->http)
            continue;
        *serving = (struct serving){.world = w, .served = served, .fd = fd};
        serving->http = http_connection_create(origin_transport(w, fd), HTTP_SERVER,
                                               &w->origin_options, &serving_events, serving);
        CHECK(serving->http);
        if (w->on_serving)
            w->on_serving(serving);
        return;
    }
    CHECK(false, "too many connections of the proxy");
}

/* *address: where to listen in the simulation; then where it is. *group: NULL in the simulation. */
static inline int world_listen(struct proxy_world *w, struct address *address,
                               struct listen_group **group)
{
    int fd = is_simulated(w) ? sim_listen(w->loop, address) : kernel_listen(address, group);
    CHECK(fd >= 0);
    return fd;
}

static inline void world_unlisten(struct proxy_world *w, int fd, struct listen_group *group)
{
    if (is_simulated(w))
        accepted_close(w->loop, fd);
    listen_group_destroy(group);
}

static inline void origin_listen(struct proxy_world *w, unsigned index)
{
    struct served *served = &w->origins[index];
    served->world = w;
    served->address = address_v4(0x0a000001 + index, 80);
    served->fd = world_listen(w, &served->address, &served->group);
    CHECK(acceptor_create(w->loop, served->fd, origin_on_accept, served, &served->acceptor) == 0);
}

/* --- clients --------------------------------------------------------------------------------------------------- */

static inline void client_on_closed(void *owner, struct http_connection *connection,
                                    enum http_closed reason,
                                    const struct transport_failure *failure)
{
    struct client *client = owner;
    (void)connection, (void)reason, (void)failure;
    client->http = NULL;
    client->closed++;
}
static const struct http_connection_events client_events = {.on_closed = client_on_closed};

/* The other end of a new connection to the proxy. */
static inline int knock(struct proxy_world *w)
{
    int fds[2];
    struct address peer = address_v4(0x0a000064, 4000);
    struct name listener = name_of(SLICE("in"));
    if (is_simulated(w))
        sim_pair(w->loop, fds);
    else
        kernel_pair(fds);
    arrival_begin(w->worker, &listener, fds[1], &peer);
    return fds[0];
}

static inline void client_connect(struct proxy_world *w, unsigned index)
{
    struct client *client = &w->clients[index];
    client->world = w;
    client->fd = knock(w);
    client->http = http_connection_create(client_transport(w, client->fd, w->hops.down_is_http2),
                                          HTTP_CLIENT, &w->client_options, &client_events, client);
    CHECK(client->http);
}

/* --- the world ------------------------------------------------------------------------------------------------- */

static inline void begin_proxy_world_on(struct proxy_world *w, enum loop_backend backend,
                                        uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->files = kernel_open_files();
    struct loop_options options = {
        .name = "test", .backend = backend, .budget = &w->budget, .seed = seed};
    CHECK(loop_create(&options, &w->loop) == 0);
    if (!is_simulated(w) && !hops_now_s)
        hops_now_s = (int64_t)time(NULL);
    struct build_options build = hops_build();
    w->publisher = publisher_create(w->loop);
    w->intake = intake_create(w->publisher, &build, NULL);
    envoy__config__core__v3__node__init(&w->node);
    w->bootstrap.node = &w->node;
    w->process.bootstrap = &w->bootstrap;
    w->process.telemetry = telemetry_create(&w->process);
    w->shared = (struct worker_shared){
        .budget = &w->budget,
        .limits = cluster_limits_table_create(),
        .host_counters = host_counters_table_create(),
    };
    CHECK(worker_create(0, w->loop, w->publisher, &w->shared,
                        telemetry_observer(w->process.telemetry, 0), &w->worker) == 0);
    w->client_options = w->origin_options = http_connection_defaults;
    w->client_options.choice = w->origin_options.choice = HTTP_ONLY_1;
    w->engine = tls_engine_create(NULL);
    tls_engine_turn(w->engine, loop_wall_us(w->loop) / 1000000, 0);
    origin_init(&w->origin, w->loop);
    for (unsigned i = 0; i < ORIGINS; i++)
        origin_listen(w, i);
}

static inline void begin_proxy_world(struct proxy_world *w, uint64_t seed)
{
    begin_proxy_world_on(w, LOOP_SIM, seed);
}

/* The usual ones; real sockets have none. */
static inline void world_meet_faults(struct proxy_world *w, const struct sim_faults *faults)
{
    if (is_simulated(w))
        sim_set_faults(w->loop, faults);
}

/* Waits in the simulation's time, or for a moment only. */
static inline bool world_turn(struct proxy_world *w)
{
    return loop_turn(w->loop, is_simulated(w) ? 100 : 1);
}

/* The worker sees it between two turns. */
static inline void commit(struct proxy_world *w)
{
    (void)!intake_commit(w->intake);
}

static inline size_t open_ends(const struct proxy_world *w)
{
    return w->open + w->origin.open;
}

static inline bool is_anything_open(const struct proxy_world *w)
{
    return is_simulated(w) ? sim_open_count(w->loop) > 0
                           : worker_open(w->worker) > 0 || loop_blocks_in_use(w->loop) > 0;
}

/* What was closed may still have completions to come, as late as the faults say. */
static inline void proxy_settle(struct proxy_world *w, unsigned turns)
{
    for (unsigned quiet = 0; turns > 0 && quiet < 20; turns--)
        quiet = world_turn(w) || is_anything_open(w) ? 0 : quiet + 1;
}

/* Of the connection manager whose stat_prefix is "s". */
static inline const struct http_series *http_series(const struct proxy_world *w)
{
    return http_series_of(&w->worker->observer->envoy, SLICE("s"));
}

static inline uint64_t http_counted(const struct proxy_world *w, enum http_counter counter)
{
    return stats_sum(telemetry_registry(w->process.telemetry),
                     http_series_slot(http_series(w), counter));
}

/* Of the TCP proxy whose stat_prefix is "s". */
static inline uint64_t tcp_counted(const struct proxy_world *w, enum tcp_counter counter)
{
    const struct tcp_series *series = tcp_series_of(&w->worker->observer->envoy, SLICE("s"));
    return stats_sum(telemetry_registry(w->process.telemetry), tcp_series_slot(series, counter));
}

static inline uint64_t http_answered(const struct proxy_world *w, unsigned hundreds)
{
    return stats_sum(telemetry_registry(w->process.telemetry),
                     http_series_class_slot(http_series(w), hundreds));
}

static inline void check_limits(struct proxy_world *w, uint64_t seed)
{
    struct limits *limits = cluster_limits_of(w->shared.limits, SLICE("up"));
    for (unsigned priority = 0; priority < LIMIT_PRIORITIES; priority++)
        for (unsigned kind = 0; kind < LIMIT_KINDS; kind++)
            CHECK(limits->used[priority][kind] == 0, "seed %llu: limit %u of priority %u: %u",
                  (unsigned long long)seed, kind, priority, limits->used[priority][kind]);
}

static inline void end_proxy_world(struct proxy_world *w, uint64_t seed)
{
    struct publisher_counts counts;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (w->clients[i].http)
            http_connection_close(give(w->clients[i].http));
    worker_close(w->worker);
    for (unsigned i = 0; i < SERVING_MAX; i++)
        if (w->serving[i].http)
            http_connection_close(give(w->serving[i].http));
    for (unsigned i = 0; i < ORIGINS; i++) {
        acceptor_destroy(w->origins[i].acceptor);
        world_unlisten(w, w->origins[i].fd, w->origins[i].group);
    }
    proxy_settle(w, 3000);
    CHECK(w->open == 0 && w->origin.open == 0, "seed %llu: %u and %u ends are open",
          (unsigned long long)seed, w->open, w->origin.open);
    CHECK(!is_simulated(w) || sim_open_count(w->loop) == 0, "seed %llu: %u descriptors are open",
          (unsigned long long)seed, sim_open_count(w->loop));
    CHECK(worker_open(w->worker) == 0, "seed %llu: %zu connections are open",
          (unsigned long long)seed, worker_open(w->worker));
    CHECK(http_counted(w, HTTP_CX_ACTIVE) == 0 && tcp_counted(w, TCP_CX_ACTIVE) == 0,
          "seed %llu: active gauges", (unsigned long long)seed);
    check_limits(w, seed);
    CHECK(tls_engine_counts(w->worker->engine)->sessions == 0 &&
              tls_engine_counts(w->engine)->sessions == 0,
          "seed %llu: TLS sessions are left", (unsigned long long)seed);
    tls_engine_destroy(w->engine);
    publisher_collect(w->publisher);
    publisher_count(w->publisher, &counts);
    CHECK(counts.retired == 0, "seed %llu: %zu resources are pinned still",
          (unsigned long long)seed, counts.retired);
    intake_destroy(w->intake);
    worker_destroy(w->worker, w->publisher);
    loop_settle(w->loop);
    telemetry_destroy(w->process.telemetry);
    publisher_destroy(w->publisher);
    cluster_limits_table_destroy(w->shared.limits);
    host_counters_table_destroy(w->shared.host_counters);
    CHECK(loop_blocks_in_use(w->loop) == 0, "seed %llu: %zu bytes of blocks",
          (unsigned long long)seed, loop_blocks_in_use(w->loop));
    loop_destroy(w->loop);
    CHECK(kernel_open_files() == w->files, "seed %llu: %u descriptors are open, %u were",
          (unsigned long long)seed, kernel_open_files(), w->files);
    CHECK(w->budget.in_use == 0, "seed %llu: %zu bytes are charged", (unsigned long long)seed,
          w->budget.in_use);
}
