#include "test.h"

#include "proxy/balance/fake_hosts.h"
#include "proxy/balance/random_choice.h"

TEST(random_choice_follows_weights)
{
    static const uint32_t cases[][6] = {
        {1, 1, 1, 1, 1, 1},
        {1, 2, 4, 8, 16, 32},
        {90, 10, 1, 1, 1, 1},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX - 1, 1u << 31, 1u << 30, 1u << 30}};
    EACH (weights, cases) {
        struct fake_hosts f;
        struct random_choice choice;
        fake_hosts_init(&f, CLUSTER_RANDOM, &(struct fake_locality){0, 0, 6}, 1);
        fake_hosts_set_weights(&f, *weights);
        random_choice_init(&choice, f.pointers, 6);
        for (int i = 0; i < 200000; i++)
            f.hits[fake_hosts_index(&f, random_choice_pick(&choice, &f.random))]++;
        double chi = fake_hosts_chi_square(&f, *weights, 200000);
        CHECK(chi < 20.52, "chi-square %f with 5 degrees of freedom, case %zu", chi,
              (size_t)(weights - cases));
        random_choice_fini(&choice);
    }
}

TEST(random_choice_hardly_ever_takes_what_hardly_weighs)
{
    static const uint32_t weights[] = {UINT32_MAX, 1};
    struct fake_hosts f;
    struct random_choice choice;
    fake_hosts_init(&f, CLUSTER_RANDOM, &(struct fake_locality){0, 0, 2}, 1);
    fake_hosts_set_weights(&f, weights);
    random_choice_init(&choice, f.pointers, 2);
    for (int i = 0; i < 100000; i++)
        f.hits[fake_hosts_index(&f, random_choice_pick(&choice, &f.random))]++;
    CHECK(f.hits[1] <= 1);
    random_choice_fini(&choice);
}
