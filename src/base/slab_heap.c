#include "base/slab_heap.h"

#include "base/block.h"
#include "base/poison.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#if defined(POISON_WORKS) || defined(__SANITIZE_THREAD__)

/* The first class counts what is held and in use. */
void slab_heap_init(struct slab_heap *heap, struct memory_budget *budget)
{
    object_pool_init(&heap->classes[0], budget, 1);
}

void slab_heap_fini(struct slab_heap *heap)
{
    assert(heap->classes[0].in_use == 0 && heap->classes[0].held == 0);
    (void)heap;
}

void *slab_heap_take(struct slab_heap *heap, size_t size)
{
    struct object_pool *all = &heap->classes[0];
    if (size == 0)
        size = 1;
    if (all->budget && !memory_budget_charge(all->budget, size))
        return NULL;
    void *piece = malloc(size);
    if (!piece)
        abort();
    all->held += size;
    all->in_use++;
    return piece;
}

void slab_heap_give_back(struct slab_heap *heap, void *piece)
{
    struct object_pool *all = &heap->classes[0];
    if (!piece)
        return;
    size_t size = malloc_usable_size(piece); /* with the sanitizers what was asked for */
    if (all->budget)
        memory_budget_release(all->budget, size);
    all->held -= size;
    all->in_use--;
    free(piece);
}

static size_t room_in(const void *piece)
{
    return malloc_usable_size((void *)(uintptr_t)piece);
}

void slab_heap_rest(struct slab_heap *heap, void *piece)
{
    (void)heap;
    memset(piece, 0xa5, room_in(piece)); /* whoever wants them back shall notice */
}

void slab_heap_rest_if_zero(struct slab_heap *heap, void *piece, size_t size)
{
    (void)heap, (void)piece, (void)size;
}

bool slab_heap_wake(struct slab_heap *heap, void *piece)
{
    (void)heap, (void)piece;
    return true;
}

size_t slab_heap_held(const struct slab_heap *heap)
{
    return heap->classes[0].held;
}

void slab_heap_trim(struct slab_heap *heap)
{
    (void)heap;
}

void *slab_heap_take_zeroed(struct slab_heap *heap, size_t size)
{
    void *piece = slab_heap_take(heap, size);
    return piece ? memset(piece, 0, size) : NULL;
}

#else

/* Up to 256 bytes in steps of 16, up to 1,024 in steps of 64, then as many as fill a slab. */
enum { FINE_MAX = 256, FINE_STEP = 16, COARSE_MAX = 1024, COARSE_STEP = 64, COARSE_FIRST = 16 };
static const uint16_t large_classes[] = {1360, 1632, 2032, 2720, 3264, SLAB_HEAP_SMALL_BYTES};
enum { LARGE_FIRST = COARSE_FIRST + (COARSE_MAX - FINE_MAX) / COARSE_STEP };
_Static_assert(LARGE_FIRST + COUNT(large_classes) == SLAB_HEAP_CLASSES, "every class has a pool");

static size_t class_of(size_t size)
{
    if (LIKELY(size <= FINE_MAX))
        return size == 0 ? 0 : (size - 1) / FINE_STEP;
    if (size <= COARSE_MAX)
        return COARSE_FIRST + (size - FINE_MAX - 1) / COARSE_STEP;
    size_t class = LARGE_FIRST;
    while (large_classes[class - LARGE_FIRST] < size)
        class ++;
    return class;
}

static size_t bytes_of(size_t class)
{
    return class < COARSE_FIRST  ? (class + 1) * FINE_STEP
           : class < LARGE_FIRST ? FINE_MAX + (class - COARSE_FIRST + 1) * COARSE_STEP
                                 : large_classes[class - LARGE_FIRST];
}

/* Areas are aligned to what is a multiple of a slab's size, where no small piece lies. */
static bool is_area(const void *piece)
{
    return ((uintptr_t)piece & (OBJECT_POOL_SLAB_BYTES - 1)) == 0;
}

void slab_heap_init(struct slab_heap *heap, struct memory_budget *budget)
{
    for (size_t i = 0; i < SLAB_HEAP_CLASSES; i++)
        object_pool_init(&heap->classes[i], budget, bytes_of(i));
    area_pool_init(&heap->areas, budget);
}

void slab_heap_fini(struct slab_heap *heap)
{
    for (size_t i = 0; i < SLAB_HEAP_CLASSES; i++)
        object_pool_fini(&heap->classes[i]);
    area_pool_fini(&heap->areas);
}

void *slab_heap_take(struct slab_heap *heap, size_t size)
{
    if (LIKELY(size <= SLAB_HEAP_SMALL_BYTES))
        return object_pool_take(&heap->classes[class_of(size)]);
    return area_get(&heap->areas, size);
}

void *slab_heap_take_zeroed(struct slab_heap *heap, size_t size)
{
    if (UNLIKELY(size > SLAB_HEAP_SMALL_BYTES))
        return area_get_zeroed(&heap->areas, size);
    void *piece = object_pool_take(&heap->classes[class_of(size)]);
    return piece ? memset(piece, 0, size) : NULL;
}

void slab_heap_give_back(struct slab_heap *heap, void *piece)
{
    if (UNLIKELY(!piece))
        return;
    if (UNLIKELY(is_area(piece)))
        area_put(&heap->areas, piece);
    else
        object_pool_put(object_pool_of(piece), piece);
}

static size_t room_in(const void *piece)
{
    return is_area(piece) ? area_size(piece) : object_pool_of(piece)->object_size;
}

void slab_heap_rest(struct slab_heap *heap, void *piece)
{
    if (is_area(piece))
        area_rest(&heap->areas, piece);
}

void slab_heap_rest_if_zero(struct slab_heap *heap, void *piece, size_t size)
{
    const char *bytes = piece;
    if (is_area(piece) && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0)
        area_rest(&heap->areas, piece);
}

bool slab_heap_wake(struct slab_heap *heap, void *piece)
{
    return !is_area(piece) || area_wake(&heap->areas, piece);
}

size_t slab_heap_held(const struct slab_heap *heap)
{
    size_t held = heap->areas.held;
    for (size_t i = 0; i < SLAB_HEAP_CLASSES; i++)
        held += heap->classes[i].held;
    return held;
}

void slab_heap_trim(struct slab_heap *heap)
{
    for (size_t i = 0; i < SLAB_HEAP_CLASSES; i++)
        object_pool_trim(&heap->classes[i]);
    area_pool_trim(&heap->areas);
}

#endif

void *slab_heap_resize(struct slab_heap *heap, void *old, size_t size)
{
    if (!old)
        return slab_heap_take(heap, size);
    size_t room = room_in(old);
    if (size <= room)
        return old;
    void *piece = slab_heap_take(heap, size);
    if (!piece)
        return NULL;
    memcpy(piece, old, room);
    slab_heap_give_back(heap, old);
    return piece;
}
