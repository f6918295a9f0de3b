#include "proxy/admin/dump_internal.h"

#include "io/sockmap.h"
#include "proxy/process_state.h"
#include "proxy/snapshot/publisher.h"

#include <inttypes.h>

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void dump_slow_turns(const struct loop_stats *stats, struct buffer *out)
{
    for (int phase = 0; phase < LOOP_PHASES; phase++)
        buffer_format(out, "%s\"%s\": %" PRIu64, phase ? ", " : "", loop_phase_names[phase],
                      load(&stats->slow_turns[phase]));
}

static void dump_worker(const struct worker *worker, struct buffer *out)
{
    const struct loop_stats *stats = loop_stats(worker->loop);
    buffer_format(out,
                  "{\"worker\": %u, \"configuration\": %" PRIu64
                  ", \"connections\": %zu, \"accepted\": %" PRIu64 ", \"turns\": %" PRIu64
                  ", \"slowest_turn_us\": %" PRIu64 ", \"kernel_buffer_bytes\": %" PRIu64
                  ", \"slow_turns\": {",
                  worker->index, reader_adopted(worker->reader), worker_open(worker),
                  load(&stats->accepted), load(&stats->turns), load(&stats->slowest_turn_us),
                  load(&stats->lent));
    dump_slow_turns(stats, out);
    buffer_append_str(out, "}}");
}

static void dump_sockmap(const struct process *process, struct buffer *out)
{
    struct sockmap_counts counts;
    if (!process->shared.sockmap || sockmap_count(process->shared.sockmap, &counts))
        return;
    buffer_format(out,
                  " \"sockmap\": {\"pairs\": %" PRIu64 ", \"messages\": %" PRIu64
                  ", \"bytes\": %" PRIu64 ", \"left_alone\": %" PRIu64 ", \"left_full\": %" PRIu64
                  ", \"left_layered\": %" PRIu64 "},\n",
                  counts.pairs, counts.messages, counts.bytes, counts.left_alone, counts.left_full,
                  counts.left_layered);
}

void dump_workers(const struct process *process, struct buffer *out)
{
    struct publisher_counts counts;
    publisher_count(process->publisher, &counts);
    buffer_format(out,
                  "{\n \"configuration\": {\"published\": %" PRIu64 ", \"adopted_by_all\": %" PRIu64
                  ", \"snapshots\": %zu, \"resources\": %zu, \"retired\": %zu},\n",
                  counts.published, counts.adopted_by_all, counts.snapshots, counts.resources,
                  counts.retired);
    dump_sockmap(process, out);
    buffer_append_str(out, " \"workers\": [");
    for (unsigned i = 0; i < process->worker_count; i++) {
        buffer_append_str(out, i ? ",\n  " : "\n  ");
        dump_worker(process->workers[i], out);
    }
    buffer_append_str(out, "\n ]\n}\n");
}
