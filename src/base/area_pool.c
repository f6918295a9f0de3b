#include "base/area_pool.h"

#include "base/block.h"
#include "base/memory.h"

#include <string.h>
#include <sys/mman.h>

enum {
    SLAB_BYTES = 1 << 20,
    SLAB_AREAS = SLAB_BYTES / AREA_BYTES, /* the first holds the slab itself */
    PAGE_BYTES = 4096,
};

/* Slabs are aligned to their size, so that an area finds its slab by masking. */
struct area_slab {
    struct list node;
    size_t large;                /* the only area's size when it is larger than AREA_BYTES */
    uint32_t free;               /* a bit each */
    uint32_t touched;            /* of those that are free: it holds what its last owner left */
    uint32_t resting;            /* of those that are lent out */
    uint8_t sizes[SLAB_AREAS];   /* pages asked for */
    uint8_t charged[SLAB_AREAS]; /* pages */
};

void area_pool_init(struct area_pool *pool, struct memory_budget *budget)
{
    *pool = (struct area_pool){.budget = budget};
    list_init(&pool->partial);
    list_init(&pool->full);
}

void area_pool_fini(struct area_pool *pool)
{
    assert(pool->in_use == 0);
    area_pool_trim(pool);
}

/* --- the budget -------------------------------------------------------------------------------- */

static MUST_USE bool charge(struct area_pool *pool, size_t bytes)
{
    if (pool->budget && !memory_budget_charge(pool->budget, bytes))
        return false;
    pool->held += bytes;
    return true;
}

static void release(struct area_pool *pool, size_t bytes)
{
    if (pool->budget)
        memory_budget_release(pool->budget, bytes);
    pool->held -= bytes;
}

static MUST_USE bool charge_area(struct area_pool *pool, struct area_slab *slab, unsigned i,
                                 uint8_t pages)
{
    if (pages <= slab->charged[i])
        return true;
    if (!charge(pool, (size_t)(pages - slab->charged[i]) * PAGE_BYTES))
        return false;
    slab->charged[i] = pages;
    return true;
}

/* --- slabs ------------------------------------------------------------------------------------- */

static struct area_slab *slab_of(const void *area)
{
    return (struct area_slab *)((uintptr_t)area & ~(uintptr_t)(SLAB_BYTES - 1));
}

static unsigned index_of(const void *area)
{
    return (unsigned)(((uintptr_t)area & (SLAB_BYTES - 1)) / AREA_BYTES);
}

static char *area_at(struct area_slab *slab, unsigned i)
{
    return (char *)slab + (size_t)i * AREA_BYTES;
}

/* A huge page would make resident what nobody touches. */
static struct area_slab *slab_map(size_t bytes)
{
    struct area_slab *slab = mem_map(bytes, SLAB_BYTES);
    if (slab)
        (void)madvise(slab, bytes, MADV_NOHUGEPAGE);
    return slab;
}

static struct area_slab *slab_add(struct area_pool *pool)
{
    if (!charge(pool, PAGE_BYTES))
        return NULL;
    struct area_slab *slab = slab_map(SLAB_BYTES);
    if (!slab) {
        release(pool, PAGE_BYTES);
        return NULL;
    }
    slab->free = ~(uint32_t)1;
    list_push_front(&pool->partial, &slab->node);
    return slab;
}

static size_t large_bytes(size_t size)
{
    return AREA_BYTES + ((size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1));
}

static void *large_get(struct area_pool *pool, size_t size)
{
    if (size > SIZE_MAX / 2 || !charge(pool, large_bytes(size)))
        return NULL;
    struct area_slab *slab = slab_map(large_bytes(size));
    if (!slab) {
        release(pool, large_bytes(size));
        return NULL;
    }
    slab->large = size;
    pool->in_use++;
    return area_at(slab, 1);
}

static void large_put(struct area_pool *pool, struct area_slab *slab)
{
    size_t bytes = large_bytes(slab->large);
    mem_unmap(slab, bytes);
    release(pool, bytes);
}

/* --- areas ------------------------------------------------------------------------------------- */

/* *is_touched: the area may hold what its last owner left in it. */
static void *get(struct area_pool *pool, size_t size, bool *is_touched)
{
    *is_touched = false;
    if (size > AREA_BYTES)
        return large_get(pool, size);
    struct area_slab *slab = list_is_empty(&pool->partial)
                                 ? slab_add(pool)
                                 : LIST_ENTRY(pool->partial.next, struct area_slab, node);
    if (!slab)
        return NULL;
    /* Rather one whose pages are there. */
    unsigned i = (unsigned)__builtin_ctz(slab->free & slab->touched ? slab->free & slab->touched
                                                                    : slab->free);
    uint8_t pages = (uint8_t)((size + PAGE_BYTES - 1) / PAGE_BYTES);
    if (!charge_area(pool, slab, i, pages))
        return NULL;
    uint32_t bit = (uint32_t)1 << i;
    *is_touched = slab->touched & bit;
    slab->free &= ~bit;
    slab->touched &= ~bit;
    slab->sizes[i] = pages;
    if (slab->free == 0) {
        list_remove(&slab->node);
        list_push_back(&pool->full, &slab->node);
    }
    pool->in_use++;
    return area_at(slab, i);
}

void *area_get(struct area_pool *pool, size_t size)
{
    bool is_touched;
    return get(pool, size, &is_touched);
}

void *area_get_zeroed(struct area_pool *pool, size_t size)
{
    bool is_touched;
    void *area = get(pool, size, &is_touched);
    return area && is_touched ? memset(area, 0, size) : area;
}

void area_put(struct area_pool *pool, void *area)
{
    struct area_slab *slab = slab_of(area);
    pool->in_use--;
    if (slab->large > 0) {
        large_put(pool, slab);
        return;
    }
    unsigned i = index_of(area);
    uint32_t bit = (uint32_t)1 << i;
    if (slab->free == 0) {
        list_remove(&slab->node);
        list_push_front(&pool->partial, &slab->node);
    }
    slab->free |= bit;
    if (!(slab->resting & bit))
        slab->touched |= bit;
    slab->resting &= ~bit;
    if (slab->free == ~(uint32_t)1) {
        list_remove(&slab->node);
        list_push_back(&pool->partial, &slab->node);
    }
}

size_t area_size(const void *area)
{
    const struct area_slab *slab = slab_of(area);
    return slab->large > 0 ? slab->large : (size_t)slab->sizes[index_of(area)] * PAGE_BYTES;
}

/* --- pages that go back ------------------------------------------------------------------------ */

static void forget(struct area_pool *pool, struct area_slab *slab, unsigned i)
{
    if (slab->charged[i] == 0)
        return;
    size_t bytes = (size_t)slab->charged[i] * PAGE_BYTES;
    (void)madvise(area_at(slab, i), bytes, MADV_DONTNEED);
    slab->charged[i] = 0;
    release(pool, bytes);
}

void area_rest(struct area_pool *pool, void *area)
{
    struct area_slab *slab = slab_of(area);
    if (slab->large > 0)
        return;
    slab->resting |= (uint32_t)1 << index_of(area);
    forget(pool, slab, index_of(area));
}

bool area_wake(struct area_pool *pool, void *area)
{
    struct area_slab *slab = slab_of(area);
    unsigned i = index_of(area);
    if (slab->large > 0 || !(slab->resting & (uint32_t)1 << i))
        return true;
    if (!charge_area(pool, slab, i, slab->sizes[i]))
        return false;
    slab->resting &= ~((uint32_t)1 << i);
    return true;
}

void area_pool_trim(struct area_pool *pool)
{
    LIST_EACH_SAFE(node, after, &pool->partial)
    {
        struct area_slab *slab = LIST_ENTRY(node, struct area_slab, node);
        for (uint32_t left = slab->free; left; left &= left - 1)
            forget(pool, slab, (unsigned)__builtin_ctz(left));
        slab->touched = 0;
        if (slab->free != ~(uint32_t)1)
            continue;
        list_remove(&slab->node);
        mem_unmap(slab, SLAB_BYTES);
        release(pool, PAGE_BYTES);
    }
}
