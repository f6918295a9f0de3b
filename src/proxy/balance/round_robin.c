#include "proxy/balance/round_robin.h"

#include "base/memory.h"
#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

static bool weights_are_equal(struct balance_host *const *hosts, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (hosts[i]->endpoint->weight != hosts[0]->endpoint->weight)
            return false;
    }
    return true;
}

/* Equal deadlines go by index, so that the order does not depend on the heap's history. */
static bool is_before(const struct round_robin_entry *a, const struct round_robin_entry *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->index < b->index;
}

static void sink(struct round_robin *robin, uint32_t at)
{
    struct round_robin_entry *heap = robin->heap, moved = heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= robin->count)
            break;
        if (child + 1 < robin->count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* Serves the host with the earliest deadline, and puts it off by the inverse of its weight. */
static uint32_t serve(struct round_robin *robin)
{
    struct round_robin_entry *first = &robin->heap[0];
    uint32_t index = first->index;
    first->deadline += 1.0 / robin->hosts[index]->endpoint->weight;
    sink(robin, 0);
    return index;
}

void round_robin_init(struct round_robin *robin, struct balance_host *const *hosts, uint32_t count,
                      struct random *random)
{
    *robin = (struct round_robin){.hosts = hosts, .count = count};
    robin->next = (uint32_t)random_below(random, count);
    if (weights_are_equal(hosts, count))
        return;
    robin->heap = mem_calloc(count, sizeof(*robin->heap));
    for (uint32_t i = 0; i < count; i++)
        robin->heap[i] = (struct round_robin_entry){1.0 / hosts[i]->endpoint->weight, i};
    for (uint32_t i = count / 2; i-- > 0;)
        sink(robin, i);
    /* Workers that start at the same place would all send their first requests to the heaviest host. */
    for (uint64_t skip = random_below(random, 2 * (uint64_t)count); skip > 0; skip--)
        serve(robin);
}

void round_robin_fini(struct round_robin *robin)
{
    mem_free(robin->heap);
    robin->heap = NULL;
}

struct balance_host *round_robin_pick(struct round_robin *robin)
{
    if (robin->heap)
        return robin->hosts[serve(robin)];
    struct balance_host *host = robin->hosts[robin->next];
    if (++robin->next == robin->count)
        robin->next = 0;
    return host;
}
