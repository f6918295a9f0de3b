#include "http/date.h"

#include "test.h"

#include <time.h>

TEST(dates_read_as_the_library_writes_them)
{
    static const int64_t steps[] = {1, 86399, 86400, 2678400, 31536000, 951782400};
    EACH (step, steps) {
        int64_t wall_s = 0;
        for (int i = 0; i < 2000 && wall_s < 250000000000; i++, wall_s += *step) {
            char text[HTTP_DATE_SIZE + 1], expected[64];
            time_t seconds = (time_t)wall_s;
            struct tm parts;
            gmtime_r(&seconds, &parts);
            strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &parts);
            http_date_format(wall_s, text);
            CHECK(strcmp(text, expected) == 0, "%s, not %s", text, expected);
            int64_t again = -1;
            CHECK(http_date_parse(slice_str(text), &again) && again == wall_s, "%s", text);
        }
    }
}

TEST(times_outside_four_digit_years_are_held_inside)
{
    char text[HTTP_DATE_SIZE + 1];
    http_date_format(INT64_MAX, text);
    CHECK(strcmp(text, "Fri, 31 Dec 9999 23:59:59 GMT") == 0, "%s", text);
    http_date_format(INT64_MIN, text);
    CHECK(strcmp(text, "Thu, 01 Jan 1970 00:00:00 GMT") == 0, "%s", text);
}

TEST(other_texts_are_no_dates)
{
    static const char *const texts[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37  GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Thu, 30 Feb 2023 00:00:00 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1894 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    };
    int64_t wall_s;
    EACH (text, texts)
        CHECK(!http_date_parse(slice_str(*text), &wall_s), "%s", *text);
    CHECK(http_date_parse(SLICE("Sun, 06 Nov 1994 08:49:60 GMT"), &wall_s), "a leap second");
}
