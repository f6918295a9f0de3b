/*
 * signal: signals as events of the main loop (signalfd).
 *
 * Create it before any thread starts, so that every thread inherits the blocked mask.
 */
#pragma once

#include "base/attributes.h"

#include <sys/types.h>

struct loop;
struct signal_watch;

/* sender is the pid that sent it, 0 for the kernel. */
typedef void signal_on_signal(void *owner, int signal, pid_t sender);

/* signals ends with 0. SIGPIPE is ignored for the process as well. 0 or a negative errno. */
MUST_USE int signal_watch_create(struct loop *loop, const int *signals, signal_on_signal *on_signal,
                                 void *owner, struct signal_watch **out);
/* Unblocks them. Accepts NULL. */
void signal_watch_destroy(struct signal_watch *watch);
