#include "base/block.h"

#include "base/list.h"
#include "base/memory.h"
#include "base/poison.h"

#include <sys/mman.h>

enum { SLAB_BYTES = 128 * 1024 };

/* A slab lends blocks of one size. Blocks are carved when first lent, so untouched pages cost nothing. */
struct block_slab {
    struct list
        node; /* in the pool's list of slabs that can lend; alone while every block is lent */
    struct block *free;
    char *memory;
    uint32_t carved;
    uint32_t lent;
    enum block_size size;
};

struct block_size_class {
    struct list lenders; /* the slab to lend from is first, empty slabs are last */
    uint32_t slabs;
    uint32_t busy;      /* slabs with at least one block lent */
    uint32_t busy_peak; /* since the last trim */
};

struct block_pool {
    struct block_size_class classes[BLOCK_SIZES];
    struct memory_budget *budget;
    size_t lent_bytes;
};

static const uint32_t block_bytes[BLOCK_SIZES] = {BLOCK_SMALL_BYTES, BLOCK_LARGE_BYTES};
static const uint32_t blocks_a_slab[BLOCK_SIZES] = {SLAB_BYTES / BLOCK_SMALL_BYTES,
                                                    SLAB_BYTES / BLOCK_LARGE_BYTES};

enum memory_pressure memory_budget_pressure(const struct memory_budget *budget)
{
    size_t limit = budget->limit,
           in_use = atomic_load_explicit(&budget->in_use, memory_order_relaxed);
    if (limit == 0 || in_use < limit - limit / 5)
        return MEMORY_CALM;
    if (in_use < limit - limit / 10)
        return MEMORY_CLOSE_IDLE;
    if (in_use < limit - limit / 20)
        return MEMORY_PAUSE_READS;
    return MEMORY_STOP_ACCEPTING;
}

bool memory_budget_charge(struct memory_budget *budget, size_t bytes)
{
    size_t in_use = atomic_load_explicit(&budget->in_use, memory_order_relaxed), next;
    do {
        if (__builtin_add_overflow(in_use, bytes, &next) ||
            (budget->limit > 0 && next > budget->limit))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->in_use, &in_use, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void memory_budget_release(struct memory_budget *budget, size_t bytes)
{
    UNUSED size_t before = atomic_fetch_sub_explicit(&budget->in_use, bytes, memory_order_relaxed);
    assert(before >= bytes);
}

struct block_pool *block_pool_create(struct memory_budget *budget)
{
    struct block_pool *pool = mem_new(struct block_pool);
    pool->budget = budget;
    for (size_t i = 0; i < BLOCK_SIZES; i++)
        list_init(&pool->classes[i].lenders);
    return pool;
}

/* Mapped rather than allocated, so that a slab that is given back leaves the process. */
static char *map_slab(void)
{
#ifdef POISON_WORKS
    return mem_alloc(SLAB_BYTES); /* where the sanitizer looks for leaks and late uses */
#else
    void *memory =
        mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
#endif
}

static void unmap_slab(char *memory)
{
#ifdef POISON_WORKS
    unpoison(memory, SLAB_BYTES);
    mem_free(memory);
#else
    munmap(memory, SLAB_BYTES);
#endif
}

static void drop_slab(struct block_pool *pool, struct block_slab *slab)
{
    assert(slab->lent == 0);
    list_remove(&slab->node);
    pool->classes[slab->size].slabs--;
    unmap_slab(slab->memory);
    mem_free(slab);
    if (pool->budget)
        memory_budget_release(pool->budget, SLAB_BYTES);
}

/* Empty slabs are at the back of the list. Those that the peak does not explain go, or all of them. */
static size_t drop_empty_slabs(struct block_pool *pool, struct block_size_class *class, bool all)
{
    size_t dropped = 0;
    while (!list_is_empty(&class->lenders) && (all || class->slabs > class->busy_peak)) {
        struct block_slab *last = LIST_ENTRY(class->lenders.prev, struct block_slab, node);
        if (last->lent > 0)
            break;
        drop_slab(pool, last);
        dropped++;
    }
    return dropped;
}

void block_pool_trim(struct block_pool *pool)
{
    bool all = pool->budget && memory_budget_pressure(pool->budget) != MEMORY_CALM;
    for (size_t i = 0; i < BLOCK_SIZES; i++) {
        struct block_size_class *class = &pool->classes[i];
        drop_empty_slabs(pool, class, all);
        class->busy_peak = class->busy;
    }
}

void block_pool_destroy(struct block_pool *pool)
{
    if (!pool)
        return;
    assert(pool->lent_bytes == 0);
    for (size_t i = 0; i < BLOCK_SIZES; i++)
        drop_empty_slabs(pool, &pool->classes[i], true);
    mem_free(pool);
}

size_t block_pool_in_use(const struct block_pool *pool)
{
    return pool->lent_bytes;
}

size_t block_pool_held(const struct block_pool *pool)
{
    size_t slabs = 0;
    for (size_t i = 0; i < BLOCK_SIZES; i++)
        slabs += pool->classes[i].slabs;
    return slabs * SLAB_BYTES;
}

struct memory_budget *block_pool_budget(const struct block_pool *pool)
{
    return pool->budget;
}

/* At the limit, what the other size left empty is given up first. */
static bool charge_slab(struct block_pool *pool)
{
    if (!pool->budget || memory_budget_charge(pool->budget, SLAB_BYTES))
        return true;
    size_t dropped = 0;
    for (size_t i = 0; i < BLOCK_SIZES; i++)
        dropped += drop_empty_slabs(pool, &pool->classes[i], true);
    return dropped > 0 && memory_budget_charge(pool->budget, SLAB_BYTES);
}

COLD static struct block_slab *add_slab(struct block_pool *pool, enum block_size size)
{
    if (!charge_slab(pool))
        return NULL;
    char *memory = map_slab();
    if (!memory) {
        if (pool->budget)
            memory_budget_release(pool->budget, SLAB_BYTES);
        return NULL;
    }
    struct block_slab *slab = mem_new(struct block_slab);
    slab->memory = memory;
    slab->size = size;
    poison(memory, SLAB_BYTES);
    list_push_front(&pool->classes[size].lenders, &slab->node);
    pool->classes[size].slabs++;
    return slab;
}

static struct block *carve(struct block_pool *pool, struct block_slab *slab)
{
    char *at = slab->memory + (size_t)slab->carved++ * block_bytes[slab->size];
    struct block *block = (struct block *)(void *)at;
    unpoison(block, sizeof(*block));
    block->pool = pool;
    block->slab = slab;
    block->capacity = block_bytes[slab->size] - (uint32_t)sizeof(*block);
    return block;
}

static inline void lend(struct block_pool *pool, struct block_slab *slab, struct block *block)
{
    pool->lent_bytes += block_bytes[slab->size];
    block->refs = 1;
    block->next = NULL;
    unpoison(block->bytes, block->capacity);
}

/* A slab lends its first block. */
static inline void note_busy(struct block_size_class *class)
{
    class->busy++;
    class->busy_peak = MAX(class->busy_peak, class->busy);
}

/* The last block of a slab, or one that was never lent. */
__attribute__((noinline)) static struct block *alloc_slow(struct block_pool *pool,
                                                          enum block_size size)
{
    struct block_size_class *class = &pool->classes[size];
    struct block_slab *slab;
    if (LIKELY(!list_is_empty(&class->lenders)))
        slab = LIST_ENTRY(class->lenders.next, struct block_slab, node);
    else if (!(slab = add_slab(pool, size)))
        return NULL;

    struct block *block = slab->free;
    if (block)
        slab->free = block->next;
    else
        block = carve(pool, slab);
    if (slab->lent++ == 0)
        note_busy(class);
    if (slab->lent == blocks_a_slab[size])
        list_remove(&slab->node);
    lend(pool, slab, block);
    return block;
}

struct block *block_alloc(struct block_pool *pool, enum block_size size)
{
    struct list *lenders = &pool->classes[size].lenders;
    struct block_slab *slab = LIST_ENTRY(lenders->next, struct block_slab, node);
    if (UNLIKELY(list_is_empty(lenders) || !slab->free || slab->lent + 1 == blocks_a_slab[size]))
        return alloc_slow(pool, size);
    struct block *block = slab->free;
    slab->free = block->next;
    if (slab->lent++ == 0)
        note_busy(&pool->classes[size]);
    lend(pool, slab, block);
    return block;
}

/* The slab can lend again, or nothing of it is lent any more. */
__attribute__((noinline)) static void move_slab(struct block_size_class *class,
                                                struct block_slab *slab)
{
    if (slab->lent + 1 == blocks_a_slab[slab->size])
        list_push_front(&class->lenders, &slab->node);
    if (slab->lent == 0) {
        class->busy--;
        list_remove(&slab->node);
        list_push_back(&class->lenders, &slab->node);
    }
}

void block_free(struct block *block)
{
    struct block_slab *slab = block->slab;
    struct block_pool *pool = block->pool;
    poison(block->bytes, block->capacity);
    block->next = slab->free;
    slab->free = block;
    pool->lent_bytes -= block_bytes[slab->size];
    slab->lent--;
    if (UNLIKELY(slab->lent - 1 >= blocks_a_slab[slab->size] - 2))
        move_slab(&pool->classes[slab->size], slab);
}
