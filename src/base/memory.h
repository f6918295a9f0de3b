/*
 * memory: the heap, for configuration and for objects whose number we choose ourselves.
 *
 * Running out of memory aborts, so nothing here returns NULL. Memory whose size a peer chooses is
 * checked against a limit first, or comes from block.h, whose pools can refuse.
 */
#pragma once

#include "base/attributes.h"

#include <stdarg.h>

void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
/* Zeroed; count * size is checked for overflow. */
void *mem_calloc(size_t count, size_t size)
    __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *mem_realloc(void *old, size_t size) __attribute__((alloc_size(2), returns_nonnull));
void mem_free(void *memory);
/* Overwrites before it frees: for keys and tokens. */
void mem_free_secret(void *memory, size_t size);

/* After much has come and gone (a start, a burst of connections): the heap's free pages go back to the system. */
void mem_trim(void);

/*
 * Zeroed pages of their own, aligned to a power of two; NULL when the system has none. For slabs: what is given back by
 * mem_unmap leaves the process.
 */
void *mem_map(size_t bytes, size_t alignment);
void mem_unmap(void *memory, size_t bytes);

/* A zeroed struct on the heap: struct pool *p = mem_new(struct pool). */
#define mem_new(type) ((type *)mem_calloc(1, sizeof(type)))

char *str_copy(const char *text) __attribute__((malloc, returns_nonnull));
char *str_copy_n(const char *text, size_t size) __attribute__((malloc, returns_nonnull));
char *str_format(const char *format, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
char *str_format_v(const char *format, va_list args) __attribute__((malloc, returns_nonnull));

/* char *name OWNED_STRING = str_format(...): freed on the way out. */
UNUSED static inline void str_disown(char **owner)
{
    mem_free(*owner);
}
#define owned_str __attribute__((cleanup(str_disown))) char *
