#include "test.h"

#include "base/memory.h"
#include "base/slice.h"

TEST(slice_compares_in_byte_order)
{
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {
        {"", "", 0},    {"", "a", -1},    {"a", "", 1},      {"a", "b", -1},
        {"ab", "a", 1}, {"\xff", "a", 1}, {"abc", "abc", 0},
    };
    EACH (c, cases) {
        CHECK(slice_compare(slice_str(c->a), slice_str(c->b)) == c->order, "%s, %s", c->a, c->b);
        CHECK(slice_equals(slice_str(c->a), slice_str(c->b)) == (c->order == 0), "%s, %s", c->a,
              c->b);
    }
    CHECK(slice_equals(SLICE_NONE, SLICE("")));
    CHECK(slice_compare(SLICE_NONE, SLICE("")) == 0);
}

TEST(slice_ignores_case_in_ascii_only)
{
    CHECK(slice_equals_nocase(SLICE("Content-LENGTH"), SLICE("content-length")));
    CHECK(!slice_equals_nocase(SLICE("a"), SLICE("ab")));
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char x = (char)a, y = (char)b;
            bool letters = (a | 32) >= 'a' && (a | 32) <= 'z' && (a | 32) == (b | 32);
            CHECK(slice_equals_nocase(slice_of(&x, 1), slice_of(&y, 1)) == (a == b || letters),
                  "%d %d", a, b);
        }
    }
}

TEST(slice_takes_from_the_front)
{
    struct slice in = SLICE("abc");
    CHECK(slice_take_byte(&in) == 'a');
    CHECK(slice_equals(slice_take(&in, 2), SLICE("bc")));
    CHECK(in.size == 0);
    struct slice none = SLICE_NONE;
    CHECK(slice_take(&none, 0).size == 0 && slice_from(none, 0).size == 0);
    CHECK(slice_starts_with(SLICE("abc"), SLICE("ab")) &&
          !slice_starts_with(SLICE("a"), SLICE("ab")));
    CHECK(slice_ends_with(SLICE("abc"), SLICE("bc")) && !slice_ends_with(SLICE("c"), SLICE("bc")));
    CHECK(slice_starts_with(SLICE_NONE, SLICE("")) && slice_ends_with(SLICE_NONE, SLICE_NONE));
}

TEST(slice_finds_bytes_and_words)
{
    static const struct {
        const char *in, *needle;
        size_t at;
    } cases[] = {
        {"abcabc", "ca", 2}, {"abc", "abcd", SIZE_MAX}, {"abc", "", 0}, {"", "a", SIZE_MAX},
        {"", "", 0},         {"aab", "ab", 1},
    };
    EACH (c, cases)
        CHECK(slice_find(slice_str(c->in), slice_str(c->needle)) == c->at, "%s in %s", c->needle,
              c->in);
    CHECK(slice_find_byte(SLICE("abc"), 'c') == 2 && slice_find_byte(SLICE("abc"), 'x') == 3);
    CHECK(slice_find_byte(SLICE_NONE, 'x') == 0);
    CHECK(slice_find(SLICE("a\0b"), SLICE("\0b")) == 1);
}

TEST(slice_trims_blanks)
{
    CHECK(slice_equals_str(slice_trim(SLICE(" \t a b\t")), "a b"));
    CHECK(slice_trim(SLICE(" \t ")).size == 0 && slice_trim(SLICE_NONE).size == 0);
    CHECK(slice_equals_str(slice_trim(SLICE("\na")), "\na"), "a newline is no blank");
}

TEST(slice_cuts_at_the_first)
{
    struct slice head, tail;
    CHECK(slice_cut(SLICE("a=b=c"), '=', &head, &tail));
    CHECK(slice_equals_str(head, "a") && slice_equals_str(tail, "b=c"));
    CHECK(slice_cut(SLICE("a="), '=', &head, &tail) && tail.size == 0);
    CHECK(!slice_cut(SLICE("abc"), '=', &head, &tail) && slice_equals_str(head, "abc") &&
          tail.size == 0);
    CHECK(!slice_cut(SLICE_NONE, '=', &head, &tail) && head.size == 0);
}

static const struct {
    const char *name;
    struct slice text;
    bool valid;
} utf8_cases[] = {
    {"nothing", {"", 0}, true},
    {"ASCII", {"plain words", 11}, true},
    {"two bytes", {"\xc3\xa9", 2}, true},
    {"three bytes", {"\xe2\x82\xac", 3}, true},
    {"four bytes", {"\xf0\x9f\x98\x80", 4}, true},
    {"NUL", {"a\0b", 3}, true},
    {"the last before the surrogates", {"\xed\x9f\xbf", 3}, true},
    {"U+10FFFF", {"\xf4\x8f\xbf\xbf", 4}, true},
    {"after eight ASCII bytes", {"12345678\xff", 9}, false},
    {"lone continuation", {"\x80", 1}, false},
    {"overlong slash", {"\xc0\xaf", 2}, false},
    {"overlong in two", {"\xc1\xbf", 2}, false},
    {"overlong in three", {"\xe0\x9f\xbf", 3}, false},
    {"overlong in four", {"\xf0\x8f\xbf\xbf", 4}, false},
    {"surrogate", {"\xed\xa0\x80", 3}, false},
    {"above U+10FFFF", {"\xf4\x90\x80\x80", 4}, false},
    {"five bytes", {"\xf8\x88\x80\x80\x80", 5}, false},
    {"cut after one of two", {"\xc3", 1}, false},
    {"cut after two of three", {"\xe2\x82", 2}, false},
    {"cut after three of four", {"\xf0\x9f\x98", 3}, false},
    {"bad third byte", {"\xe2\x82\x28", 3}, false},
    {"bad fourth byte", {"\xf0\x9f\x98\x28", 4}, false},
};

TEST(slice_knows_utf8_wherever_it_lies)
{
    EACH (c, utf8_cases) {
        for (size_t before = 0; before < 20; before++) {
            char text[64];
            memset(text, 'x', sizeof(text));
            memcpy(text + before, c->text.data, c->text.size);
            CHECK(slice_is_utf8(slice_of(text, before + c->text.size)) == c->valid, "%s after %zu",
                  c->name, before);
            CHECK(slice_is_utf8(slice_of(text, before + c->text.size + 9)) == c->valid,
                  "%s before 9", c->name);
        }
    }
    CHECK(slice_is_utf8(SLICE_NONE) && slice_utf8_length(SLICE_NONE) == 0);
    CHECK(slice_utf8_length(SLICE("\xe2\x82\xac!")) == 3 &&
          slice_utf8_length(SLICE("\xe2\x82")) == 0);
}

/* Every code point, in the shortest form and in each longer one. */
TEST(slice_accepts_each_code_point_in_one_form_only)
{
    for (uint32_t point = 0; point <= 0x110000; point++) {
        char two[] = {(char)(0xc0 | point >> 6), (char)(0x80 | (point & 63))};
        char three[] = {(char)(0xe0 | point >> 12), (char)(0x80 | (point >> 6 & 63)),
                        (char)(0x80 | (point & 63))};
        char four[] = {(char)(0xf0 | point >> 18), (char)(0x80 | (point >> 12 & 63)),
                       (char)(0x80 | (point >> 6 & 63)), (char)(0x80 | (point & 63))};
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        if (point < 0x800 && slice_is_utf8(slice_of(two, 2)) != (point >= 0x80))
            CHECK(false, "U+%x in two bytes", point);
        if (point < 0x10000 && slice_is_utf8(slice_of(three, 3)) != (point >= 0x800 && !surrogate))
            CHECK(false, "U+%x in three bytes", point);
        if (slice_is_utf8(slice_of(four, 4)) != (point >= 0x10000 && point <= 0x10ffff))
            CHECK(false, "U+%x in four bytes", point);
    }
}

TEST(slice_reads_whole_numbers)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"000000000000000000000000000007", 9, true, 7},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"", 9, false, 0},
        {"-1", 9, false, 0},
        {"+1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"0x1", 9, false, 0},
        {"1a", 99, false, 0},
        {"/", 99, false, 0},
        {":", 99, false, 0},
    };
    EACH (c, cases) {
        uint64_t value = 42;
        CHECK(slice_to_u64(slice_str(c->text), c->max, &value) == c->good, "%s", c->text);
        CHECK(value == (c->good ? c->value : 42), "%s is %lu", c->text, value);
    }
}

TEST(slice_reads_signed_numbers)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-0", true, 0},
        {"-", false, 0},
        {"", false, 0},
        {"--1", false, 0},
        {"-17", true, -17},
        {"+17", false, 0},
    };
    EACH (c, cases) {
        int64_t value = 42;
        CHECK(slice_to_i64(slice_str(c->text), &value) == c->good, "%s", c->text);
        CHECK(value == (c->good ? c->value : 42), "%s is %ld", c->text, value);
    }
}

TEST(slice_becomes_a_string)
{
    char *text = slice_to_str(slice_first(SLICE("abcdef"), 3)), *none = slice_to_str(SLICE_NONE);
    CHECK(strcmp(text, "abc") == 0 && strcmp(none, "") == 0);
    mem_free(text);
    mem_free(none);
}
