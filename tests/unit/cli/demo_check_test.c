#include "cli/demo_check.h"

#include "test.h"

TEST(a_split_is_judged_by_chance)
{
    CHECK(split_is_fair(50, 500, 0.1));
    CHECK(split_is_fair(70, 500, 0.1), "20 more of 50 happen once in 300 times");
    CHECK(!split_is_fair(80, 500, 0.1));
    CHECK(!split_is_fair(20, 500, 0.1));
    CHECK(split_is_fair(250, 500, 0.5) && !split_is_fair(300, 500, 0.5));
}

TEST(nothing_and_all_are_exact)
{
    CHECK(split_is_fair(0, 500, 0) && !split_is_fair(1, 500, 0));
    CHECK(split_is_fair(500, 500, 1) && !split_is_fair(499, 500, 1));
}
