/*
 * block: reference-counted pieces of peer-driven memory, from a worker's budgeted pool.
 *
 * A block holds received bytes, bytes to send, or an arena chunk. Blocks come in two sizes (2 KB and
 * 16 KB, header included). References are not atomic: a block stays on its worker. A pool takes slabs
 * from a shared `memory_budget` (one a process, atomic) and gives them back after 10 s of calm.
 * Everything here can refuse: NULL means the budget is spent, and the caller sheds load.
 */
#pragma once

#include "base/attributes.h"

#include <assert.h>
#include <stdatomic.h>

enum block_size { BLOCK_SMALL, BLOCK_LARGE, BLOCK_SIZES };
enum { BLOCK_SMALL_BYTES = 2048, BLOCK_LARGE_BYTES = 16384 };

struct block_pool;
struct block_slab;

struct block {
    struct block_pool *pool;
    struct block_slab *slab; /* the pool's own */
    struct block *next;      /* the pool's free list, or whoever owns the only reference */
    uint32_t refs;
    uint32_t capacity; /* bytes after this header */
    char bytes[];
};
enum {
    BLOCK_SMALL_CAPACITY = BLOCK_SMALL_BYTES - (int)sizeof(struct block),
    BLOCK_LARGE_CAPACITY = BLOCK_LARGE_BYTES - (int)sizeof(struct block),
};

/* The process budget for peer-driven memory: blocks, connections, TLS. */
struct memory_budget {
    size_t limit;          /* bytes; 0 = unlimited */
    _Atomic size_t in_use; /* slabs taken and bytes charged */
};
/* At 80 % idle connections close, at 90 % reads pause and new streams get 503, at 95 % accepting stops. */
enum memory_pressure { MEMORY_CALM, MEMORY_CLOSE_IDLE, MEMORY_PAUSE_READS, MEMORY_STOP_ACCEPTING };
enum memory_pressure memory_budget_pressure(const struct memory_budget *budget);
/* Charges bytes that live outside blocks (TLS objects, connections); false when over the limit. */
MUST_USE bool memory_budget_charge(struct memory_budget *budget, size_t bytes);
void memory_budget_release(struct memory_budget *budget, size_t bytes);

/* The budget must outlive the pool; NULL = unlimited. */
struct block_pool *block_pool_create(struct memory_budget *budget);
/* Every block must be back. */
void block_pool_destroy(struct block_pool *pool);
/*
 * Gives back the free slabs that were not needed since the last trim; under pressure, all free slabs. The loop calls
 * it when 10 s passed without a refusal or a new slab, and when the pressure rises.
 */
void block_pool_trim(struct block_pool *pool);
size_t block_pool_in_use(const struct block_pool *pool); /* bytes lent out */
size_t block_pool_held(const struct block_pool *pool);   /* bytes of slabs */
struct memory_budget *block_pool_budget(const struct block_pool *pool);

/* One reference; NULL when the budget refuses. */
MUST_USE struct block *block_alloc(struct block_pool *pool, enum block_size size);
/* Only for block_unref, below. */
void block_free(struct block *block);

static inline struct block *block_ref(struct block *block)
{
    assert(block->refs > 0);
    block->refs++;
    return block;
}
static inline void block_unref(struct block *block)
{
    if (!block)
        return;
    assert(block->refs > 0);
    if (--block->refs == 0)
        block_free(block);
}
