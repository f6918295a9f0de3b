#include "http/date.h"

static const char week_days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* Days since 1970 to a date of the Gregorian calendar, counted in eras of 400 years that begin in March. */
static struct civil civil_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct civil){.year = (int64_t)year_of_era + era * 400 + (month <= 2),
                          .month = month,
                          .day = day_of_year - (153 * march_month + 2) / 5 + 1};
}

static int64_t days_of(struct civil date)
{
    int64_t year = date.year - (date.month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned march_month = date.month > 2 ? date.month - 3 : date.month + 9;
    unsigned day_of_year = (153 * march_month + 2) / 5 + date.day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void put_number(char *at, unsigned number, unsigned width)
{
    for (unsigned i = width; i > 0; i--, number /= 10)
        at[i - 1] = (char)('0' + number % 10);
}

void http_date_format(int64_t wall_s, char text[HTTP_DATE_SIZE + 1])
{
    static const int64_t last = 253402300799; /* of the year 9999 */
    wall_s = wall_s < 0 ? 0 : wall_s > last ? last : wall_s;
    int64_t days = wall_s / 86400;
    unsigned second = (unsigned)(wall_s % 86400);
    struct civil date = civil_of(days);
    memcpy(text, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_SIZE + 1);
    memcpy(text, week_days + (days + 4) % 7 * 3, 3);
    put_number(text + 5, date.day, 2);
    memcpy(text + 8, months + (date.month - 1) * 3, 3);
    put_number(text + 12, (unsigned)date.year, 4);
    put_number(text + 17, second / 3600, 2);
    put_number(text + 20, second / 60 % 60, 2);
    put_number(text + 23, second % 60, 2);
}

static bool read_number(struct slice text, size_t at, size_t width, uint64_t most, unsigned *number)
{
    uint64_t value;
    if (!slice_to_u64(slice_of(text.data + at, width), most, &value))
        return false;
    *number = (unsigned)value;
    return true;
}

bool http_date_parse(struct slice text, int64_t *wall_s)
{
    unsigned day, year, hour, minute, second;
    if (text.size != HTTP_DATE_SIZE || !read_number(text, 5, 2, 31, &day) ||
        !read_number(text, 12, 4, 9999, &year) || !read_number(text, 17, 2, 23, &hour) ||
        !read_number(text, 20, 2, 59, &minute) || !read_number(text, 23, 2, 60, &second))
        return false;
    unsigned month = 0;
    while (month < 12 && memcmp(months + month * 3, text.data + 8, 3) != 0)
        month++;
    struct civil date = {.year = year, .month = month + 1, .day = day};
    if (month == 12 || year < 1970)
        return false;
    int64_t value =
        days_of(date) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + MIN(second, 59u);
    /* The rest must read just as we would write it: blanks, names of days, days that a month has. */
    char again[HTTP_DATE_SIZE + 1];
    http_date_format(value, again);
    if (second == 60)
        memcpy(again + 23, "60", 2);
    if (memcmp(again, text.data, HTTP_DATE_SIZE) != 0)
        return false;
    *wall_s = value;
    return true;
}
