#include "proxy/balance/random_choice.h"

#include "base/memory.h"
#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

static uint32_t weight_of(const struct balance_host *host)
{
    return host->endpoint ? host->endpoint->weight : 1;
}

static bool weights_are_equal(struct balance_host *const *hosts, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (weight_of(hosts[i]) != weight_of(hosts[0]))
            return false;
    return true;
}

/* Vose: slots above the mean lend what they have too much to those below it. */
static void fill_slots(struct random_choice *choice)
{
    uint32_t count = choice->count, small_count = 0, large_count = 0;
    double *share = mem_calloc(count, sizeof(*share)), total = 0;
    uint32_t *small = mem_calloc(count, sizeof(*small)), *large = mem_calloc(count, sizeof(*large));
    for (uint32_t i = 0; i < count; i++)
        total += weight_of(choice->hosts[i]);
    for (uint32_t i = 0; i < count; i++) {
        share[i] = weight_of(choice->hosts[i]) * (double)count / total;
        if (share[i] < 1)
            small[small_count++] = i;
        else
            large[large_count++] = i;
    }
    while (small_count > 0 && large_count > 0) {
        uint32_t less = small[--small_count], more = large[large_count - 1];
        choice->slots[less] = (struct random_slot){(uint32_t)(share[less] * UINT32_MAX), more};
        share[more] -= 1 - share[less];
        if (share[more] < 1) {
            large_count--;
            small[small_count++] = more;
        }
    }
    while (large_count > 0)
        choice->slots[large[--large_count]] = (struct random_slot){UINT32_MAX, 0};
    while (small_count > 0) /* by rounding only */
        choice->slots[small[--small_count]] = (struct random_slot){UINT32_MAX, 0};
    mem_free(share);
    mem_free(small);
    mem_free(large);
}

void random_choice_init(struct random_choice *choice, struct balance_host *const *hosts, uint32_t count)
{
    *choice = (struct random_choice){.hosts = hosts, .count = count};
    if (weights_are_equal(hosts, count))
        return;
    choice->slots = mem_calloc(count, sizeof(*choice->slots));
    fill_slots(choice);
}

void random_choice_fini(struct random_choice *choice)
{
    mem_free(choice->slots);
    *choice = (struct random_choice){.count = 0};
}

struct balance_host *random_choice_pick(const struct random_choice *choice, struct random *random)
{
    uint64_t drawn = random_u64(random);
    uint32_t at = (uint32_t)(((drawn >> 32) * choice->count) >> 32);
    if (choice->slots && (uint32_t)drawn > choice->slots[at].keep)
        at = choice->slots[at].other;
    return choice->hosts[at];
}
