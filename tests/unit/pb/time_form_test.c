#include "test.h"

#include "pb/time_form_internal.h"

/* What a peer may put into a message, whatever the forms allow: nothing overflows, and the nearest is written. */
TEST(time_form_writes_what_is_out_of_range_as_the_nearest)
{
    static const struct {
        struct span span;
        enum json_form form;
        const char *text;
    } cases[] = {
        {{INT64_MAX, INT32_MAX}, JSON_DURATION, "315576000000.999999999s"},
        {{INT64_MIN, INT32_MIN}, JSON_DURATION, "-315576000000.999999999s"},
        {{0, INT32_MIN}, JSON_DURATION_GO, "-0.999999999s"},
        {{-5, 0}, JSON_DURATION_GEP2257, "5s"},
        {{0, 999999}, JSON_DURATION_GEP2257, "0s"},
        {{INT64_MAX, INT32_MAX}, JSON_TIMESTAMP, "9999-12-31T23:59:59.999999999Z"},
        {{INT64_MIN, INT32_MIN}, JSON_TIMESTAMP, "0001-01-01T00:00:00Z"},
    };
    EACH (c, cases) {
        char text[SPAN_TEXT];
        if (c->form == JSON_TIMESTAMP)
            time_to_text(c->span, c->form, text);
        else
            duration_to_text(c->span, c->form, text);
        CHECK(strcmp(text, c->text) == 0, "%s, wanted %s", text, c->text);
    }
}

TEST(time_form_agrees_with_the_calendar_at_the_end_of_every_month)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day_number = -719162; /* 0001-01-01 */
    for (int year = 1; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            int days = month_days[month - 1] + (leap && month == 2);
            char text[SPAN_TEXT], wanted[SPAN_TEXT];
            struct span span;
            snprintf(wanted, sizeof wanted, "%04d-%02d-%02dT01:02:03Z", year, month, days);
            CHECK(time_from_text(slice_str(wanted), &span), "%s", wanted);
            CHECK(span.seconds == (day_number + days - 1) * 86400 + 3723, "%s", wanted);
            time_to_text(span, JSON_TIMESTAMP, text);
            CHECK(strcmp(text, wanted) == 0, "%s, wanted %s", text, wanted);
            day_number += days;
        }
    }
}
