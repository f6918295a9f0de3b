#include "proxy/upstream/limits.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"

#include <pthread.h>

struct cluster_limits_table {
    pthread_mutex_t lock;
    struct map *by_name;
};

struct cluster_limits_table *cluster_limits_table_create(void)
{
    struct cluster_limits_table *table = mem_new(struct cluster_limits_table);
    pthread_mutex_init(&table->lock, NULL);
    table->by_name = map_create();
    return table;
}

void cluster_limits_table_destroy(struct cluster_limits_table *table)
{
    if (!table)
        return;
    struct map_iterator each = {0};
    while (map_next(table->by_name, &each))
        mem_free(each.value);
    map_destroy(table->by_name);
    pthread_mutex_destroy(&table->lock);
    mem_free(table);
}

struct limits *cluster_limits_of(struct cluster_limits_table *table, struct slice name)
{
    pthread_mutex_lock(&table->lock);
    struct limits *limits = map_get(table->by_name, name);
    if (!limits) {
        limits = mem_new(struct limits);
        map_put(table->by_name, name, limits);
    }
    pthread_mutex_unlock(&table->lock);
    return limits;
}

bool limits_take(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most)
{
    if (LIKELY(most == CLUSTER_UNLIMITED))
        return true;
    _Atomic uint32_t *used = &limits->used[priority][kind];
    if (atomic_fetch_add_explicit(used, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&limits->overflows[kind], 1, memory_order_relaxed);
    return false;
}

void limits_give(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most)
{
    if (UNLIKELY(most != CLUSTER_UNLIMITED))
        atomic_fetch_sub_explicit(&limits->used[priority][kind], 1, memory_order_relaxed);
}
