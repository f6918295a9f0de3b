#include "pb/time_form_internal.h"

#include <stdio.h>

enum { NS_A_SECOND = 1000000000, NS_DIGITS = 9 };
static const int64_t MAX_SECONDS = INT64_C(315576000000); /* 10,000 years, protobuf's range */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits off the front; false when there is none or more than 18, which fit an int64. */
static bool take_number(struct slice *in, int64_t *number, size_t *digits)
{
    *number = 0;
    *digits = 0;
    while (in->size > 0 && is_digit(in->data[0]) && *digits < 19) {
        *number = *number * 10 + (in->data[0] - '0');
        *in = slice_from(*in, 1);
        ++*digits;
    }
    return *digits > 0 && *digits < 19;
}

static bool take_text(struct slice *in, const char *text)
{
    if (!slice_starts_with(*in, slice_str(text)))
        return false;
    *in = slice_from(*in, strlen(text));
    return true;
}

static int64_t power_of_ten(size_t digits)
{
    int64_t power = 1;
    while (digits-- > 0)
        power *= 10;
    return power;
}

/* Nanoseconds of the unit at the front. Longer names first: "ms" before "m". */
static bool take_unit(struct slice *in, enum json_form form, int64_t *unit)
{
    static const struct {
        const char *name;
        int64_t ns;
        bool go_only;
    } units[] = {
        {"ns", 1, true},
        {"us", 1000, true},
        {"\xc2\xb5s", 1000, true}, /* the micro sign, and below the Greek letter */
        {"\xce\xbcs", 1000, true},
        {"ms", 1000000, false},
        {"s", NS_A_SECOND, false},
        {"m", INT64_C(60) * NS_A_SECOND, false},
        {"h", INT64_C(3600) * NS_A_SECOND, false},
    };
    for (size_t i = 0; i < COUNT(units); i++)
        if ((form == JSON_DURATION_GO || !units[i].go_only) && take_text(in, units[i].name)) {
            *unit = units[i].ns;
            return true;
        }
    return false;
}

/* One number with its unit, added to *ns. */
static bool take_part(struct slice *in, enum json_form form, __int128 *ns)
{
    int64_t whole = 0, fraction = 0, unit;
    size_t whole_digits = 0, fraction_digits = 0;
    bool has_whole = take_number(in, &whole, &whole_digits);
    bool point = form == JSON_DURATION_GO && take_text(in, ".");
    if (point && !take_number(in, &fraction, &fraction_digits))
        return false;
    if ((!has_whole && !point) || (form == JSON_DURATION_GEP2257 && whole_digits > 5))
        return false;
    if (!take_unit(in, form, &unit))
        return false;
    *ns += (__int128)whole * unit + (__int128)fraction * unit / power_of_ten(fraction_digits);
    return *ns <= (__int128)MAX_SECONDS * NS_A_SECOND;
}

static bool from_units(struct slice text, enum json_form form, struct span *span)
{
    bool minus = form == JSON_DURATION_GO && take_text(&text, "-");
    if (form == JSON_DURATION_GO && !minus)
        (void)take_text(&text, "+");
    __int128 ns = 0;
    if (form == JSON_DURATION_GO && slice_equals_str(text, "0"))
        text = SLICE("0s");
    size_t parts = 0;
    do {
        if (!take_part(&text, form, &ns) || (++parts > 4 && form == JSON_DURATION_GEP2257))
            return false;
    } while (text.size > 0);
    int64_t sign = minus ? -1 : 1;
    span->seconds = sign * (int64_t)(ns / NS_A_SECOND);
    span->nanos = (int32_t)(sign * (int64_t)(ns % NS_A_SECOND));
    return true;
}

static bool from_seconds(struct slice text, struct span *span)
{
    int64_t whole, fraction = 0;
    size_t digits, fraction_digits = 0;
    bool minus = take_text(&text, "-");
    if (!take_number(&text, &whole, &digits) || whole > MAX_SECONDS)
        return false;
    if (take_text(&text, ".") &&
        (!take_number(&text, &fraction, &fraction_digits) || fraction_digits > NS_DIGITS))
        return false;
    int64_t sign = minus ? -1 : 1;
    span->seconds = sign * whole;
    span->nanos = (int32_t)(sign * fraction * power_of_ten(NS_DIGITS - fraction_digits));
    return slice_equals_str(text, "s");
}

bool duration_from_text(struct slice text, enum json_form form, struct span *span)
{
    return form == JSON_DURATION ? from_seconds(text, span) : from_units(text, form, span);
}

const char *duration_example(enum json_form form)
{
    if (form == JSON_DURATION)
        return "\"1.5s\"";
    return form == JSON_DURATION_GO ? "\"1m30s\" or \"250ms\""
                                    : "\"1m30s\", whole numbers of h, m, s and ms";
}

/* ".250", ".000001" or nothing: 0, 3, 6 or 9 digits. */
static int write_fraction(char *text, int32_t nanos)
{
    if (nanos == 0)
        return 0;
    if (nanos % 1000000 == 0)
        return sprintf(text, ".%03d", nanos / 1000000);
    if (nanos % 1000 == 0)
        return sprintf(text, ".%06d", nanos / 1000);
    return sprintf(text, ".%09d", nanos);
}

/* Hours, minutes and seconds that are not zero; a fraction of a second in Go's form, milliseconds in the Gateway API's. */
static void write_units(char *text, int64_t seconds, int32_t nanos, enum json_form form)
{
    char *at = text;
    if (seconds >= 3600)
        at += sprintf(at, "%lldh", (long long)(seconds / 3600));
    if (seconds % 3600 >= 60)
        at += sprintf(at, "%lldm", (long long)(seconds % 3600 / 60));
    int64_t rest = seconds % 60;
    bool apart = form == JSON_DURATION_GEP2257 || (seconds == 0 && nanos % 1000000 == 0);
    if (apart) {
        if (rest)
            at += sprintf(at, "%llds", (long long)rest);
        if (nanos >= 1000000)
            at += sprintf(at, "%dms", nanos / 1000000);
    } else if (rest || nanos) {
        at += sprintf(at, "%lld", (long long)rest);
        at += write_fraction(at, nanos);
        if (nanos)
            while (at[-1] == '0')
                at--;
        at += sprintf(at, "s");
    }
    if (at == text)
        sprintf(at, "0s");
}

void duration_to_text(struct span span, enum json_form form, char text[SPAN_TEXT])
{
    span.seconds = MAX(MIN(span.seconds, MAX_SECONDS), -MAX_SECONDS);
    span.nanos = MAX(MIN(span.nanos, NS_A_SECOND - 1), -(NS_A_SECOND - 1));
    bool minus = span.seconds < 0 || span.nanos < 0;
    int64_t seconds = span.seconds < 0 ? -span.seconds : span.seconds;
    int32_t nanos = span.nanos < 0 ? -span.nanos : span.nanos;
    if (minus && form != JSON_DURATION_GEP2257)
        *text++ = '-';
    if (form != JSON_DURATION) {
        write_units(text, seconds, nanos, form);
        return;
    }
    text += sprintf(text, "%lld", (long long)seconds);
    text += write_fraction(text, nanos);
    sprintf(text, "s");
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, by counting years from March. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t march_month = (5 * of_year + 2) / 153;
    *day = of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month + (march_month < 10 ? 3 : -9);
    *year = years + era * 400 + (*month <= 2);
}

/* Exactly `digits` digits, at most `max`. */
static bool take_digits(struct slice *in, size_t digits, int64_t min, int64_t max, int64_t *number)
{
    size_t taken;
    struct slice field = slice_first(*in, MIN(digits, in->size));
    if (field.size < digits || !take_number(&field, number, &taken) || taken != digits)
        return false;
    *in = slice_from(*in, digits);
    return *number >= min && *number <= max;
}

/* Z or +hh:mm: seconds east of UTC. */
static bool take_offset(struct slice *in, int64_t *offset)
{
    *offset = 0;
    if (take_text(in, "Z") || take_text(in, "z"))
        return true;
    bool west = take_text(in, "-");
    int64_t hours, minutes;
    if (!west && !take_text(in, "+"))
        return false;
    if (!take_digits(in, 2, 0, 23, &hours) || !take_text(in, ":") ||
        !take_digits(in, 2, 0, 59, &minutes))
        return false;
    *offset = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

bool time_from_text(struct slice text, struct span *span)
{
    static const int8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second, fraction = 0, offset;
    size_t fraction_digits = 0;
    if (!take_digits(&text, 4, 1, 9999, &year) || !take_text(&text, "-") ||
        !take_digits(&text, 2, 1, 12, &month) || !take_text(&text, "-") ||
        !take_digits(&text, 2, 1, 31, &day))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (leap && month == 2))
        return false;
    if (!(take_text(&text, "T") || take_text(&text, "t")) || !take_digits(&text, 2, 0, 23, &hour) ||
        !take_text(&text, ":") || !take_digits(&text, 2, 0, 59, &minute) ||
        !take_text(&text, ":") || !take_digits(&text, 2, 0, 59, &second))
        return false;
    if (take_text(&text, ".") &&
        (!take_number(&text, &fraction, &fraction_digits) || fraction_digits > NS_DIGITS))
        return false;
    if (!take_offset(&text, &offset) || text.size > 0)
        return false;
    span->seconds =
        days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    span->nanos = (int32_t)(fraction * power_of_ten(NS_DIGITS - fraction_digits));
    return true;
}

void time_to_text(struct span span, enum json_form form, char text[SPAN_TEXT])
{
    span.seconds = MAX(MIN(span.seconds, INT64_C(253402300799)), INT64_C(-62135596800));
    span.nanos = MAX(MIN(span.nanos, NS_A_SECOND - 1), 0);
    int64_t days = span.seconds / 86400, rest = span.seconds % 86400, year, month, day;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    date_from_days(days, &year, &month, &day);
    text += sprintf(text, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld", (long long)year,
                    (long long)month, (long long)day, (long long)(rest / 3600),
                    (long long)(rest % 3600 / 60), (long long)(rest % 60));
    if (form == JSON_MICRO_TIME)
        text += sprintf(text, ".%06d", span.nanos / 1000);
    else if (form == JSON_TIMESTAMP)
        text += write_fraction(text, span.nanos);
    sprintf(text, "Z");
}
