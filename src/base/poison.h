/*
 * poison: tells the address sanitizer which bytes nobody may touch, so that pools and arenas, which never
 * return memory to the heap, still show a use after free. Costs nothing in other builds.
 */
#pragma once

#include "base/attributes.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISON_WORKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_WORKS 1
#endif
#endif

#ifdef POISON_WORKS
#include <sanitizer/asan_interface.h>

static inline void poison(const void *bytes, size_t size)
{
    __asan_poison_memory_region(bytes, size);
}
static inline void unpoison(const void *bytes, size_t size)
{
    __asan_unpoison_memory_region(bytes, size);
}
#else
static inline void poison(UNUSED const void *bytes, UNUSED size_t size)
{
}
static inline void unpoison(UNUSED const void *bytes, UNUSED size_t size)
{
}
#endif
