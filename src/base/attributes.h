/*
 * attributes: what the compiler is told about functions and owners.
 *
 * `owned(x)` declares a pointer to struct x whose destroyer runs on every way out of the scope;
 * `give(p)` hands the object over and disarms it. A module makes its type ownable with
 * OWNED(x, x_destroy) after declaring the destroyer, which must accept NULL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(text, first) __attribute__((format(printf, text, first)))
#define COLD __attribute__((cold))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define OWNED(type, destroyer)                                                                     \
    UNUSED static inline void type##_disown(struct type **owner)                                   \
    {                                                                                              \
        destroyer(*owner);                                                                         \
    }
#define owned(type) __attribute__((cleanup(type##_disown))) struct type *
#define give(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) given = (pointer);                                                     \
        (pointer) = NULL;                                                                          \
        given;                                                                                     \
    })

#define MIN(a, b)                                                                                  \
    __extension__({                                                                                \
        __typeof__(a) min_a = (a);                                                                 \
        __typeof__(b) min_b = (b);                                                                 \
        min_a < min_b ? min_a : min_b;                                                             \
    })
#define MAX(a, b)                                                                                  \
    __extension__({                                                                                \
        __typeof__(a) max_a = (a);                                                                 \
        __typeof__(b) max_b = (b);                                                                 \
        max_a > max_b ? max_a : max_b;                                                             \
    })
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
