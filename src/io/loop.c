#include "io/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "io/conn_internal.h"
#include "io/loop_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

/* Tasks that tasks queue run in the same turn, so many times over; then the network is heard again. */
enum { RUN_ROUNDS = 8, FLUSH_ROUNDS = 4, WALL_REFRESH_US = 1000000, LATE_TIMERS_MS = 100 };

const char *const loop_phase_names[LOOP_PHASES] = {"inbox",  "events", "run",
                                                   "timers", "flush",  "reap"};

/* --- making and ending ---------------------------------------------------------------------- */

static void init_queues(struct loop *loop)
{
    list_init(&loop->run);
    list_init(&loop->next_turn);
    list_init(&loop->flush);
    list_init(&loop->reap);
    list_init(&loop->starved);
    list_init(&loop->closing);
    list_init(&loop->pressure_watches);
}

const char *loop_backend_name(enum loop_backend backend)
{
    switch (backend) {
    case LOOP_EPOLL: return "epoll";
    case LOOP_SIM: return "sim";
    case LOOP_IO_URING: return "io_uring";
    }
    return "unknown";
}

int loop_may_use_io_uring(void)
{
    struct loop *loop;
    struct loop_options options = {.name = "probe", .backend = LOOP_IO_URING, .seed = 1};
    int error = loop_create(&options, &loop);
    if (!error)
        loop_destroy(loop);
    return error;
}

static const struct loop_ops *ops_of(enum loop_backend backend)
{
    switch (backend) {
    case LOOP_EPOLL: break;
    case LOOP_SIM: return &sim_loop_ops;
    case LOOP_IO_URING: return &uring_loop_ops;
    }
    return &epoll_loop_ops;
}

int loop_create(const struct loop_options *options, struct loop **out)
{
    struct loop *loop = mem_new(struct loop);
    loop->backend = options->backend;
    loop->ops = ops_of(options->backend);
    loop->name = str_copy(options->name ? options->name : "loop");
    loop->budget = options->budget;
    loop->spare_fd = -1;
    init_queues(loop);
    if (options->seed || options->backend == LOOP_SIM)
        random_seed(&loop->random, options->seed);
    else
        random_seed_from_kernel(&loop->random);
    for (size_t i = 0; i < OBJECT_CLASSES; i++)
        object_pool_init(&loop->objects[i], loop->budget, (i + 1) * OBJECT_CLASS_BYTES);
    slab_heap_init(&loop->heap, loop->budget);

    int error = loop->ops->open(loop);
    if (error) {
        mem_free(loop->name);
        mem_free(loop);
        return error;
    }
    loop->wheel = wheel_create(loop_now_ms(loop));
    loop->next_due_ms = UINT64_MAX;
    loop->blocks = block_pool_create(loop->budget);
    loop->handles = handle_table_create();
    *out = loop;
    return 0;
}

static void run_reap(struct loop *loop);
static void drop_spare_chains(struct loop *loop);

static void drop_mail(struct loop *loop)
{
    struct mail *mail = atomic_exchange(&loop->inbox, NULL);
    while (mail) {
        struct mail *next = mail->next;
        if (mail->drop)
            mail->drop(mail);
        mail = next;
    }
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    drop_mail(loop);
    conn_close_all(loop);
    run_reap(loop);
    loop_timer_stop(loop, &loop->trim_timer);
    loop_timer_stop(loop, &loop->starved_timer);
    loop->ops->close(loop);
    run_reap(loop); /* operations that never reported held some memory */
    if (loop->spare_fd >= 0)
        close(loop->spare_fd);
    pipe_pool_trim(&loop->pipes);
    drop_spare_chains(loop);
    for (size_t i = 0; i < OBJECT_CLASSES; i++)
        object_pool_fini(&loop->objects[i]);
    slab_heap_fini(&loop->heap);
    handle_table_destroy(loop->handles);
    block_pool_destroy(loop->blocks);
    wheel_destroy(loop->wheel);
    mem_free(loop->name);
    mem_free(loop);
}

/* --- what it knows --------------------------------------------------------------------------- */

enum loop_backend loop_backend(const struct loop *loop)
{
    return loop->backend;
}

uint64_t loop_turn_number(const struct loop *loop)
{
    return loop->turn;
}

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

int64_t loop_wall_us(const struct loop *loop)
{
    return (int64_t)loop->now_us + loop->wall_offset_us;
}

struct block_pool *loop_blocks(const struct loop *loop)
{
    return loop->blocks;
}

struct slab_heap *loop_heap(struct loop *loop)
{
    return &loop->heap;
}

size_t loop_blocks_in_use(const struct loop *loop)
{
    return block_pool_in_use(loop->blocks) - (loop->ops->lent ? loop->ops->lent(loop) : 0);
}

struct memory_budget *loop_memory(const struct loop *loop)
{
    return loop->budget;
}

struct random *loop_random(struct loop *loop)
{
    return &loop->random;
}

struct handle_table *loop_handles(const struct loop *loop)
{
    return loop->handles;
}

enum memory_pressure loop_pressure(const struct loop *loop)
{
    return loop->pressure;
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
    return &loop->stats;
}

/* --- objects --------------------------------------------------------------------------------- */

static struct object_pool *object_class(struct loop *loop, size_t size)
{
    assert(size > 0 && size <= LOOP_OBJECT_BYTES);
    return &loop->objects[(size - 1) / OBJECT_CLASS_BYTES];
}

void *loop_object_new(struct loop *loop, size_t size)
{
    return object_pool_get(object_class(loop, size));
}

void loop_object_free(struct loop *loop, void *object, size_t size)
{
    if (object)
        object_pool_put(object_class(loop, size), object);
}

struct chain *loop_chain_borrow(struct loop *loop)
{
    if (LIKELY(loop->spare_chain_count > 0))
        return loop->spare_chains[--loop->spare_chain_count];
    return loop_object_new(loop, sizeof(struct chain));
}

void loop_chain_return(struct loop *loop, struct chain *chain)
{
    if (!chain)
        return;
    if (chain->count > 0 || chain->capacity > 0)
        chain_fini(chain);
    if (LIKELY(loop->spare_chain_count < SPARE_CHAINS)) {
        chain->first = 0;
        loop->spare_chains[loop->spare_chain_count++] = chain;
    } else {
        loop_object_free(loop, chain, sizeof(*chain));
    }
}

static void drop_spare_chains(struct loop *loop)
{
    while (loop->spare_chain_count > 0)
        loop_object_free(loop, loop->spare_chains[--loop->spare_chain_count], sizeof(struct chain));
}

/* --- timers and tasks ------------------------------------------------------------------------ */

void loop_timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms,
                      void (*on_due)(struct timer *))
{
    /* The turn began somewhere inside a millisecond; never fire before the delay is over. */
    uint64_t due_ms = (loop->now_us + 999) / 1000 + delay_ms;
    wheel_start(loop->wheel, timer, due_ms, on_due);
    loop->next_due_ms = MIN(loop->next_due_ms, due_ms);
}

void loop_timer_stop(struct loop *loop, struct timer *timer)
{
    if (timer_is_running(timer))
        wheel_stop(loop->wheel, timer);
}

static void queue(struct list *list, struct task *task)
{
    if (!task_is_queued(task))
        list_push_back(list, &task->node);
}

void loop_run_later(struct loop *loop, struct task *task)
{
    queue(&loop->run, task);
}

void loop_run_next_turn(struct loop *loop, struct task *task)
{
    queue(&loop->next_turn, task);
}

void loop_flush_later(struct loop *loop, struct task *task)
{
    queue(&loop->flush, task);
}

void loop_reap_later(struct loop *loop, struct task *task)
{
    queue(&loop->reap, task);
}

void loop_task_cancel(struct task *task)
{
    if (task_is_queued(task))
        list_remove(&task->node);
}

void loop_on_turn(struct loop *loop, void (*on_turn)(void *owner), void *owner)
{
    loop->on_turn = on_turn;
    loop->on_turn_owner = owner;
}

void loop_on_trim(struct loop *loop, void (*on_trim)(void *owner), void *owner)
{
    loop->on_trim = on_trim;
    loop->on_trim_owner = owner;
}

bool loop_has_work(const struct loop *loop)
{
    return !list_is_empty(&loop->run) || !list_is_empty(&loop->next_turn) ||
           !list_is_empty(&loop->flush) || !list_is_empty(&loop->reap);
}

/* Runs what stands in the list, and what that queues, `rounds` times at most. */
static void run_tasks(struct list *list, int rounds)
{
    while (rounds-- > 0 && !list_is_empty(list)) {
        struct list now;
        list_init(&now);
        list_splice(&now, list);
        while (!list_is_empty(&now)) {
            struct task *task = LIST_ENTRY(now.next, struct task, node);
            list_remove(&task->node);
            task->run(task);
        }
    }
}

static void run_reap(struct loop *loop)
{
    while (!list_is_empty(&loop->reap))
        run_tasks(&loop->reap, 1);
}

/* --- mail ------------------------------------------------------------------------------------ */

/*
 * The loop says that it is asleep, then looks at the inbox once more; a poster fills the inbox, then looks
 * whether the loop is asleep. Both are sequentially consistent, so one of them sees the other.
 */
static void wake_if_asleep(struct loop *loop)
{
    if (atomic_exchange(&loop->is_asleep, false))
        loop->ops->wake(loop);
}

void loop_post(struct loop *loop, struct mail *mail)
{
    mail->next = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&loop->inbox, &mail->next, mail))
        ;
    wake_if_asleep(loop);
}

void loop_wake(struct loop *loop)
{
    atomic_store(&loop->is_woken, true);
    wake_if_asleep(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->is_stopping, true);
    wake_if_asleep(loop);
}

static bool was_called(struct loop *loop)
{
    return atomic_load(&loop->inbox) || atomic_load(&loop->is_woken) ||
           atomic_load(&loop->is_stopping);
}

static bool deliver_mail(struct loop *loop)
{
    if (!atomic_load_explicit(&loop->inbox, memory_order_relaxed))
        return false;
    struct mail *newest = atomic_exchange(&loop->inbox, NULL);
    struct mail *oldest = NULL;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct mail *next = oldest->next;
        oldest->deliver(oldest);
        oldest = next;
    }
    return true;
}

/* --- memory ---------------------------------------------------------------------------------- */

static void feed_starved(struct loop *loop)
{
    list_splice(&loop->run, &loop->starved);
}

static void on_starved_timer(struct timer *timer)
{
    feed_starved(CONTAINER_OF(timer, struct loop, starved_timer));
}

void loop_starve(struct loop *loop, struct task *task)
{
    queue(&loop->starved, task);
    count(&loop->stats.reads_starved, 1);
    if (!timer_is_running(&loop->starved_timer))
        loop_timer_start(loop, &loop->starved_timer, STARVED_RETRY_MS, on_starved_timer);
}

void loop_watch_pressure(struct loop *loop, struct pressure_watch *watch,
                         void (*on_pressure)(struct pressure_watch *, enum memory_pressure))
{
    watch->on_pressure = on_pressure;
    list_push_back(&loop->pressure_watches, &watch->node);
}

void loop_unwatch_pressure(struct pressure_watch *watch)
{
    if (watch->node.next)
        list_remove(&watch->node);
}

static size_t memory_held(const struct loop *loop)
{
    size_t held = block_pool_held(loop->blocks) + slab_heap_held(&loop->heap);
    for (size_t i = 0; i < OBJECT_CLASSES; i++)
        held += loop->objects[i].held;
    return held;
}

static void trim(struct loop *loop)
{
    if (loop->ops->trim)
        loop->ops->trim(loop);
    pipe_pool_trim(&loop->pipes);
    block_pool_trim(loop->blocks);
    for (size_t i = 0; i < OBJECT_CLASSES; i++)
        object_pool_trim(&loop->objects[i]);
    slab_heap_trim(&loop->heap);
}

static void feel_pressure(struct loop *loop)
{
    enum memory_pressure now = loop->budget ? memory_budget_pressure(loop->budget) : MEMORY_CALM;
    if (LIKELY(now == loop->pressure))
        return;
    if (now > loop->pressure)
        trim(loop);
    loop->pressure = now;
    if (now < MEMORY_PAUSE_READS)
        feed_starved(loop);
    LIST_EACH_SAFE(node, after, &loop->pressure_watches)
    {
        struct pressure_watch *watch = LIST_ENTRY(node, struct pressure_watch, node);
        watch->on_pressure(watch, now);
    }
}

static void trim_heap(struct loop *loop)
{
    handle_table_trim(loop->handles);
    if (loop->on_trim)
        loop->on_trim(loop->on_trim_owner);
    mem_trim();
    if (loop->trims_program)
        program_forget_pages();
    loop->trims_heap = loop->trims_program = false;
}

/* Nothing new was taken in TRIM_AFTER_MS: what is free may go. The block pool keeps the peak of the time since the last
   trim, so it takes two to come down. The timer runs only after a change, so that an idle process sleeps. */
static void on_trim_timer(struct timer *timer)
{
    struct loop *loop = CONTAINER_OF(timer, struct loop, trim_timer);
    size_t held = memory_held(loop);
    if (held > loop->trim_held) {
        loop->trims_left = TRIMS;
    } else {
        trim(loop);
        loop->trims_left--;
    }
    loop->trim_held = memory_held(loop);
    loop->trim_blocks = block_pool_held(loop->blocks);
    if (loop->trims_left > 0) {
        loop_timer_start(loop, timer, TRIM_AFTER_MS, on_trim_timer);
    } else if (loop->trims_heap) {
        trim_heap(loop);
    }
}

/* Many conns have come (handshakes leave holes in the heap) or gone. */
static bool watch_conns(struct loop *loop)
{
    uint64_t conns = atomic_load_explicit(&loop->stats.conns, memory_order_relaxed);
    loop->conns_most = MAX(loop->conns_most, conns);
    loop->conns_least = MIN(loop->conns_least, conns);
    if (LIKELY(loop->conns_most - loop->conns_least < CONNS_OF_A_BURST))
        return false;
    loop->trims_program |= conns < loop->conns_most;
    loop->trims_heap = true;
    loop->trims_left = TRIMS;
    loop->conns_most = loop->conns_least = conns;
    return true;
}

static void watch_memory(struct loop *loop)
{
    bool has_burst = watch_conns(loop);
    if (LIKELY(timer_is_running(&loop->trim_timer) ||
               (!has_burst && block_pool_held(loop->blocks) == loop->trim_blocks)))
        return;
    loop->trim_blocks = block_pool_held(loop->blocks);
    loop->trim_held = memory_held(loop);
    loop->trims_left = TRIMS;
    loop_timer_start(loop, &loop->trim_timer, TRIM_AFTER_MS, on_trim_timer);
}

/* --- the turn -------------------------------------------------------------------------------- */

bool loop_take_accept(struct loop *loop)
{
    return loop->accepts_left > 0 && loop->accepts_left--;
}

/* The CPU's own counter: its unit does not matter for telling which phase took longest. */
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    return clock_now_us() * 1000;
#endif
}

/* Fewer than these are less than LOOP_SLOW_TURN_MS at any rate, and no clock need be asked: x86 counts at 100 MHz and more. */
#if defined(__x86_64__)
enum { TICKS_OF_A_LONG_TURN = 100000 * LOOP_SLOW_TURN_MS };
#else
enum { TICKS_OF_A_LONG_TURN = 10000 * LOOP_SLOW_TURN_MS };
#endif

struct stopwatch {
    uint64_t started, last;
    uint64_t longest_ticks;
    enum loop_phase longest;
};

static inline void stopwatch_lap(struct stopwatch *watch, enum loop_phase phase)
{
    uint64_t now = ticks();
    if (now - watch->last > watch->longest_ticks) {
        watch->longest_ticks = now - watch->last;
        watch->longest = phase;
    }
    watch->last = now;
}

static COLD void judge_turn(struct loop *loop, const struct stopwatch *watch)
{
    if (loop->backend == LOOP_SIM)
        return;
    uint64_t took = clock_now_us() - loop->now_us;
    if (took > atomic_load_explicit(&loop->stats.slowest_turn_us, memory_order_relaxed))
        atomic_store_explicit(&loop->stats.slowest_turn_us, took, memory_order_relaxed);
    if (took <= LOOP_SLOW_TURN_MS * 1000)
        return;
    count(&loop->stats.slow_turns[watch->longest], 1);
    log_debug("io", "%s: a turn took %llu ms, most of it in %s", loop->name,
              (unsigned long long)(took / 1000), loop_phase_names[watch->longest]);
}

static void refresh_wall(struct loop *loop)
{
    if (loop->backend == LOOP_SIM || loop->now_us - loop->wall_read_us < WALL_REFRESH_US)
        return;
    loop->wall_read_us = loop->now_us;
    loop->wall_offset_us = clock_wall_us() - (int64_t)loop->now_us;
}

static uint64_t wait_for_us(struct loop *loop, uint64_t wait_ms)
{
    if (wait_ms == 0 || loop_has_work(loop))
        return 0;
    uint64_t due_ms = loop->next_due_ms;
    uint64_t wait_us = wait_ms == UINT64_MAX ? WAIT_FOREVER : wait_ms * 1000;
    if (due_ms != UINT64_MAX)
        wait_us = MIN(wait_us, due_ms * 1000 > loop->now_us ? due_ms * 1000 - loop->now_us : 0);
    return wait_us;
}

static void wait_for_events(struct loop *loop, uint64_t wait_us)
{
    if (wait_us > 0) {
        atomic_store(&loop->is_asleep, true);
        if (was_called(loop))
            wait_us = 0;
        else
            count(&loop->stats.waits, 1);
    }
    loop->ops->wait(loop, wait_us);
    if (atomic_load_explicit(&loop->is_asleep, memory_order_relaxed))
        atomic_store(&loop->is_asleep, false);
    /* Cleared before the turn looks at anything: a wake-up after this is for the next turn. */
    if (atomic_load_explicit(&loop->is_woken, memory_order_relaxed))
        atomic_exchange(&loop->is_woken, false);
}

/* True also when the time was only a bound: what comes after it has not been waited for. */
static bool fire_timers(struct loop *loop)
{
    if (loop_now_ms(loop) < loop->next_due_ms)
        return false;
    /* This thread stood still: what was reported now may bring its bytes in the next turn only, which waits for nothing. */
    bool is_late = loop_now_ms(loop) >= loop->next_due_ms + LATE_TIMERS_MS;
    if (UNLIKELY(is_late) && !loop->has_let_timers_wait) {
        loop->has_let_timers_wait = true;
        return true;
    }
    loop->has_let_timers_wait = false;
    loop->next_due_ms = UINT64_MAX; /* timers that are started meanwhile lower it */
    wheel_advance(loop->wheel, loop_now_ms(loop));
    loop->next_due_ms = wheel_next_ms(loop->wheel);
    return true;
}

static bool run_phase(struct list *list, int rounds, struct stopwatch *watch, enum loop_phase phase)
{
    if (list_is_empty(list))
        return false;
    run_tasks(list, rounds);
    stopwatch_lap(watch, phase);
    return true;
}

/* True when anything was found to do. */
static bool work(struct loop *loop)
{
    uint64_t now = ticks();
    struct stopwatch watch = {.started = now, .last = now};

    list_splice(&loop->run, &loop->next_turn);
    if (loop->on_turn)
        loop->on_turn(loop->on_turn_owner);
    bool did = deliver_mail(loop);
    if (did || loop->on_turn)
        stopwatch_lap(&watch, LOOP_INBOX);
    feel_pressure(loop);
    size_t events = loop->ops->dispatch(loop);
    if (events > 0) {
        count(&loop->stats.events, events);
        stopwatch_lap(&watch, LOOP_EVENTS);
        did = true;
    }
    did |= run_phase(&loop->run, RUN_ROUNDS, &watch, LOOP_RUN);
    if (fire_timers(loop)) {
        stopwatch_lap(&watch, LOOP_TIMERS);
        run_phase(&loop->run, RUN_ROUNDS, &watch, LOOP_RUN);
        did = true;
    }
    did |= run_phase(&loop->flush, FLUSH_ROUNDS, &watch, LOOP_FLUSH);
    watch_memory(loop);
    if (!list_is_empty(&loop->reap)) {
        run_reap(loop);
        stopwatch_lap(&watch, LOOP_REAP);
        did = true;
    }
    if (UNLIKELY(watch.last - watch.started > TICKS_OF_A_LONG_TURN))
        judge_turn(loop, &watch);
    return did;
}

bool loop_turn(struct loop *loop, uint64_t wait_ms)
{
    wait_for_events(loop, wait_for_us(loop, wait_ms));
    refresh_wall(loop);
    loop->turn++;
    loop->accepts_left = LOOP_TURN_ACCEPTS;
    count(&loop->stats.turns, 1);
    return work(loop);
}

void loop_settle(struct loop *loop)
{
    while (loop_turn(loop, 0))
        ;
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->is_stopping, memory_order_acquire)) {
        bool did = loop_turn(loop, UINT64_MAX);
        /* Nothing can come from outside a simulation. */
        if (!did && loop->backend == LOOP_SIM && loop->next_due_ms == UINT64_MAX)
            break;
    }
    if (loop->ops->end)
        loop->ops->end(loop);
    atomic_store(&loop->is_stopping, false);
}
