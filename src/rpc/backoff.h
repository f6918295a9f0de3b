/*
 * backoff: how long to wait before trying again: exponential, with full jitter, reset by success.
 */
#pragma once

#include "base/attributes.h"

struct random;

struct backoff {
    uint32_t base_ms, max_ms;
    uint32_t failures;
};

static inline void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t max_ms)
{
    *backoff = (struct backoff){.base_ms = base_ms, .max_ms = max_ms};
}
static inline void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}
/* Counts a failure and returns the wait: uniform in [ceiling / 2, ceiling], ceiling = base * 2^(failures - 1) up to max. */
uint32_t backoff_next_ms(struct backoff *backoff, struct random *random);
