#include "proxy/worker.h"

#include "base/memory.h"
#include "io/interfaces.h"
#include "net/dialer.h"
#include "proxy/downstream/downstream.h"
#include "proxy/listen/arrival.h"
#include "proxy/listen/sockets.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/tcp/tunnel.h"
#include "proxy/udp/udp_plane.h"
#include "proxy/upstream/upstream.h"
#include "tls/engine.h"

enum {
    HOUSEKEEPING_MS = 1000,       /* while ciphers are lent */
    SLOW_HOUSEKEEPING_MS = 5000,  /* while there are only tunnels, or hosts of ORIGINAL_DST */
    CALM_HOUSEKEEPING_MS = 30000, /* while there is nothing but entries that end by themselves */
    DRAIN_WALK_SLICE = 256
};

/* Looks at the connections whose filter chain may have changed, some in each turn. */
static void walk_downstreams(struct task *task)
{
    struct worker *worker = CONTAINER_OF(task, struct worker, drain_walk);
    for (int looked = 0; looked < DRAIN_WALK_SLICE && !list_is_empty(&worker->drain_left);
         looked++) {
        struct list *node = worker->drain_left.next;
        list_remove(node);
        list_push_back(&worker->downstreams, node);
        downstream_follow(LIST_ENTRY(node, struct downstream, node));
    }
    if (!list_is_empty(&worker->drain_left))
        loop_run_next_turn(worker->loop, task);
}

static void note_gone(void *to, const struct resource *before, const struct resource *after)
{
    bool *has_gone = to;
    *has_gone |= before && !after;
}

/* All at once, for the newer snapshot has them no more; rare: a listener or a chain with routes by name was taken away. */
static void keep_tables(struct worker *worker, const struct snapshot *before,
                        const struct snapshot *now)
{
    struct list *lists[] = {&worker->downstreams, &worker->drain_left};
    bool has_gone = false;
    if (before)
        snapshot_diff(before, now, KIND_ROUTE, note_gone, &has_gone);
    for (size_t i = 0; has_gone && i < COUNT(lists); i++)
        LIST_EACH(node, lists[i])
    downstream_keep_table(LIST_ENTRY(node, struct downstream, node), before, now);
}

/* The newer configuration, and everything that follows it. */
__attribute__((noinline)) static void adopt(struct worker *worker)
{
    const struct snapshot *before;
    if (!reader_begin_adopt(worker->reader, &before))
        return;
    upstreams_follow(worker);
    const struct snapshot *now = worker->reader->snapshot;
    keep_tables(worker, before, now);
    if (!before || before->trees[KIND_LISTENER].root != now->trees[KIND_LISTENER].root) {
        list_splice(&worker->drain_left, &worker->downstreams);
        loop_run_later(worker->loop, &worker->drain_walk);
    }
    reader_finish_adopt(worker->reader);
}

/* Between two turns. */
static void on_turn(void *owner)
{
    struct worker *worker = owner;
    tls_engine_turn(worker->engine, loop_wall_us(worker->loop) / 1000000, LOOP_TURN_HANDSHAKES * 2);
    if (UNLIKELY(reader_has_news(worker->reader)))
        adopt(worker);
}

static void on_housekeeping(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, housekeeping);
    tls_engine_trim(worker->engine);
    udp_plane_tidy(worker->udp);
    uint64_t now_ms = loop_now_ms(worker->loop);
    if (now_ms >= worker->tunnels_told_ms + SLOW_HOUSEKEEPING_MS) {
        worker->tunnels_told_ms = now_ms;
        tunnels_tell(worker);
    }
    bool has_hosts = upstreams_tidy(worker), has_lent = tls_engine_has_lent(worker->engine);
    bool is_slow = has_hosts || !list_is_empty(&worker->tunnels);
    if (has_lent || worker_open(worker) || !list_is_empty(&worker->upstreams))
        loop_timer_start(worker->loop, &worker->housekeeping,
                         has_lent  ? HOUSEKEEPING_MS
                         : is_slow ? SLOW_HOUSEKEEPING_MS
                                   : CALM_HOUSEKEEPING_MS,
                         on_housekeeping);
}

void worker_keep_house(struct worker *worker)
{
    if (!timer_is_running(&worker->housekeeping) ||
        worker->housekeeping.due_ms > loop_now_ms(worker->loop) + SLOW_HOUSEKEEPING_MS + 1)
        loop_timer_start(worker->loop, &worker->housekeeping, HOUSEKEEPING_MS, on_housekeeping);
}

static void on_trim(void *owner)
{
    struct worker *worker = owner;
    tls_engine_shrink(worker->engine);
}

int worker_create(unsigned index, struct loop *loop, struct publisher *publisher,
                  struct worker_shared *shared, struct observer *observer, struct worker **out)
{
    struct interfaces *interfaces;
    int failure = interfaces_create(loop, &interfaces);
    if (failure)
        return failure;
    struct worker *worker = mem_new(struct worker);
    struct dialer_options dialing = {
        .loop = loop, .interfaces = interfaces, .helpers = shared->helpers};
    *worker = (struct worker){.index = index, .loop = loop, .shared = shared, .observer = observer};
    worker->interfaces = interfaces;
    worker->dialer = dialer_create(&dialing);
    worker->engine = tls_engine_create(shared->budget);
    worker->acceptors = map_create();
    list_init(&worker->downstreams);
    list_init(&worker->tunnels);
    list_init(&worker->arrivals);
    list_init(&worker->upstreams);
    list_init(&worker->profiles);
    list_init(&worker->drain_left);
    task_init(&worker->drain_walk, walk_downstreams);
    worker->reader = publisher_add_reader(publisher, loop);
    loop_on_turn(loop, on_turn, worker);
    loop_on_trim(loop, on_trim, worker);
    *out = worker;
    return 0;
}

static void each_downstream(struct worker *worker, void (*act)(struct downstream *))
{
    struct list *lists[] = {&worker->downstreams, &worker->drain_left};
    for (size_t i = 0; i < COUNT(lists); i++)
        LIST_EACH_SAFE(node, after, lists[i])
    act(LIST_ENTRY(node, struct downstream, node));
}

void worker_drain(struct worker *worker)
{
    acceptors_drain(worker);
    each_downstream(worker, downstream_drain);
}

void worker_close(struct worker *worker)
{
    acceptors_close(worker);
    arrivals_close(worker);
    LIST_EACH_SAFE(node, after, &worker->tunnels)
    tunnel_close(LIST_ENTRY(node, struct tunnel, node));
    each_downstream(worker, downstream_close);
    upstreams_close(worker);
    loop_timer_stop(worker->loop, &worker->housekeeping);
    loop_task_cancel(&worker->drain_walk);
}

void worker_destroy(struct worker *worker, struct publisher *publisher)
{
    if (!worker)
        return;
    map_destroy(worker->acceptors);
    udp_plane_destroy(worker->udp);
    mem_free(worker->server_first);
    dialer_destroy(worker->dialer);
    interfaces_destroy(worker->interfaces);
    tls_engine_destroy(worker->engine);
    loop_on_turn(worker->loop, NULL, NULL);
    publisher_remove_reader(publisher, worker->reader);
    mem_free(worker);
}
