#include "base/object_pool.h"

#include "base/block.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>

/* Slabs are aligned to their size, so that an object finds its slab by masking. */
enum { SLAB_BYTES = OBJECT_POOL_SLAB_BYTES, SLAB_HEADER = 64 };

struct free_object {
    struct free_object *next;
};

struct slab {
    struct list node;
    struct object_pool *pool;
    struct free_object *free;
    size_t in_use;
    size_t untouched; /* objects at the end that were never lent out */
};

void object_pool_init(struct object_pool *pool, struct memory_budget *budget, size_t object_size)
{
    *pool = (struct object_pool){.budget = budget, .object_size = (object_size + 15) & ~(size_t)15};
    list_init(&pool->partial);
    list_init(&pool->full);
}

static MUST_USE bool charge(struct object_pool *pool, size_t bytes)
{
    if (pool->budget && !memory_budget_charge(pool->budget, bytes))
        return false;
    pool->held += bytes;
    return true;
}

static void release(struct object_pool *pool, size_t bytes)
{
    if (pool->budget)
        memory_budget_release(pool->budget, bytes);
    pool->held -= bytes;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void object_pool_fini(struct object_pool *pool)
{
    assert(pool->in_use == 0);
}

void *object_pool_take(struct object_pool *pool)
{
    if (!charge(pool, pool->object_size))
        return NULL;
    pool->in_use++;
    return mem_alloc(pool->object_size);
}

void object_pool_put(struct object_pool *pool, void *object)
{
    pool->in_use--;
    release(pool, pool->object_size);
    mem_free(object);
}

void object_pool_trim(struct object_pool *pool)
{
    (void)pool;
}

#else

static size_t slab_objects(const struct object_pool *pool)
{
    return (SLAB_BYTES - SLAB_HEADER) / pool->object_size;
}

static struct slab *slab_add(struct object_pool *pool)
{
    if (!charge(pool, SLAB_BYTES))
        return NULL;
    /* From the system: the heap would put a header before each slab, and so make two more pages resident for four. */
    struct slab *slab = mem_map(SLAB_BYTES, SLAB_BYTES);
    if (!slab) {
        release(pool, SLAB_BYTES);
        return NULL;
    }
    *slab = (struct slab){.pool = pool, .untouched = slab_objects(pool)};
    list_push_front(&pool->partial, &slab->node);
    return slab;
}

static void slab_drop(struct object_pool *pool, struct slab *slab)
{
    list_remove(&slab->node);
    mem_unmap(slab, SLAB_BYTES);
    release(pool, SLAB_BYTES);
}

void object_pool_fini(struct object_pool *pool)
{
    assert(pool->in_use == 0);
    object_pool_trim(pool);
}

void *object_pool_take(struct object_pool *pool)
{
    struct slab *slab = list_is_empty(&pool->partial)
                            ? slab_add(pool)
                            : LIST_ENTRY(pool->partial.next, struct slab, node);
    if (!slab)
        return NULL;
    void *object = slab->free;
    if (object) {
        slab->free = slab->free->next;
    } else {
        slab->untouched--;
        object = (char *)slab + SLAB_HEADER +
                 (slab_objects(pool) - 1 - slab->untouched) * pool->object_size;
    }
    slab->in_use++;
    pool->in_use++;
    if (!slab->free && slab->untouched == 0) {
        list_remove(&slab->node);
        list_push_back(&pool->full, &slab->node);
    }
    return object;
}

static struct slab *slab_of(const void *object)
{
    return (struct slab *)((uintptr_t)object & ~(uintptr_t)(SLAB_BYTES - 1));
}

struct object_pool *object_pool_of(const void *object)
{
    return slab_of(object)->pool;
}

void object_pool_put(struct object_pool *pool, void *object)
{
    struct slab *slab = slab_of(object);
    struct free_object *entry = object;
    if (!slab->free && slab->untouched == 0) {
        list_remove(&slab->node);
        list_push_front(&pool->partial, &slab->node);
    }
    entry->next = slab->free;
    slab->free = entry;
    pool->in_use--;
    /* Empty slabs go to the back, so that use gathers in few slabs and whole ones can be given back. */
    if (--slab->in_use == 0) {
        list_remove(&slab->node);
        list_push_back(&pool->partial, &slab->node);
    }
}

void object_pool_trim(struct object_pool *pool)
{
    LIST_EACH_SAFE(node, after, &pool->partial)
    {
        struct slab *slab = LIST_ENTRY(node, struct slab, node);
        if (slab->in_use == 0)
            slab_drop(pool, slab);
    }
}

#endif

void *object_pool_get(struct object_pool *pool)
{
    void *object = object_pool_take(pool);
    return object ? memset(object, 0, pool->object_size) : NULL;
}
