#include "proxy/balance/least_request.h"

#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

void least_request_init(struct least_request *least, struct balance_host *const *hosts, uint32_t count,
                        uint32_t choices)
{
    random_choice_init(&least->draw, hosts, count);
    least->choices = choices ? choices : 1;
}

void least_request_fini(struct least_request *least)
{
    random_choice_fini(&least->draw);
}

/* a is busier than b for its weight: a.active / a.weight > b.active / b.weight, without division. */
static bool is_busier(const struct balance_host *a, const struct balance_host *b)
{
    uint64_t a_weight = a->endpoint ? a->endpoint->weight : 1, b_weight = b->endpoint ? b->endpoint->weight : 1;
    return ((uint64_t)a->active + 1) * b_weight > ((uint64_t)b->active + 1) * a_weight;
}

struct balance_host *least_request_pick(const struct least_request *least, struct random *random)
{
    struct balance_host *best = random_choice_pick(&least->draw, random);
    for (uint32_t i = 1; i < least->choices && least->draw.count > 1; i++) {
        struct balance_host *other = random_choice_pick(&least->draw, random);
        if (is_busier(best, other))
            best = other;
    }
    return best;
}
