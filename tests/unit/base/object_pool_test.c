#include "test.h"

#include "base/attributes.h"
#include "base/block.h"
#include "base/object_pool.h"

#include <stdbool.h>

enum { OBJECTS = 1000, SIZE = 200 };

TEST(object_pool_lends_zeroed_objects_that_do_not_overlap)
{
    struct memory_budget budget = {.limit = 0};
    struct object_pool pool;
    unsigned char *objects[OBJECTS];
    object_pool_init(&pool, &budget, SIZE);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = object_pool_get(&pool);
            CHECK((uintptr_t)objects[i] % 16 == 0, "aligned");
            for (int at = 0; at < SIZE; at++)
                CHECK(objects[i][at] == 0, "object %d, byte %d", i, at);
            memset(objects[i], i & 0xff, SIZE);
        }
        for (int i = 0; i < OBJECTS; i++) {
            CHECK(objects[i][0] == (i & 0xff) && objects[i][SIZE - 1] == (i & 0xff), "%d", i);
            object_pool_put(&pool, objects[i]);
        }
    }
    object_pool_fini(&pool);
    CHECK(budget.in_use == 0);
}

TEST(object_pool_refuses_beyond_its_budget_and_trims)
{
    struct memory_budget budget = {.limit = 100000};
    struct object_pool pool;
    void *objects[OBJECTS];
    size_t count = 0;
    object_pool_init(&pool, &budget, SIZE);
    while (count < OBJECTS && (objects[count] = object_pool_get(&pool)))
        count++;
    CHECK(count > 300 && count <= 500, "%zu", count);
    CHECK(budget.in_use <= budget.limit && pool.held == budget.in_use);
    while (count > 0)
        object_pool_put(&pool, objects[--count]);
    object_pool_trim(&pool);
    CHECK(budget.in_use == 0 && pool.held == 0 && pool.in_use == 0);
    object_pool_fini(&pool);
}
