#include "match/weighted.h"

#include "match/table_memory.h"

bool weighted_build(struct weighted *weighted, const uint32_t *weights, size_t count,
                    uint32_t declared, struct table_memory *memory, struct error *error)
{
    if (count == 0 || count > WEIGHTED_MAX)
        return error_set(error, NULL, "1 to %d weights can be chosen from, not %zu", WEIGHTED_MAX,
                         count);
    uint32_t *ends = arena_calloc(&memory->arena, count, sizeof(*ends));
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += weights[i];
        if (total > UINT32_MAX)
            return error_set(error, NULL, "the weights add up to more than %u", UINT32_MAX);
        ends[i] = (uint32_t)total;
    }
    if (total == 0)
        return error_set(error, NULL, "the weights add up to 0, so nothing can be chosen");
    if (declared != 0 && total != declared)
        return error_set(error, NULL, "the weights add up to %u, and total_weight says %u",
                         (uint32_t)total, declared);
    *weighted = (struct weighted){ends, (uint32_t)count, (uint32_t)total};
    return true;
}

uint32_t weighted_pick(const struct weighted *weighted, uint64_t random)
{
    uint32_t point = (uint32_t)(((random >> 32) * weighted->total) >> 32);
    uint32_t low = 0, high = weighted->count - 1; /* the first end beyond the point */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (weighted->ends[middle] > point)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
