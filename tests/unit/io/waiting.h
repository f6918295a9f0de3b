/*
 * waiting: a loop over real sockets, and turns until something is true.
 */
#pragma once

#include "test.h"

#include "io/loop.h"
#include "kernel_backend.h"

static inline struct loop *loop_for_test(void)
{
    struct loop *loop;
    struct loop_options options = {.name = "test", .backend = kernel_backend()};
    CHECK(loop_create(&options, &loop) == 0, "-");
    return loop;
}

/* Events are waited for, not time: the limit is for what never comes. */
#define WAIT_FOR(loop, claim)                                                                      \
    do {                                                                                           \
        uint64_t wait_until_ms = loop_now_ms(loop) + 30000;                                        \
        while (!(claim)) {                                                                         \
            loop_turn(loop, 100);                                                                  \
            CHECK(loop_now_ms(loop) < wait_until_ms, "waited in vain for " #claim);                \
        }                                                                                          \
    } while (0)
