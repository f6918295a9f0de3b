#include "test.h"

#include "base/random.h"
#include "match/predicate.h"
#include "match/table_memory.h"

/* A test is a bit number, the input a set of bits. */
static bool bit_is_set(const void *test, const void *input)
{
    return *(const uint32_t *)input >> *(const uint32_t *)test & 1;
}

static const uint32_t bits[] = {0, 1, 2, 3, 4, 5, 6, 7};

struct tree {
    struct predicate_node nodes[4096];
    size_t used;
};

static void fill(struct tree *tree, struct predicate_node *node, struct random *random, int depth)
{
    uint64_t kind = random_below(random, depth > 0 ? 6 : 3);
    *node = (struct predicate_node){.kind = (enum predicate_kind)kind};
    if (node->kind == PREDICATE_TEST)
        node->test = &bits[random_below(random, COUNT(bits))];
    if (node->kind < PREDICATE_NOT)
        return;
    node->child_count = node->kind == PREDICATE_NOT ? 1 : random_below(random, 4);
    struct predicate_node *children = tree->nodes + tree->used;
    tree->used += node->child_count;
    node->children = children;
    for (size_t i = 0; i < node->child_count; i++)
        fill(tree, &children[i], random, depth - 1);
}

static bool slowly(const struct predicate_node *node, uint32_t input)
{
    bool holds = false;
    switch (node->kind) {
    case PREDICATE_NEVER: return false;
    case PREDICATE_ALWAYS: return true;
    case PREDICATE_TEST: return bit_is_set(node->test, &input);
    case PREDICATE_NOT: return !slowly(node->children, input);
    case PREDICATE_AND:
        holds = true;
        for (size_t i = 0; i < node->child_count; i++)
            holds = holds && slowly(&node->children[i], input);
        return holds;
    case PREDICATE_OR:
        for (size_t i = 0; i < node->child_count; i++)
            holds = holds || slowly(&node->children[i], input);
        return holds;
    }
    return false;
}

TEST(predicate_equals_the_tree_it_was_made_of)
{
    static struct tree tree;
    struct random random;
    random_seed(&random, 3);
    for (int round = 0; round < 500; round++) {
        struct predicate_node root;
        tree.used = 0;
        fill(&tree, &root, &random, 5);
        struct table_memory memory;
        struct predicate predicate;
        table_memory_init(&memory);
        CHECK(predicate_build(&predicate, &root, &memory, NULL));
        for (uint32_t input = 0; input < 256; input += 5)
            CHECK(predicate_holds(&predicate, bit_is_set, &input) == slowly(&root, input),
                  "round %d input %u", round, input);
        table_memory_fini(&memory);
    }
}

TEST(predicate_limits_depth_and_size)
{
    struct predicate_node chain[PREDICATE_MAX_DEPTH + 2];
    for (size_t i = 0; i < COUNT(chain) - 1; i++)
        chain[i] = (struct predicate_node){PREDICATE_NOT, NULL, &chain[i + 1], 1};
    chain[COUNT(chain) - 1] = (struct predicate_node){.kind = PREDICATE_ALWAYS};
    struct table_memory memory;
    struct predicate predicate;
    table_memory_init(&memory);
    CHECK(predicate_build(&predicate, &chain[1], &memory, NULL));
    CHECK(!predicate_build(&predicate, &chain[0], &memory, NULL));

    static struct predicate_node tests[PREDICATE_MAX_STEPS + 1];
    for (size_t i = 0; i < COUNT(tests); i++)
        tests[i] = (struct predicate_node){.kind = PREDICATE_TEST, .test = &bits[0]};
    struct predicate_node all = {PREDICATE_OR, NULL, tests, PREDICATE_MAX_STEPS};
    CHECK(predicate_build(&predicate, &all, &memory, NULL));
    all.child_count++;
    CHECK(!predicate_build(&predicate, &all, &memory, NULL));
    table_memory_fini(&memory);
}
