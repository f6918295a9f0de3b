#include "test.h"

#include "base/handle.h"
#include "base/random.h"

TEST(handle_outlives_its_object)
{
    struct handle_table *table = handle_table_create();
    int a, b;
    handle first = handle_new(table, &a);
    CHECK(first != 0 && handle_get(table, first) == &a);
    handle_drop(table, first);
    CHECK(handle_get(table, first) == NULL);
    handle second = handle_new(table, &b);
    CHECK(second != first && handle_get(table, second) == &b && handle_get(table, first) == NULL);
    handle_drop(table, first);
    CHECK(handle_get(table, second) == &b, "a stale handle drops nothing");
    CHECK(handle_get(table, 0) == NULL && handle_get(table, UINT64_MAX) == NULL);
    handle_drop(table, 0);
    handle_table_destroy(table);
    handle_table_destroy(NULL);
}

TEST(handle_table_does_as_a_model)
{
    enum { LIVE = 200, STEPS = 20000 };
    static int objects[LIVE];
    handle names[LIVE] = {0}, stale[LIVE] = {0};
    struct handle_table *table = handle_table_create();
    struct random random;
    random_seed(&random, 1);
    for (int step = 0; step < STEPS; step++) {
        size_t i = random_below(&random, LIVE);
        if (names[i]) {
            CHECK(handle_get(table, names[i]) == &objects[i]);
            handle_drop(table, names[i]);
            stale[i] = names[i];
            names[i] = 0;
        } else {
            names[i] = handle_new(table, &objects[i]);
        }
        CHECK(stale[i] == 0 || handle_get(table, stale[i]) == NULL, "step %d", step);
    }
    handle_table_destroy(table);
}

/* Names of what has gone find nobody, also after the table's end was given back and has grown again. */
TEST(handle_table_trims_its_end)
{
    struct handle_table *table = handle_table_create();
    int objects[100];
    handle names[100], again[100];
    for (int i = 0; i < 100; i++)
        names[i] = handle_new(table, &objects[i]);
    for (int i = 0; i < 100; i++)
        if (i != 0 && i != 40)
            handle_drop(table, names[i]);
    handle_table_trim(table);
    CHECK(handle_get(table, names[0]) == &objects[0]);
    CHECK(handle_get(table, names[40]) == &objects[40]);
    for (int i = 0; i < 100; i++)
        again[i] = handle_new(table, &objects[i]);
    for (int i = 0; i < 100; i++) {
        CHECK(handle_get(table, again[i]) == &objects[i], "%d", i);
        CHECK(i == 0 || i == 40 || handle_get(table, names[i]) == NULL, "%d", i);
    }
    handle_drop(table, names[0]);
    handle_drop(table, names[40]);
    for (int i = 0; i < 100; i++)
        handle_drop(table, again[i]);
    handle_table_trim(table);
    names[0] = handle_new(table, &objects[0]);
    CHECK(names[0] != again[0] && handle_get(table, names[0]) == &objects[0]);
    handle_table_destroy(table);
}
