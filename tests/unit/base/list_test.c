#include "test.h"

#include "base/list.h"

struct item {
    int number;
    struct list node;
};

static int digits_of(struct list *list)
{
    int digits = 0;
    LIST_EACH(node, list)
    digits = digits * 10 + LIST_ENTRY(node, struct item, node)->number;
    return digits;
}

TEST(list_keeps_its_order)
{
    struct list list, other;
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_init(&list);
    list_init(&other);
    CHECK(list_is_empty(&list));
    list_push_back(&list, &items[1].node);
    list_push_front(&list, &items[0].node);
    list_push_back(&list, &items[2].node);
    CHECK(digits_of(&list) == 123);
    list_insert_before(&items[1].node, &items[3].node);
    CHECK(digits_of(&list) == 1423);
    list_remove(&items[1].node);
    list_remove(&items[1].node);
    CHECK(digits_of(&list) == 143, "removing twice is harmless");
    list_push_back(&other, &items[1].node);
    list_splice(&other, &list);
    CHECK(digits_of(&other) == 2143 && list_is_empty(&list));
    list_splice(&other, &list);
    CHECK(digits_of(&other) == 2143);
}

TEST(list_may_lose_the_node_that_is_visited)
{
    struct list list;
    struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_init(&list);
    for (size_t i = 0; i < 4; i++)
        list_push_back(&list, &items[i].node);
    LIST_EACH_SAFE(node, after, &list)
    {
        if (LIST_ENTRY(node, struct item, node)->number % 2 == 0)
            list_remove(node);
    }
    CHECK(digits_of(&list) == 13);
}
