#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "proxy/snapshot/name_tree.h"
#include "proxy/snapshot/resource.h"

enum { NAMES = 300 };

/* Hashes with few distinct bits, so that nodes are deep, and equal hashes, so that there are buckets. */
static uint64_t hash_of(unsigned i, int style)
{
    switch (style) {
    case 0: return name_hash(slice_of(&i, sizeof(i)));
    case 1: return (uint64_t)(i % 7) << 60 | (i % 3);
    case 2: return i / 40;
    default: return 0;
    }
}

static struct resource *make(unsigned i, int style)
{
    char text[16];
    snprintf(text, sizeof(text), "name-%u", i);
    struct name name = {slice_str(text), hash_of(i, style)};
    return resource_create(KIND_TLS, &name, NULL, SLICE("v"), SLICE(""));
}

static size_t dropped;

static void on_dropped(void *owner, struct resource *resource)
{
    (void)owner;
    dropped++;
    resource_free(resource);
}

static const struct tree_owner owner = {on_dropped, NULL};

static void replace(struct name_tree *tree, struct name_tree next)
{
    name_tree_release(*tree, &owner);
    *tree = next;
}

static void drop(struct resource *resource)
{
    if (resource_drop(resource))
        on_dropped(NULL, resource);
}

struct tally {
    unsigned seen;
    const struct resource *const *expected; /* by number */
};

static unsigned number_of(const struct resource *resource)
{
    return (unsigned)atoi(resource->name.text.data + 5);
}

static void count_one(void *to, const struct resource *resource)
{
    struct tally *tally = to;
    tally->seen++;
    CHECK(tally->expected[number_of(resource)] == resource);
}

struct changes {
    const struct resource *const *before, *const *after;
    unsigned told[NAMES];
};

static void told(void *to, const struct resource *before, const struct resource *after)
{
    struct changes *changes = to;
    unsigned i = number_of(before ? before : after);
    CHECK(changes->before[i] == before && changes->after[i] == after, "name %u", i);
    CHECK(before != after);
    changes->told[i]++;
}

static void check_diff(struct name_tree before, const struct resource *const *old,
                       struct name_tree after, const struct resource *const *now)
{
    struct changes changes = {.before = old, .after = now};
    name_tree_diff(before, after, told, &changes);
    for (unsigned i = 0; i < NAMES; i++)
        CHECK(changes.told[i] == (old[i] != now[i]), "name %u told %u times", i, changes.told[i]);
}

static void check_finds(struct name_tree tree, const struct resource *const *expected, int style)
{
    struct tally tally = {.expected = expected};
    unsigned count = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        char text[16];
        snprintf(text, sizeof(text), "name-%u", i);
        struct name name = {slice_str(text), hash_of(i, style)};
        CHECK(name_tree_find(tree, &name) == expected[i], "style %d, name %u", style, i);
        count += expected[i] != NULL;
    }
    CHECK(tree.count == count);
    name_tree_each(tree, count_one, &tally);
    CHECK(tally.seen == count);
}

TEST(name_tree_equals_an_array_after_random_changes)
{
    struct random random;
    random_seed(&random, 17);
    for (int style = 0; style < 4; style++) {
        const struct resource *expected[NAMES] = {0}, *kept[NAMES] = {0};
        struct name_tree tree = {0}, old = {0};
        size_t made = 0;
        dropped = 0;
        for (int step = 0; step < 3000; step++) {
            unsigned i = (unsigned)random_below(&random, style == 3 ? 40 : NAMES);
            if (random_below(&random, 3) > 0) {
                struct resource *resource = make(i, style);
                made++;
                replace(&tree, name_tree_with(tree, resource));
                expected[i] = resource;
                drop(resource);
            } else {
                char text[16];
                snprintf(text, sizeof(text), "name-%u", i);
                struct name name = {slice_str(text), hash_of(i, style)};
                replace(&tree, name_tree_without(tree, &name));
                expected[i] = NULL;
            }
            if (step % 100 == 0) {
                check_finds(tree, expected, style);
                check_finds(old, kept, style);
                check_diff(old, kept, tree, expected);
                check_diff(tree, expected, old, kept);
                replace(&old, name_tree_hold(tree));
                memcpy(kept, expected, sizeof(kept));
            }
        }
        name_tree_release(tree, &owner);
        name_tree_release(old, &owner);
        CHECK(dropped == made, "style %d: %zu of %zu came back", style, dropped, made);
    }
}

static void count_visits(void *to, const struct resource *before, const struct resource *after)
{
    (void)before;
    (void)after;
    ++*(size_t *)to;
}

TEST(name_tree_shares_what_did_not_change)
{
    struct name_tree tree = {0};
    for (unsigned i = 0; i < 10000; i++) {
        struct resource *resource = make(i, 0);
        replace(&tree, name_tree_with(tree, resource));
        drop(resource);
    }
    struct resource *one = make(77, 0);
    struct name_tree next = name_tree_with(tree, one);
    drop(one);
    size_t visits = 0;
    name_tree_diff(tree, next, count_visits, &visits);
    CHECK(visits == 1);
    CHECK(next.count == 10000);
    name_tree_release(next, &owner);
    name_tree_release(tree, &owner);
}
