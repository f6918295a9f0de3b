/*
 * wheel: timers in a hierarchical wheel (four levels of 256 slots, 1 ms ticks; tickless: it knows the next due time).
 *
 * A timer is embedded in its owner and zeroed before first use. Starting a running timer moves it. Firing happens
 * only inside wheel_advance, in order of due time by tick; a timer is stopped before its callback runs. A timer that
 * is due when it is started waits for the next wheel_advance, so a callback that restarts its timer cannot hang a turn.
 */
#pragma once

#include "base/attributes.h"
#include "base/list.h"

struct timer {
    struct list node; /* next == NULL: never started */
    uint64_t due_ms;
    void (*on_due)(struct timer *timer);
};

struct wheel;
struct wheel *wheel_create(uint64_t now_ms);
/* Stops the timers that still run; they belong to their owners. */
void wheel_destroy(struct wheel *wheel);
void wheel_start(struct wheel *wheel, struct timer *timer, uint64_t due_ms,
                 void (*on_due)(struct timer *));
void wheel_stop(struct wheel *wheel, struct timer *timer);
static inline bool timer_is_running(const struct timer *timer)
{
    return timer->node.next && timer->node.next != &timer->node;
}
/* The next due time in ms, or a lower bound of it when many timers are due then; UINT64_MAX when no timer runs. */
uint64_t wheel_next_ms(const struct wheel *wheel);
/* Fires what is due at now_ms; returns how many. Time that goes back counts as standing still. */
size_t wheel_advance(struct wheel *wheel, uint64_t now_ms);
