/*
 * vector: a growing array of any one type, on the heap.
 *
 * Declare VECTOR(struct route *) routes; zeroed = empty. Elements are in routes.items[0 .. routes.count).
 * Pointers to elements hold until the next push.
 */
#pragma once

#include "base/attributes.h"

#define VECTOR(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
    }
#define vector_push(vector, ...)                                                                   \
    do {                                                                                           \
        if ((vector)->count == (vector)->capacity)                                                 \
            (vector)->items =                                                                      \
                vector_grow((vector)->items, &(vector)->capacity, sizeof(*(vector)->items));       \
        (vector)->items[(vector)->count++] = (__typeof__(*(vector)->items))__VA_ARGS__;            \
    } while (0)
#define vector_last(vector) ((vector)->items[(vector)->count - 1])
/* Keeps the order. */
#define vector_remove(vector, index)                                                               \
    vector_close_gap((vector)->items, &(vector)->count, (index), sizeof(*(vector)->items))
#define vector_fini(vector)                                                                        \
    do {                                                                                           \
        mem_free((vector)->items);                                                                 \
        *(vector) = (__typeof__(*(vector))){0};                                                    \
    } while (0)
/* Gives back the room behind the last element. */
#define vector_shrink(vector)                                                                      \
    ((vector)->items = vector_fit((vector)->items, &(vector)->capacity, (vector)->count,           \
                                  sizeof(*(vector)->items)))
#define VECTOR_EACH(item, vector)                                                                  \
    for (__typeof__(*(vector)->items) *item = (vector)->items,                                     \
                                      *item##_end = item ? item + (vector)->count : item;          \
         item < item##_end; item++)

void *vector_grow(void *items, size_t *capacity, size_t item_size);
void *vector_fit(void *items, size_t *capacity, size_t count, size_t item_size);
void vector_close_gap(void *items, size_t *count, size_t index, size_t item_size);
void mem_free(void *memory);
