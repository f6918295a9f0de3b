#include "test.h"

#include "proxy/balance/fake_hosts.h"
#include "proxy/balance/round_robin.h"

static const struct fake_locality five = {0, 0, 5};

static struct balance_host *pick(struct fake_hosts *f, struct round_robin *robin)
{
    struct balance_host *host = round_robin_pick(robin);
    f->hits[fake_hosts_index(f, host)]++;
    return host;
}

TEST(round_robin_goes_around)
{
    struct fake_hosts f;
    struct round_robin robin;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &five, 1);
    round_robin_init(&robin, f.pointers, 5, &f.random);
    struct balance_host *last = NULL;
    for (int i = 0; i < 50; i++) {
        struct balance_host *host = pick(&f, &robin);
        CHECK(host != last);
        last = host;
    }
    for (int i = 0; i < 5; i++)
        CHECK(f.hits[i] == 10, "host %d: %u", i, f.hits[i]);
    round_robin_fini(&robin);
}

/* Earliest deadline first is exact: in each whole round a host has exactly its turns, and they are spread. */
TEST(round_robin_honours_weights_and_spreads_them)
{
    static const uint32_t weights[] = {1, 2, 3, 10, 4};
    struct fake_hosts f;
    struct round_robin robin;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &five, 1);
    fake_hosts_set_weights(&f, weights);
    round_robin_init(&robin, f.pointers, 5, &f.random);
    int in_a_row = 0;
    for (int i = 0; i < 20 * 50; i++) {
        bool heavy = pick(&f, &robin) == &f.hosts[3];
        in_a_row = heavy ? in_a_row + 1 : 0;
        CHECK(in_a_row <= 3, "half of the turns are never in one piece");
    }
    for (int i = 0; i < 5; i++) {
        uint32_t expected = weights[i] * 50;
        CHECK(f.hits[i] + 1 >= expected && f.hits[i] <= expected + 1, "host %d: %u", i, f.hits[i]);
    }
    round_robin_fini(&robin);
}

TEST(round_robin_of_one_host)
{
    struct fake_hosts f;
    struct round_robin robin;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &(struct fake_locality){0, 0, 1}, 1);
    round_robin_init(&robin, f.pointers, 1, &f.random);
    for (int i = 0; i < 3; i++)
        CHECK(round_robin_pick(&robin) == &f.hosts[0]);
    round_robin_fini(&robin);
}

TEST(round_robin_starts_anywhere)
{
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &five, 1);
    for (int i = 0; i < 500; i++) {
        struct round_robin robin;
        round_robin_init(&robin, f.pointers, 5, &f.random);
        pick(&f, &robin);
        round_robin_fini(&robin);
    }
    for (int i = 0; i < 5; i++)
        CHECK(f.hits[i] > 50, "host %d: %u", i, f.hits[i]);
}
