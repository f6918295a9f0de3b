#include "test.h"

#include "pb/number_internal.h"

TEST(number_knows_what_json_calls_one)
{
    static const char *const good[] = {"0",   "-0",   "12",     "-1.5",
                                       "1e9", "1E+9", "0.0e-1", "123456789012345678901234567890"};
    static const char *const bad[] = {"",    "-",   "01",  "+1", ".5", "1.",  "1e",   "1e+",
                                      "0x1", "1_0", "NaN", "1 ", " 1", "--1", "1.5.5"};
    EACH (text, good)
        CHECK(number_is_json(slice_str(*text)), "%s", *text);
    EACH (text, bad)
        CHECK(!number_is_json(slice_str(*text)), "%s", *text);
    char many[NUMBER_MAX_BYTES + 1];
    memset(many, '1', sizeof many);
    CHECK(number_is_json(slice_of(many, NUMBER_MAX_BYTES)), "the longest");
    CHECK(!number_is_json(slice_of(many, NUMBER_MAX_BYTES + 1)), "one more");
}

TEST(number_reads_yaml_as_kubectl_does)
{
    static const struct {
        const char *yaml, *json; /* NULL: a string */
    } cases[] = {
        {"12", "12"},
        {"-12", "-12"},
        {"+3", "3"},
        {"0x1F", "31"},
        {"0X1f", "31"},
        {"-0x10", "-16"},
        {"0o17", "15"},
        {"017", "15"},
        {"08", "8"},
        {"0b101", "5"},
        {"1_000", "1000"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"1.", "1"},
        {"1.50", "1.50"},
        {"00.5", "0.5"},
        {"1e3", "1e3"},
        {"1.5e-3", "1.5e-3"},
        {"0", "0"},
        {"-0", "-0"},
        {"1.2.3", NULL},
        {"10.0.0.1", NULL},
        {"1e", NULL},
        {"e5", NULL},
        {".", NULL},
        {"-", NULL},
        {"+", NULL},
        {"0x", NULL},
        {"0xg", NULL},
        {"1:30", NULL},
        {"12a", NULL},
        {"_1", NULL},
        {".inf", NULL},
        {".nan", NULL},
        {"v1", NULL},
        {"1-2", NULL},
        {"abc", NULL},
        {"0x1FFFFFFFFFFFFFFFF", NULL},
        {"+-1", NULL},
        {"18446744073709551615", "18446744073709551615"},
        {"0xFFFFFFFFFFFFFFFF", "18446744073709551615"},
    };
    EACH (c, cases) {
        char json[NUMBER_MAX_BYTES + 8];
        size_t size = 0;
        bool number = number_from_yaml(slice_str(c->yaml), json, &size);
        CHECK(number == (c->json != NULL), "%s", c->yaml);
        if (number)
            CHECK(slice_equals_str(slice_of(json, size), c->json), "%s: %.*s", c->yaml, (int)size,
                  json);
    }
}

TEST(number_is_exact_to_the_last_digit)
{
    static const struct {
        const char *text;
        bool fits_i64, fits_u64;
        int64_t i64;
        uint64_t u64;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"-0", true, true, 0, 0},
        {"5.0", true, true, 5, 5},
        {"1e3", true, true, 1000, 1000},
        {"1500e-2", true, true, 15, 15},
        {"15e-1", false, false, 0, 0},
        {"0.1", false, false, 0, 0},
        {"0e99999999999", true, true, 0, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", false, true, 0, UINT64_C(9223372036854775808)},
        {"-9223372036854775808", true, false, INT64_MIN, 0},
        {"-9223372036854775809", false, false, 0, 0},
        {"18446744073709551615", false, true, 0, UINT64_MAX},
        {"18446744073709551616", false, false, 0, 0},
        {"1.8446744073709551615e19", false, true, 0, UINT64_MAX},
        {"1e999999999", false, false, 0, 0},
        {"1e-999999999", false, false, 0, 0},
        {"-1", true, false, -1, 0},
    };
    EACH (c, cases) {
        int64_t i64 = 0;
        uint64_t u64 = 0;
        CHECK(number_to_i64(slice_str(c->text), &i64) == c->fits_i64 && i64 == c->i64, "%s: %lld",
              c->text, (long long)i64);
        CHECK(number_to_u64(slice_str(c->text), &u64) == c->fits_u64 && u64 == c->u64, "%s: %llu",
              c->text, (unsigned long long)u64);
    }
    double real;
    CHECK(number_to_double(SLICE("1.5e300"), &real) && real == 1.5e300, "large");
    CHECK(!number_to_double(SLICE("1e400"), &real) &&
              !number_to_double(SLICE("-1e999999999"), &real),
          "too large");
}

TEST(number_writes_the_shortest_text_that_reads_back)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0.1, "0.1"},   {100, "100"},      {1.0 / 3, "0.3333333333333333"},
                 {-2.5, "-2.5"}, {1e300, "1e+300"}, {5e-324, "4.94065645841247e-324"}};
    EACH (c, cases) {
        char text[32];
        number_write_double(c->number, text);
        CHECK(strcmp(text, c->text) == 0, "%s", text);
    }
    char text[32];
    number_write_float(0.1f, text);
    CHECK(strcmp(text, "0.1") == 0, "%s", text);
}
