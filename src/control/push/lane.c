#include "control/push/lane.h"

void lane_note(struct lane *lane, uint64_t now_ms)
{
    if (!lane->pending)
        lane->first_ms = now_ms;
    lane->pending = true;
    lane->last_ms = now_ms;
}

uint64_t lane_due_ms(const struct lane *lane)
{
    if (!lane->pending)
        return UINT64_MAX;
    bool was_quiet = !lane->taken || lane->first_ms >= lane->taken_ms + lane->quiet_ms;
    if (lane->eager && was_quiet)
        return lane->first_ms;
    return MIN(lane->last_ms + lane->quiet_ms, lane->first_ms + lane->most_ms);
}

uint64_t lane_take(struct lane *lane, uint64_t now_ms)
{
    lane->pending = false;
    lane->taken = true;
    lane->taken_ms = now_ms;
    return now_ms - lane->first_ms;
}
