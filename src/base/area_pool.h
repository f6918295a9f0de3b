/*
 * area_pool: large pieces of memory of which only the pages that were touched cost.
 *
 * Areas lie in slabs of a megabyte that the system maps page by page as they are used. What has been lent out once is
 * charged to the memory budget by its size in whole pages until area_pool_trim, so that steady state asks the system
 * nothing. An owner whose area holds nothing worth keeping lets it rest: its pages go back, and the area stays its own.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"

struct memory_budget;

/* What is larger gets a slab of its own. */
enum { AREA_BYTES = 32 * 1024 };

struct area_pool {
    struct memory_budget *budget;
    struct list partial; /* slabs with free areas */
    struct list full;
    size_t held;   /* bytes charged */
    size_t in_use; /* areas lent out */
};

void area_pool_init(struct area_pool *pool, struct memory_budget *budget);
/* Every area must be back. */
void area_pool_fini(struct area_pool *pool);
/* Whole pages, aligned to AREA_BYTES; NULL when the budget or the system refuses. */
MUST_USE void *area_get(struct area_pool *pool, size_t size);
/* All zero. Pages that nobody touched stay untouched. */
MUST_USE void *area_get_zeroed(struct area_pool *pool, size_t size);
void area_put(struct area_pool *pool, void *area);
/* Bytes that it has room for. */
size_t area_size(const void *area);

/* Its pages go back until area_wake; the bytes in it are zero then. Not twice. */
void area_rest(struct area_pool *pool, void *area);
/* Before the next use; false when the budget refuses. Nothing to do for an area that does not rest. */
MUST_USE bool area_wake(struct area_pool *pool, void *area);

/* Gives back the pages of free areas, and whole free slabs. */
void area_pool_trim(struct area_pool *pool);
