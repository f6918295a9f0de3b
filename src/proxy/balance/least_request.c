#include "proxy/balance/least_request.h"

#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

void least_request_init(struct least_request *least, struct balance_host *const *hosts,
                        uint32_t count, uint32_t choices)
{
    least->choices = choices;
    random_choice_init(&least->draw, hosts, count);
}

void least_request_fini(struct least_request *least)
{
    random_choice_fini(&least->draw);
}

/* Fewer requests for its weight. Exact: no product of two 32-bit numbers overflows. */
static bool is_less_busy(const struct balance_host *a, const struct balance_host *b)
{
    return (uint64_t)a->active * b->endpoint->weight < (uint64_t)b->active * a->endpoint->weight;
}

struct balance_host *least_request_pick(const struct least_request *least, struct random *random)
{
    struct balance_host *best = random_choice_pick(&least->draw, random);
    for (uint32_t i = 1; i < least->choices; i++) {
        struct balance_host *other = random_choice_pick(&least->draw, random);
        if (is_less_busy(other, best))
            best = other;
    }
    return best;
}
