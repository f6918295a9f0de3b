/*
 * decimal: whole numbers as digits, for lines and heads that are written on every request.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_MAX = 20 }; /* digits of any number */

/* Writes the digits, at most DECIMAL_MAX and without NUL, and returns how many they are. */
static inline size_t decimal_write(uint64_t number, char *to)
{
    size_t size = 1;
    for (uint64_t limit = 10; size < DECIMAL_MAX && number >= limit; limit *= 10)
        size++;
    for (size_t at = size; at-- > 0; number /= 10)
        to[at] = (char)('0' + number % 10);
    return size;
}
