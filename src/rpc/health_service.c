#include "rpc/health_service.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "rpc/server.h"

#include "grpc/health.pb-c.h"

enum { REQUEST_MAX = 4096 };

struct health_service {
    struct map *health; /* name -> enum health + 1 */
    struct list watchers;
};

struct watcher {
    struct list node;
    struct rpc_exchange *exchange;
    char *name;
    enum health told;
};

static const struct pb_limits limits = {
    .max_bytes = REQUEST_MAX, .max_depth = 4, .max_memory = 8 * REQUEST_MAX};

/* The name that is asked for, a copy; NULL when the request is malformed. */
static char *read_name(struct slice message)
{
    struct arena arena;
    arena_init(&arena, NULL);
    const Grpc__Health__V1__HealthCheckRequest *request = pb_decode(
        &grpc__health__v1__health_check_request__descriptor, message, &arena, &limits, NULL);
    char *name = request ? str_copy(pb_str(request->service)) : NULL;
    arena_fini(&arena);
    return name;
}

static struct slice response(enum health health, char bytes[2])
{
    bytes[0] = 0x08; /* field 1, varint; UNKNOWN is left out, as zeros are */
    bytes[1] = (char)health;
    return slice_of(bytes, health == HEALTH_UNKNOWN ? 0 : 2);
}

static bool find(const struct health_service *service, const char *name, enum health *health)
{
    uintptr_t value = (uintptr_t)map_get(service->health, slice_str(name));
    if (value == 0)
        return false;
    *health = (enum health)(value - 1);
    return true;
}

static void on_check(void *owner, struct rpc_exchange *exchange, struct slice message)
{
    struct health_service *service = owner;
    owned_str name = read_name(message);
    enum health health;
    char bytes[2];
    if (!name)
        rpc_exchange_end(exchange, GRPC_INVALID_ARGUMENT, SLICE("the request is malformed"));
    else if (find(service, name, &health))
        rpc_exchange_answer(exchange, response(health, bytes));
    else
        rpc_exchange_end(exchange, GRPC_NOT_FOUND, SLICE("there is no such service"));
}

static void tell(struct health_service *service, struct watcher *watcher)
{
    enum health health;
    char bytes[2];
    if (!find(service, watcher->name, &health))
        health = HEALTH_SERVICE_UNKNOWN;
    if (health == watcher->told)
        return;
    watcher->told = health;
    if (!rpc_exchange_send(watcher->exchange, response(health, bytes)))
        rpc_exchange_reset(watcher->exchange);
}

static void on_watch(void *owner, struct rpc_exchange *exchange, struct slice message)
{
    struct health_service *service = owner;
    char *name = rpc_exchange_state(exchange) ? NULL : read_name(message);
    if (!name) {
        rpc_exchange_end(exchange, GRPC_INVALID_ARGUMENT,
                         SLICE("the request is malformed, or a second one"));
        return;
    }
    struct watcher *watcher = mem_new(struct watcher);
    *watcher = (struct watcher){.exchange = exchange, .name = name, .told = HEALTH_NEVER_TOLD};
    list_push_back(&service->watchers, &watcher->node);
    rpc_exchange_set_state(exchange, watcher);
    tell(service, watcher);
}

static void forget(struct watcher *watcher)
{
    list_remove(&watcher->node);
    mem_free(watcher->name);
    mem_free(watcher);
}

static void on_watch_close(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    if (rpc_exchange_state(exchange))
        forget(rpc_exchange_state(exchange));
}

static const struct rpc_service check = {.on_message = on_check};
static const struct rpc_service watch = {.on_message = on_watch, .on_close = on_watch_close};

struct health_service *health_service_create(struct rpc_server *server)
{
    struct health_service *service = mem_new(struct health_service);
    service->health = map_create();
    list_init(&service->watchers);
    health_service_set(service, "", HEALTH_SERVING);
    rpc_server_add_grpc(server, "/grpc.health.v1.Health/Check", &check, service);
    rpc_server_add_grpc(server, "/grpc.health.v1.Health/Watch", &watch, service);
    return service;
}

void health_service_destroy(struct health_service *service)
{
    if (!service)
        return;
    LIST_EACH_SAFE(node, after, &service->watchers)
    forget(LIST_ENTRY(node, struct watcher, node));
    map_destroy(service->health);
    mem_free(service);
}

void health_service_set(struct health_service *service, const char *name, enum health health)
{
    map_put(service->health, slice_str(name), (void *)((uintptr_t)health + 1));
    LIST_EACH(node, &service->watchers)
    {
        struct watcher *watcher = LIST_ENTRY(node, struct watcher, node);
        if (strcmp(watcher->name, name) == 0)
            tell(service, watcher);
    }
}
