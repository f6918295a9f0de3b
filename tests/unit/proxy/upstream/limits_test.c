#include "proxy/upstream/limits.h"

#include "test.h"

#include "build/cluster.h"

TEST(limits_are_taken_up_to_the_limit_and_given_back)
{
    struct cluster_limits_table *table = cluster_limits_table_create();
    struct limits *limits = cluster_limits_of(table, SLICE("cart"));
    CHECK(cluster_limits_of(table, SLICE("cart")) == limits, "one object a name");
    CHECK(cluster_limits_of(table, SLICE("web")) != limits);
    CHECK(limits_take(limits, 0, LIMIT_REQUESTS, 2) && limits_take(limits, 0, LIMIT_REQUESTS, 2));
    CHECK(!limits_take(limits, 0, LIMIT_REQUESTS, 2), "one more than the limit");
    CHECK(limits->overflows[LIMIT_REQUESTS] == 1 && limits->used[0][LIMIT_REQUESTS] == 2);
    CHECK(limits_take(limits, 1, LIMIT_REQUESTS, 2), "the other priority has its own");
    CHECK(limits_take(limits, 0, LIMIT_CONNECTIONS, 1), "so has the other kind");
    limits_give(limits, 0, LIMIT_REQUESTS, 2);
    CHECK(limits_take(limits, 0, LIMIT_REQUESTS, 2));
    CHECK(!limits_take(limits, 0, LIMIT_RETRIES, 0), "a limit of none");
    cluster_limits_table_destroy(table);
    cluster_limits_table_destroy(NULL);
}

TEST(what_is_unlimited_is_not_counted)
{
    struct limits limits = {0};
    for (int i = 0; i < 3; i++)
        CHECK(limits_take(&limits, 0, LIMIT_PENDING, CLUSTER_UNLIMITED));
    CHECK(limits.used[0][LIMIT_PENDING] == 0);
    limits_give(&limits, 0, LIMIT_PENDING, CLUSTER_UNLIMITED);
    CHECK(limits.used[0][LIMIT_PENDING] == 0 && limits.overflows[LIMIT_PENDING] == 0);
}
