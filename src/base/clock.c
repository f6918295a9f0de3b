#include "base/clock.h"

#include "base/slice.h"

#include <string.h>
#include <time.h>

enum { MICROSECONDS = 1000000 };

uint64_t clock_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MICROSECONDS + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * MICROSECONDS + now.tv_nsec / 1000;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar, by eras of 400 years that begin in March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static char *put_two(char *to, uint64_t value)
{
    to[0] = (char)('0' + value / 10);
    to[1] = (char)('0' + value % 10);
    return to + 2;
}

size_t clock_format(int64_t wall_us, char *text)
{
    const int64_t day_us = (int64_t)86400 * MICROSECONDS;
    int64_t days = wall_us / day_us - (wall_us % day_us < 0);
    uint64_t ms = (uint64_t)(wall_us - days * day_us) / 1000;
    int64_t year;
    unsigned month, day;
    date_of(days, &year, &month, &day);
    /* Four digits are the format; a clock outside them is wrong anyway. */
    year = MAX(MIN(year, (int64_t)9999), (int64_t)0);
    char *to = put_two(put_two(text, (uint64_t)year / 100), (uint64_t)year % 100);
    *to++ = '-';
    to = put_two(to, month);
    *to++ = '-';
    to = put_two(to, day);
    *to++ = 'T';
    to = put_two(to, ms / 3600000);
    *to++ = ':';
    to = put_two(to, ms / 60000 % 60);
    *to++ = ':';
    to = put_two(to, ms / 1000 % 60);
    *to++ = '.';
    *to++ = (char)('0' + ms % 1000 / 100);
    to = put_two(to, ms % 100);
    *to++ = 'Z';
    *to = '\0';
    return (size_t)(to - text);
}

size_t clock_format_again(struct clock_text *last, int64_t wall_us, char *text)
{
    int64_t second = wall_us / MICROSECONDS;
    if (UNLIKELY(second <= 0)) /* 0 is what a struct that begins holds */
        return clock_format(wall_us, text);
    if (UNLIKELY(second != last->second)) {
        clock_format(wall_us, last->text);
        last->second = second;
    }
    memcpy(text, last->text, sizeof(last->text));
    unsigned ms = (unsigned)(wall_us % MICROSECONDS) / 1000;
    text[20] = (char)('0' + ms / 100);
    put_two(text + 21, ms % 100);
    return sizeof(last->text) - 1;
}

static bool take_number(struct slice *in, size_t digits, int64_t low, int64_t high, int64_t *value)
{
    uint64_t number;
    if (in->size < digits || !slice_to_u64(slice_take(in, digits), (uint64_t)high, &number))
        return false;
    *value = (int64_t)number;
    return *value >= low;
}

static bool take_one_of(struct slice *in, char a, char b)
{
    if (in->size == 0 || (in->data[0] != a && in->data[0] != b))
        return false;
    slice_take_byte(in);
    return true;
}

static bool take_fraction(struct slice *in, int64_t *us)
{
    *us = 0;
    if (!take_one_of(in, '.', '.'))
        return true;
    size_t digits = 0;
    for (int64_t unit = MICROSECONDS / 10; in->size > 0; digits++, unit /= 10) {
        unsigned digit = (unsigned)(uint8_t)in->data[0] - '0';
        if (digit > 9)
            break;
        *us += digit * unit; /* digits below a microsecond count nothing */
        slice_take_byte(in);
    }
    return digits > 0;
}

static bool take_offset(struct slice *in, int64_t *seconds)
{
    *seconds = 0;
    if (take_one_of(in, 'Z', 'z'))
        return true;
    int64_t hours, minutes;
    bool west = in->size > 0 && in->data[0] == '-';
    if (!take_one_of(in, '+', '-') || !take_number(in, 2, 0, 23, &hours) ||
        !take_one_of(in, ':', ':') || !take_number(in, 2, 0, 59, &minutes))
        return false;
    *seconds = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

static int64_t days_in(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool clock_parse(const char *text, int64_t *wall_us)
{
    struct slice in = slice_str(text);
    int64_t year, month, day, hour, minute, second, us, offset;
    if (!take_number(&in, 4, 0, 9999, &year) || !take_one_of(&in, '-', '-') ||
        !take_number(&in, 2, 1, 12, &month) || !take_one_of(&in, '-', '-') ||
        !take_number(&in, 2, 1, days_in(year, month), &day) || !take_one_of(&in, 'T', 't'))
        return false;
    /* RFC 3339 allows second 60, for leap seconds; it becomes the next minute's first. */
    if (!take_number(&in, 2, 0, 23, &hour) || !take_one_of(&in, ':', ':') ||
        !take_number(&in, 2, 0, 59, &minute) || !take_one_of(&in, ':', ':') ||
        !take_number(&in, 2, 0, 60, &second) || !take_fraction(&in, &us) ||
        !take_offset(&in, &offset) || in.size > 0)
        return false;
    int64_t seconds =
        days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *wall_us = seconds * MICROSECONDS + us;
    return true;
}
