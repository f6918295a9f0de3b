/*
 * socket_options: what a configuration may ask of a TCP socket.
 */
#pragma once

#include "base/attributes.h"

struct keepalive {
    bool on;
    uint32_t probes, time_s, interval_s; /* 0: the kernel's */
};
