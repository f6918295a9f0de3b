#include "proxy/balance/round_robin.h"

#include "base/memory.h"
#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

static uint32_t weight_of(const struct balance_host *host)
{
    return host->endpoint ? host->endpoint->weight : 1;
}

static bool is_earlier(const struct round_robin_entry *a, const struct round_robin_entry *b)
{
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->index < b->index);
}

static void sift_down(struct round_robin_entry *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (is_earlier(&heap[child], &heap[least]))
                least = child;
        if (least == at)
            return;
        struct round_robin_entry moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
        at = least;
    }
}

/* Starting each host somewhere within its first period keeps the workers apart. */
static void fill_heap(struct round_robin *robin, struct random *random)
{
    for (uint32_t i = 0; i < robin->count; i++) {
        double part = (double)random_below(random, 1 << 20) / (1 << 20);
        robin->heap[i] = (struct round_robin_entry){part / weight_of(robin->hosts[i]), i};
    }
    for (uint32_t i = robin->count / 2; i-- > 0;)
        sift_down(robin->heap, robin->count, i);
}

void round_robin_init(struct round_robin *robin, struct balance_host *const *hosts, uint32_t count,
                      struct random *random)
{
    *robin = (struct round_robin){.hosts = hosts, .count = count, .next = (uint32_t)random_below(random, count)};
    for (uint32_t i = 1; i < count; i++) {
        if (weight_of(hosts[i]) == weight_of(hosts[0]))
            continue;
        robin->heap = mem_calloc(count, sizeof(*robin->heap));
        fill_heap(robin, random);
        return;
    }
}

void round_robin_fini(struct round_robin *robin)
{
    mem_free(robin->heap);
    *robin = (struct round_robin){.count = 0};
}

struct balance_host *round_robin_pick(struct round_robin *robin)
{
    if (!robin->heap) {
        struct balance_host *host = robin->hosts[robin->next];
        robin->next = robin->next + 1 == robin->count ? 0 : robin->next + 1;
        return host;
    }
    struct round_robin_entry *first = &robin->heap[0];
    struct balance_host *host = robin->hosts[first->index];
    first->deadline += 1.0 / weight_of(host);
    sift_down(robin->heap, robin->count, 0);
    return host;
}
