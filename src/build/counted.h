/*
 * counted: the reference count of built objects, which threads share.
 *
 * Built objects never change after they are made. Counting is atomic; but by DATA-PLANE's rule workers do not count at
 * all on the request path (proxy/snapshot's pins do that), and the last reference goes on the main thread.
 */
#pragma once

#include "base/attributes.h"

#include <stdatomic.h>

struct counted {
    _Atomic uint32_t references;
};

static inline void counted_init(struct counted *counted)
{
    atomic_init(&counted->references, 1);
}
static inline void counted_take(struct counted *counted)
{
    atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
}
/* True when that was the last one and the object is to be destroyed. */
MUST_USE static inline bool counted_drop(struct counted *counted)
{
    return atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) == 1;
}
