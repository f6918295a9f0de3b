#include "base/decimal.h"

#include "base/slice.h"

#include "test.h"

static const struct {
    uint64_t number;
    const char *digits;
} cases[] = {
    {0, "0"},
    {9, "9"},
    {10, "10"},
    {99, "99"},
    {100, "100"},
    {65535, "65535"},
    {9999999999999999999u, "9999999999999999999"},
    {10000000000000000000u, "10000000000000000000"},
    {UINT64_MAX, "18446744073709551615"},
};

TEST(numbers_are_written_in_as_many_digits_as_they_have)
{
    EACH (c, cases) {
        char digits[DECIMAL_MAX];
        size_t size = decimal_write(c->number, digits);
        CHECK(slice_equals_str(slice_of(digits, size), c->digits), "%s: %.*s", c->digits, (int)size,
              digits);
    }
}
