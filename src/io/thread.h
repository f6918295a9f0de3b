/*
 * thread: a named POSIX thread with all signals blocked (signals belong to the main loop).
 */
#pragma once

#include "base/attributes.h"

struct thread;

/* 0 or a negative errno. name is cut to 15 bytes. */
MUST_USE int thread_create(const char *name, void (*run)(void *argument), void *argument,
                           struct thread **out);
/* Waits for its end. Accepts NULL. */
void thread_destroy(struct thread *thread);
/* CPUs that this process may use, at least 1: affinity and the cgroup's quota, rounded up. */
unsigned thread_cpu_count(void);
