#include "proxy/balance/random_choice.h"

#include "base/memory.h"
#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

static uint64_t weight_of(struct balance_host *const *hosts, uint32_t i)
{
    return hosts[i]->endpoint->weight;
}

/*
 * Vose: every slot gets the mean weight; one that has less is filled up from one that has more. With all weights multiplied by
 * the number of hosts the mean is the plain sum, so the sums are whole numbers and nothing is lost.
 */
static void fill(struct random_choice *choice, uint64_t sum)
{
    uint32_t count = choice->count, small_count = 0, large_count = 0;
    unsigned __int128 *rest = mem_calloc(count, sizeof(*rest));
    uint32_t *small = mem_calloc(count, sizeof(*small)), *large = mem_calloc(count, sizeof(*large));
    for (uint32_t i = 0; i < count; i++) {
        rest[i] = (unsigned __int128)weight_of(choice->hosts, i) * count;
        if (rest[i] < sum)
            small[small_count++] = i;
        else
            large[large_count++] = i;
    }
    while (small_count > 0 && large_count > 0) {
        uint32_t less = small[--small_count], more = large[large_count - 1];
        choice->slots[less] = (struct random_slot){(uint32_t)((rest[less] << 32) / sum), more};
        rest[more] -= sum - rest[less];
        if (rest[more] < sum) {
            large_count--;
            small[small_count++] = more;
        }
    }
    while (large_count > 0) {
        uint32_t full = large[--large_count];
        choice->slots[full] = (struct random_slot){UINT32_MAX, full};
    }
    mem_free(rest);
    mem_free(small);
    mem_free(large);
}

void random_choice_init(struct random_choice *choice, struct balance_host *const *hosts,
                        uint32_t count)
{
    uint64_t sum = 0;
    bool equal = true;
    *choice = (struct random_choice){.hosts = hosts, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        sum += weight_of(hosts, i);
        equal = equal && weight_of(hosts, i) == weight_of(hosts, 0);
    }
    if (equal)
        return;
    choice->slots = mem_calloc(count, sizeof(*choice->slots));
    fill(choice, sum);
}

void random_choice_fini(struct random_choice *choice)
{
    mem_free(choice->slots);
    choice->slots = NULL;
}

struct balance_host *random_choice_pick(const struct random_choice *choice, struct random *random)
{
    uint64_t number = random_u64(random);
    uint32_t index = (uint32_t)(((number >> 32) * choice->count) >> 32);
    if (choice->slots && (uint32_t)number >= choice->slots[index].keep)
        index = choice->slots[index].other;
    return choice->hosts[index];
}
