#include "rpc/backoff.h"

#include "base/random.h"

uint32_t backoff_next_ms(struct backoff *backoff, struct random *random)
{
    uint64_t ceiling = (uint64_t)backoff->base_ms << MIN(backoff->failures, 20u);
    ceiling = MAX(MIN(ceiling, (uint64_t)backoff->max_ms), (uint64_t)1);
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    return (uint32_t)(ceiling - ceiling / 2 + random_below(random, ceiling / 2 + 1));
}
