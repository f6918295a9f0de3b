#include "test.h"

#include "proxy/balance/fake_hosts.h"

static const enum cluster_policy policies[] = {CLUSTER_ROUND_ROBIN, CLUSTER_LEAST_REQUEST,
                                               CLUSTER_RANDOM};

static struct balancer *create(struct fake_hosts *f)
{
    return balancer_create(&f->cluster, &f->set, f->pointers, &f->random);
}

static uint32_t hits_between(const struct fake_hosts *f, uint32_t first, uint32_t end)
{
    uint32_t sum = 0;
    for (uint32_t i = first; i < end; i++)
        sum += f->hits[i];
    return sum;
}

TEST(balancer_of_nothing_picks_nothing)
{
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, NULL, 0);
    owned(balancer) b = create(&f);
    CHECK(!balancer_pick(b, NULL));
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &(struct fake_locality){0, 1, 0}, 1);
    owned(balancer) empty = create(&f);
    CHECK(!balancer_pick(empty, NULL));
}

TEST(balancer_leaves_unhealthy_hosts_out)
{
    EACH (policy, policies) {
        struct fake_hosts f;
        fake_hosts_init(&f, *policy, &(struct fake_locality){0, 0, 10}, 1);
        owned(balancer) b = create(&f);
        balancer_set_health(b, &f.hosts[3], BALANCE_EXCLUDED);
        balancer_set_health(b, &f.hosts[4], BALANCE_EXCLUDED);
        fake_hosts_count(&f, b, 10000);
        CHECK(f.hits[3] == 0 && f.hits[4] == 0 && hits_between(&f, 0, 10) == 10000);
        balancer_set_health(b, &f.hosts[3], BALANCE_HEALTHY);
        fake_hosts_count(&f, b, 10000);
        CHECK(f.hits[3] > 800 && f.hits[4] == 0, "it is back: %u", f.hits[3]);
    }
}

TEST(balancer_panics_below_the_threshold)
{
    struct fake_hosts f;
    bool panic;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &(struct fake_locality){0, 0, 10}, 1);
    owned(balancer) b = create(&f);
    for (int i = 0; i < 6; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_EXCLUDED);
    CHECK(balancer_priority_load(b, 0, &panic) == 100 && panic, "4 of 10 are below 50 %%");
    fake_hosts_count(&f, b, 1000);
    CHECK(f.hits[0] == 100, "all of them are used: %u", f.hits[0]);

    f.cluster.panic_percent = 0;
    owned(balancer) calm = create(&f);
    CHECK(balancer_priority_load(calm, 0, &panic) == 100 && !panic);
    fake_hosts_count(&f, calm, 1000);
    CHECK(hits_between(&f, 0, 6) == 0 && f.hits[6] == 250);
    for (int i = 6; i < 10; i++)
        balancer_set_health(calm, &f.hosts[i], BALANCE_EXCLUDED);
    CHECK(!balancer_pick(calm, NULL), "nobody is healthy, and nobody panics");
}

TEST(balancer_uses_everyone_when_all_are_down_and_panic_is_on)
{
    static const struct fake_locality localities[] = {{0, 0, 3}, {1, 0, 1}};
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_RANDOM, localities, 2);
    owned(balancer) b = create(&f);
    for (int i = 0; i < 4; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_EXCLUDED);
    fake_hosts_count(&f, b, 10000);
    static const uint32_t equal[] = {1, 1, 1, 1};
    double chi = fake_hosts_chi_square(&f, equal, 10000);
    CHECK(chi < 16.27, "priorities share by their hosts: %f", chi);
}

TEST(balancer_spills_over_to_the_next_priority)
{
    static const struct fake_locality localities[] = {{0, 0, 10}, {1, 0, 10}};
    struct fake_hosts f;
    bool panic;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, localities, 2);
    owned(balancer) b = create(&f);
    fake_hosts_count(&f, b, 1000);
    CHECK(hits_between(&f, 0, 10) == 1000, "priority 0 alone");
    for (int i = 0; i < 2; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_EXCLUDED);
    CHECK(balancer_priority_load(b, 0, &panic) == 100, "80 %% healthy, over-provisioned by 1.4");
    for (int i = 2; i < 5; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_EXCLUDED);
    CHECK(balancer_priority_load(b, 0, &panic) == 70 && balancer_priority_load(b, 1, &panic) == 30);
    fake_hosts_count(&f, b, 10000);
    CHECK(hits_between(&f, 0, 5) == 0);
    CHECK(hits_between(&f, 5, 10) > 6800 && hits_between(&f, 5, 10) < 7200);
    for (int i = 5; i < 10; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_EXCLUDED);
    fake_hosts_count(&f, b, 1000);
    CHECK(hits_between(&f, 10, 20) == 1000, "priority 1 alone");
}

TEST(balancer_takes_degraded_hosts_last)
{
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, &(struct fake_locality){0, 0, 10}, 1);
    owned(balancer) b = create(&f);
    balancer_set_health(b, &f.hosts[0], BALANCE_DEGRADED);
    fake_hosts_count(&f, b, 1000);
    CHECK(f.hits[0] == 0, "nine healthy hosts carry all");
    for (int i = 0; i < 8; i++)
        balancer_set_health(b, &f.hosts[i], BALANCE_DEGRADED);
    fake_hosts_count(&f, b, 10000);
    CHECK(hits_between(&f, 8, 10) > 2500 && hits_between(&f, 8, 10) < 3100, "28 %%: %u",
          hits_between(&f, 8, 10));
}

TEST(balancer_weighs_localities)
{
    static const struct fake_locality localities[] = {{0, 70, 2}, {0, 30, 8}, {0, 0, 5}};
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, localities, 3);
    f.cluster.locality_weighted = true;
    owned(balancer) b = create(&f);
    fake_hosts_count(&f, b, 10000);
    CHECK(hits_between(&f, 0, 2) > 6800 && hits_between(&f, 0, 2) < 7200, "%u",
          hits_between(&f, 0, 2));
    CHECK(hits_between(&f, 10, 15) == 0, "no weight, no load");
    balancer_set_health(b, &f.hosts[0], BALANCE_EXCLUDED);
    fake_hosts_count(&f, b, 10000);
    /* One of two healthy: 70 % of its weight, so 49 to 30. */
    CHECK(f.hits[0] == 0 && f.hits[1] > 6000 && f.hits[1] < 6400, "%u", f.hits[1]);
    f.cluster.locality_weighted = false;
    owned(balancer) plain = create(&f);
    fake_hosts_count(&f, plain, 14000);
    CHECK(hits_between(&f, 10, 15) == 5000);
}

TEST(balancer_avoids_what_was_tried)
{
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_RANDOM, &(struct fake_locality){0, 0, 3}, 1);
    owned(balancer) b = create(&f);
    struct balance_host *tried[] = {&f.hosts[0], &f.hosts[1]};
    struct balance_avoid avoid = {.hosts = tried, .host_count = 2, .attempts = 100};
    for (int i = 0; i < 100; i++)
        CHECK(balancer_pick(b, &avoid) == &f.hosts[2]);
    struct balance_host *all[] = {&f.hosts[0], &f.hosts[1], &f.hosts[2]};
    avoid = (struct balance_avoid){.hosts = all, .host_count = 3, .attempts = 5};
    CHECK(balancer_pick(b, &avoid), "better an old one than none");
}

TEST(balancer_avoids_a_priority)
{
    static const struct fake_locality localities[] = {{0, 0, 3}, {1, 0, 3}};
    struct fake_hosts f;
    fake_hosts_init(&f, CLUSTER_ROUND_ROBIN, localities, 2);
    owned(balancer) b = create(&f);
    struct balance_avoid avoid = {.priorities = 1};
    for (int i = 0; i < 10; i++)
        CHECK(balancer_pick(b, &avoid)->endpoint->priority == 1);
    avoid.priorities = 3;
    CHECK(balancer_pick(b, &avoid)->endpoint->priority == 0, "no other is left");
}
