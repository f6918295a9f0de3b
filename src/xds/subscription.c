#include "xds/subscription.h"

#include "base/memory.h"
#include "xds/blob.h"
#include "xds/blob_table.h"

#include <stdlib.h>

void subscription_init(struct subscription *sub, enum resource_type type)
{
    *sub = (struct subscription){.type = type};
}

void subscription_fini(struct subscription *sub)
{
    VECTOR_EACH(entry, &sub->entries)
    {
        blob_unref(entry->blob);
        blob_unref(entry->sent);
    }
    vector_fini(&sub->entries);
    blob_table_unref(sub->seen);
    subscription_init(sub, sub->type);
}

/* Marks. */

static void set_marks(struct subscription *sub, struct subscription_entry *entry, uint32_t marks)
{
    uint32_t old = entry->flags;
    sub->dirty += (size_t)((marks & ENTRY_DIRTY) != 0) - (size_t)((old & ENTRY_DIRTY) != 0);
    sub->gone += (size_t)((marks & ENTRY_GONE) != 0) - (size_t)((old & ENTRY_GONE) != 0);
    entry->flags = (old & ~(uint32_t)(ENTRY_DIRTY | ENTRY_GONE)) | marks;
}

static void replace_blob(struct subscription_entry *entry, const struct blob *blob)
{
    if (entry->blob == blob)
        return;
    struct blob *old = entry->blob;
    entry->blob = blob_ref(blob);
    blob_unref(old);
}

/* What the client holds as far as we know, and will hold if it takes what is in flight. */
static const struct blob *expected(const struct subscription_entry *entry)
{
    if (entry->flags & ENTRY_IN_FLIGHT)
        return entry->sent;
    return entry->flags & ENTRY_HELD ? entry->blob : NULL;
}

static void count_held(struct subscription *sub, const struct subscription_entry *entry)
{
    const struct blob *blob = expected(entry);
    if (blob)
        version_add(&sub->held, blob->version);
}

static void discount_held(struct subscription *sub, const struct subscription_entry *entry)
{
    const struct blob *blob = expected(entry);
    if (blob)
        version_subtract(&sub->held, blob->version);
}

static void forget_sent(struct subscription_entry *entry)
{
    blob_unref(entry->sent);
    entry->sent = NULL;
    entry->flags &= ~(uint32_t)(ENTRY_IN_FLIGHT | ENTRY_REFUSED);
}

static bool is_current(struct subscription_entry *entry, const struct blob *now)
{
    if (entry->flags & ENTRY_REFUSED && hash128_equals(entry->sent->version, now->version))
        return true; /* the client has said no to it */
    const struct blob *blob = expected(entry);
    if (!blob || !hash128_equals(blob->version, now->version))
        return false;
    if (blob == entry->blob) {
        replace_blob(entry, now); /* the same version: lets go of a ghost, or of a copy */
        if (entry->flags & ENTRY_REFUSED)
            forget_sent(entry);
    }
    return true;
}

/* What is to be told of an entry, given what the table now has under its name (NULL = nothing). */
static void evaluate(struct subscription *sub, struct subscription_entry *entry,
                     const struct blob *now)
{
    bool forced = entry->flags & ENTRY_FORCED;
    if (!now)
        set_marks(sub, entry,
                  entry->flags & ENTRY_HELD || entry->sent ? ENTRY_GONE
                  : forced                                 ? ENTRY_DIRTY
                                                           : 0);
    else
        set_marks(sub, entry, is_current(entry, now) && !forced ? 0 : ENTRY_DIRTY);
}

static void evaluate_seen(struct subscription *sub, struct subscription_entry *entry)
{
    if (sub->seen)
        evaluate(sub, entry, blob_table_find(sub->seen, blob_name(entry->blob)));
}

size_t subscription_find(const struct subscription *sub, struct slice name)
{
    size_t low = 0, high = sub->entries.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = slice_compare(blob_name(sub->entries.items[middle].blob), name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

/* Entries come and go in sorted batches, so that a thousand names cost a merge and not a thousand shifts. */

typedef VECTOR(struct subscription_entry) entry_list;

static void merge_entries(struct subscription *sub, const struct subscription_entry *fresh,
                          size_t count)
{
    if (count == 0)
        return;
    entry_list merged = {.items = mem_calloc(sub->entries.count + count, sizeof(*merged.items)),
                         .capacity = sub->entries.count + count};
    size_t old = 0, next = 0;
    while (old < sub->entries.count || next < count) {
        bool take_old = next == count || (old < sub->entries.count &&
                                          slice_compare(blob_name(sub->entries.items[old].blob),
                                                        blob_name(fresh[next].blob)) < 0);
        merged.items[merged.count++] = take_old ? sub->entries.items[old++] : fresh[next++];
    }
    mem_free(sub->entries.items);
    sub->entries.items = merged.items;
    sub->entries.count = merged.count;
    sub->entries.capacity = merged.capacity;
}

/* Under the wildcard an entry stays for what the client holds; otherwise for what it named. */
static bool is_wanted(const struct subscription *sub, const struct subscription_entry *entry)
{
    if (entry->flags & ENTRY_NAMED)
        return true;
    return sub->wildcard &&
           (entry->sent || entry->flags & (ENTRY_HELD | ENTRY_DIRTY | ENTRY_GONE | ENTRY_FORCED));
}

void subscription_sweep(struct subscription *sub)
{
    size_t kept = 0;
    for (size_t i = 0; i < sub->entries.count; i++) {
        struct subscription_entry *entry = &sub->entries.items[i];
        if (is_wanted(sub, entry)) {
            sub->entries.items[kept++] = *entry;
            continue;
        }
        set_marks(sub, entry, 0);
        discount_held(sub, entry);
        blob_unref(entry->blob);
        blob_unref(entry->sent);
    }
    sub->entries.count = kept;
}

/* Names. */

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* A sorted copy without repetitions; the caller frees it. */
static struct slice *sort_names(const struct slice *names, size_t *count)
{
    struct slice *sorted = mem_calloc(*count + 1, sizeof(*sorted));
    size_t unique = 0;
    if (*count > 0)
        memcpy(sorted, names, *count * sizeof(*sorted));
    qsort(sorted, *count, sizeof(*sorted), compare_names);
    for (size_t i = 0; i < *count; i++) {
        if (unique == 0 || !slice_equals(sorted[unique - 1], sorted[i]))
            sorted[unique++] = sorted[i];
    }
    *count = unique;
    return sorted;
}

/* The table's blob where there is one, for it carries the name for nothing. */
static struct blob *name_carrier(const struct subscription *sub, struct slice name)
{
    struct blob *blob = sub->seen ? blob_table_find(sub->seen, name) : NULL;
    return blob ? blob_ref(blob) : blob_create_ghost(sub->type, name, (struct hash128){0});
}

/* again: names that were already there are told once more. */
static void add_sorted(struct subscription *sub, const struct slice *names, size_t count,
                       bool again)
{
    entry_list fresh = {0};
    for (size_t i = 0; i < count; i++) {
        size_t at = subscription_find(sub, names[i]);
        if (at == SIZE_MAX) {
            struct subscription_entry entry = {name_carrier(sub, names[i]), NULL,
                                               ENTRY_NAMED | ENTRY_FORCED};
            evaluate_seen(sub, &entry);
            vector_push(&fresh, entry);
            continue;
        }
        struct subscription_entry *entry = &sub->entries.items[at];
        bool named = entry->flags & ENTRY_NAMED;
        entry->flags |= ENTRY_NAMED;
        if (again || !named) {
            entry->flags |= ENTRY_FORCED;
            evaluate_seen(sub, entry);
        }
    }
    merge_entries(sub, fresh.items, fresh.count);
    vector_fini(&fresh);
}

void subscription_add(struct subscription *sub, const struct slice *names, size_t count)
{
    struct slice *sorted = sort_names(names, &count);
    add_sorted(sub, sorted, count, true);
    mem_free(sorted);
}

static void unname(struct subscription *sub, struct subscription_entry *entry)
{
    entry->flags &= ~(uint32_t)ENTRY_NAMED;
    if (sub->wildcard) {
        entry->flags |= ENTRY_FORCED;
        evaluate_seen(sub, entry);
    }
}

void subscription_drop(struct subscription *sub, const struct slice *names, size_t count)
{
    bool dropped = false;
    for (size_t i = 0; i < count; i++) {
        size_t at = subscription_find(sub, names[i]);
        if (at != SIZE_MAX && sub->entries.items[at].flags & ENTRY_NAMED) {
            unname(sub, &sub->entries.items[at]);
            dropped = true;
        }
    }
    if (dropped)
        subscription_sweep(sub);
}

void subscription_replace(struct subscription *sub, const struct slice *names, size_t count)
{
    struct slice *sorted = sort_names(names, &count);
    size_t next = 0;
    bool dropped = false;
    VECTOR_EACH(entry, &sub->entries)
    {
        if (!(entry->flags & ENTRY_NAMED))
            continue;
        while (next < count && slice_compare(sorted[next], blob_name(entry->blob)) < 0)
            next++;
        if (next < count && slice_equals(sorted[next], blob_name(entry->blob)))
            continue;
        unname(sub, entry);
        dropped = true;
    }
    if (dropped)
        subscription_sweep(sub);
    add_sorted(sub, sorted, count, false);
    mem_free(sorted);
}

/* Entries for what the table has and the wildcard covers but we do not know of yet. */
static void adopt_table(struct subscription *sub)
{
    entry_list fresh = {0};
    struct blob_cursor cursor = {0};
    struct blob *blob;
    size_t at = 0;
    while ((blob = blob_table_next(sub->seen, &cursor))) {
        while (at < sub->entries.count &&
               slice_compare(blob_name(sub->entries.items[at].blob), blob_name(blob)) < 0)
            at++;
        if (at < sub->entries.count &&
            slice_equals(blob_name(sub->entries.items[at].blob), blob_name(blob)))
            continue;
        vector_push(&fresh, {blob_ref(blob), NULL, 0});
        set_marks(sub, &vector_last(&fresh), ENTRY_DIRTY);
    }
    merge_entries(sub, fresh.items, fresh.count);
    vector_fini(&fresh);
}

void subscription_set_wildcard(struct subscription *sub, bool wildcard)
{
    if (sub->wildcard == wildcard)
        return;
    sub->wildcard = wildcard;
    if (wildcard && sub->seen)
        adopt_table(sub);
    else if (!wildcard)
        subscription_sweep(sub);
}

static int compare_held(const void *a, const void *b)
{
    return slice_compare(((const struct name_version *)a)->name,
                         ((const struct name_version *)b)->name);
}

static void hold_entry(struct subscription *sub, struct subscription_entry *entry,
                       struct slice version)
{
    struct hash128 parsed; /* zero for another server's version: nothing equals it */
    if (entry->flags & ENTRY_HELD)
        return;
    if (!blob_version_parse(version, &parsed))
        parsed = (struct hash128){0};
    struct blob *old = entry->blob;
    entry->blob = blob_create_ghost(sub->type, blob_name(old), parsed);
    blob_unref(old);
    entry->flags = (entry->flags & ~(uint32_t)ENTRY_FORCED) | ENTRY_HELD;
    count_held(sub, entry);
}

void subscription_hold(struct subscription *sub, const struct name_version *held, size_t count)
{
    struct name_version *sorted = mem_calloc(count + 1, sizeof(*sorted));
    entry_list fresh = {0};
    if (count > 0)
        memcpy(sorted, held, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_held);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && slice_equals(sorted[i - 1].name, sorted[i].name))
            continue;
        size_t at = subscription_find(sub, sorted[i].name);
        if (at != SIZE_MAX) {
            hold_entry(sub, &sub->entries.items[at], sorted[i].version);
        } else if (sub->wildcard) {
            struct subscription_entry entry = {
                blob_create_ghost(sub->type, sorted[i].name, (struct hash128){0}), NULL, 0};
            hold_entry(sub, &entry, sorted[i].version);
            vector_push(&fresh, entry);
        }
    }
    merge_entries(sub, fresh.items, fresh.count);
    vector_fini(&fresh);
    mem_free(sorted);
}

/* Tables. */

struct sight {
    struct subscription *sub;
    entry_list fresh;
};

static void see_change(void *to, const struct blob *before, const struct blob *after)
{
    struct sight *sight = to;
    struct slice name = blob_name(after ? after : before);
    size_t at = subscription_find(sight->sub, name);
    if (at != SIZE_MAX) {
        evaluate(sight->sub, &sight->sub->entries.items[at], after);
    } else if (after && sight->sub->wildcard) {
        vector_push(&sight->fresh, {blob_ref(after), NULL, 0});
        set_marks(sight->sub, &vector_last(&sight->fresh), ENTRY_DIRTY);
    }
}

void subscription_review(struct subscription *sub)
{
    if (!sub->seen)
        return;
    VECTOR_EACH(entry, &sub->entries)
    evaluate_seen(sub, entry);
    if (sub->wildcard)
        adopt_table(sub);
}

void subscription_see(struct subscription *sub, const struct blob_table *table)
{
    if (!table || table == sub->seen)
        return;
    const struct blob_table *old = sub->seen;
    sub->seen = blob_table_ref(table);
    if (!old) {
        subscription_review(sub);
        return;
    }
    struct sight sight = {.sub = sub};
    blob_table_diff(old, table, see_change, &sight);
    merge_entries(sub, sight.fresh.items, sight.fresh.count);
    vector_fini(&sight.fresh);
    blob_table_unref(old);
    subscription_sweep(sub); /* names that came and went before they were told */
}

bool subscription_force(struct subscription *sub, struct slice name)
{
    size_t at = subscription_find(sub, name);
    if (at == SIZE_MAX || !sub->seen || !blob_table_find(sub->seen, name))
        return false;
    sub->entries.items[at].flags |= ENTRY_FORCED;
    evaluate_seen(sub, &sub->entries.items[at]);
    return true;
}

struct blob *subscription_wanted(const struct subscription *sub,
                                 const struct subscription_entry *entry)
{
    return sub->seen ? blob_table_find(sub->seen, blob_name(entry->blob)) : NULL;
}

bool subscription_holds_any(const struct subscription *sub)
{
    VECTOR_EACH(entry, &sub->entries)
    {
        if (entry->flags & ENTRY_HELD)
            return true;
    }
    return false;
}

bool subscription_is_settled(const struct subscription *sub, struct slice name)
{
    size_t at = subscription_find(sub, name);
    if (at == SIZE_MAX)
        return true;
    return !(sub->entries.items[at].flags &
             (ENTRY_DIRTY | ENTRY_GONE | ENTRY_IN_FLIGHT | ENTRY_FORCED));
}

/* Responses. */

void subscription_tell(struct subscription *sub, struct subscription_entry *entry)
{
    struct blob *now = subscription_wanted(sub, entry);
    discount_held(sub, entry);
    forget_sent(entry);
    set_marks(sub, entry, 0);
    entry->flags &= ~(uint32_t)ENTRY_FORCED;
    if (now) {
        entry->sent = blob_ref(now);
        entry->flags |= ENTRY_IN_FLIGHT;
        count_held(sub, entry);
        return;
    }
    entry->flags &= ~(uint32_t)ENTRY_HELD;
    if (!blob_is_ghost(entry->blob)) {
        struct blob *old = entry->blob; /* keeps the name, lets go of the body */
        entry->blob = blob_create_ghost(sub->type, blob_name(old), (struct hash128){0});
        blob_unref(old);
    }
}

void subscription_pass(struct subscription *sub, struct subscription_entry *entry)
{
    set_marks(sub, entry, 0);
    entry->flags &= ~(uint32_t)ENTRY_FORCED;
}

void subscription_accept(struct subscription *sub, struct subscription_entry *entry)
{
    (void)sub; /* what is held was counted when it was told */
    replace_blob(entry, entry->sent);
    forget_sent(entry);
    entry->flags |= ENTRY_HELD;
}

void subscription_refuse(struct subscription *sub, struct subscription_entry *entry)
{
    discount_held(sub, entry);
    entry->flags = (entry->flags & ~(uint32_t)ENTRY_IN_FLIGHT) | ENTRY_REFUSED;
    count_held(sub, entry);
    evaluate_seen(sub, entry);
}
