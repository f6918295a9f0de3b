#include "test.h"

#include "base/block.h"
#include "base/random.h"

#include <pthread.h>

enum { SLAB = 128 * 1024 };

TEST(block_has_one_reference_and_its_size)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct block *small = block_alloc(pool, BLOCK_SMALL), *large = block_alloc(pool, BLOCK_LARGE);
    CHECK(small->refs == 1 && small->capacity == BLOCK_SMALL_CAPACITY && small->pool == pool);
    CHECK(large->refs == 1 && large->capacity == BLOCK_LARGE_CAPACITY);
    CHECK((uintptr_t)small->bytes % 16 == 0 && (uintptr_t)large->bytes % 16 == 0);
    memset(small->bytes, 1, small->capacity);
    memset(large->bytes, 2, large->capacity);
    CHECK(block_pool_in_use(pool) == BLOCK_SMALL_BYTES + BLOCK_LARGE_BYTES);
    CHECK(block_pool_held(pool) == 2 * SLAB && block_pool_budget(pool) == NULL);
    block_ref(small);
    block_unref(small);
    CHECK(block_pool_in_use(pool) == BLOCK_SMALL_BYTES + BLOCK_LARGE_BYTES);
    block_unref(small);
    block_unref(large);
    block_unref(NULL);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
    block_pool_destroy(NULL);
}

TEST(block_pool_reuses_what_came_back_last)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct block *first = block_alloc(pool, BLOCK_SMALL);
    block_unref(first);
    for (int i = 0; i < 1000; i++) {
        struct block *again = block_alloc(pool, BLOCK_SMALL);
        CHECK(again == first);
        block_unref(again);
    }
    CHECK(block_pool_held(pool) == SLAB);
    block_pool_destroy(pool);
}

TEST(block_pool_refuses_beyond_its_budget)
{
    enum { FIT = 2 * SLAB / BLOCK_LARGE_BYTES };
    struct memory_budget budget = {.limit = 2 * SLAB + SLAB / 2};
    struct block_pool *pool = block_pool_create(&budget);
    struct block *blocks[FIT];
    for (size_t i = 0; i < FIT; i++) {
        blocks[i] = block_alloc(pool, BLOCK_LARGE);
        CHECK(blocks[i], "block %zu", i);
    }
    CHECK(block_alloc(pool, BLOCK_LARGE) == NULL && block_alloc(pool, BLOCK_SMALL) == NULL);
    CHECK(atomic_load(&budget.in_use) == 2 * SLAB);
    for (size_t i = 0; i < FIT / 2; i++)
        block_unref(blocks[i]);
    struct block *small = block_alloc(pool, BLOCK_SMALL);
    CHECK(small, "an empty slab of the other size makes room");
    CHECK(atomic_load(&budget.in_use) == 2 * SLAB);
    block_unref(small);
    for (size_t i = FIT / 2; i < FIT; i++)
        block_unref(blocks[i]);
    block_pool_destroy(pool);
    CHECK(atomic_load(&budget.in_use) == 0);
}

TEST(block_pool_gives_back_what_the_peak_does_not_need)
{
    enum { MANY = 10 * SLAB / BLOCK_LARGE_BYTES };
    struct block_pool *pool = block_pool_create(NULL);
    struct block *blocks[MANY];
    for (size_t i = 0; i < MANY; i++)
        blocks[i] = block_alloc(pool, BLOCK_LARGE);
    for (size_t i = 0; i < MANY; i++)
        block_unref(blocks[i]);
    block_pool_trim(pool);
    CHECK(block_pool_held(pool) == 10 * SLAB, "all were needed since the last trim");
    for (size_t i = 0; i < MANY / 5; i++)
        blocks[i] = block_alloc(pool, BLOCK_LARGE);
    for (size_t i = 0; i < MANY / 5; i++)
        block_unref(blocks[i]);
    block_pool_trim(pool);
    CHECK(block_pool_held(pool) == 2 * SLAB, "%zu", block_pool_held(pool) / SLAB);
    block_pool_trim(pool);
    CHECK(block_pool_held(pool) == 0);
    block_pool_destroy(pool);
}

TEST(block_pool_gives_back_everything_free_under_pressure)
{
    enum { MANY = 10 * SLAB / BLOCK_LARGE_BYTES };
    struct memory_budget budget = {.limit = 10 * SLAB};
    struct block_pool *pool = block_pool_create(&budget);
    struct block *blocks[MANY];
    for (size_t i = 0; i < MANY; i++)
        blocks[i] = block_alloc(pool, BLOCK_LARGE);
    for (size_t i = 1; i < MANY; i++)
        block_unref(blocks[i]);
    CHECK(memory_budget_pressure(&budget) == MEMORY_STOP_ACCEPTING);
    block_pool_trim(pool);
    CHECK(block_pool_held(pool) == SLAB && memory_budget_pressure(&budget) == MEMORY_CALM);
    block_unref(blocks[0]);
    block_pool_destroy(pool);
}

TEST(block_pool_does_as_a_model)
{
    enum { LIVE = 300 };
    struct memory_budget budget = {.limit = 6 * SLAB};
    struct block_pool *pool = block_pool_create(&budget);
    struct block *live[LIVE] = {0};
    struct random random;
    random_seed(&random, 1);
    size_t in_use = 0, refused = 0;
    for (int step = 0; step < 100000; step++) {
        size_t i = random_below(&random, LIVE);
        if (live[i]) {
            CHECK((uint8_t)live[i]->bytes[0] == i % 256 &&
                  (uint8_t)live[i]->bytes[live[i]->capacity - 1] == i % 256);
            in_use -= live[i]->capacity + sizeof(struct block);
            block_unref(give(live[i]));
        } else if ((live[i] =
                        block_alloc(pool, random_below(&random, 4) ? BLOCK_SMALL : BLOCK_LARGE))) {
            memset(live[i]->bytes, (int)(i % 256), live[i]->capacity);
            in_use += live[i]->capacity + sizeof(struct block);
        } else {
            refused++;
        }
        CHECK(block_pool_in_use(pool) == in_use &&
              atomic_load(&budget.in_use) == block_pool_held(pool));
        if (random_below(&random, 1000) == 0)
            block_pool_trim(pool);
    }
    CHECK(refused > 0, "the budget was met");
    for (size_t i = 0; i < LIVE; i++)
        block_unref(live[i]);
    block_pool_destroy(pool);
    CHECK(atomic_load(&budget.in_use) == 0);
}

TEST(memory_budget_tells_the_pressure)
{
    static const struct {
        size_t in_use;
        enum memory_pressure pressure;
    } cases[] = {
        {0, MEMORY_CALM},
        {799, MEMORY_CALM},
        {800, MEMORY_CLOSE_IDLE},
        {899, MEMORY_CLOSE_IDLE},
        {900, MEMORY_PAUSE_READS},
        {949, MEMORY_PAUSE_READS},
        {950, MEMORY_STOP_ACCEPTING},
        {1000, MEMORY_STOP_ACCEPTING},
    };
    EACH (c, cases) {
        struct memory_budget budget = {.limit = 1000, .in_use = c->in_use};
        CHECK(memory_budget_pressure(&budget) == c->pressure, "%zu", c->in_use);
    }
    struct memory_budget unlimited = {.in_use = SIZE_MAX / 2};
    CHECK(memory_budget_pressure(&unlimited) == MEMORY_CALM);
}

TEST(memory_budget_charges_to_the_last_byte)
{
    struct memory_budget budget = {.limit = 100};
    CHECK(memory_budget_charge(&budget, 100) && !memory_budget_charge(&budget, 1));
    memory_budget_release(&budget, 1);
    CHECK(!memory_budget_charge(&budget, 2) && memory_budget_charge(&budget, 1));
    CHECK(!memory_budget_charge(&budget, SIZE_MAX), "a sum that overflows is refused");
}

static void *charge_often(void *to)
{
    struct memory_budget *budget = to;
    for (int i = 0; i < 20000; i++) {
        if (memory_budget_charge(budget, 7))
            memory_budget_release(budget, 7);
    }
    return NULL;
}

TEST(memory_budget_is_shared_by_threads)
{
    struct memory_budget budget = {.limit = 20};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, charge_often, &budget);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&budget.in_use) == 0);
}
