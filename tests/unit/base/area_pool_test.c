#include "test.h"

#include "base/area_pool.h"
#include "base/block.h"

#include <sys/mman.h>

enum { PAGE = 4096, SLAB_PAGES_CHARGED = PAGE, AREAS = 100 };

static size_t resident_pages(const char *area, size_t size)
{
    unsigned char in_core[AREA_BYTES / PAGE];
    size_t count = 0;
    CHECK(mincore((void *)(uintptr_t)area, size, in_core) == 0, "mincore");
    for (size_t i = 0; i < size / PAGE; i++)
        count += in_core[i] & 1;
    return count;
}

TEST(area_pool_lends_aligned_zeroed_areas_that_do_not_overlap)
{
    struct memory_budget budget = {.limit = 0};
    struct area_pool pool;
    unsigned char *areas[AREAS];
    area_pool_init(&pool, &budget);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < AREAS; i++) {
            size_t size = (size_t)(i % 8 + 1) * PAGE - 5;
            areas[i] = area_get_zeroed(&pool, size);
            CHECK((uintptr_t)areas[i] % AREA_BYTES == 0, "aligned");
            CHECK(area_size(areas[i]) == size + 5, "%d: %zu", i, area_size(areas[i]));
            for (size_t at = 0; at < size; at++)
                CHECK(areas[i][at] == 0, "round %d, area %d, byte %zu", round, i, at);
            memset(areas[i], i + 1, area_size(areas[i]));
        }
        CHECK(pool.in_use == AREAS && pool.held == budget.in_use);
        for (int i = 0; i < AREAS; i++) {
            CHECK(areas[i][0] == i + 1 && areas[i][area_size(areas[i]) - 1] == i + 1, "%d", i);
            area_put(&pool, areas[i]);
        }
    }
    area_pool_fini(&pool);
    CHECK(budget.in_use == 0);
}

TEST(area_pool_makes_resident_what_is_touched_and_gives_it_back)
{
    struct area_pool pool;
    area_pool_init(&pool, NULL);
    char *first = area_get(&pool, AREA_BYTES), *second = area_get_zeroed(&pool, AREA_BYTES);
    CHECK(resident_pages(first, AREA_BYTES) == 0 && resident_pages(second, AREA_BYTES) == 0,
          "nobody touched them");
    memset(first, 1, 2 * PAGE);
    CHECK(resident_pages(first, AREA_BYTES) == 2);
    area_put(&pool, first);
    CHECK(resident_pages(first, AREA_BYTES) == 2, "kept for the next");
    area_pool_trim(&pool);
    CHECK(resident_pages(first, AREA_BYTES) == 0, "trimmed beside one in use");
    CHECK(pool.held == SLAB_PAGES_CHARGED + AREA_BYTES, "%zu", pool.held);
    area_put(&pool, second);
    area_pool_trim(&pool);
    CHECK(pool.held == 0);
    area_pool_fini(&pool);
}

TEST(area_pool_lets_an_area_rest)
{
    struct memory_budget budget = {.limit = 4 * PAGE};
    struct area_pool pool;
    area_pool_init(&pool, &budget);
    char *area = area_get(&pool, 3 * PAGE);
    CHECK(area != NULL && area_get(&pool, 1) == NULL, "the budget is spent");
    memset(area, 1, 3 * PAGE);
    CHECK(area_wake(&pool, area), "one that does not rest is awake");
    area_rest(&pool, area);
    CHECK(resident_pages(area, 3 * PAGE) == 0 && budget.in_use == SLAB_PAGES_CHARGED);

    char *other = area_get(&pool, 2 * PAGE);
    CHECK(other != NULL && other != area, "it is still its owner's");
    CHECK(!area_wake(&pool, area), "somebody else has the memory");
    area_put(&pool, other);
    area_pool_trim(&pool);
    CHECK(area_wake(&pool, area) && area[0] == 0 && area[3 * PAGE - 1] == 0);
    CHECK(budget.in_use == budget.limit);

    area_rest(&pool, area);
    area_put(&pool, area);
    area = area_get_zeroed(&pool, PAGE);
    CHECK(area[0] == 0, "given back while it rested");
    area_put(&pool, area);
    area_pool_fini(&pool);
    CHECK(budget.in_use == 0);
}

TEST(area_pool_gives_large_areas_a_slab_of_their_own)
{
    struct memory_budget budget = {.limit = 3 << 20};
    struct area_pool pool;
    area_pool_init(&pool, &budget);
    char *large = area_get_zeroed(&pool, AREA_BYTES + 1), *larger = area_get(&pool, 2 << 20);
    CHECK(large && larger && (uintptr_t)large % AREA_BYTES == 0);
    CHECK(area_size(large) == AREA_BYTES + 1 && area_size(larger) == 2 << 20);
    memset(larger, 1, 2 << 20);
    area_rest(&pool, larger);
    CHECK(larger[0] == 1 && area_wake(&pool, larger), "large ones stay");
    CHECK(area_get(&pool, 1 << 20) == NULL && area_get(&pool, SIZE_MAX) == NULL, "refused");
    area_put(&pool, large);
    area_put(&pool, larger);
    CHECK(budget.in_use == 0 && pool.held == 0 && pool.in_use == 0);
    area_pool_fini(&pool);
}
