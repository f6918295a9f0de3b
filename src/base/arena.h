/*
 * arena: memory of one exchange or one decoded object, freed whole.
 *
 * An arena grows by chunks; arena_reset keeps the first chunk and costs nothing in steady state.
 * With a block pool the chunks are budgeted blocks and allocation can fail (arena_try_alloc);
 * without one they come from the heap and failure aborts. Nothing in it is freed one by one.
 */
#pragma once

#include "base/attributes.h"
#include "base/poison.h"
#include "base/slice.h"

struct arena_chunk;
struct block_pool;

struct arena {
    char *next; /* free bytes [next, end) of the current chunk */
    char *end;
    struct arena_chunk *chunks; /* newest first */
    struct block_pool *blocks;  /* NULL: heap */
    size_t used;                /* bytes handed out since the last reset */
};

/* Takes no memory until the first allocation. blocks may be NULL and must outlive the arena. */
void arena_init(struct arena *arena, struct block_pool *blocks);
/* Forgets everything; keeps one small chunk for the next use. */
void arena_reset(struct arena *arena);
/* Frees everything; the arena may be used again. */
void arena_fini(struct arena *arena);

void *arena_alloc_slow(struct arena *arena, size_t size);

/* Aligned to 8; NULL only when a block pool refuses. Not zeroed. */
static inline void *arena_try_alloc(struct arena *arena, size_t size)
{
    /* Both ends are aligned, so what fits before rounding fits after it. Size 0 takes the slow way. */
    if (LIKELY(size - 1 < (size_t)(arena->end - arena->next))) {
        char *at = arena->next;
        size_t step = (size + 7) & ~(size_t)7;
        arena->next += step;
        arena->used += step;
        unpoison(at, size);
        return at;
    }
    return arena_alloc_slow(arena, size);
}

/* As above for heap arenas, where nothing fails (it aborts in others); zeroed. */
void *arena_calloc(struct arena *arena, size_t count, size_t size) __attribute__((returns_nonnull));
#define arena_new(arena, type) ((type *)arena_calloc((arena), 1, sizeof(type)))
/* NUL-terminated copies; heap arenas only. */
char *arena_copy_str(struct arena *arena, const char *text);
char *arena_copy(struct arena *arena, struct slice bytes);
char *arena_format(struct arena *arena, const char *format, ...) PRINTF(2, 3);
