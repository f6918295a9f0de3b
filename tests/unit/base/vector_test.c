#include "test.h"

#include "base/vector.h"

TEST(vector_grows_and_keeps_its_order)
{
    VECTOR(size_t) numbers = {0};
    VECTOR_EACH(number, &numbers)
    CHECK(false, "an empty vector holds %zu", *number);
    for (size_t i = 0; i < 1000; i++)
        vector_push(&numbers, i);
    CHECK(numbers.count == 1000 && vector_last(&numbers) == 999);
    size_t expected = 0;
    VECTOR_EACH(number, &numbers)
    CHECK(*number == expected++);
    vector_fini(&numbers);
    CHECK(numbers.items == NULL && numbers.count == 0 && numbers.capacity == 0);
}

TEST(vector_closes_the_gap)
{
    VECTOR(int) numbers = {0};
    for (int i = 0; i < 5; i++)
        vector_push(&numbers, i);
    vector_remove(&numbers, 2);
    vector_remove(&numbers, 0);
    vector_remove(&numbers, 2);
    CHECK(numbers.count == 2 && numbers.items[0] == 1 && numbers.items[1] == 3);
    vector_fini(&numbers);
}

struct holder {
    VECTOR(int) numbers;
};

static int sum_of(const struct holder *holder)
{
    int sum = 0;
    VECTOR_EACH(number, &holder->numbers)
    sum += *number;
    return sum;
}

TEST(vector_is_walked_through_a_const_pointer)
{
    struct holder holder = {0};
    for (int i = 1; i <= 4; i++)
        vector_push(&holder.numbers, i);
    CHECK(sum_of(&holder) == 10);
    vector_fini(&holder.numbers);
}

TEST(vector_takes_structs)
{
    struct pair {
        int a, b;
    };
    VECTOR(struct pair) pairs = {0};
    vector_push(&pairs, {1, 2});
    vector_push(&pairs, {.b = 4, .a = 3});
    CHECK(pairs.items[0].b == 2 && vector_last(&pairs).a == 3);
    vector_fini(&pairs);
}
