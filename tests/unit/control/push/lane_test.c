#include "control/push/lane.h"

#include "test.h"

TEST(lane_waits_for_quiet_and_at_most_so_long)
{
    struct lane lane;
    lane_init(&lane, 100, 1000, false);
    CHECK(lane_due_ms(&lane) == UINT64_MAX);
    lane_note(&lane, 5000);
    CHECK(lane_due_ms(&lane) == 5100);
    lane_note(&lane, 5090);
    CHECK(lane_due_ms(&lane) == 5190);
    for (uint64_t now = 5100; now < 5990; now += 50)
        lane_note(&lane, now);
    CHECK(lane_due_ms(&lane) == 6000, "never later than 1,000 ms after the first");
    CHECK(lane_take(&lane, 6003) == 1003);
    CHECK(lane_due_ms(&lane) == UINT64_MAX);
    lane_note(&lane, 6004);
    CHECK(lane_due_ms(&lane) == 6104);
}

TEST(lane_that_is_eager_lets_the_first_change_out_at_once)
{
    struct lane lane;
    lane_init(&lane, 20, 100, true);
    lane_note(&lane, 1000);
    CHECK(lane_due_ms(&lane) == 1000);
    lane_take(&lane, 1000);
    lane_note(&lane, 1005);
    CHECK(lane_due_ms(&lane) == 1025, "what follows is gathered");
    for (uint64_t now = 1010; now < 1200; now += 10)
        lane_note(&lane, now);
    CHECK(lane_due_ms(&lane) == 1105);
    lane_take(&lane, 1105);
    lane_note(&lane, 1126);
    CHECK(lane_due_ms(&lane) == 1126, "it was quiet for 20 ms");
}
