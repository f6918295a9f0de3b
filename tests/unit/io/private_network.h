/*
 * private_network: a network namespace for the test process, with loopback up; skips where that is not allowed.
 */
#pragma once

#include "test.h"

#include <sched.h>

static inline void private_network_or_skip(void)
{
    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
        print_message("no right to make a network namespace: not tested here\n");
        skip();
    }
    CHECK(system("ip link set lo up") == 0, "-");
}
