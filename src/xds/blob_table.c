#include "xds/blob_table.h"

#include "base/memory.h"
#include "base/vector.h"
#include "xds/blob.h"

#include <stdatomic.h>

/* A changed leaf with fewer blobs is joined with the one after it. */
enum { LEAF_MIN = BLOB_LEAF_MAX / 4 };

struct leaf {
    _Atomic uint32_t refs;
    uint32_t count;
    struct blob *blobs[];
};

struct blob_table {
    _Atomic uint32_t refs;
    size_t count;
    struct hash128 version; /* sum of the versions, so that an edit can maintain it */
    size_t leaf_count;
    struct leaf *leaves[];
};

static struct leaf *leaf_create(struct blob *const *blobs, size_t count)
{
    struct leaf *leaf = mem_alloc(sizeof(*leaf) + count * sizeof(leaf->blobs[0]));
    leaf->refs = 1;
    leaf->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        leaf->blobs[i] = blob_ref(blobs[i]);
    return leaf;
}

static struct leaf *leaf_ref(struct leaf *leaf)
{
    atomic_fetch_add_explicit(&leaf->refs, 1, memory_order_relaxed);
    return leaf;
}

static void leaf_unref(struct leaf *leaf)
{
    if (atomic_fetch_sub_explicit(&leaf->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < leaf->count; i++)
        blob_unref(leaf->blobs[i]);
    mem_free(leaf);
}

static struct slice leaf_last_name(const struct leaf *leaf)
{
    return blob_name(leaf->blobs[leaf->count - 1]);
}

/* A table under construction. `loose` are blobs that belong into the next leaf; no references are held on them. */
struct builder {
    VECTOR(struct leaf *) leaves;
    VECTOR(struct blob *) loose;
    struct hash128 version;
    size_t count;
    bool changed;
};

/* Cuts the loose blobs into leaves of equal size. */
static void settle(struct builder *b)
{
    size_t pieces = (b->loose.count + BLOB_LEAF_MAX - 1) / BLOB_LEAF_MAX;
    size_t at = 0;
    for (size_t i = 0; i < pieces; i++) {
        size_t size = (b->loose.count - at) / (pieces - i);
        vector_push(&b->leaves, leaf_create(b->loose.items + at, size));
        at += size;
    }
    b->loose.count = 0;
}

static void apply_edit(struct builder *b, struct blob *before, struct blob *after)
{
    if (before == after || (before && after && hash128_equals(before->version, after->version))) {
        vector_push(&b->loose, before ? before : after);
        return;
    }
    b->changed = true;
    if (before) {
        version_subtract(&b->version, before->version);
        b->count--;
    }
    if (after) {
        version_add(&b->version, after->version);
        b->count++;
        vector_push(&b->loose, after);
    }
}

/* Merges one leaf with the edits that fall into its range. */
static void merge(struct builder *b, const struct leaf *leaf, const struct blob_edit *edits,
                  size_t count)
{
    uint32_t at = 0;
    size_t edit = 0;
    uint32_t blobs = leaf ? leaf->count : 0;
    while (at < blobs || edit < count) {
        int order = at == blobs     ? 1
                    : edit == count ? -1
                                    : slice_compare(blob_name(leaf->blobs[at]), edits[edit].name);
        if (order < 0) {
            vector_push(&b->loose, leaf->blobs[at++]);
        } else if (order > 0) {
            if (edits[edit].blob)
                apply_edit(b, NULL, edits[edit].blob);
            edit++;
        } else {
            apply_edit(b, leaf->blobs[at++], edits[edit++].blob);
        }
    }
}

static struct blob_table *assemble(struct builder *b)
{
    struct blob_table *table =
        mem_alloc(sizeof(*table) + b->leaves.count * sizeof(table->leaves[0]));
    table->refs = 1;
    table->count = b->count;
    table->version = b->version;
    table->leaf_count = b->leaves.count;
    if (b->leaves.count > 0)
        memcpy(table->leaves, b->leaves.items, b->leaves.count * sizeof(table->leaves[0]));
    return table;
}

struct blob_table *blob_table_create(void)
{
    struct builder empty = {0};
    return assemble(&empty);
}

/* How many of the edits belong to the leaf; all that are left belong to the last. */
static size_t edits_of_leaf(const struct blob_table *from, size_t leaf,
                            const struct blob_edit *edits, size_t count)
{
    if (leaf + 1 == from->leaf_count)
        return count;
    struct slice last = leaf_last_name(from->leaves[leaf]);
    size_t n = 0;
    while (n < count && slice_compare(edits[n].name, last) <= 0)
        n++;
    return n;
}

struct blob_table *blob_table_edit(const struct blob_table *from, const struct blob_edit *edits,
                                   size_t count)
{
    struct builder b = {.version = from->version, .count = from->count};
    size_t edit = 0;
    if (from->leaf_count == 0)
        merge(&b, NULL, edits, count);
    for (size_t i = 0; i < from->leaf_count; i++) {
        struct leaf *leaf = from->leaves[i];
        size_t mine = edits_of_leaf(from, i, edits + edit, count - edit);
        if (mine == 0 && (b.loose.count == 0 || b.loose.count >= LEAF_MIN)) {
            settle(&b);
            vector_push(&b.leaves, leaf_ref(leaf));
            continue;
        }
        if (b.loose.count >= LEAF_MIN)
            settle(&b);
        merge(&b, leaf, edits + edit, mine);
        edit += mine;
    }
    settle(&b);

    struct blob_table *table;
    if (b.changed) {
        table = assemble(&b);
    } else {
        VECTOR_EACH(leaf, &b.leaves)
        leaf_unref(*leaf);
        table = blob_table_ref(from);
    }
    vector_fini(&b.leaves);
    vector_fini(&b.loose);
    return table;
}

struct blob_table *blob_table_ref(const struct blob_table *table)
{
    struct blob_table *counted = (struct blob_table *)table;
    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void blob_table_unref(const struct blob_table *table)
{
    struct blob_table *counted = (struct blob_table *)table;
    if (!counted || atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < counted->leaf_count; i++)
        leaf_unref(counted->leaves[i]);
    mem_free(counted);
}

size_t blob_table_count(const struct blob_table *table)
{
    return table->count;
}

struct hash128 blob_table_version(const struct blob_table *table)
{
    return table->version;
}

struct blob *blob_table_find(const struct blob_table *table, struct slice name)
{
    size_t low = 0, high = table->leaf_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(leaf_last_name(table->leaves[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == table->leaf_count)
        return NULL;
    const struct leaf *leaf = table->leaves[low];
    size_t first = 0, end = leaf->count;
    while (first < end) {
        size_t middle = (first + end) / 2;
        int order = slice_compare(blob_name(leaf->blobs[middle]), name);
        if (order == 0)
            return leaf->blobs[middle];
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

struct blob *blob_table_next(const struct blob_table *table, struct blob_cursor *cursor)
{
    if (cursor->leaf == table->leaf_count)
        return NULL;
    const struct leaf *leaf = table->leaves[cursor->leaf];
    struct blob *blob = leaf->blobs[cursor->at++];
    if (cursor->at == leaf->count)
        *cursor = (struct blob_cursor){.leaf = cursor->leaf + 1};
    return blob;
}

static const struct blob *peek(const struct blob_table *table, const struct blob_cursor *cursor)
{
    if (!table || cursor->leaf == table->leaf_count)
        return NULL;
    return table->leaves[cursor->leaf]->blobs[cursor->at];
}

/* Both cursors stand at the beginning of one and the same leaf. */
static bool at_shared_leaf(const struct blob_table *old, const struct blob_cursor *a,
                           const struct blob_table *now, const struct blob_cursor *b)
{
    return old && now && a->at == 0 && b->at == 0 && a->leaf < old->leaf_count &&
           b->leaf < now->leaf_count && old->leaves[a->leaf] == now->leaves[b->leaf];
}

void blob_table_diff(const struct blob_table *old, const struct blob_table *now,
                     blob_table_visit *visit, void *to)
{
    struct blob_cursor a = {0}, b = {0};
    if (old == now)
        return;
    for (;;) {
        while (at_shared_leaf(old, &a, now, &b)) {
            a.leaf++;
            b.leaf++;
        }
        const struct blob *before = peek(old, &a), *after = peek(now, &b);
        if (!before && !after)
            return;
        int order = !before ? 1 : !after ? -1 : slice_compare(blob_name(before), blob_name(after));
        if (order <= 0)
            blob_table_next(old, &a);
        if (order >= 0)
            blob_table_next(now, &b);
        if (order < 0)
            visit(to, before, NULL);
        else if (order > 0)
            visit(to, NULL, after);
        else if (!hash128_equals(before->version, after->version))
            visit(to, before, after);
    }
}
