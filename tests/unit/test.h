/*
 * test: a thin face over CMocka.
 *
 * TEST(name) { ... } defines a test and registers it; CHECK(claim, format, ...) fails the test with
 * the claim and a message; EACH(row, table) walks a static table. The main function is supplied here, so
 * a test file holds nothing but tests. A file is one executable.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEST_MAX = 512 };
static struct CMUnitTest test_list[TEST_MAX];
static size_t test_count;

#define TEST(name)                                                                                 \
    static void name(void **);                                                                     \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        if (test_count < TEST_MAX)                                                                 \
            test_list[test_count++] = (struct CMUnitTest){#name, name, NULL, NULL, NULL};          \
    }                                                                                              \
    static void name(__attribute__((unused)) void **test_state)

/* CHECK(claim) or CHECK(claim, "row %s", name): says what was claimed, where, and the message. */
#define CHECK(claim, ...)                                                                          \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            print_error("%s:%d: not true: %s\n", __FILE__, __LINE__, #claim);                      \
            print_error("    " __VA_ARGS__);                                                       \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

#define EACH(row, table)                                                                           \
    for (const __typeof__((table)[0]) *row = (table);                                              \
         row < (table) + sizeof(table) / sizeof((table)[0]); row++)

int main(void)
{
    return _cmocka_run_group_tests("", test_list, test_count, NULL, NULL);
}
