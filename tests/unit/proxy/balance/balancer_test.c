#include "proxy/balance/balancer.h"

#include "build/cluster.h"
#include "build/endpoints.h"

#include "test.h"

enum { HOSTS_MAX = 16 };

struct bench {
    struct cluster cluster;
    struct endpoints set;
    struct endpoint items[HOSTS_MAX];
    struct endpoint_priority priorities[2];
    struct endpoint_locality localities[2];
    struct balance_host hosts[HOSTS_MAX];
    struct balance_host *pointers[HOSTS_MAX];
    struct random random;
    struct balancer *balancer;
    unsigned hits[HOSTS_MAX];
};

/* `first` hosts in priority 0, the others in priority 1. */
static void set_up(struct bench *b, enum cluster_policy policy, uint32_t count, uint32_t first)
{
    memset(b, 0, sizeof(*b));
    random_seed(&b->random, 42);
    b->cluster.policy = policy;
    b->cluster.choices = 2;
    b->cluster.panic_percent = 50;
    b->set.items = b->items;
    b->set.count = count;
    b->set.priorities = b->priorities;
    b->set.localities = b->localities;
    b->set.priority_count = first < count ? 2 : 1;
    b->set.overprovisioning = 140;
    b->priorities[0] = (struct endpoint_priority){.first = 0, .count = first};
    b->priorities[1] = (struct endpoint_priority){.first = first, .count = count - first};
    for (uint32_t i = 0; i < count; i++) {
        b->items[i].weight = 1;
        b->hosts[i].endpoint = &b->items[i];
        b->pointers[i] = &b->hosts[i];
    }
}

static void draw(struct bench *b, unsigned times)
{
    memset(b->hits, 0, sizeof(b->hits));
    if (!b->balancer)
        b->balancer = balancer_create(&b->cluster, &b->set, b->pointers, &b->random);
    for (unsigned i = 0; i < times; i++) {
        struct balance_host *host = balancer_pick(b->balancer, NULL);
        if (host)
            b->hits[host - b->hosts]++;
    }
}

static void tear_down(struct bench *b)
{
    balancer_destroy(b->balancer);
}

static const enum cluster_policy policies[] = {CLUSTER_ROUND_ROBIN, CLUSTER_LEAST_REQUEST, CLUSTER_RANDOM};

/* Pearson's test at 99.9 %: 16.27 for 3 degrees of freedom. */
TEST(balancer_shares_as_the_weights_say)
{
    EACH (policy, policies) {
        struct bench b;
        static const uint32_t weights[] = {1, 2, 3, 4};
        set_up(&b, *policy, 4, 4);
        for (int i = 0; i < 4; i++)
            b.items[i].weight = weights[i];
        /* Idle hosts: least request takes the better of two draws, which favours heavy hosts; one draw is plain. */
        b.cluster.choices = 1;
        draw(&b, 10000);
        double squares = 0;
        for (int i = 0; i < 4; i++) {
            double expected = 1000.0 * weights[i], off = b.hits[i] - expected;
            squares += off * off / expected;
        }
        CHECK(squares < 16.27, "policy %d: %u %u %u %u", *policy, b.hits[0], b.hits[1], b.hits[2], b.hits[3]);
        tear_down(&b);
    }
}

TEST(balancer_round_robin_takes_turns)
{
    struct bench b;
    set_up(&b, CLUSTER_ROUND_ROBIN, 5, 5);
    draw(&b, 500);
    for (int i = 0; i < 5; i++)
        CHECK(b.hits[i] == 100, "host %d: %u", i, b.hits[i]);
    tear_down(&b);
}

TEST(balancer_least_request_avoids_the_busy)
{
    struct bench b;
    set_up(&b, CLUSTER_LEAST_REQUEST, 2, 2);
    b.hosts[0].active = 100;
    draw(&b, 1000);
    CHECK(b.hits[1] > 650, "%u", b.hits[1]);
    tear_down(&b);
}

TEST(balancer_leaves_out_who_is_excluded_until_panic)
{
    struct bench b;
    set_up(&b, CLUSTER_ROUND_ROBIN, 4, 4);
    draw(&b, 4);
    balancer_set_health(b.balancer, &b.hosts[0], BALANCE_EXCLUDED);
    draw(&b, 300);
    CHECK(b.hits[0] == 0 && b.hits[1] == 100, "%u %u", b.hits[0], b.hits[1]);
    balancer_set_health(b.balancer, &b.hosts[1], BALANCE_EXCLUDED);
    balancer_set_health(b.balancer, &b.hosts[2], BALANCE_EXCLUDED);
    draw(&b, 400);
    CHECK(b.hits[0] == 100, "a quarter healthy is below the threshold, so all hosts count: %u", b.hits[0]);
    b.cluster.panic_percent = 0;
    balancer_set_health(b.balancer, &b.hosts[3], BALANCE_EXCLUDED);
    draw(&b, 400);
    CHECK(b.hits[0] + b.hits[1] + b.hits[2] + b.hits[3] == 0, "nobody is healthy and nobody may panic");
    tear_down(&b);
}

/* Envoy's example: 50 % healthy of priority 0 at 140 % take 70 %, priority 1 takes the rest. */
TEST(balancer_spills_to_the_next_priority)
{
    struct bench b;
    bool panic;
    set_up(&b, CLUSTER_ROUND_ROBIN, 8, 4);
    b.hosts[0].health = b.hosts[1].health = BALANCE_EXCLUDED;
    draw(&b, 10000);
    CHECK(balancer_priority_load(b.balancer, 0, &panic) == 70 && !panic);
    CHECK(balancer_priority_load(b.balancer, 1, &panic) == 30);
    unsigned first = b.hits[2] + b.hits[3];
    CHECK(first > 6800 && first < 7200, "%u", first);
    tear_down(&b);
}

TEST(balancer_avoids_what_was_tried)
{
    struct bench b;
    set_up(&b, CLUSTER_RANDOM, 2, 2);
    draw(&b, 1);
    struct balance_host *tried[] = {&b.hosts[0]};
    struct balance_avoid avoid = {.hosts = tried, .host_count = 1, .attempts = 50};
    for (int i = 0; i < 100; i++)
        CHECK(balancer_pick(b.balancer, &avoid) == &b.hosts[1]);
    tear_down(&b);
}
