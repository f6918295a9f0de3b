/*
 * kernel_backend: which back end over real sockets a test that needs one runs on.
 *
 * TULLE_IO=io_uring chooses io_uring where the kernel allows it; CTest runs the room's tests both ways.
 */
#pragma once

#include "io/loop.h"

#include <stdlib.h>
#include <string.h>

static inline enum loop_backend kernel_backend(void)
{
    const char *wanted = getenv("TULLE_IO");
    return wanted && strcmp(wanted, "io_uring") == 0 && loop_may_use_io_uring() == 0 ? LOOP_IO_URING
                                                                                     : LOOP_EPOLL;
}
