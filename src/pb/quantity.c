#include "pb/quantity_internal.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_exponent(struct slice suffix)
{
    if (suffix.size < 2 || (suffix.data[0] != 'e' && suffix.data[0] != 'E'))
        return false;
    suffix = slice_from(suffix, 1);
    if (suffix.data[0] == '+' || suffix.data[0] == '-')
        suffix = slice_from(suffix, 1);
    for (size_t i = 0; i < suffix.size; i++)
        if (!is_digit(suffix.data[i]))
            return false;
    return suffix.size > 0 && suffix.size <= 3;
}

bool quantity_is_valid(struct slice text)
{
    static const char *const units[] = {"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                        "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    if (text.size > 0 && (text.data[0] == '+' || text.data[0] == '-'))
        text = slice_from(text, 1);
    size_t at = 0, digits = 0;
    bool point = false;
    for (; at < text.size && (is_digit(text.data[at]) || (text.data[at] == '.' && !point)); at++) {
        digits += text.data[at] != '.';
        point |= text.data[at] == '.';
    }
    if (digits == 0 || digits > 64)
        return false;
    struct slice suffix = slice_from(text, at);
    for (size_t i = 0; i < COUNT(units); i++)
        if (slice_equals_str(suffix, units[i]))
            return true;
    return is_exponent(suffix);
}
