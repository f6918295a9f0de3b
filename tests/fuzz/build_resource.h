/*
 * build_resource: a packed resource from the fuzzer, decoded and built both for this host and for another; whatever is
 * refused says why, and says the same twice.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "build/options.h"
#include "pb/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct build_options fuzz_options = {.now_s = 1767225600};

#define FUZZ_BUILD(descriptor, object, use)                                                        \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        struct arena arena;                                                                        \
        arena_init(&arena, NULL);                                                                  \
        owned_error error = {0};                                                                   \
        const void *message =                                                                      \
            pb_decode(&(descriptor), slice_of(data, size), &arena, NULL, &error);                  \
        if (message) {                                                                             \
            owned(object) built = NULL;                                                            \
            owned(object) again = NULL;                                                            \
            owned_error second = {0};                                                              \
            bool ok = object##_build(message, &fuzz_options, &built, &error);                      \
            if (object##_build(message, &fuzz_options, &again, &second) != ok)                     \
                abort();                                                                           \
            if (!ok && (!error.what || !second.what || strcmp(error.what, second.what) != 0))      \
                abort();                                                                           \
            if (ok)                                                                                \
                use(built);                                                                        \
        }                                                                                          \
        arena_fini(&arena);                                                                        \
        return 0;                                                                                  \
    }
