#include "base/arena.h"

#include "base/block.h"
#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The header of a chunk lies at its front, the bytes to hand out behind it. */
struct arena_chunk {
    struct arena_chunk *older;
    struct block *block; /* NULL: from the heap */
    size_t size;         /* bytes behind this header */
};

enum {
    HEAP_CHUNK_FIRST = 1024,
    HEAP_CHUNK_MOST = 64 * 1024,
    /* What is larger gets a chunk of its own, so that the rest of the current one is not lost. */
    SHARE_OF_CHUNK = 4,
};

static inline char *chunk_bytes(struct arena_chunk *chunk)
{
    return (char *)(chunk + 1);
}

void arena_init(struct arena *arena, struct block_pool *blocks)
{
    *arena = (struct arena){.blocks = blocks};
}

static struct arena_chunk *chunk_from_pool(struct block_pool *pool, enum block_size size)
{
    struct block *block = block_alloc(pool, size);
    if (!block)
        return NULL;
    struct arena_chunk *chunk = (struct arena_chunk *)(void *)block->bytes;
    *chunk = (struct arena_chunk){.block = block,
                                  .size = (block->capacity - sizeof(*chunk)) & ~(size_t)7};
    return chunk;
}

/* From the heap; counted against the pool's budget where there is one. */
static struct arena_chunk *chunk_from_heap(struct block_pool *pool, size_t size)
{
    size_t bytes;
    if (__builtin_add_overflow(size, sizeof(struct arena_chunk), &bytes))
        bytes = SIZE_MAX; /* more than there is: refused below, or the allocation aborts */
    struct memory_budget *budget = pool ? block_pool_budget(pool) : NULL;
    if (pool && (bytes > PTRDIFF_MAX || (budget && !memory_budget_charge(budget, bytes))))
        return NULL;
    struct arena_chunk *chunk = mem_alloc(bytes);
    *chunk = (struct arena_chunk){.size = size};
    return chunk;
}

static void chunk_free(const struct arena *arena, struct arena_chunk *chunk)
{
    unpoison(chunk_bytes(chunk), chunk->size);
    if (chunk->block) {
        block_unref(chunk->block);
        return;
    }
    struct memory_budget *budget = arena->blocks ? block_pool_budget(arena->blocks) : NULL;
    if (budget)
        memory_budget_release(budget, chunk->size + sizeof(*chunk));
    mem_free(chunk);
}

static bool chunk_is_small(const struct arena_chunk *chunk)
{
    return chunk->size <= BLOCK_SMALL_CAPACITY - sizeof(*chunk);
}

/* Two small blocks are what most exchanges need: of a large one each would touch two pages. */
static bool is_short(const struct arena *arena)
{
    const struct arena_chunk *newest = arena->chunks;
    return !newest || (!newest->older && chunk_is_small(newest));
}

/* The next chunk to share: small first, then larger ones. */
static struct arena_chunk *chunk_to_share(const struct arena *arena, size_t size)
{
    if (arena->blocks) {
        bool small = is_short(arena) && size <= BLOCK_SMALL_CAPACITY - sizeof(struct arena_chunk);
        return chunk_from_pool(arena->blocks, small ? BLOCK_SMALL : BLOCK_LARGE);
    }
    size_t next =
        arena->chunks ? (arena->chunks->size + sizeof(struct arena_chunk)) * 2 : HEAP_CHUNK_FIRST;
    return chunk_from_heap(NULL, MIN(next, (size_t)HEAP_CHUNK_MOST) - sizeof(struct arena_chunk));
}

static bool needs_own_chunk(const struct arena *arena, size_t size)
{
    if (arena->blocks)
        return size > BLOCK_LARGE_CAPACITY - sizeof(struct arena_chunk);
    size_t next =
        arena->chunks ? MIN(arena->chunks->size * 2, (size_t)HEAP_CHUNK_MOST) : HEAP_CHUNK_FIRST;
    return size > next / SHARE_OF_CHUNK;
}

/* Behind the newest chunk, which stays the one that is shared. */
static void put_behind(struct arena *arena, struct arena_chunk *chunk)
{
    chunk->older = arena->chunks->older;
    arena->chunks->older = chunk;
}

static void *alloc_own_chunk(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = chunk_from_heap(arena->blocks, size);
    if (!chunk)
        return NULL;
    if (arena->chunks) {
        put_behind(arena, chunk);
    } else {
        arena->chunks = chunk;
        arena->next = arena->end = chunk_bytes(chunk) + size;
    }
    arena->used += size;
    return chunk_bytes(chunk);
}

void *arena_alloc_slow(struct arena *arena, size_t size)
{
    size_t rounded = size == 0 ? 8 : (size + 7) & ~(size_t)7;
    if (rounded < size)
        rounded = SIZE_MAX & ~(size_t)7;
    if (rounded > (size_t)(arena->end - arena->next)) {
        if (needs_own_chunk(arena, rounded))
            return alloc_own_chunk(arena, rounded);
        struct arena_chunk *chunk = chunk_to_share(arena, rounded);
        if (!chunk)
            return NULL;
        /* Who has more room left is shared on. */
        if (chunk->size - rounded < (size_t)(arena->end - arena->next)) {
            put_behind(arena, chunk);
            poison(chunk_bytes(chunk) + size, chunk->size - size);
            arena->used += rounded;
            return chunk_bytes(chunk);
        }
        chunk->older = arena->chunks;
        arena->chunks = chunk;
        arena->next = chunk_bytes(chunk);
        arena->end = arena->next + chunk->size;
        poison(arena->next, chunk->size);
    }
    char *at = arena->next;
    arena->next += rounded;
    arena->used += rounded;
    unpoison(at, size);
    return at;
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *chunk = arena->chunks, *older; chunk; chunk = older) {
        older = chunk->older;
        if (!kept && chunk_is_small(chunk))
            kept = chunk;
        else
            chunk_free(arena, chunk);
    }
    arena->chunks = kept;
    arena->next = kept ? chunk_bytes(kept) : NULL;
    arena->end = kept ? arena->next + kept->size : NULL;
    arena->used = 0;
    if (kept) {
        kept->older = NULL;
        poison(arena->next, kept->size);
    }
}

void arena_fini(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->chunks, *older; chunk; chunk = older) {
        older = chunk->older;
        chunk_free(arena, chunk);
    }
    arena_init(arena, arena->blocks);
}

/* The promise of the functions below, which an arena with a budget cannot give. */
static void *alloc_or_die(struct arena *arena, size_t size)
{
    void *memory = arena_try_alloc(arena, size);
    if (UNLIKELY(!memory))
        abort();
    return memory;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        abort();
    return memset(alloc_or_die(arena, bytes), 0, bytes);
}

char *arena_copy_str(struct arena *arena, const char *text)
{
    return arena_copy(arena, slice_str(text));
}

char *arena_copy(struct arena *arena, struct slice bytes)
{
    char *copy = alloc_or_die(arena, bytes.size + 1);
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = '\0';
    return copy;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        abort();
    char *text = alloc_or_die(arena, (size_t)size + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}
