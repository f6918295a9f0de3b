#include "proxy/snapshot/name_tree.h"

#include "base/memory.h"
#include "proxy/snapshot/resource.h"

/*
 * A node has up to 32 places, of which only those in use are stored, in order of place: a bit in `nodes` says that another
 * node stands there, a bit in `leaves` a resource. Below 64 bits of hash all names of a node are different names of equal hash,
 * and it is a bucket: resources in no order, as many as `leaves` says.
 */
struct tree_node {
    uint32_t references;
    uint32_t nodes, leaves;
    void *items[];
};

enum { TREE_BITS = 5, TREE_BUCKET_SHIFT = 65 };

static inline uint32_t place_of(uint64_t hash, unsigned shift)
{
    return shift < 64 ? 1u << (hash >> shift & 31) : 0;
}

static inline bool is_bucket(unsigned shift)
{
    return shift >= TREE_BUCKET_SHIFT;
}

static inline uint32_t count_of(const struct tree_node *node, unsigned shift)
{
    return is_bucket(shift) ? node->leaves
                            : (uint32_t)__builtin_popcount(node->nodes | node->leaves);
}

/* Where the item of that place stands, or would stand. */
static inline uint32_t index_of(const struct tree_node *node, uint32_t place)
{
    return (uint32_t)__builtin_popcount((node->nodes | node->leaves) & (place - 1));
}

static struct tree_node *make_node(uint32_t count)
{
    struct tree_node *node = mem_calloc(1, sizeof(*node) + count * sizeof(void *));
    node->references = 1;
    return node;
}

static void hold_item(const struct tree_node *node, uint32_t place, unsigned shift, void *item)
{
    if (is_bucket(shift) || (node->leaves & place))
        resource_ref(item);
    else
        ((struct tree_node *)item)->references++;
}

/* The places of a node from the lowest up: for (uint32_t place; (place = rest & -rest); rest ^= place). */
#define EACH_PLACE(place, set)                                                                     \
    for (uint32_t rest_##place = (set), place; (place = rest_##place & -rest_##place) != 0;        \
         rest_##place ^= place)

/* A copy with a hold on everything but the item at `skip` (a place; 0: none), whose position is left for the caller. */
static struct tree_node *copy_node(const struct tree_node *from, uint32_t skip, unsigned shift)
{
    uint32_t count = count_of(from, shift);
    struct tree_node *to = make_node(count);
    to->nodes = from->nodes;
    to->leaves = from->leaves;
    memcpy(to->items, from->items, count * sizeof(void *));
    EACH_PLACE(place, from->nodes | from->leaves)
    {
        if (place != skip)
            hold_item(from, place, shift, to->items[index_of(from, place)]);
    }
    return to;
}

static const struct resource *find_in_bucket(const struct tree_node *node, const struct name *name)
{
    for (uint32_t i = 0; i < node->leaves; i++) {
        const struct resource *resource = node->items[i];
        if (name_equals(&resource->name, name))
            return resource;
    }
    return NULL;
}

const struct resource *name_tree_find(struct name_tree tree, const struct name *name)
{
    const struct tree_node *node = tree.root;
    uint64_t hash = name->hash;
    for (unsigned shift = 0; node; shift += TREE_BITS) {
        if (is_bucket(shift))
            return find_in_bucket(node, name);
        uint32_t place = place_of(hash, shift);
        if (node->leaves & place) {
            const struct resource *resource = node->items[index_of(node, place)];
            return name_equals(&resource->name, name) ? resource : NULL;
        }
        node = node->nodes & place ? node->items[index_of(node, place)] : NULL;
    }
    return NULL;
}

static struct tree_node *with(const struct tree_node *node, struct resource *resource,
                              unsigned shift, bool *added);
static void release_node(struct tree_node *node, unsigned shift, const struct tree_owner *owner);

/* The node grown by one place. */
static struct tree_node *with_place(const struct tree_node *from, uint32_t place,
                                    struct resource *resource, unsigned shift)
{
    uint32_t count = count_of(from, shift), at = index_of(from, place);
    struct tree_node *to = make_node(count + 1);
    memcpy(to->items, from->items, at * sizeof(void *));
    memcpy(to->items + at + 1, from->items + at, (count - at) * sizeof(void *));
    to->nodes = from->nodes;
    to->leaves = from->leaves | place;
    to->items[at] = resource_ref(resource);
    EACH_PLACE(other, from->nodes | from->leaves)
    hold_item(from, other, shift, from->items[index_of(from, other)]);
    return to;
}

static struct tree_node *bucket_with(const struct tree_node *from, struct resource *resource,
                                     bool *added)
{
    uint32_t count = from ? from->leaves : 0, at = 0;
    while (at < count && !name_equals(&((struct resource *)from->items[at])->name, &resource->name))
        at++;
    *added = at == count;
    struct tree_node *to = make_node(count + *added);
    to->leaves = count + *added;
    for (uint32_t i = 0; i < count; i++)
        to->items[i] = resource_ref(i == at ? resource : from->items[i]);
    if (*added)
        to->items[at] = resource_ref(resource);
    return to;
}

/* Two names share this place: they move one level down together. */
static struct tree_node *split(const struct tree_node *node, uint32_t place, struct resource *there,
                               struct resource *resource, unsigned shift)
{
    bool added;
    struct tree_node *lower = with(NULL, there, shift + TREE_BITS, &added);
    struct tree_node *both = with(lower, resource, shift + TREE_BITS, &added);
    release_node(lower, shift + TREE_BITS, NULL); /* `both` holds what was in it */
    struct tree_node *copy = copy_node(node, place, shift);
    copy->leaves &= ~place;
    copy->nodes |= place;
    copy->items[index_of(copy, place)] = both;
    return copy;
}

static struct tree_node *with(const struct tree_node *node, struct resource *resource,
                              unsigned shift, bool *added)
{
    if (is_bucket(shift))
        return bucket_with(node, resource, added);
    uint32_t place = place_of(resource->name.hash, shift);
    *added = true;
    if (!node) {
        struct tree_node *first = make_node(1);
        first->leaves = place;
        first->items[0] = resource_ref(resource);
        return first;
    }
    if (!((node->leaves | node->nodes) & place))
        return with_place(node, place, resource, shift);
    uint32_t at = index_of(node, place);
    if (node->leaves & place) {
        struct resource *there = node->items[at];
        if (!name_equals(&there->name, &resource->name))
            return split(node, place, there, resource, shift);
        struct tree_node *copy = copy_node(node, place, shift);
        copy->items[at] = resource_ref(resource);
        *added = false;
        return copy;
    }
    struct tree_node *lower = with(node->items[at], resource, shift + TREE_BITS, added);
    struct tree_node *copy = copy_node(node, place, shift);
    copy->items[at] = lower;
    return copy;
}

struct name_tree name_tree_with(struct name_tree tree, struct resource *resource)
{
    bool added;
    const struct tree_node *root = with(tree.root, resource, 0, &added);
    return (struct name_tree){root, tree.count + added};
}

static struct tree_node *bucket_without(const struct tree_node *from,
                                        const struct resource *resource)
{
    struct tree_node *to = make_node(from->leaves - 1);
    for (uint32_t i = 0; i < from->leaves; i++) {
        if (from->items[i] != resource)
            to->items[to->leaves++] = resource_ref(from->items[i]);
    }
    return to;
}

static struct tree_node *without_place(const struct tree_node *from, uint32_t place, unsigned shift)
{
    uint32_t count = count_of(from, shift), at = index_of(from, place);
    struct tree_node *to = make_node(count - 1);
    memcpy(to->items, from->items, at * sizeof(void *));
    memcpy(to->items + at, from->items + at + 1, (count - at - 1) * sizeof(void *));
    to->nodes = from->nodes & ~place;
    to->leaves = from->leaves & ~place;
    EACH_PLACE(other, to->nodes | to->leaves)
    hold_item(to, other, shift, to->items[index_of(to, other)]);
    return to;
}

/* The only resource of a node that could as well stand in the place of the node. */
static struct resource *lone_leaf(const struct tree_node *node, unsigned shift)
{
    return count_of(node, shift) == 1 && (is_bucket(shift) || node->leaves) ? node->items[0] : NULL;
}

/* The node without the resource, which is in it; NULL when nothing is left. */
static struct tree_node *without(const struct tree_node *node, const struct resource *resource,
                                 unsigned shift)
{
    if (is_bucket(shift))
        return node->leaves == 1 ? NULL : bucket_without(node, resource);
    uint32_t place = place_of(resource->name.hash, shift);
    if (node->leaves & place)
        return count_of(node, shift) == 1 ? NULL : without_place(node, place, shift);
    uint32_t at = index_of(node, place);
    struct tree_node *lower = without(node->items[at], resource, shift + TREE_BITS);
    if (!lower)
        return count_of(node, shift) == 1 ? NULL : without_place(node, place, shift);
    struct tree_node *copy = copy_node(node, place, shift);
    struct resource *lone = lone_leaf(lower, shift + TREE_BITS);
    if (!lone) {
        copy->items[at] = lower;
        return copy;
    }
    copy->nodes &= ~place;
    copy->leaves |= place;
    copy->items[at] = lone; /* takes over the hold that `lower` had */
    mem_free(lower);
    return copy;
}

struct name_tree name_tree_without(struct name_tree tree, const struct name *name)
{
    const struct resource *resource = name_tree_find(tree, name);
    if (!resource)
        return name_tree_hold(tree);
    return (struct name_tree){without(tree.root, resource, 0), tree.count - 1};
}

struct name_tree name_tree_hold(struct name_tree tree)
{
    if (tree.root)
        ((struct tree_node *)(uintptr_t)tree.root)->references++;
    return tree;
}

static void release_node(struct tree_node *node, unsigned shift, const struct tree_owner *owner)
{
    if (--node->references > 0)
        return;
    if (is_bucket(shift)) {
        for (uint32_t i = 0; i < node->leaves; i++) {
            if (resource_drop(node->items[i]))
                owner->on_dropped(owner->owner, node->items[i]);
        }
        mem_free(node);
        return;
    }
    EACH_PLACE(place, node->nodes | node->leaves)
    {
        void *item = node->items[index_of(node, place)];
        if (node->nodes & place)
            release_node(item, shift + TREE_BITS, owner);
        else if (resource_drop(item))
            owner->on_dropped(owner->owner, item);
    }
    mem_free(node);
}

void name_tree_release(struct name_tree tree, const struct tree_owner *owner)
{
    if (tree.root)
        release_node((struct tree_node *)(uintptr_t)tree.root, 0, owner);
}

static void each(const struct tree_node *node, unsigned shift,
                 void (*visit)(void *to, const struct resource *resource), void *to)
{
    if (is_bucket(shift)) {
        for (uint32_t i = 0; i < node->leaves; i++)
            visit(to, node->items[i]);
        return;
    }
    EACH_PLACE(place, node->nodes | node->leaves)
    {
        const void *item = node->items[index_of(node, place)];
        if (node->nodes & place)
            each(item, shift + TREE_BITS, visit, to);
        else
            visit(to, item);
    }
}

void name_tree_each(struct name_tree tree, void (*visit)(void *to, const struct resource *resource),
                    void *to)
{
    if (tree.root)
        each(tree.root, 0, visit, to);
}

struct difference {
    void (*visit)(void *to, const struct resource *before, const struct resource *after);
    void *to;
    bool is_reversed;              /* `before` and `after` are exchanged */
    const struct resource *except; /* has been told already */
};

static void tell(const struct difference *d, const struct resource *before,
                 const struct resource *after)
{
    if (d->is_reversed)
        d->visit(d->to, after, before);
    else
        d->visit(d->to, before, after);
}

static void tell_after(void *to, const struct resource *resource)
{
    const struct difference *d = to;
    if (resource != d->except)
        tell(d, NULL, resource);
}

static void tell_before(void *to, const struct resource *resource)
{
    const struct difference *d = to;
    if (resource != d->except)
        tell(d, resource, NULL);
}

/* One resource on one side, a whole node below the same place on the other. */
static void diff_leaf(const struct difference *d, const struct resource *leaf,
                      const struct tree_node *node, unsigned shift)
{
    struct difference rest = *d;
    struct name_tree tree = {.root = node};
    const struct resource *same = NULL;
    for (unsigned s = shift; tree.root && !same; s += TREE_BITS) {
        if (is_bucket(s)) {
            same = find_in_bucket(tree.root, &leaf->name);
            break;
        }
        uint32_t place = place_of(leaf->name.hash, s);
        void *item = (tree.root->nodes | tree.root->leaves) & place
                         ? tree.root->items[index_of(tree.root, place)]
                         : NULL;
        if (item && (tree.root->leaves & place)) {
            same = name_equals(&((struct resource *)item)->name, &leaf->name) ? item : NULL;
            break;
        }
        tree.root = item;
    }
    if (same != leaf)
        tell(d, leaf, same);
    rest.except = same;
    each(node, shift, tell_after, &rest);
}

static void diff_buckets(const struct difference *d, const struct tree_node *before,
                         const struct tree_node *after)
{
    for (uint32_t i = 0; i < before->leaves; i++) {
        const struct resource *old = before->items[i], *now = find_in_bucket(after, &old->name);
        if (now != old)
            tell(d, old, now);
    }
    for (uint32_t i = 0; i < after->leaves; i++) {
        const struct resource *now = after->items[i];
        if (!find_in_bucket(before, &now->name))
            tell(d, NULL, now);
    }
}

static void diff_leaves(const struct difference *d, const struct resource *before,
                        const struct resource *after)
{
    if (before == after)
        return;
    if (name_equals(&before->name, &after->name)) {
        tell(d, before, after);
        return;
    }
    tell(d, before, NULL);
    tell(d, NULL, after);
}

static void diff_nodes(const struct difference *d, const struct tree_node *before,
                       const struct tree_node *after, unsigned shift);

static void diff_place(const struct difference *d, const struct tree_node *before,
                       const struct tree_node *after, uint32_t place, unsigned shift)
{
    const void *old =
        (before->nodes | before->leaves) & place ? before->items[index_of(before, place)] : NULL;
    const void *now =
        (after->nodes | after->leaves) & place ? after->items[index_of(after, place)] : NULL;
    bool old_is_leaf = before->leaves & place, now_is_leaf = after->leaves & place;
    struct difference all = *d, reversed = *d;
    all.except = NULL;
    reversed.is_reversed = !d->is_reversed;
    if (old == now)
        return;
    if (old && now && old_is_leaf && now_is_leaf)
        diff_leaves(d, old, now);
    else if (old && now && old_is_leaf)
        diff_leaf(d, old, now, shift + TREE_BITS);
    else if (old && now && now_is_leaf)
        diff_leaf(&reversed, now, old, shift + TREE_BITS);
    else if (old && now)
        diff_nodes(d, old, now, shift + TREE_BITS);
    else if (old && old_is_leaf)
        tell(d, old, NULL);
    else if (now && now_is_leaf)
        tell(d, NULL, now);
    else if (old)
        each(old, shift + TREE_BITS, tell_before, &all);
    else
        each(now, shift + TREE_BITS, tell_after, &all);
}

static void diff_nodes(const struct difference *d, const struct tree_node *before,
                       const struct tree_node *after, unsigned shift)
{
    if (before == after)
        return;
    if (is_bucket(shift)) {
        diff_buckets(d, before, after);
        return;
    }
    EACH_PLACE(place, before->nodes | before->leaves | after->nodes | after->leaves)
    diff_place(d, before, after, place, shift);
}

void name_tree_diff(struct name_tree before, struct name_tree after,
                    void (*visit)(void *to, const struct resource *before,
                                  const struct resource *after),
                    void *to)
{
    struct difference d = {.visit = visit, .to = to};
    if (before.root && after.root)
        diff_nodes(&d, before.root, after.root, 0);
    else if (before.root)
        each(before.root, 0, tell_before, &d);
    else if (after.root)
        each(after.root, 0, tell_after, &d);
}
