#include "test.h"

#include "base/block.h"
#include "base/random.h"
#include "base/slab_heap.h"

/* Run twice: as it is, under the sanitizers, where every piece is malloc's, and without them, where the slabs are. */

enum { PIECES = 500, ROUNDS = 20000 };

static size_t some_size(struct random *random)
{
    switch (random_below(random, 8)) {
    case 0: return random_below(random, 40000);
    case 1: return random_below(random, 6000);
    case 2: return 0;
    default: return random_below(random, 400);
    }
}

static void fill(unsigned char *piece, size_t size, size_t mark)
{
    if (size > 0)
        memset(piece, (int)(mark & 0xff), size);
}

static void check(const unsigned char *piece, size_t size, size_t mark)
{
    for (size_t at = 0; at < size; at++)
        CHECK(piece[at] == (mark & 0xff), "piece %zu, byte %zu of %zu", mark, at, size);
}

TEST(slab_heap_keeps_pieces_of_all_sizes_apart)
{
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    struct memory_budget budget = {.limit = 0};
    struct slab_heap heap;
    struct random random;
    random_seed(&random, 7);
    slab_heap_init(&heap, &budget);
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = random_below(&random, PIECES), size = some_size(&random);
        check(pieces[i], sizes[i], i);
        if (random_below(&random, 3) == 0) {
            pieces[i] = slab_heap_resize(&heap, pieces[i], size);
            check(pieces[i], MIN(size, sizes[i]), i);
        } else {
            slab_heap_give_back(&heap, pieces[i]);
            pieces[i] =
                round % 2 ? slab_heap_take(&heap, size) : slab_heap_take_zeroed(&heap, size);
            if (round % 2 == 0)
                check(pieces[i], size, 0);
        }
        CHECK(pieces[i] && (uintptr_t)pieces[i] % 16 == 0, "aligned");
        sizes[i] = size;
        fill(pieces[i], size, i);
        if (round % 1000 == 0)
            slab_heap_trim(&heap);
        CHECK(slab_heap_held(&heap) == budget.in_use);
    }
    for (size_t i = 0; i < PIECES; i++) {
        check(pieces[i], sizes[i], i);
        slab_heap_give_back(&heap, pieces[i]);
        pieces[i] = NULL;
    }
    slab_heap_give_back(&heap, NULL);
    slab_heap_trim(&heap);
    CHECK(slab_heap_held(&heap) == 0 && budget.in_use == 0);
    slab_heap_fini(&heap);
}

TEST(slab_heap_has_room_for_each_size_asked)
{
    struct slab_heap heap;
    slab_heap_init(&heap, NULL);
    for (size_t size = 1; size < 20000; size += size < 1200 ? 1 : 97) {
        unsigned char *piece = slab_heap_take(&heap, size), *next = slab_heap_take(&heap, size);
        memset(piece, 1, size);
        memset(next, 2, size);
        check(piece, size, 1);
        check(next, size, 2);
        slab_heap_give_back(&heap, piece);
        slab_heap_give_back(&heap, next);
    }
    slab_heap_fini(&heap);
}

TEST(slab_heap_refuses_beyond_its_budget)
{
    struct memory_budget budget = {.limit = 200000};
    struct slab_heap heap;
    void *pieces[3000];
    size_t count = 0;
    slab_heap_init(&heap, &budget);
    while (count < COUNT(pieces) && (pieces[count] = slab_heap_take(&heap, 100)))
        count++;
    CHECK(count > 1500 && count < 2100, "%zu", count);
    CHECK(slab_heap_take_zeroed(&heap, 200000) == NULL &&
          slab_heap_take(&heap, SIZE_MAX / 2) == NULL);
    CHECK(slab_heap_resize(&heap, pieces[0], 300000) == NULL, "the old one stays");
    while (count > 0)
        slab_heap_give_back(&heap, pieces[--count]);
    slab_heap_trim(&heap);
    CHECK(budget.in_use == 0);
    slab_heap_fini(&heap);
}

TEST(slab_heap_lets_large_pieces_rest)
{
    enum { SIZE = 16394 };
    struct slab_heap heap;
    slab_heap_init(&heap, NULL);
    CHECK(slab_heap_can_rest(SIZE) && !slab_heap_can_rest(SLAB_HEAP_SMALL_BYTES));
    char *buffer = slab_heap_take(&heap, SIZE), *table = slab_heap_take_zeroed(&heap, SIZE);
    memset(buffer, 1, SIZE);
    size_t held = slab_heap_held(&heap);
    slab_heap_rest(&heap, buffer);
    slab_heap_rest_if_zero(&heap, table, SIZE);
    CHECK(slab_heap_held(&heap) <= held);
    CHECK(slab_heap_wake(&heap, buffer) && slab_heap_wake(&heap, table));
    CHECK(slab_heap_held(&heap) == held);
    check((unsigned char *)table, SIZE, 0);
    table[SIZE - 1] = 1;
    slab_heap_rest_if_zero(&heap, table, SIZE);
    CHECK(table[SIZE - 1] == 1, "it is not zero, so it stays");
    slab_heap_give_back(&heap, buffer);
    slab_heap_give_back(&heap, table);
    slab_heap_fini(&heap);
}
