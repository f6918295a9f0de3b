#include "test.h"

#include "base/arena.h"
#include "base/block.h"
#include "base/random.h"

/* Pieces of every size keep their bytes while others are made, and are aligned. */
static void fill_and_check(struct arena *arena, struct random *random, size_t largest)
{
    enum { PIECES = 200 };
    struct {
        uint8_t *at;
        size_t size;
    } pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i].size = random_below(random, largest);
        pieces[i].at = arena_try_alloc(arena, pieces[i].size);
        CHECK(pieces[i].at && (uintptr_t)pieces[i].at % 8 == 0);
        memset(pieces[i].at, (int)i, pieces[i].size);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < pieces[i].size; j++) {
            if (pieces[i].at[j] != (uint8_t)i)
                CHECK(false, "piece %zu was written over", i);
        }
    }
}

TEST(arena_keeps_its_pieces_apart)
{
    struct random random;
    random_seed(&random, 1);
    for (int pooled = 0; pooled < 2; pooled++) {
        struct block_pool *pool = pooled ? block_pool_create(NULL) : NULL;
        struct arena arena;
        arena_init(&arena, pool);
        for (size_t largest = 1; largest < 70000; largest = largest * 3 + 1) {
            fill_and_check(&arena, &random, largest);
            arena_reset(&arena);
            CHECK(arena.used == 0);
        }
        arena_fini(&arena);
        arena_fini(&arena);
        block_pool_destroy(pool);
    }
}

/* An exchange takes 3.1 KB, half of it in one piece, and of a large block it would touch a page or two. */
TEST(arena_fills_two_small_blocks_before_it_takes_a_large_one)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct arena arena;
    arena_init(&arena, pool);
    CHECK(arena_try_alloc(&arena, 800) && arena_try_alloc(&arena, 1500));
    CHECK(block_pool_in_use(pool) == 2 * BLOCK_SMALL_BYTES);
    CHECK(arena_try_alloc(&arena, 1100));
    CHECK(block_pool_in_use(pool) == 2 * BLOCK_SMALL_BYTES, "the first had more room left");
    CHECK(arena_try_alloc(&arena, 1100));
    CHECK(block_pool_in_use(pool) == 2 * BLOCK_SMALL_BYTES + BLOCK_LARGE_BYTES);
    arena_fini(&arena);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(arena_takes_nothing_new_in_steady_state)
{
    struct memory_budget budget = {0};
    struct block_pool *pool = block_pool_create(&budget);
    struct arena arena;
    arena_init(&arena, pool);
    CHECK(block_pool_in_use(pool) == 0, "nothing before the first need");
    CHECK(arena_try_alloc(&arena, 1500) && block_pool_in_use(pool) == BLOCK_SMALL_BYTES);
    char *first = arena.chunks ? (char *)arena.chunks : NULL;
    for (int i = 0; i < 1000; i++) {
        arena_reset(&arena);
        CHECK(arena_try_alloc(&arena, 1500) && (char *)arena.chunks == first);
        CHECK(block_pool_in_use(pool) == BLOCK_SMALL_BYTES);
    }
    CHECK(arena_try_alloc(&arena, 15000) && arena_try_alloc(&arena, 50000));
    arena_reset(&arena);
    CHECK(block_pool_in_use(pool) == BLOCK_SMALL_BYTES, "what was more than small is given back");
    CHECK(atomic_load(&budget.in_use) == block_pool_held(pool));
    arena_fini(&arena);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(arena_is_refused_by_the_budget)
{
    struct memory_budget budget = {.limit = 300 * 1024};
    struct block_pool *pool = block_pool_create(&budget);
    struct arena arena;
    arena_init(&arena, pool);
    size_t got = 0;
    while (arena_try_alloc(&arena, 1000))
        got += 1000;
    CHECK(got > 100 * 1024 && got < 300 * 1024, "%zu", got);
    CHECK(arena_try_alloc(&arena, 200 * 1024) == NULL && arena_try_alloc(&arena, SIZE_MAX) == NULL);
    CHECK(arena_try_alloc(&arena, SIZE_MAX - 7) == NULL &&
          arena_try_alloc(&arena, (size_t)1 << 62) == NULL);
    arena_fini(&arena);
    CHECK(arena_try_alloc(&arena, 20 * 1024), "what is larger than a block is charged too");
    CHECK(atomic_load(&budget.in_use) > block_pool_held(pool) + 20 * 1024);
    arena_fini(&arena);
    CHECK(atomic_load(&budget.in_use) == block_pool_held(pool));
    block_pool_destroy(pool);
    CHECK(atomic_load(&budget.in_use) == 0);
}

TEST(arena_copies_and_formats)
{
    struct arena arena;
    arena_init(&arena, NULL);
    CHECK(strcmp(arena_copy_str(&arena, "tulle"), "tulle") == 0);
    CHECK(memcmp(arena_copy(&arena, SLICE("a\0b")), "a\0b", 4) == 0);
    CHECK(strcmp(arena_copy(&arena, SLICE_NONE), "") == 0);
    CHECK(strcmp(arena_format(&arena, "%s:%d", "web", 80), "web:80") == 0);
    CHECK(strlen(arena_format(&arena, "%5000s", "")) == 5000);
    struct pair {
        uint64_t a, b;
    } *pair = arena_new(&arena, struct pair);
    CHECK(pair->a == 0 && pair->b == 0);
    void *none = arena_try_alloc(&arena, 0), *other = arena_try_alloc(&arena, 0);
    CHECK(none && other && none != other, "nothing has an address of its own");
    arena_fini(&arena);
}

TEST(arena_keeps_its_first_chunk_beside_large_pieces)
{
    struct arena arena;
    arena_init(&arena, NULL);
    CHECK(arena_try_alloc(&arena, 8));
    struct arena_chunk *first = arena.chunks;
    for (int i = 0; i < 10; i++) {
        CHECK(arena_try_alloc(&arena, 100000));
        CHECK(arena.chunks == first, "a large piece does not end the chunk that is shared");
        arena_reset(&arena);
        CHECK(arena.chunks == first);
    }
    arena_fini(&arena);
}
