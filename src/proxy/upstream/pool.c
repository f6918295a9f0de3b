#include "proxy/upstream/pool.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "net/dialer.h"
#include "proxy/http_profile.h"
#include "proxy/observe/observer.h"
#include "proxy/upstream/dialing.h"
#include "proxy/upstream/sharing.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

/* One connection of a pool, from its dial to its close. */
struct pooled {
    struct list node;  /* in ready or full */
    struct host *host; /* a reference */
    enum http_pool which;
    bool is_connecting;
    bool has_failed; /* it never opened */
    uint32_t limit;  /* of connections, as it was taken */
    struct limits *limits;
    struct cluster_series *series;
    struct http_profile *profile; /* a reference: the connection's options lie there */
    struct dialing dialing;
    struct http_connection *http;
    struct task reap;
};

void pool_init(struct pool *pool)
{
    list_init(&pool->ready);
    list_init(&pool->full);
    list_init(&pool->waiting);
}

static struct pool *pool_of(const struct pooled *pooled)
{
    return &pooled->host->pools[pooled->which];
}

/* What was closed in this turn has left: another worker may dial now, and the limit holds for the host, too. */
static void reap(struct task *task)
{
    struct pooled *pooled = CONTAINER_OF(task, struct pooled, reap);
    limits_give_connection(pooled->limits, pooled->limit);
    mem_free(pooled);
}

static void pooled_free(struct pooled *pooled)
{
    struct loop *loop = pooled->host->worker->loop;
    struct pool *pool = pool_of(pooled);
    host_count(pooled->host->counters, HOST_CX_ACTIVE, -1);
    if (pooled->has_failed)
        host_count(pooled->host->counters, HOST_CX_CONNECT_FAIL, 1);
    observe_upstream_closed(pooled->host->worker->observer, pooled->series, pooled->has_failed);
    list_remove(&pooled->node);
    pool->connections--;
    if (pooled->is_connecting)
        pool->connecting--;
    http_profile_unref(pooled->profile);
    host_unref(pooled->host);
    task_init(&pooled->reap, reap);
    loop_reap_later(loop, &pooled->reap);
}

/* --- waiters -------------------------------------------------------------------------------------------------- */

static void stop_waiting(struct pool_waiter *waiter)
{
    list_remove(&waiter->node);
    waiter->pool->waiters--;
    limits_give(waiter->limits, 0, LIMIT_PENDING, waiter->limit);
}

static struct pool_waiter *next_waiter(struct pool *pool)
{
    if (list_is_empty(&pool->waiting))
        return NULL;
    struct pool_waiter *waiter = LIST_ENTRY(pool->waiting.next, struct pool_waiter, node);
    stop_waiting(waiter);
    return waiter;
}

/* The oldest whom this connection may serve. */
static struct pool_waiter *next_waiter_for(struct pool *pool, const struct http_connection *http)
{
    bool is_fresh =
        http_connection_requests(http) == 0 || http_connection_protocol(http) == HTTP_PROTOCOL_2;
    LIST_EACH(node, &pool->waiting)
    {
        struct pool_waiter *waiter = LIST_ENTRY(node, struct pool_waiter, node);
        if (waiter->wants_fresh && !is_fresh)
            continue;
        stop_waiting(waiter);
        return waiter;
    }
    return NULL;
}

/* The room on this connection goes to whoever waits longest. */
static void serve(struct pooled *pooled)
{
    struct pool *pool = pool_of(pooled);
    struct http_connection *http = pooled->http;
    struct pool_waiter *waiter;
    while (!list_is_empty(&pool->waiting) && pooled->http && http_connection_room(http) > 0 &&
           (waiter = next_waiter_for(pool, http)) != NULL) {
        waiter->on_ready(waiter, http);
        pool_opened(http);
    }
}

static void fail_waiter(struct pool *pool, enum pool_failure failure, const char *text)
{
    struct pool_waiter *waiter = next_waiter(pool);
    if (waiter)
        waiter->on_failed(waiter, failure, text);
}

static void fail_all(struct pool *pool, enum pool_failure failure, const char *text)
{
    while (!list_is_empty(&pool->waiting))
        fail_waiter(pool, failure, text);
}

/* --- connections ---------------------------------------------------------------------------------------------- */

static bool dial_another(struct host *host, enum http_pool which);

static void place(struct pooled *pooled)
{
    struct pool *pool = pool_of(pooled);
    list_remove(&pooled->node);
    bool has_room = pooled->http && !http_connection_is_draining(pooled->http) &&
                    !pooled->host->is_removed && http_connection_room(pooled->http) > 0;
    if (has_room)
        list_push_front(&pool->ready, &pooled->node);
    else
        list_push_back(&pool->full, &pooled->node);
}

/* Who still waits when a connection ended needs another one, or what the others will give back. */
static void replace_if_wanted(struct host *host, enum http_pool which)
{
    struct pool *pool = &host->pools[which];
    if (!list_is_empty(&pool->waiting) && pool->connecting == 0 && !dial_another(host, which) &&
        pool->connections == 0)
        fail_all(pool, POOL_OVERFLOW, "the cluster's limit of connections is reached");
}

static void on_http_open(void *owner, struct http_connection *http)
{
    struct pooled *pooled = owner;
    if (pooled->is_connecting) {
        pooled->is_connecting = false;
        pool_of(pooled)->connecting--;
    }
    pool_of(pooled)->is_shared = http_connection_protocol(http) == HTTP_PROTOCOL_2;
    place(pooled);
    struct host *host = host_ref(pooled->host);
    enum http_pool which = pooled->which;
    serve(pooled);
    /* More wait than one connection takes: they need not wait for its streams to end. */
    struct pool *pool = &host->pools[which];
    if (!list_is_empty(&pool->waiting) && pool->connecting == 0)
        (void)!dial_another(host, which);
    host_unref(host);
}

static void on_http_room(void *owner, struct http_connection *http)
{
    struct pooled *pooled = owner;
    (void)http;
    if (pooled->is_connecting)
        return;
    place(pooled);
    serve(pooled);
}

static void on_http_draining(void *owner, struct http_connection *http)
{
    struct pooled *pooled = owner;
    (void)http;
    place(pooled);
}

static void on_http_closed(void *owner, struct http_connection *http, enum http_closed reason,
                           const struct transport_failure *failure)
{
    struct pooled *pooled = owner;
    struct host *host = host_ref(pooled->host);
    enum http_pool which = pooled->which;
    bool never_opened = pooled->is_connecting;
    pooled->has_failed = never_opened;
    (void)http;
    (void)reason;
    pooled_free(pooled);
    if (never_opened)
        fail_waiter(&host->pools[which], POOL_CONNECT_FAILED,
                    failure && failure->text ? failure->text
                                             : "the connection ended before it was open");
    replace_if_wanted(host, which);
    host_unref(host);
}

static const struct http_connection_events http_events = {
    .on_open = on_http_open,
    .on_room = on_http_room,
    .on_draining = on_http_draining,
    .on_closed = on_http_closed,
};

static void on_dialed(struct dialing *dialing, struct transport *transport)
{
    struct pooled *pooled = CONTAINER_OF(dialing, struct pooled, dialing);
    pooled->http = http_connection_create(transport, HTTP_CLIENT, &pooled->profile->options,
                                          &http_events, pooled);
    if (pooled->http)
        return;
    struct host *host = host_ref(pooled->host);
    enum http_pool which = pooled->which;
    pooled_free(pooled);
    fail_waiter(&host->pools[which], POOL_NO_MEMORY,
                "there is no memory left for another connection");
    replace_if_wanted(host, which);
    host_unref(host);
}

static void on_dial_failed(struct dialing *dialing, enum pool_failure failure, const char *text)
{
    struct pooled *pooled = CONTAINER_OF(dialing, struct pooled, dialing);
    struct host *host = host_ref(pooled->host);
    enum http_pool which = pooled->which;
    pooled->has_failed = true;
    pooled_free(pooled);
    struct pool *pool = &host->pools[which];
    fail_waiter(pool, failure, text);
    /* One HTTP/2 connection was to serve everyone. */
    if (which == HTTP_POOL_2 && pool->connecting == 0)
        fail_all(pool, failure, text);
    replace_if_wanted(host, which);
    host_unref(host);
}

static void dial(struct host *host, enum http_pool which, uint32_t limit)
{
    struct upstream *upstream = host->upstream;
    struct pool *pool = &host->pools[which];
    struct pooled *pooled = mem_new(struct pooled);
    pooled->host = host_ref(host);
    pooled->which = which;
    pooled->is_connecting = true;
    pooled->limit = limit;
    pooled->limits = upstream->limits;
    pooled->series = observe_upstream_opened(upstream->worker->observer, upstream->cluster);
    host_count(host->counters, HOST_CX_TOTAL, 1);
    host_count(host->counters, HOST_CX_ACTIVE, 1);
    pooled->profile = http_profile_ref(upstream->profiles[which]);
    list_push_back(&pool->full, &pooled->node);
    pool->connections++;
    pool->connecting++;
    dialing_start(&pooled->dialing, host, which, on_dialed, on_dial_failed);
}

/* True when another connection comes: now, or once another worker gives one up. */
static bool dial_another(struct host *host, enum http_pool which)
{
    struct upstream *upstream = host->upstream;
    struct pool *pool = &host->pools[which];
    if (!upstream || host->is_removed)
        return false;
    uint32_t most = upstream->cluster->limits[0].connections;
    if (most == 0)
        return false;
    if (pool->connections > 0 ? limits_take_connection(upstream->limits, most)
                              : sharing_take(upstream, most)) {
        dial(host, which, most);
        return true;
    }
    return pool->connections == 0;
}

bool pool_is_starved(const struct pool *pool)
{
    return pool->connections == 0 && !list_is_empty(&pool->waiting);
}

void pool_dial_granted(struct host *host, enum http_pool which)
{
    dial(host, which, host->upstream->cluster->limits[0].connections);
}

/* An idle one, or with `may_be_busy` any: it takes no new streams and closes with its last. */
bool pool_give_up(struct pool *pool, bool may_be_busy)
{
    struct list *lists[] = {&pool->ready, &pool->full};
    for (size_t i = 0; i < COUNT(lists); i++) {
        LIST_EACH(node, lists[i])
        {
            struct pooled *pooled = LIST_ENTRY(node, struct pooled, node);
            if (!pooled->http || pooled->is_connecting || pooled->limit == CLUSTER_UNLIMITED ||
                http_connection_is_draining(pooled->http) ||
                !(may_be_busy || http_connection_is_idle(pooled->http)))
                continue;
            http_connection_drain(pooled->http);
            place(pooled);
            return true;
        }
    }
    return false;
}

/* --- the pool's callers --------------------------------------------------------------------------------------- */

struct http_connection *pool_borrow(struct host *host, enum http_pool which, bool only_once)
{
    struct pool *pool = &host->pools[which];
    while (!list_is_empty(&pool->ready)) {
        struct pooled *pooled = LIST_ENTRY(pool->ready.next, struct pooled, node);
        bool is_stale = only_once && http_connection_is_stale(pooled->http);
        if (LIKELY(!is_stale && http_connection_room(pooled->http) > 0))
            return pooled->http;
        if (is_stale)
            http_connection_drain(pooled->http);
        place(pooled); /* or it began to drain in this very turn */
    }
    return NULL;
}

void pool_opened(struct http_connection *connection)
{
    struct pooled *pooled = http_connection_owner(connection);
    if (http_connection_room(connection) == 0) {
        list_remove(&pooled->node);
        list_push_back(&pool_of(pooled)->full, &pooled->node);
    }
}

/* At the limit, with idle connections that the waiter does not want: one of them gives way to a fresh one. */
static void make_room(struct pool *pool)
{
    if (list_is_empty(&pool->ready))
        return;
    struct pooled *pooled = LIST_ENTRY(pool->ready.prev, struct pooled, node);
    http_connection_drain(pooled->http);
    place(pooled);
}

const char *pool_wait(struct host *host, enum http_pool which, struct pool_waiter *waiter)
{
    struct pool *pool = &host->pools[which];
    struct upstream *upstream = host->upstream;
    if (!upstream || host->is_removed)
        return "the endpoint was removed";
    waiter->limits = upstream->limits;
    waiter->limit = upstream->cluster->limits[0].pending_requests;
    if (!limits_take(waiter->limits, 0, LIMIT_PENDING, waiter->limit))
        return "its limit of pending requests is reached";
    waiter->pool = pool;
    list_push_back(&pool->waiting, &waiter->node);
    pool->waiters++;
    bool needs_dial = which == HTTP_POOL_2 || pool->is_shared ? pool->connecting == 0
                                                              : pool->connecting < pool->waiters;
    if (!needs_dial || dial_another(host, which))
        return NULL;
    if (pool->connections == 0) {
        stop_waiting(waiter);
        return "it allows no connections";
    }
    make_room(pool);
    return NULL;
}

void pool_cancel(struct pool_waiter *waiter)
{
    stop_waiting(waiter);
}

void pool_renew(struct pool *pool)
{
    struct list *lists[] = {&pool->ready, &pool->full};
    for (size_t i = 0; i < COUNT(lists); i++) {
        LIST_EACH_SAFE(node, after, lists[i])
        {
            struct pooled *pooled = LIST_ENTRY(node, struct pooled, node);
            if (!pooled->http)
                continue;
            http_connection_drain(pooled->http);
            if (lists[i] == &pool->ready)
                place(pooled);
        }
    }
}

void pool_retire(struct pool *pool)
{
    fail_all(pool, POOL_GONE, "the endpoint was removed");
    pool_renew(pool);
}

void pool_close(struct pool *pool)
{
    struct list *lists[] = {&pool->ready, &pool->full};
    while (next_waiter(pool))
        continue;
    for (size_t i = 0; i < COUNT(lists); i++) {
        LIST_EACH_SAFE(node, after, lists[i])
        {
            struct pooled *pooled = LIST_ENTRY(node, struct pooled, node);
            if (pooled->http)
                http_connection_close(pooled->http);
            else
                dialing_cancel(&pooled->dialing);
            pooled_free(pooled);
        }
    }
}
