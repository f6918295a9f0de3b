#include "xds/view.h"

#include "base/memory.h"

#include <stdatomic.h>

struct view {
    _Atomic uint32_t refs;
    uint64_t generation;
    const struct blob_table *tables[RESOURCE_TYPES];
};

struct view *view_create(struct blob_table *const tables[RESOURCE_TYPES], uint64_t generation)
{
    struct view *view = mem_new(struct view);
    view->refs = 1;
    view->generation = generation;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        view->tables[i] = tables[i] ? blob_table_ref(tables[i]) : NULL;
    return view;
}

struct view *view_ref(const struct view *view)
{
    struct view *counted = (struct view *)view;
    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void view_unref(const struct view *view)
{
    struct view *counted = (struct view *)view;
    if (!counted || atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        blob_table_unref(counted->tables[i]);
    mem_free(counted);
}

const struct blob_table *view_table(const struct view *view, enum resource_type type)
{
    return view ? view->tables[type] : NULL;
}

uint64_t view_generation(const struct view *view)
{
    return view ? view->generation : 0;
}
