#include "test.h"

#include "base/map.h"
#include "base/random.h"

enum { KEYS = 500 };
static char values[KEYS];

static struct slice key_of(size_t number, char text[24])
{
    return slice_of(text, (size_t)snprintf(text, 24, "key-%zu", number));
}

static void check_against_model(struct map *map, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    char *model[KEYS] = {0}, text[24];
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        size_t number = random_below(&random, KEYS);
        struct slice key = key_of(number, text);
        char *value = &values[random_below(&random, KEYS)];
        switch (random_below(&random, 5)) {
        case 0:
        case 1:
            CHECK(map_put(map, key, value) == model[number], "seed %lu, step %d", seed, step);
            count += model[number] == NULL;
            model[number] = value;
            break;
        case 2:
        case 3:
            CHECK(map_remove(map, key) == model[number], "seed %lu, step %d", seed, step);
            count -= model[number] != NULL;
            model[number] = NULL;
            break;
        default: CHECK(map_get(map, key) == model[number], "seed %lu, step %d", seed, step);
        }
        CHECK(map_count(map) == count);
    }
    struct map_iterator it = {0};
    size_t seen = 0;
    for (; map_next(map, &it); seen++)
        CHECK(it.value == map_get(map, it.key));
    CHECK(seen == count);
}

TEST(map_does_as_a_model)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        owned(map) map = seed % 2 ? map_create() : map_create_hostile();
        check_against_model(map, seed);
        map_clear(map);
        CHECK(map_count(map) == 0);
        check_against_model(map, seed + 100);
    }
}

TEST(map_iterates_in_the_order_of_insertion)
{
    owned(map) map = map_create_hostile();
    char text[24];
    for (size_t i = 0; i < KEYS; i++)
        map_put(map, key_of(i, text), &values[i]);
    for (size_t i = 0; i < KEYS; i += 3)
        map_remove(map, key_of(i, text));
    map_put(map, key_of(0, text), &values[0]);
    struct map_iterator it = {0};
    size_t previous = 0, seen = 0;
    for (; map_next(map, &it) && it.value != &values[0]; seen++) {
        size_t number = (size_t)((char *)it.value - values);
        CHECK(number > previous && number % 3 != 0);
        previous = number;
    }
    CHECK(seen == KEYS - (KEYS + 2) / 3 && !map_next(map, &it), "what came back is last");
}

TEST(map_may_lose_the_key_that_is_visited)
{
    owned(map) map = map_create();
    char text[24];
    for (size_t i = 0; i < KEYS; i++)
        map_put(map, key_of(i, text), &values[i]);
    struct map_iterator it = {0};
    size_t seen = 0;
    for (; map_next(map, &it); seen++)
        CHECK(map_remove(map, it.key) == it.value);
    CHECK(seen == KEYS && map_count(map) == 0);
}

TEST(map_takes_any_bytes_as_keys)
{
    owned(map) map = map_create();
    CHECK(map_get(map, SLICE("a")) == NULL && map_remove(map, SLICE("a")) == NULL);
    map_put(map, SLICE(""), &values[1]);
    map_put(map, SLICE("\0"), &values[2]);
    map_put(map, SLICE("\0\0"), &values[3]);
    CHECK(map_get(map, SLICE_NONE) == &values[1]);
    CHECK(map_get(map, SLICE("\0")) == &values[2] && map_get(map, SLICE("\0\0")) == &values[3]);
    map_destroy(NULL);
}

TEST(map_stays_small_when_keys_come_and_go)
{
    owned(map) map = map_create();
    char text[24];
    for (size_t i = 0; i < 100000; i++) {
        map_put(map, key_of(i, text), &values[0]);
        if (i >= 10)
            CHECK(map_remove(map, key_of(i - 10, text)));
    }
    struct map_iterator it = {0};
    size_t seen = 0;
    while (map_next(map, &it))
        seen++;
    CHECK(seen == 10 && it.position < 64, "holes are closed: %zu", it.position);
}
