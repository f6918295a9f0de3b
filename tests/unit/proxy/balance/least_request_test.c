#include "test.h"

#include "proxy/balance/fake_hosts.h"
#include "proxy/balance/least_request.h"

static void count(struct fake_hosts *f, struct least_request *least, int picks)
{
    memset(f->hits, 0, sizeof(f->hits));
    for (int i = 0; i < picks; i++)
        f->hits[fake_hosts_index(f, least_request_pick(least, &f->random))]++;
}

TEST(least_request_shares_idle_hosts_by_weight)
{
    static const uint32_t weights[] = {1, 2, 3, 4};
    struct fake_hosts f;
    struct least_request least;
    fake_hosts_init(&f, CLUSTER_LEAST_REQUEST, &(struct fake_locality){0, 0, 4}, 1);
    fake_hosts_set_weights(&f, weights);
    least_request_init(&least, f.pointers, 4, 2);
    count(&f, &least, 100000);
    double chi = fake_hosts_chi_square(&f, weights, 100000);
    CHECK(chi < 16.27, "chi-square %f", chi);
    least_request_fini(&least);
}

TEST(least_request_avoids_a_busy_host)
{
    struct fake_hosts f;
    struct least_request least;
    fake_hosts_init(&f, CLUSTER_LEAST_REQUEST, &(struct fake_locality){0, 0, 4}, 1);
    least_request_init(&least, f.pointers, 4, 2);
    f.hosts[2].active = 100;
    count(&f, &least, 100000);
    /* Only when both draws are the busy one: 1 of 16. */
    CHECK(f.hits[2] > 5500 && f.hits[2] < 7000, "%u", f.hits[2]);
    least_request_fini(&least);
    least_request_init(&least, f.pointers, 4, 8);
    count(&f, &least, 100000);
    CHECK(f.hits[2] < 20, "with eight choices: %u", f.hits[2]);
    least_request_fini(&least);
}

/* Requests that stay are levelled, in proportion to weight. */
TEST(least_request_levels_load)
{
    static const uint32_t weights[] = {1, 1, 2, 4};
    struct fake_hosts f;
    struct least_request least;
    fake_hosts_init(&f, CLUSTER_LEAST_REQUEST, &(struct fake_locality){0, 0, 4}, 1);
    fake_hosts_set_weights(&f, weights);
    least_request_init(&least, f.pointers, 4, 2);
    for (int i = 0; i < 8000; i++)
        least_request_pick(&least, &f.random)->active++;
    for (int i = 0; i < 4; i++) {
        uint32_t fair = weights[i] * 1000;
        CHECK(f.hosts[i].active > fair - 60 && f.hosts[i].active < fair + 60, "host %d: %u", i,
              f.hosts[i].active);
    }
    least_request_fini(&least);
}
