#include "proxy/upstream/host_counters.h"

#include "base/map.h"
#include "base/memory.h"

#include <pthread.h>

struct host_counters_table {
    pthread_mutex_t lock;
    struct map *by_endpoint; /* the first of each endpoint */
};

/* Cluster and address, side by side. */
static struct slice key_of(const uint64_t key[2])
{
    return slice_of(key, 2 * sizeof(*key));
}

struct host_counters_table *host_counters_table_create(void)
{
    struct host_counters_table *table = mem_new(struct host_counters_table);
    pthread_mutex_init(&table->lock, NULL);
    table->by_endpoint = map_create();
    return table;
}

void host_counters_table_destroy(struct host_counters_table *table)
{
    if (!table)
        return;
    map_destroy(table->by_endpoint);
    pthread_mutex_destroy(&table->lock);
    mem_free(table);
}

struct host_counters *host_counters_create(struct host_counters_table *table, uint64_t cluster,
                                           uint64_t endpoint)
{
    const uint64_t key[2] = {cluster, endpoint};
    struct host_counters *counters = mem_new(struct host_counters);
    counters->cluster = cluster;
    counters->endpoint = endpoint;
    pthread_mutex_lock(&table->lock);
    counters->next = map_put(table->by_endpoint, key_of(key), counters);
    pthread_mutex_unlock(&table->lock);
    return counters;
}

void host_counters_destroy(struct host_counters_table *table, struct host_counters *counters)
{
    if (!counters)
        return;
    const uint64_t key[2] = {counters->cluster, counters->endpoint};
    pthread_mutex_lock(&table->lock);
    struct host_counters *first = map_get(table->by_endpoint, key_of(key));
    if (first != counters) {
        while (first->next != counters)
            first = first->next;
        first->next = counters->next;
    } else if (counters->next) {
        map_put(table->by_endpoint, key_of(key), counters->next);
    } else {
        map_remove(table->by_endpoint, key_of(key));
    }
    pthread_mutex_unlock(&table->lock);
    mem_free(counters);
}

void host_counters_sum(struct host_counters_table *table, uint64_t cluster, uint64_t endpoint,
                       uint64_t sums[HOST_COUNTERS])
{
    const uint64_t key[2] = {cluster, endpoint};
    for (int i = 0; i < HOST_COUNTERS; i++)
        sums[i] = 0;
    pthread_mutex_lock(&table->lock);
    const struct host_counters *each = map_get(table->by_endpoint, key_of(key));
    for (; each; each = each->next)
        for (int i = 0; i < HOST_COUNTERS; i++)
            sums[i] += atomic_load_explicit(&each->values[i], memory_order_relaxed);
    pthread_mutex_unlock(&table->lock);
}
