#include "match/cidr_set.h"

#include "base/memory.h"
#include "match/table_memory.h"

#include <stdlib.h>

/* Addresses from `first` up to the next range's first have this value. */
struct cidr_range {
    struct ip first;
    int32_t value;
};

struct pending {
    struct ip_prefix prefix;
    struct ip last; /* inclusive */
    int32_t value;
    size_t order;
};

static struct ip last_of(const struct ip_prefix *prefix)
{
    struct ip last = prefix->ip;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t kept = prefix->bits > i * 8 ? prefix->bits - i * 8 : 0;
        if (kept < 8)
            last.bytes[i] |= (uint8_t)(0xffu >> kept);
    }
    return last;
}

static int by_place(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    int order = memcmp(x->prefix.ip.bytes, y->prefix.ip.bytes, 16);
    if (order != 0)
        return order;
    if (x->prefix.bits != y->prefix.bits)
        return x->prefix.bits < y->prefix.bits ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* The address behind; false when there is none. */
static bool next_of(struct ip *ip)
{
    for (size_t i = 16; i-- > 0;) {
        if (++ip->bytes[i] != 0)
            return true;
    }
    return false;
}

struct sweep {
    struct cidr_range *ranges;
    uint32_t count;
    const struct pending
        *open[129]; /* prefixes around the place where the sweep stands, outermost first */
    size_t depth;
};

static void emit(struct sweep *sweep, const struct ip *first, int32_t value)
{
    if (sweep->count > 0) {
        struct cidr_range *before = &sweep->ranges[sweep->count - 1];
        if (ip_equals(&before->first, first)) {
            before->value = value;
            return;
        }
        if (before->value == value)
            return;
    }
    sweep->ranges[sweep->count++] = (struct cidr_range){*first, value};
}

/* Closes the prefixes that end before `place`; with NULL, all. */
static void close_before(struct sweep *sweep, const struct ip *place)
{
    while (sweep->depth > 0) {
        const struct pending *inner = sweep->open[sweep->depth - 1];
        if (place && memcmp(inner->last.bytes, place->bytes, 16) >= 0)
            return;
        sweep->depth--;
        struct ip behind = inner->last;
        if (next_of(&behind))
            emit(sweep, &behind,
                 sweep->depth > 0 ? sweep->open[sweep->depth - 1]->value : CIDR_NONE);
    }
}

void cidr_set_build(struct cidr_set *set, const struct cidr_entry *entries, size_t count,
                    struct table_memory *memory)
{
    *set = (struct cidr_set){0};
    if (count == 0)
        return;
    struct pending *sorted = mem_calloc(count, sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] =
            (struct pending){entries[i].prefix, last_of(&entries[i].prefix), entries[i].value, i};
    qsort(sorted, count, sizeof(*sorted), by_place);

    struct sweep sweep = {.ranges = mem_calloc(2 * count + 1, sizeof(struct cidr_range))};
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && sorted[i].prefix.bits == sorted[i - 1].prefix.bits &&
            ip_equals(&sorted[i].prefix.ip, &sorted[i - 1].prefix.ip))
            continue;
        close_before(&sweep, &sorted[i].prefix.ip);
        emit(&sweep, &sorted[i].prefix.ip, sorted[i].value);
        sweep.open[sweep.depth++] = &sorted[i];
    }
    close_before(&sweep, NULL);

    struct cidr_range *ranges = arena_calloc(&memory->arena, sweep.count, sizeof(*ranges));
    memcpy(ranges, sweep.ranges, sweep.count * sizeof(*ranges));
    *set = (struct cidr_set){ranges, sweep.count};
    mem_free(sweep.ranges);
    mem_free(sorted);
}

int32_t cidr_set_find(const struct cidr_set *set, const struct ip *ip)
{
    uint32_t low = 0,
             high = set->count; /* the last range that begins at or before ip lies below `high` */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(set->ranges[middle].first.bytes, ip->bytes, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? set->ranges[low - 1].value : CIDR_NONE;
}
