#include "proxy/filter/flow.h"

#include "http/header.h"

enum step { STEP_ON, STEP_STOP, STEP_GONE };

static struct filter_stage *stage_at(const struct flow *flow, uint8_t at)
{
    return &flow->stages[flow->side == FILTER_REQUEST ? at : flow->count - 1 - at];
}

static struct flow_stage *side_of(const struct flow *flow, struct filter_stage *stage)
{
    return &stage->sides[flow->side];
}

void flow_init(struct flow *flow, enum filter_side side, struct filter_stage *stages, size_t count,
               const struct flow_sink *sink, void *owner, size_t limit)
{
    *flow = (struct flow){.sink = sink,
                          .owner = owner,
                          .stages = stages,
                          .count = (uint8_t)count,
                          .side = (uint8_t)side,
                          .limit = limit};
}

void flow_fini(struct flow *flow)
{
    for (uint8_t i = 0; i < flow->count; i++)
        chain_fini(&side_of(flow, &flow->stages[i])->held);
    chain_fini(&flow->out);
}

/* --- a filter's say ------------------------------------------------------------------------------------------- */

static bool obey(struct flow_stage *here, enum filter_verdict verdict)
{
    switch (verdict) {
    case FILTER_CONTINUE: here->state = FLOW_OPEN; return true;
    case FILTER_PAUSE: here->state = FLOW_PAUSED; return true;
    case FILTER_PAUSE_AND_BUFFER: here->state = FLOW_BUFFERING; return true;
    case FILTER_REPLIED: break;
    }
    return false;
}

static enum filter_verdict ask_head(const struct flow *flow, struct filter_stage *stage, bool end)
{
    const struct filter *filter = stage->filter;
    if (flow->side == FILTER_REQUEST)
        return filter->on_request ? filter->on_request(&stage->call, flow->head, end)
                                  : FILTER_CONTINUE;
    return filter->on_response ? filter->on_response(&stage->call, flow->head, end)
                               : FILTER_CONTINUE;
}

static void credit_all(struct flow *flow, struct flow_stage *here)
{
    if (here->owed)
        flow->sink->on_credit(flow->owner, here->owed);
    here->owed = 0;
}

/* False: it has replied. */
static bool show_data(struct flow *flow, struct filter_stage *stage, bool end)
{
    struct flow_stage *here = side_of(flow, stage);
    const struct filter *filter = stage->filter;
    here->is_fresh = false;
    if (!filter->on_data[flow->side])
        return true;
    if (!obey(here, filter->on_data[flow->side](&stage->call, &here->held, end)))
        return false;
    if (here->held.size < here->owed) {
        flow->sink->on_credit(flow->owner, here->owed - here->held.size);
        here->owed = here->held.size;
    }
    return true;
}

static bool show_trailers(struct flow *flow, struct filter_stage *stage)
{
    struct flow_stage *here = side_of(flow, stage);
    const struct filter *filter = stage->filter;
    here->had_trailers = true;
    if (!filter->on_trailers[flow->side])
        return true;
    return obey(here, filter->on_trailers[flow->side](&stage->call, flow->trailers));
}

/* --- moving on ------------------------------------------------------------------------------------------------ */

static void move_on(struct flow *flow, uint8_t at)
{
    struct filter_stage *stage = stage_at(flow, at);
    struct flow_stage *here = side_of(flow, stage);
    bool ends = flow->has_end && flow->end_at == at;
    if (flow->head_at == at)
        flow->head_at++;
    if (ends) {
        flow->end_at++;
        if (stage->filter->on_complete[flow->side])
            stage->filter->on_complete[flow->side](&stage->call);
    }
    if (at + 1 == flow->count) {
        flow->ahead += here->held.size - here->owed;
        chain_move(&flow->out, &here->held);
    } else {
        struct flow_stage *next = side_of(flow, stage_at(flow, (uint8_t)(at + 1)));
        next->is_fresh = next->is_fresh || ends || here->held.size > 0;
        next->owed += here->owed;
        chain_move(&next->held, &here->held);
    }
    here->owed = 0;
}

/* Whatever waits at one stage, as far as its filter lets it. */
static enum step pass(struct flow *flow, uint8_t at)
{
    struct filter_stage *stage = stage_at(flow, at);
    struct flow_stage *here = side_of(flow, stage);
    bool ends = flow->has_end && flow->end_at == at;
    bool ends_plainly = ends && !flow->trailers;
    if (!here->was_offered) {
        here->was_offered = true;
        if (!obey(here, ask_head(flow, stage, ends_plainly && here->held.size == 0)))
            return STEP_GONE;
        /* An end without a byte came with the head. */
        here->is_fresh = here->held.size > 0;
    }
    if (here->state != FLOW_PAUSED && here->is_fresh && (here->held.size > 0 || ends_plainly) &&
        !show_data(flow, stage, ends_plainly))
        return STEP_GONE;
    if (here->state != FLOW_PAUSED && ends && flow->trailers && !here->had_trailers &&
        !show_trailers(flow, stage))
        return STEP_GONE;
    if (here->state == FLOW_BUFFERING) {
        credit_all(flow, here);
        if (here->held.size > flow->limit) {
            flow->sink->on_overflow(flow->owner);
            return STEP_GONE;
        }
    }
    if (here->state != FLOW_OPEN)
        return STEP_STOP;
    move_on(flow, at);
    return STEP_ON;
}

static bool wants_more(const struct flow *flow)
{
    for (uint8_t i = 0; i < flow->count; i++) {
        const struct filter *filter = flow->stages[i].filter;
        if (filter->on_data[flow->side] || filter->on_trailers[flow->side] ||
            filter->on_complete[flow->side])
            return true;
    }
    return false;
}

static void give_out(struct flow *flow)
{
    bool ends = flow->has_end && flow->end_at == flow->count;
    const struct flow_passed passed = {.head = !flow->sent_head,
                                       .end = ends,
                                       .data = &flow->out,
                                       .trailers = ends ? flow->trailers : NULL};
    if (!passed.head && !ends && flow->out.size == 0)
        return;
    if (passed.head)
        flow->is_open = !wants_more(flow);
    flow->sent_head = true;
    if (ends)
        flow->end_at++; /* told once */
    flow->sink->on_pass(flow->owner, &passed);
}

static void run(struct flow *flow)
{
    for (uint8_t at = 0; at < flow->count; at++)
        if (pass(flow, at) != STEP_ON)
            return;
    give_out(flow);
}

/* --- what comes ----------------------------------------------------------------------------------------------- */

static void take(struct flow *flow, struct chain *data, bool end)
{
    struct flow_stage *first = side_of(flow, stage_at(flow, 0));
    first->owed += data->size;
    first->is_fresh = true;
    chain_move(&first->held, data);
    flow->has_end = flow->has_end || end;
}

void flow_head(struct flow *flow, void *head, struct chain *data, bool end)
{
    flow->head = head;
    flow->has_begun = true;
    flow->has_end = end;
    if (data)
        take(flow, data, end);
    run(flow);
}

void flow_data(struct flow *flow, struct chain *data, bool end)
{
    take(flow, data, end);
    run(flow);
}

void flow_trailers(struct flow *flow, struct headers *trailers)
{
    flow->trailers = trailers;
    flow->has_end = true;
    run(flow);
}

void flow_resume(struct flow *flow, struct filter_stage *stage)
{
    struct flow_stage *here = side_of(flow, stage);
    if (here->state == FLOW_OPEN)
        return;
    here->state = FLOW_OPEN;
    run(flow);
}

size_t flow_credit(struct flow *flow, size_t bytes)
{
    size_t before = MIN(flow->ahead, bytes);
    flow->ahead -= before;
    return bytes - before;
}
