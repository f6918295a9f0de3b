/*
 * object_pool: objects of one size from slabs that are charged to the memory budget.
 *
 * Free slabs stay until object_pool_trim, so that steady state takes nothing from the heap. Under the sanitizers
 * every object is an allocation of its own, so that use after free is seen.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"

struct memory_budget;

/* No object lies at a slab's own address, which is a multiple of its size. */
enum { OBJECT_POOL_SLAB_BYTES = 16384 };

struct object_pool {
    struct memory_budget *budget;
    struct list partial; /* slabs with free objects */
    struct list full;
    size_t object_size;
    size_t held;   /* bytes of slabs */
    size_t in_use; /* objects lent out */
};

void object_pool_init(struct object_pool *pool, struct memory_budget *budget, size_t object_size);
/* Every object must be back. */
void object_pool_fini(struct object_pool *pool);
/* Zeroed; NULL when the budget refuses. */
MUST_USE void *object_pool_get(struct object_pool *pool);
/* The same with whatever was there before. */
MUST_USE void *object_pool_take(struct object_pool *pool);
void object_pool_put(struct object_pool *pool, void *object);
/* The pool that an object is of. Not under the sanitizers. */
struct object_pool *object_pool_of(const void *object);
/* Gives whole free slabs back. */
void object_pool_trim(struct object_pool *pool);
