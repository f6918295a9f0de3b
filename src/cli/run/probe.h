/*
 * probe: waits inside a pod until a program answers: its port takes connections, or a path answers 200 to 399.
 *
 * A small process enters the pod's network for it, because the runner itself cannot.
 */
#pragma once

#include "base/attributes.h"

struct loop;
struct pod;
struct probe;

/* path NULL: the port alone. on_end comes once, with false when the time is over. 0 or a negative errno. */
MUST_USE int probe_create(struct loop *loop, struct pod *pod, uint16_t port, const char *path,
                          unsigned timeout_s, void (*on_end)(void *owner, bool is_ready),
                          void *owner, struct probe **out);
/* Ends it without a report when it still runs. Accepts NULL. */
void probe_destroy(struct probe *probe);
