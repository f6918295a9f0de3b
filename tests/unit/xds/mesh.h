/* An ADS server with clients on one simulated loop. */
#pragma once

#include "base/buffer.h"
#include "base/log.h"
#include "base/map.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "rpc/pair.h"
#include "xds/ads_client.h"
#include "xds/ads_server.h"
#include "xds/blob.h"
#include "xds/discovery.h"
#include "xds/refusals.h"
#include "xds/table_maker.h"

#include "envoy/service/discovery/v3/discovery.pb-c.h"

enum { MESH_STREAMS = 64 };

/* A source that serves everyone the same view. */
struct mesh {
    struct pair *pair;
    struct ads_server *server;
    struct refusals *refusals;
    struct blob_table *tables[RESOURCE_TYPES];
    const struct view *view;
    uint64_t generation;
    uint64_t streams[MESH_STREAMS];
    size_t stream_count;
    unsigned announced, gone, answers, nacks;
    uint64_t settled; /* the generation told last */
    char last_nack[512];
    bool refuse;
};

static inline void mesh_on_stream(void *owner, uint64_t stream, const struct ads_peer *peer)
{
    struct mesh *m = owner;
    m->announced++;
    CHECK(peer->node_id[0] != '\0');
    if (m->refuse) {
        ads_server_refuse(m->server, stream, GRPC_PERMISSION_DENIED, SLICE("not you"));
        return;
    }
    CHECK(m->stream_count < MESH_STREAMS);
    m->streams[m->stream_count++] = stream;
    if (m->view)
        ads_server_serve(m->server, stream, m->view, m->refusals);
}
static inline void mesh_on_gone(void *owner, uint64_t stream, const struct ads_peer *peer)
{
    struct mesh *m = owner;
    (void)peer;
    m->gone++;
    for (size_t i = 0; i < m->stream_count; i++) {
        if (m->streams[i] == stream) {
            m->streams[i] = m->streams[--m->stream_count];
            return;
        }
    }
    CHECK(m->refuse, "a stream that was announced goes once");
}
static inline void mesh_on_answer(void *owner, uint64_t stream, enum resource_type type,
                                  const char *reason)
{
    struct mesh *m = owner;
    (void)stream, (void)type;
    m->answers++;
    m->nacks += reason != NULL;
    if (reason)
        snprintf(m->last_nack, sizeof(m->last_nack), "%s", reason);
}
static inline void mesh_on_settled(void *owner, uint64_t stream, uint64_t generation)
{
    struct mesh *m = owner;
    (void)stream;
    m->settled = generation;
}
static inline void mesh_on_debug(void *owner, uint64_t stream, const struct ads_peer *peer,
                                 struct slice page)
{
    struct mesh *m = owner;
    struct discovery_any any = {SLICE("type.googleapis.com/page"), slice_str(peer->node_id)};
    ads_server_debug(m->server, stream, page, &any, 1);
}
UNUSED static const struct ads_source mesh_source = {.on_stream = mesh_on_stream,
                                                     .on_gone = mesh_on_gone,
                                                     .on_answer = mesh_on_answer,
                                                     .on_settled = mesh_on_settled,
                                                     .on_debug = mesh_on_debug};

UNUSED static struct mesh *mesh_open(const struct ads_server_limits *limits, uint64_t seed)
{
    struct mesh *m = mem_new(struct mesh);
    log_set_level(NULL, LOG_OFF);
    m->pair = pair_open(NULL, NULL, seed);
    m->refusals = refusals_create();
    m->server = ads_server_create(m->pair->loop, m->pair->server, limits, SLICE("tulled test"),
                                  &mesh_source, m);
    return m;
}

UNUSED static void mesh_close(struct mesh *m)
{
    ads_server_destroy(m->server);
    pair_close(m->pair);
    view_unref(m->view);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        blob_table_unref(m->tables[i]);
    refusals_destroy(m->refusals);
    mem_free(m);
}

UNUSED static void mesh_edit(struct mesh *m, enum resource_type type, const char *words)
{
    struct blob_table *next = table_edit(type, m->tables[type], words);
    blob_table_unref(m->tables[type]);
    m->tables[type] = next;
}

UNUSED static void mesh_publish(struct mesh *m)
{
    view_unref(m->view);
    m->view = view_create(m->tables, ++m->generation);
    for (size_t i = 0; i < m->stream_count; i++)
        ads_server_serve(m->server, m->streams[i], m->view, m->refusals);
}

/* A proxy that takes what it gets, but for one body. */
struct proxy {
    struct ads_client *client;
    struct map *holds[RESOURCE_TYPES]; /* name -> body, a string */
    const char *refuse;
    unsigned updates, connects, disconnects;
    size_t taken;
    bool follow; /* endpoints of each cluster, as proxies do */
    char reason[512];
};

static inline void proxy_take(struct proxy *proxy, struct delta_update *update, size_t i)
{
    const struct delta_resource *resource = update->added[i];
    if (proxy->refuse && slice_equals_str(resource->body, proxy->refuse)) {
        delta_update_refuse(update, i, SLICE("it is bad"));
        return;
    }
    proxy->taken++;
    mem_free(map_put(proxy->holds[update->type], resource->name, slice_to_str(resource->body)));
    if (proxy->follow && update->type == RESOURCE_CLUSTER)
        ads_client_subscribe(proxy->client, RESOURCE_ENDPOINTS, resource->name);
}
static inline void proxy_on_update(void *owner, struct delta_update *update)
{
    struct proxy *proxy = owner;
    proxy->updates++;
    for (size_t i = 0; i < update->added_count; i++)
        proxy_take(proxy, update, i);
    for (size_t i = 0; i < update->removed_count; i++) {
        mem_free(map_remove(proxy->holds[update->type], update->removed[i]));
        if (proxy->follow && update->type == RESOURCE_CLUSTER)
            ads_client_unsubscribe(proxy->client, RESOURCE_ENDPOINTS, update->removed[i]);
    }
}
static inline void proxy_on_connected(void *owner)
{
    ((struct proxy *)owner)->connects++;
}
static inline void proxy_on_disconnected(void *owner, const char *reason)
{
    struct proxy *proxy = owner;
    proxy->disconnects++;
    snprintf(proxy->reason, sizeof(proxy->reason), "%s", reason);
}
UNUSED static const struct ads_consumer proxy_consumer = {proxy_on_update, proxy_on_connected,
                                                          proxy_on_disconnected};

UNUSED static void proxy_open_as(struct proxy *proxy, struct mesh *m, const char *id,
                                 const char *cluster, uint16_t port)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Config__Core__V3__Node *node =
        pb_new(&arena, &envoy__config__core__v3__node__descriptor);
    node->id = arena_copy_str(&arena, id);
    node->cluster = arena_copy_str(&arena, cluster);
    node->user_agent_name = arena_copy_str(&arena, "tulle-proxy");
    struct ads_client_config config = {
        .channel = {.target = {.host = "10.0.0.1", .port = port ? port : 8080},
                    .backoff_base_ms = 100},
        .node = pb_pack_to(&node->base, &arena)};
    *proxy = (struct proxy){0};
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        proxy->holds[i] = map_create();
    proxy->client = ads_client_create(&m->pair->means, &config, &proxy_consumer, proxy);
    arena_fini(&arena);
}

UNUSED static void proxy_open(struct proxy *proxy, struct mesh *m, const char *id, uint16_t port)
{
    proxy_open_as(proxy, m, id, "", port);
}

UNUSED static void proxy_close(struct proxy *proxy)
{
    ads_client_close(proxy->client);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        struct map_iterator it = {0};
        while (map_next(proxy->holds[i], &it))
            mem_free(it.value);
        map_destroy(proxy->holds[i]);
    }
}

static inline bool proxy_has(const struct proxy *proxy, enum resource_type type, const char *name,
                             const char *body)
{
    const char *held = map_get(proxy->holds[type], slice_str(name));
    return body ? held && strcmp(held, body) == 0 : !held;
}
