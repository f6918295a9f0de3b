#include "pb/number_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct slice text, size_t at)
{
    while (at < text.size && is_digit(text.data[at]))
        at++;
    return at;
}

/* [.digits][e[+-]digits] to the end. */
static bool is_fraction_and_exponent(struct slice text, size_t at)
{
    if (at < text.size && text.data[at] == '.') {
        size_t end = skip_digits(text, at + 1);
        if (end == at + 1)
            return false;
        at = end;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        size_t end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.size;
}

bool number_is_json(struct slice text)
{
    size_t at = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, at);
    if (end == at || text.size > NUMBER_MAX_BYTES || (text.data[at] == '0' && end > at + 1))
        return false;
    return is_fraction_and_exponent(text, end);
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Digits after 0x, 0o, 0b or a leading 0. */
static bool read_base(struct slice digits, int base, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits.size; i++) {
        int digit = digit_value(digits.data[i]);
        if (digit >= base || __builtin_mul_overflow(*value, (uint64_t)base, value) ||
            __builtin_add_overflow(*value, (uint64_t)digit, value))
            return false;
    }
    return digits.size > 0;
}

static bool has_base(struct slice text, struct slice *digits, int *base)
{
    if (text.size < 2 || text.data[0] != '0')
        return false;
    char mark = text.data[1];
    *base = mark == 'x' || mark == 'X'   ? 16
            : mark == 'o' || mark == 'O' ? 8
            : mark == 'b' || mark == 'B' ? 2
                                         : 0;
    *digits = slice_from(text, *base ? 2 : 1);
    if (*base == 0 && is_digit(mark))
        *base = 8; /* YAML 1.1 */
    return *base != 0;
}

/* Without underscores; false when there is a character that no number has. */
static bool squeeze(struct slice text, char *to, struct slice *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '_' && i > 0)
            continue;
        if (!is_digit(c) && !strchr("+-.eExXoObBaAcCdDfF", c))
            return false;
        to[size++] = c;
    }
    *out = slice_of(to, size);
    return size > 0;
}

bool number_from_yaml(struct slice text, char *json, size_t *size)
{
    char plain[NUMBER_MAX_BYTES];
    struct slice digits, rest;
    if (text.size == 0 || text.size > sizeof plain || !squeeze(text, plain, &rest))
        return false;
    bool minus = rest.data[0] == '-';
    if (minus || rest.data[0] == '+')
        rest = slice_from(rest, 1);
    int base;
    uint64_t value;
    if (has_base(rest, &digits, &base) && read_base(digits, base, &value)) {
        *size = (size_t)sprintf(json, "%s%llu", minus ? "-" : "", (unsigned long long)value);
        return true;
    }
    /* digits[.digits] or .digits, which JSON writes with a digit on both sides of the point. */
    size_t whole = skip_digits(rest, 0), at = whole, fraction = whole;
    if (at < rest.size && rest.data[at] == '.')
        fraction = at = skip_digits(rest, at + 1);
    size_t fraction_digits = fraction > whole ? fraction - whole - 1 : 0;
    if (whole + fraction_digits == 0)
        return false;
    size_t zeros = 0;
    while (zeros + 1 < whole && rest.data[zeros] == '0')
        zeros++;
    *size = (size_t)sprintf(json, "%s%.*s%s%.*s%.*s", minus ? "-" : "",
                            whole ? (int)(whole - zeros) : 1, whole ? rest.data + zeros : "0",
                            fraction_digits ? "." : "", (int)fraction_digits, rest.data + whole + 1,
                            (int)(rest.size - at), rest.data + at);
    return number_is_json(slice_of(json, *size));
}

/* A decimal as its significant digits and a power of ten. */
struct decimal {
    char digits[NUMBER_MAX_BYTES];
    size_t count;
    long exponent;
    bool minus;
};

static bool read_decimal(struct slice json, struct decimal *d)
{
    if (!number_is_json(json))
        return false;
    *d = (struct decimal){.minus = json.data[0] == '-'};
    bool point = false;
    size_t at = d->minus;
    for (; at < json.size && json.data[at] != 'e' && json.data[at] != 'E'; at++) {
        if (json.data[at] == '.') {
            point = true;
            continue;
        }
        if (d->count > 0 || json.data[at] != '0')
            d->digits[d->count++] = json.data[at];
        d->exponent -= point;
    }
    if (at < json.size) {
        bool down = json.data[at + 1] == '-';
        long exponent = 0;
        for (at += down || json.data[at + 1] == '+' ? 2 : 1; at < json.size; at++)
            exponent = MIN(exponent * 10 + (json.data[at] - '0'), 100000L);
        d->exponent += down ? -exponent : exponent;
    }
    while (d->count > 0 && d->digits[d->count - 1] == '0') {
        d->count--;
        d->exponent++;
    }
    return true;
}

/* The magnitude of a whole number. */
static bool read_magnitude(struct slice json, uint64_t *magnitude, bool *minus)
{
    struct decimal d;
    if (!read_decimal(json, &d))
        return false;
    *minus = d.minus;
    *magnitude = 0;
    if (d.count == 0)
        return true;
    if (d.exponent < 0 || (long)d.count + d.exponent > 20)
        return false;
    for (size_t i = 0; i < d.count + (size_t)d.exponent; i++) {
        unsigned digit = i < d.count ? (unsigned)(d.digits[i] - '0') : 0;
        if (__builtin_mul_overflow(*magnitude, UINT64_C(10), magnitude) ||
            __builtin_add_overflow(*magnitude, (uint64_t)digit, magnitude))
            return false;
    }
    return true;
}

bool number_to_i64(struct slice json, int64_t *number)
{
    uint64_t magnitude;
    bool minus;
    if (!read_magnitude(json, &magnitude, &minus) || magnitude > (uint64_t)INT64_MAX + minus)
        return false;
    *number = minus ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool number_to_u64(struct slice json, uint64_t *number)
{
    uint64_t magnitude;
    bool minus;
    if (!read_magnitude(json, &magnitude, &minus) || (minus && magnitude > 0))
        return false;
    *number = magnitude;
    return true;
}

/* strtod and printf follow the locale, which no program of ours sets: it stays "C". */
bool number_to_double(struct slice json, double *number)
{
    char text[NUMBER_MAX_BYTES + 1];
    if (!number_is_json(json))
        return false;
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    *number = strtod(text, NULL);
    return isfinite(*number);
}

void number_write_double(double number, char text[32])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            return;
    }
}

void number_write_float(float number, char text[32])
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, 32, "%.*g", digits, (double)number);
        if (strtof(text, NULL) == number)
            return;
    }
}
