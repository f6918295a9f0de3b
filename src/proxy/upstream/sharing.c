#include "proxy/upstream/sharing.h"

#include "build/cluster.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

/* Dials for starved pools as long as there are grants; how many are left. */
static uint32_t use_grants(struct upstream *upstream, uint32_t granted)
{
    LIST_EACH(node, &upstream->all)
    {
        struct host *host = LIST_ENTRY(node, struct host, node);
        for (enum http_pool i = 0; i < HTTP_POOLS && granted > 0; i++) {
            if (host->is_removed || !pool_is_starved(&host->pools[i]))
                continue;
            pool_dial_granted(host, i);
            granted--;
        }
    }
    return granted;
}

static bool has_starved(const struct upstream *upstream)
{
    LIST_EACH(node, &upstream->all)
    {
        const struct host *host = LIST_ENTRY(node, struct host, node);
        for (int i = 0; i < HTTP_POOLS; i++)
            if (pool_is_starved(&host->pools[i]))
                return true;
    }
    return false;
}

static bool give_up_one(struct upstream *upstream, bool may_be_busy)
{
    LIST_EACH(node, &upstream->all)
    {
        struct host *host = LIST_ENTRY(node, struct host, node);
        for (int i = 0; i < HTTP_POOLS; i++)
            if (pool_give_up(&host->pools[i], may_be_busy))
                return true;
    }
    return false;
}

/* Idle ones for all who wait; and, a turn later, one that is not. */
static void make_way(struct upstream *upstream, bool may_be_busy)
{
    uint32_t wanted = limits_waiting(upstream->limits);
    for (; wanted > 0 && give_up_one(upstream, false); wanted--)
        may_be_busy = false;
    if (may_be_busy && wanted > 0)
        (void)!give_up_one(upstream, true);
}

static void on_turn_over(struct timer *timer)
{
    struct upstream *upstream = CONTAINER_OF(timer, struct upstream, sharing_turn);
    if (limits_waiting(upstream->limits) == 0)
        return;
    make_way(upstream, true);
    loop_timer_start(upstream->worker->loop, timer, SHARING_TURN_MS, on_turn_over);
}

static void on_news(void *owner)
{
    struct upstream *upstream = owner;
    uint32_t most = upstream->cluster->limits[0].connections;
    uint32_t granted = limits_fetch(upstream->sharing);
    if (most == CLUSTER_UNLIMITED) {
        for (; granted > 0; granted--)
            limits_give_connection(upstream->limits, 0);
        (void)use_grants(upstream, UINT32_MAX);
        return;
    }
    for (granted = use_grants(upstream, granted); granted > 0; granted--)
        limits_give_connection(upstream->limits, most);
    if (has_starved(upstream) && limits_take_or_wait(upstream->sharing, most))
        for (granted = use_grants(upstream, 1); granted > 0; granted--)
            limits_give_connection(upstream->limits, most);
    if (limits_waiting(upstream->limits) > 0 && !timer_is_running(&upstream->sharing_turn)) {
        make_way(upstream, false);
        loop_timer_start(upstream->worker->loop, &upstream->sharing_turn, SHARING_TURN_MS,
                         on_turn_over);
    }
}

bool sharing_take(struct upstream *upstream, uint32_t most)
{
    if (most == CLUSTER_UNLIMITED)
        return true;
    if (!upstream->sharing)
        upstream->sharing =
            limits_join(upstream->limits, upstream->worker->loop, on_news, upstream);
    return limits_take_or_wait(upstream->sharing, most);
}

void sharing_follow(struct upstream *upstream)
{
    if (upstream->sharing)
        limits_retry(upstream->sharing, upstream->cluster->limits[0].connections);
}

void sharing_end(struct upstream *upstream)
{
    limits_leave(upstream->sharing);
    upstream->sharing = NULL;
    loop_timer_stop(upstream->worker->loop, &upstream->sharing_turn);
}
