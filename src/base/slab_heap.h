/*
 * slab_heap: memory of any size for a library that wants a malloc of its own, on one worker.
 *
 * Small pieces come from slabs by size class (object_pool.h), large ones from areas of whole pages (area_pool.h). No
 * lock: everything is freed on the worker that took it. All of it is charged to the memory budget, which can refuse, and
 * what is free goes back when it is trimmed. Under the sanitizers every piece is malloc's, so that overflows and late uses
 * are seen.
 */
#pragma once

#include "base/area_pool.h"
#include "base/object_pool.h"

enum { SLAB_HEAP_CLASSES = 34, SLAB_HEAP_SMALL_BYTES = 4080 };

struct slab_heap {
    struct object_pool classes[SLAB_HEAP_CLASSES];
    struct area_pool areas;
};

void slab_heap_init(struct slab_heap *heap, struct memory_budget *budget);
/* Everything must be back. */
void slab_heap_fini(struct slab_heap *heap);

/* NULL when the budget refuses. */
MUST_USE void *slab_heap_take(struct slab_heap *heap, size_t size);
MUST_USE void *slab_heap_take_zeroed(struct slab_heap *heap, size_t size);
/* As realloc: NULL leaves the old piece as it was. */
MUST_USE void *slab_heap_resize(struct slab_heap *heap, void *old, size_t size);
void slab_heap_give_back(struct slab_heap *heap, void *piece);

/* Only pieces larger than SLAB_HEAP_SMALL_BYTES rest; for others these do nothing. */
static inline bool slab_heap_can_rest(size_t size)
{
    return size > SLAB_HEAP_SMALL_BYTES;
}
/* The bytes in it are of no use any more: their pages go back until slab_heap_wake. */
void slab_heap_rest(struct slab_heap *heap, void *piece);
/* The same where its first `size` bytes, which are all that is used of it, are zero: they still are afterwards. */
void slab_heap_rest_if_zero(struct slab_heap *heap, void *piece, size_t size);
/* Before it is used again; false when the budget refuses. */
MUST_USE bool slab_heap_wake(struct slab_heap *heap, void *piece);

size_t slab_heap_held(const struct slab_heap *heap); /* bytes charged */
void slab_heap_trim(struct slab_heap *heap);
