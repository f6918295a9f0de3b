#include "proxy/upstream/host_counters.h"

#include "test.h"

TEST(host_counters_add_up_over_workers_and_go_with_their_hosts)
{
    struct host_counters_table *table = host_counters_table_create();
    uint64_t sums[HOST_COUNTERS];
    struct host_counters *workers[3];
    struct host_counters *other = host_counters_create(table, 1, 8);
    for (int i = 0; i < 3; i++)
        workers[i] = host_counters_create(table, 1, 7);
    host_count(workers[0], HOST_RQ_TOTAL, 2);
    host_count(workers[1], HOST_RQ_TOTAL, 3);
    host_count(workers[1], HOST_CX_ACTIVE, 1);
    host_count(workers[2], HOST_CX_ACTIVE, 1);
    host_count(workers[2], HOST_CX_ACTIVE, -1);
    host_count(other, HOST_RQ_TOTAL, 100);
    host_counters_sum(table, 1, 7, sums);
    CHECK(sums[HOST_RQ_TOTAL] == 5 && sums[HOST_CX_ACTIVE] == 1);
    /* The middle one, the first in the list, the last. */
    host_counters_destroy(table, workers[1]);
    host_counters_sum(table, 1, 7, sums);
    CHECK(sums[HOST_RQ_TOTAL] == 2 && sums[HOST_CX_ACTIVE] == 0);
    host_counters_destroy(table, workers[2]);
    host_counters_destroy(table, workers[0]);
    host_counters_destroy(table, NULL);
    host_counters_sum(table, 1, 7, sums);
    CHECK(sums[HOST_RQ_TOTAL] == 0);
    host_counters_sum(table, 1, 8, sums);
    CHECK(sums[HOST_RQ_TOTAL] == 100, "another endpoint's");
    host_counters_destroy(table, other);
    host_counters_table_destroy(table);
}
