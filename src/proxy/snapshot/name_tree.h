/*
 * name_tree: a persistent map from name to resource: changing one costs the path to it, and the old tree stays.
 *
 * A hash array mapped trie over the name's 64-bit hash, 32 ways a level. Nodes are shared between trees and counted, on the main
 * thread only; any thread may read a tree that someone holds. A tree holds a reference to each of its resources.
 */
#pragma once

#include "base/attributes.h"
#include "build/name.h"

struct resource;
struct tree_node;

struct name_tree {
    const struct tree_node *root; /* NULL: empty */
    uint32_t count;
};

/* What becomes of resources whose last reference a tree drops. */
struct tree_owner {
    void (*on_dropped)(void *owner, struct resource *resource);
    void *owner;
};

const struct resource *name_tree_find(struct name_tree tree, const struct name *name);
/* Both return the new tree with a hold of its own; the old one keeps its hold. with() replaces a resource of that name. */
struct name_tree name_tree_with(struct name_tree tree, struct resource *resource);
struct name_tree name_tree_without(struct name_tree tree, const struct name *name);
struct name_tree name_tree_hold(struct name_tree tree);
void name_tree_release(struct name_tree tree, const struct tree_owner *owner);

/* In no particular order, but the same for the same names. */
void name_tree_each(struct name_tree tree, void (*visit)(void *to, const struct resource *resource),
                    void *to);
/* What differs: (old, NULL) removed, (NULL, new) added, (old, new) changed. Parts that both trees share cost nothing. */
void name_tree_diff(struct name_tree before, struct name_tree after,
                    void (*visit)(void *to, const struct resource *before,
                                  const struct resource *after),
                    void *to);
