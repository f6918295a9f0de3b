/*
 * sim: time, events and dice; what travels is in sim_net.c.
 */
#include "io/sim.h"

#include "base/memory.h"
#include "io/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIM_START_US = 1000000, WINDOW_BYTES = 64 * 1024 };
/* 2026-01-01T00:00:00Z */
#define SIM_START_WALL_US (INT64_C(1767225600) * 1000000)

static int sim_open(struct loop *loop)
{
    struct sim *sim = mem_new(struct sim);
    sim->loop = loop;
    sim->next_port = SIM_FIRST_PORT;
    sim->faults.window = WINDOW_BYTES;
    loop->sim = sim;
    loop_set_now(loop, SIM_START_US);
    loop->wall_offset_us = SIM_START_WALL_US - SIM_START_US;
    return 0;
}

static void sim_close(struct loop *loop)
{
    struct sim *sim = loop->sim;
    /* Completions that never came still hold the memory of their conns. */
    while (sim->heap.count > 0) {
        struct sim_event event = sim->heap.items[--sim->heap.count];
        if (event.conn)
            conn_operation_ends(event.conn);
    }
    for (unsigned i = 0; i < sim->ends.count; i++) {
        if (sim->ends.items[i].is_open)
            sim_end_close(sim, i);
        buffer_fini(&sim->ends.items[i].inbound);
        vector_fini(&sim->ends.items[i].queue);
        sim_inbox_clear(&sim->ends.items[i]);
    }
    vector_fini(&sim->ends);
    vector_fini(&sim->heap);
    vector_fini(&sim->originals);
    mem_free(sim);
    loop->sim = NULL;
}

/* --- dice ------------------------------------------------------------------------------------ */

bool sim_chance(struct sim *sim, unsigned of_1000)
{
    return of_1000 > 0 && random_below(&sim->loop->random, 1000) < of_1000;
}

void sim_set_faults(struct loop *loop, const struct sim_faults *faults)
{
    loop->sim->faults = *faults;
    if (faults->window == 0)
        loop->sim->faults.window = WINDOW_BYTES;
}

struct sim_faults sim_usual_faults(void)
{
    return (struct sim_faults){
        .short_read = 300,
        .short_write = 300,
        .late = 300,
        .max_delay_us = 3000,
        .no_buffers = 20,
        .accept_late = 200,
        .window = 16 * 1024,
    };
}

/* --- the heap of events ---------------------------------------------------------------------- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event kept = *a;
    *a = *b;
    *b = kept;
}

static void heap_push(struct sim *sim, struct sim_event event)
{
    vector_push(&sim->heap, event);
    size_t at = sim->heap.count - 1;
    while (at > 0 && is_before(&sim->heap.items[at], &sim->heap.items[(at - 1) / 2])) {
        swap(&sim->heap.items[at], &sim->heap.items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct sim_event heap_pop(struct sim *sim)
{
    struct sim_event *items = sim->heap.items;
    struct sim_event first = items[0];
    size_t count = --sim->heap.count;
    items[0] = items[count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (is_before(&items[child], &items[least]))
                least = child;
        if (least == at)
            return first;
        swap(&items[at], &items[least]);
        at = least;
    }
}

void sim_after(struct sim *sim, enum sim_event_kind kind, unsigned end, struct conn *conn,
               size_t value)
{
    unsigned late = kind == SIM_ACCEPT ? sim->faults.accept_late : sim->faults.late;
    uint64_t delay_us = 0;
    if (sim->faults.max_delay_us > 0 && sim_chance(sim, late))
        delay_us = 1 + random_below(&sim->loop->random, sim->faults.max_delay_us);
    if (conn)
        conn_operation_begins(conn);
    heap_push(sim, (struct sim_event){.at_us = sim->loop->now_us + delay_us,
                                      .order = sim->order++,
                                      .kind = kind,
                                      .end = end,
                                      .generation = sim->ends.items[end].generation,
                                      .conn = conn,
                                      .value = value});
}

/* --- the back end of a loop ------------------------------------------------------------------ */

static void sim_wait(struct loop *loop, uint64_t wait_us)
{
    struct sim *sim = loop->sim;
    uint64_t until = wait_us == WAIT_FOREVER ? UINT64_MAX : loop->now_us + wait_us;
    if (sim->heap.count > 0)
        until = MIN(until, sim->heap.items[0].at_us);
    if (until != UINT64_MAX && until > loop->now_us)
        loop_set_now(loop, until);
}

/* What happens because of these events happens in the next turn. */
static size_t sim_dispatch(struct loop *loop)
{
    struct sim *sim = loop->sim;
    uint64_t end_of_turn = sim->order;
    size_t count = 0;
    while (sim->heap.count > 0 && sim->heap.items[0].at_us <= loop->now_us &&
           sim->heap.items[0].order < end_of_turn) {
        struct sim_event event = heap_pop(sim);
        sim_happen(sim, &event);
        if (event.conn)
            conn_operation_ends(event.conn);
        count++;
    }
    return count;
}

/* Nobody sleeps in a simulation. */
static void sim_wake(struct loop *loop)
{
    (void)loop;
}

const struct loop_ops sim_loop_ops = {
    .open = sim_open,
    .close = sim_close,
    .wait = sim_wait,
    .dispatch = sim_dispatch,
    .wake = sim_wake,
    .accept_start = sim_accept_start,
    .accept_stop = sim_accept_stop,
    .accepted_close = sim_accepted_close,
    .conns = &sim_conn_ops,
};

/* --- seeds ----------------------------------------------------------------------------------- */

static bool env_number(const char *name, uint64_t *value)
{
    const char *text = getenv(name);
    return text && slice_to_u64(slice_str(text), UINT64_MAX, value);
}

unsigned sim_seed_count(unsigned usual)
{
    uint64_t value;
    if (env_number("TULLE_SEED", &value))
        return 1;
    return env_number("TULLE_SEEDS", &value) && value > 0 && value <= 1000000 ? (unsigned)value
                                                                              : usual;
}

uint64_t sim_seed(unsigned index)
{
    uint64_t value;
    return env_number("TULLE_SEED", &value) ? value : index + 1;
}
