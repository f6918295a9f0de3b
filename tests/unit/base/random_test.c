#include "test.h"

#include "base/random.h"

TEST(random_repeats_for_a_seed)
{
    struct random a, b, c;
    random_seed(&a, 7);
    random_seed(&b, 7);
    random_seed(&c, 8);
    uint64_t first = random_u64(&a);
    CHECK(first == random_u64(&b) && first != random_u64(&c));
    random_seed_from_kernel(&a);
    random_seed_from_kernel(&b);
    CHECK(random_u64(&a) != random_u64(&b));
}

/* The reference implementation's first outputs for the state {1, 2, 3, 4}. */
TEST(random_is_xoshiro256)
{
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240,
                                        1216172134540287360};
    struct random random = {{1, 2, 3, 4}};
    EACH (value, expected)
        CHECK(random_u64(&random) == *value);
}

TEST(random_below_is_even)
{
    struct random random;
    random_seed(&random, 1);
    size_t seen[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random_below(&random, 10);
        CHECK(value < 10);
        seen[value]++;
    }
    /* Five standard deviations of a binomial with p = 0.1. */
    EACH (count, seen)
        CHECK(*count > 10000 - 475 && *count < 10000 + 475, "%zu", *count);
    for (int i = 0; i < 1000; i++) {
        CHECK(random_below(&random, 1) == 0);
        CHECK(random_below(&random, ((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
    }
}

TEST(random_uuid_is_version_4)
{
    struct random random;
    random_seed(&random, 3);
    char text[37], other[37];
    for (int i = 0; i < 100; i++) {
        random_uuid(&random, text);
        CHECK(strlen(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
                  text[23] == '-',
              "%s", text);
        CHECK(text[14] == '4' && strchr("89ab", text[19]), "%s", text);
        CHECK(strspn(text, "0123456789abcdef-") == 36, "%s", text);
    }
    random_uuid(&random, other);
    CHECK(strcmp(text, other) != 0);
}

TEST(random_secret_fills_everything)
{
    uint8_t bytes[4096] = {0};
    random_secret(bytes, sizeof(bytes));
    size_t zeros = 0;
    EACH (byte, bytes)
        zeros += *byte == 0;
    CHECK(zeros < 64, "%zu", zeros);
    random_secret(NULL, 0);
}
