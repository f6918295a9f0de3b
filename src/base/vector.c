#include "base/vector.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

void *vector_grow(void *items, size_t *capacity, size_t item_size)
{
    size_t next = *capacity ? *capacity * 2 : 4, bytes;
    if (__builtin_mul_overflow(next, item_size, &bytes))
        bytes = SIZE_MAX; /* more than there is: the allocation aborts */
    items = mem_realloc(items, bytes);
    *capacity = next;
    return items;
}

void *vector_fit(void *items, size_t *capacity, size_t count, size_t item_size)
{
    *capacity = count;
    if (count > 0)
        return mem_realloc(items, count * item_size);
    mem_free(items);
    return NULL;
}

void vector_close_gap(void *items, size_t *count, size_t index, size_t item_size)
{
    assert(index < *count);
    char *gap = (char *)items + index * item_size;
    memmove(gap, gap + item_size, (*count - index - 1) * item_size);
    (*count)--;
}
