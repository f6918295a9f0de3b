#include "test.h"

#include "base/clock.h"

#include <time.h>

TEST(clock_moves_forward)
{
    uint64_t before = clock_now_us();
    CHECK(clock_now_us() >= before);
    CHECK(clock_wall_us() / 1000000 - time(NULL) <= 1);
}

TEST(clock_formats_and_parses)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"},
        {1769860800123456, "2026-01-31T12:00:00.123Z"},
        {253402300799999999, "9999-12-31T23:59:59.999Z"},
        {-62167219200000000, "0000-01-01T00:00:00.000Z"},
    };
    EACH (c, cases) {
        char text[32];
        CHECK(clock_format(c->us, text) == 24 && strcmp(text, c->text) == 0, "%s, not %s", text,
              c->text);
        int64_t us;
        CHECK(clock_parse(text, &us), "%s", text);
        CHECK(us <= c->us && c->us - us < 1000, "%s is %ld", text, us);
    }
}

/* Steps within a second, to the next one, back, and to before 1970, against the text made anew. */
TEST(clock_text_follows_its_moment)
{
    static const int64_t steps[] = {0, 1, 999, 1000, 998000, 1000000, 3, -2000000, 86400000000};
    struct clock_text last = {0};
    int64_t us = 1769860800000000;
    for (size_t i = 0; i < 1000; i++) {
        char again[32], anew[32];
        us += steps[i % COUNT(steps)] + (int64_t)i * 7919;
        int64_t moment = i % 97 == 0 ? -us : us;
        CHECK(clock_format_again(&last, moment, again) == clock_format(moment, anew));
        CHECK(strcmp(again, anew) == 0, "%s, not %s", again, anew);
    }
}

/* Against the C library, over 200 years in odd steps. */
TEST(clock_agrees_with_gmtime)
{
    for (int64_t seconds = -3000000000; seconds < 4000000000; seconds += 7654321) {
        char ours[32], theirs[32];
        struct tm tm;
        time_t time = seconds;
        clock_format(seconds * 1000000, ours);
        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&time, &tm));
        CHECK(strcmp(ours, theirs) == 0, "%s, not %s", ours, theirs);
        int64_t us;
        CHECK(clock_parse(ours, &us) && us == seconds * 1000000, "%s", ours);
    }
}

TEST(clock_parses_offsets_and_fractions)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T01:30:00+01:30", 0},
        {"1969-12-31T22:30:00-01:30", 0},
        {"1970-01-01T00:00:00.5Z", 500000},
        {"1970-01-01T00:00:00.0000019Z", 1},
        {"1970-01-01T00:00:00.123456789123456789123456789Z", 123456},
        {"1970-01-01T00:00:60Z", 60000000},
    };
    EACH (c, cases) {
        int64_t us = -1;
        CHECK(clock_parse(c->text, &us) && us == c->us, "%s is %ld", c->text, us);
    }
}

TEST(clock_refuses_what_is_no_time)
{
    static const char *const cases[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1970-04-31T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00Zx",
        "197a-01-01T00:00:00Z",
        "+970-01-01T00:00:00Z",
        "1970-01-01T00:00:0",
    };
    EACH (text, cases) {
        int64_t us = 42;
        CHECK(!clock_parse(*text, &us) && us == 42, "%s", *text);
    }
}
