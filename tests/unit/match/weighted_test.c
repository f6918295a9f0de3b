#include "test.h"

#include "base/random.h"
#include "match/table_memory.h"
#include "match/weighted.h"

struct fixture {
    struct table_memory memory;
    struct weighted weighted;
};

static bool make(struct fixture *f, const uint32_t *weights, size_t count, uint32_t declared)
{
    table_memory_init(&f->memory);
    return weighted_build(&f->weighted, weights, count, declared, &f->memory, NULL);
}

TEST(weighted_covers_every_point_once)
{
    static const uint32_t weights[] = {0, 3, 0, 1, 6, 0};
    struct fixture f;
    CHECK(make(&f, weights, COUNT(weights), 10));
    uint32_t hits[COUNT(weights)] = {0};
    for (uint64_t point = 0; point < 10; point++) /* the smallest number that maps to each point */
        hits[weighted_pick(&f.weighted, (((point << 32) + 9) / 10) << 32)]++;
    for (size_t i = 0; i < COUNT(weights); i++)
        CHECK(hits[i] == weights[i], "choice %zu has %u points", i, hits[i]);
    CHECK(weighted_pick(&f.weighted, 0) == 1);
    CHECK(weighted_pick(&f.weighted, UINT64_MAX) == 4);
    table_memory_fini(&f.memory);
}

TEST(weighted_shares_stand_a_chi_square_test)
{
    static const uint32_t cases[][6] = {{90, 10, 0, 0, 0, 0},
                                        {1, 1, 1, 1, 1, 1},
                                        {1, 2, 4, 8, 16, 32},
                                        {1000000, 1, 999999, 0, 5, 70000}};
    /* 99.9 % quantiles of chi-square by degrees of freedom. */
    static const double limits[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52};
    struct random random;
    random_seed(&random, 42);
    EACH (row, cases) {
        struct fixture f;
        CHECK(make(&f, *row, 6, 0));
        uint64_t hits[6] = {0};
        const uint64_t draws = 400000;
        for (uint64_t i = 0; i < draws; i++)
            hits[weighted_pick(&f.weighted, random_u64(&random))]++;
        double chi = 0;
        int free = -1;
        for (int i = 0; i < 6; i++) {
            double expected = (double)draws * (*row)[i] / f.weighted.total;
            if (expected < 1) {
                CHECK(hits[i] <= 10, "a choice of weight %u", (*row)[i]);
                CHECK((*row)[i] > 0 || hits[i] == 0);
                continue;
            }
            chi += ((double)hits[i] - expected) * ((double)hits[i] - expected) / expected;
            free++;
        }
        CHECK(chi < limits[free], "chi-square %f with %d degrees of freedom", chi, free);
        table_memory_fini(&f.memory);
    }
}

TEST(weighted_refuses_sums_that_cannot_be)
{
    static const uint32_t zeros[] = {0, 0}, large[] = {UINT32_MAX, 1}, most[] = {UINT32_MAX - 1, 1};
    static uint32_t many[WEIGHTED_MAX + 1];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = 1;
    static const struct {
        const uint32_t *weights;
        size_t count;
        uint32_t declared;
        bool valid;
    } cases[] = {
        {zeros, 2, 0, false}, {large, 2, 0, false},          {most, 2, 0, true},
        {most, 1, 0, true},   {many, WEIGHTED_MAX, 0, true}, {many, WEIGHTED_MAX + 1, 0, false},
        {many, 0, 0, false},  {many, 10, 11, false},         {many, 10, 10, true},
    };
    EACH (row, cases) {
        struct fixture f;
        CHECK(make(&f, row->weights, row->count, row->declared) == row->valid, "row %zu",
              (size_t)(row - cases));
        table_memory_fini(&f.memory);
    }
}
