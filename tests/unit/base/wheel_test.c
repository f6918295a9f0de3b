#include "test.h"

#include "base/random.h"
#include "base/wheel.h"

struct alarm {
    struct timer timer;
    uint64_t fired;
    struct wheel *wheel;
    struct alarm *other;
    uint64_t again_ms;
};

static uint64_t last_due_ms;

static struct alarm *alarm_of(struct timer *timer)
{
    return CONTAINER_OF(timer, struct alarm, timer);
}

static void count(struct timer *timer)
{
    CHECK(!timer_is_running(timer), "a timer is stopped before it fires");
    alarm_of(timer)->fired++;
}

static void count_in_order(struct timer *timer)
{
    CHECK(timer->due_ms >= last_due_ms, "%lu after %lu", timer->due_ms, last_due_ms);
    last_due_ms = timer->due_ms;
    count(timer);
}

/* Each delay that crosses a level, from starts on both sides of each boundary. */
TEST(wheel_fires_on_the_millisecond)
{
    static const uint64_t starts[] = {0,     1,        255,        256,         65535,
                                      65536, 0xffffff, 0xffffffff, 0x100000000, 0x123456789abc};
    static const uint64_t delays[] = {1,          2,           255,        256,      257,
                                      65535,      65536,       65537,      0xffffff, 0x1000000,
                                      0xffffffff, 0x100000001, 0x500000000};
    EACH (start, starts) {
        EACH (delay, delays) {
            struct wheel *wheel = wheel_create(*start);
            struct alarm alarm = {0};
            uint64_t due = *start + *delay;
            wheel_start(wheel, &alarm.timer, due, count);
            CHECK(timer_is_running(&alarm.timer));
            size_t wakes = 0;
            while (wheel_next_ms(wheel) < due) {
                CHECK(wheel_next_ms(wheel) > *start && ++wakes < 12, "from %lx by %lx", *start,
                      *delay);
                CHECK(wheel_advance(wheel, wheel_next_ms(wheel)) == 0);
            }
            CHECK(wheel_next_ms(wheel) == due, "from %lx by %lx: %lx", *start, *delay,
                  wheel_next_ms(wheel));
            CHECK(wheel_advance(wheel, due - 1) == 0 && alarm.fired == 0);
            CHECK(wheel_advance(wheel, due) == 1 && alarm.fired == 1);
            CHECK(wheel_next_ms(wheel) == UINT64_MAX);
            wheel_destroy(wheel);
        }
    }
}

TEST(wheel_jumps_over_any_span)
{
    static const uint64_t delays[] = {1, 300, 70000, 20000000, 0xffffffff, 0x700000000};
    struct wheel *wheel = wheel_create(77);
    struct alarm alarms[6] = {0};
    last_due_ms = 0;
    for (size_t i = 0; i < 6; i++)
        wheel_start(wheel, &alarms[i].timer, 77 + delays[i], count_in_order);
    CHECK(wheel_advance(wheel, (uint64_t)1 << 50) == 6);
    EACH (alarm, alarms)
        CHECK(alarm->fired == 1);
    wheel_destroy(wheel);
}

TEST(wheel_stops_and_moves_timers)
{
    struct wheel *wheel = wheel_create(0);
    struct alarm alarm = {0};
    wheel_stop(wheel, &alarm.timer);
    CHECK(!timer_is_running(&alarm.timer));
    wheel_start(wheel, &alarm.timer, 10, count);
    wheel_start(wheel, &alarm.timer, 100000, count);
    CHECK(wheel_next_ms(wheel) > 10, "the slot it left is empty");
    CHECK(wheel_advance(wheel, 99999) == 0);
    wheel_start(wheel, &alarm.timer, 100005, count);
    CHECK(wheel_advance(wheel, 100004) == 0 && wheel_advance(wheel, 100005) == 1);
    wheel_start(wheel, &alarm.timer, 200000, count);
    wheel_stop(wheel, &alarm.timer);
    wheel_stop(wheel, &alarm.timer);
    CHECK(!timer_is_running(&alarm.timer) && wheel_next_ms(wheel) == UINT64_MAX);
    CHECK(wheel_advance(wheel, 300000) == 0);
    wheel_destroy(wheel);
}

TEST(wheel_destroyed_stops_its_timers)
{
    struct wheel *wheel = wheel_create(0);
    struct alarm alarms[4] = {0};
    static const uint64_t due[] = {0, 5, 500000, (uint64_t)1 << 40};
    for (size_t i = 0; i < 4; i++)
        wheel_start(wheel, &alarms[i].timer, due[i], count);
    wheel_destroy(wheel);
    EACH (alarm, alarms)
        CHECK(!timer_is_running(&alarm->timer) && alarm->fired == 0);
    wheel_destroy(NULL);
}

static void again(struct timer *timer)
{
    struct alarm *alarm = alarm_of(timer);
    alarm->fired++;
    wheel_start(alarm->wheel, timer, alarm->again_ms, again);
}

TEST(wheel_cannot_hang_on_a_timer_that_restarts_itself)
{
    struct wheel *wheel = wheel_create(100);
    struct alarm alarm = {.wheel = wheel, .again_ms = 50};
    wheel_start(wheel, &alarm.timer, 100, again);
    CHECK(wheel_next_ms(wheel) <= 100 && alarm.fired == 0, "not before the wheel advances");
    for (uint64_t turn = 1; turn <= 5; turn++) {
        CHECK(wheel_advance(wheel, 100) == 1 && alarm.fired == turn);
        CHECK(wheel_next_ms(wheel) <= 100);
    }
    wheel_stop(wheel, &alarm.timer);
    wheel_destroy(wheel);
}

static void stop_other(struct timer *timer)
{
    struct alarm *alarm = alarm_of(timer);
    alarm->fired++;
    wheel_stop(alarm->wheel, &alarm->other->timer);
}

TEST(wheel_lets_a_timer_stop_another_of_the_same_tick)
{
    struct wheel *wheel = wheel_create(0);
    struct alarm second = {.wheel = wheel}, first = {.wheel = wheel, .other = &second};
    wheel_start(wheel, &first.timer, 300, stop_other);
    wheel_start(wheel, &second.timer, 300, count);
    CHECK(wheel_advance(wheel, 400) == 1 && first.fired == 1 && second.fired == 0);
    wheel_destroy(wheel);
}

TEST(wheel_stands_still_when_time_goes_back)
{
    struct wheel *wheel = wheel_create(1000);
    struct alarm alarm = {0};
    wheel_start(wheel, &alarm.timer, 1001, count);
    CHECK(wheel_advance(wheel, 10) == 0 && wheel_advance(wheel, 1001) == 1);
    wheel_destroy(wheel);
}

TEST(wheel_does_as_a_model)
{
    enum { ALARMS = 200 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        static struct alarm alarms[ALARMS];
        uint64_t due[ALARMS], now = seed * 0xfffff000, fired = 0;
        struct random random;
        random_seed(&random, seed);
        memset(alarms, 0, sizeof(alarms));
        memset(due, 0, sizeof(due));
        struct wheel *wheel = wheel_create(now);
        for (int step = 0; step < 3000; step++) {
            size_t i = random_below(&random, ALARMS);
            uint64_t span = random_u64(&random) >> (30 + random_below(&random, 34));
            if (random_below(&random, 4)) {
                due[i] = now + 1 + span;
                wheel_start(wheel, &alarms[i].timer, due[i], count_in_order);
            } else {
                due[i] = 0;
                wheel_stop(wheel, &alarms[i].timer);
            }
            if (random_below(&random, 8) == 0)
                now += random_u64(&random) >> (30 + random_below(&random, 34));
            size_t expected = 0;
            uint64_t next = UINT64_MAX;
            for (size_t j = 0; j < ALARMS; j++) {
                bool is_due = due[j] != 0 && due[j] <= now;
                expected += is_due;
                due[j] = is_due ? 0 : due[j];
                next = due[j] ? MIN(next, due[j]) : next;
            }
            last_due_ms = 0;
            CHECK(wheel_advance(wheel, now) == expected, "seed %lu, step %d", seed, step);
            fired += expected;
            CHECK(wheel_next_ms(wheel) <= next && wheel_next_ms(wheel) > now, "seed %lu, step %d",
                  seed, step);
            CHECK((wheel_next_ms(wheel) == UINT64_MAX) == (next == UINT64_MAX));
        }
        CHECK(fired > 100);
        wheel_destroy(wheel);
    }
}

/* A lone timer once woke its thread at the start of every slot on its way down. */
TEST(wheel_knows_when_a_lone_timer_is_due)
{
    static const uint64_t delays[] = {1, 255, 256, 736, 65535, 65536, 3600000, 0x1000000};
    EACH (delay, delays) {
        struct wheel *wheel = wheel_create(1000003);
        struct alarm alarm = {0};
        uint64_t due = 1000003 + *delay;
        wheel_start(wheel, &alarm.timer, due, count);
        CHECK(wheel_next_ms(wheel) == due, "%lu", *delay);
        CHECK(wheel_advance(wheel, due) == 1 && alarm.fired == 1, "%lu", *delay);
        wheel_destroy(wheel);
    }
}

/* Of many timers the next time may be a bound, but never late. */
TEST(wheel_never_oversleeps_a_crowd)
{
    static struct alarm alarms[200];
    struct wheel *wheel = wheel_create(5);
    for (unsigned i = 0; i < 200; i++)
        wheel_start(wheel, &alarms[i].timer, 70000 - i, count);
    size_t wakes = 0, fired = 0;
    while (fired < 200) {
        uint64_t next = wheel_next_ms(wheel);
        CHECK(next <= 70000 - 199 + fired && ++wakes < 300, "%lu", next);
        fired += wheel_advance(wheel, next);
    }
    wheel_destroy(wheel);
}
