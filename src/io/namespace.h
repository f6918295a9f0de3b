/*
 * namespace: something done in another network namespace, on a thread that enters it and ends there.
 *
 * Nobody has to come back, so rights over that one namespace are enough: a sidecar holds them over its pod's and not
 * over the host's. Blocks for the length of the work, some 30 us for a socket.
 */
#pragma once

#include "base/attributes.h"

/* What work returned, or a negative errno. network is a descriptor of the namespace; it stays the caller's. */
MUST_USE int namespace_call(int network, int (*work)(void *argument), void *argument);
/* The same by file, such as /proc/self/fd/7 or /run/netns/x. */
MUST_USE int namespace_call_path(const char *path, int (*work)(void *argument), void *argument);
