/*
 * lane: when a flow of changes goes out: after it has been quiet for a while, or at the latest after a longer while.
 *
 * An eager lane lets the first change out at once when the lane has been quiet before, and gathers those that follow.
 * Pure: the time is an argument.
 */
#pragma once

#include "base/attributes.h"

struct lane {
    uint32_t quiet_ms, most_ms;
    bool eager;
    bool pending;
    bool taken;                 /* ever */
    uint64_t first_ms, last_ms; /* of the changes that are pending */
    uint64_t taken_ms;
};

static inline void lane_init(struct lane *lane, uint32_t quiet_ms, uint32_t most_ms, bool eager)
{
    *lane = (struct lane){.quiet_ms = quiet_ms, .most_ms = most_ms, .eager = eager};
}
/* Something changed. */
void lane_note(struct lane *lane, uint64_t now_ms);
/* When what is pending is to go out; UINT64_MAX when nothing is. */
uint64_t lane_due_ms(const struct lane *lane);
/* It goes out now. Returns how long the first change has waited. */
uint64_t lane_take(struct lane *lane, uint64_t now_ms);
