#include "io/loop.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "kernel_backend.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct loop *open_loop(enum loop_backend backend, struct memory_budget *budget)
{
    struct loop *loop;
    struct loop_options options = {.name = "test", .backend = backend, .seed = 1, .budget = budget};
    CHECK(loop_create(&options, &loop) == 0, "-");
    return loop;
}

static const enum loop_backend backends[] = {LOOP_EPOLL, LOOP_IO_URING, LOOP_SIM};

/* --- order ----------------------------------------------------------------------------------- */

struct note {
    struct task task;
    struct timer timer;
    struct mail mail;
    struct loop *loop;
    struct buffer *log;
    char letter;
    struct note *next; /* queued by this one */
};

static void note_down(struct note *note)
{
    buffer_append_byte(note->log, note->letter);
    if (note->next)
        loop_run_later(note->loop, &note->next->task);
}
static void on_task(struct task *task)
{
    note_down(CONTAINER_OF(task, struct note, task));
}
static void on_timer(struct timer *timer)
{
    note_down(CONTAINER_OF(timer, struct note, timer));
}
static void on_mail(struct mail *mail)
{
    note_down(CONTAINER_OF(mail, struct note, mail));
}
static struct note note_of(struct loop *loop, struct buffer *log, char letter)
{
    struct note note = {.loop = loop, .log = log, .letter = letter, .mail.deliver = on_mail};
    task_init(&note.task, on_task);
    return note;
}

TEST(loop_turn_goes_in_order)
{
    EACH (backend, backends) {
        struct loop *loop = open_loop(*backend, NULL);
        struct buffer log = {0};
        struct note run = note_of(loop, &log, 'r'), flush = note_of(loop, &log, 'f'),
                    reap = note_of(loop, &log, 'x'), mail = note_of(loop, &log, 'm'),
                    timer = note_of(loop, &log, 't'), next = note_of(loop, &log, 'n'),
                    chained = note_of(loop, &log, 'c');
        task_init(&chained.task, on_task);
        run.next = &chained;
        loop_reap_later(loop, &reap.task);
        loop_flush_later(loop, &flush.task);
        loop_run_later(loop, &run.task);
        loop_run_later(loop, &run.task);
        loop_timer_start(loop, &timer.timer, 0, on_timer);
        loop_post(loop, &mail.mail);
        usleep(1500); /* the timer is due by then; in a simulation only the next turn */
        loop_run_next_turn(loop, &next.task);
        loop_turn(loop, 0);
        if (*backend == LOOP_SIM)
            loop_turn(loop, 10);
        CHECK(log.size == 7, "%s", log.data);
        if (*backend != LOOP_SIM)
            CHECK(buffer_equals(&log, "mrnctfx"), "%s", log.data);
        buffer_fini(&log);
        loop_destroy(loop);
    }
}

TEST(loop_task_is_queued_once_and_can_be_cancelled)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct buffer log = {0};
    struct note one = note_of(loop, &log, '1'), two = note_of(loop, &log, '2');
    loop_run_later(loop, &one.task);
    loop_run_later(loop, &two.task);
    loop_task_cancel(&one.task);
    loop_task_cancel(&one.task);
    CHECK(!task_is_queued(&one.task) && task_is_queued(&two.task), "-");
    loop_turn(loop, 0);
    CHECK(buffer_equals(&log, "2"), "%s", log.data);
    buffer_fini(&log);
    loop_destroy(loop);
}

/* A task that queues itself for ever must not keep the network from being heard. */
static void on_again(struct task *task)
{
    struct note *note = CONTAINER_OF(task, struct note, task);
    buffer_append_byte(note->log, '.');
    loop_run_later(note->loop, task);
}

TEST(loop_turn_ends_though_tasks_queue_tasks)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct buffer log = {0};
    struct note note = note_of(loop, &log, 'a');
    task_init(&note.task, on_again);
    loop_run_later(loop, &note.task);
    loop_turn(loop, UINT64_MAX);
    size_t first = log.size;
    loop_turn(loop, UINT64_MAX); /* does not wait */
    CHECK(log.size > first && log.size < 100, "%zu", log.size);
    loop_task_cancel(&note.task);
    buffer_fini(&log);
    loop_destroy(loop);
}

/* --- time ------------------------------------------------------------------------------------ */

TEST(loop_timer_fires_not_early_and_stops)
{
    EACH (backend, backends) {
        struct loop *loop = open_loop(*backend, NULL);
        struct buffer log = {0};
        struct note a = note_of(loop, &log, 'a'), b = note_of(loop, &log, 'b'),
                    c = note_of(loop, &log, 'c');
        uint64_t start_us = loop_now_us(loop);
        loop_timer_stop(loop, &a.timer);
        loop_timer_start(loop, &a.timer, 30, on_timer);
        loop_timer_start(loop, &b.timer, 10, on_timer);
        loop_timer_start(loop, &c.timer, 5, on_timer);
        loop_timer_stop(loop, &c.timer);
        while (log.size < 2)
            loop_turn(loop, UINT64_MAX);
        CHECK(buffer_equals(&log, "ba"), "%s", log.data);
        CHECK(loop_now_us(loop) - start_us >= 30000, "%llu us",
              (unsigned long long)(loop_now_us(loop) - start_us));
        buffer_fini(&log);
        loop_destroy(loop);
    }
}

/* A timer that was stopped leaves an early bound behind; a turn that ends there has not found everything quiet. */
TEST(loop_turn_is_not_quiet_because_a_timer_was_stopped)
{
    struct loop *loop = open_loop(LOOP_SIM, NULL);
    struct buffer log = {0};
    struct note early = note_of(loop, &log, 'e'), late = note_of(loop, &log, 'l');
    loop_timer_start(loop, &early.timer, 10, on_timer);
    loop_timer_start(loop, &late.timer, 50, on_timer);
    loop_timer_stop(loop, &early.timer);
    while (loop_turn(loop, 1000))
        ;
    CHECK(buffer_equals(&log, "l"), "-");
    buffer_fini(&log);
    loop_destroy(loop);
}

TEST(loop_time_of_a_simulation_jumps)
{
    struct loop *loop = open_loop(LOOP_SIM, NULL);
    struct buffer log = {0};
    struct note day = note_of(loop, &log, 'd');
    char text[32];
    clock_format(loop_wall_us(loop), text);
    CHECK(strcmp(text, "2026-01-01T00:00:00.000Z") == 0, "%s", text);
    loop_timer_start(loop, &day.timer, 86400000, on_timer);
    loop_run(loop); /* ends when nothing is left to happen */
    CHECK(log.size == 1, "-");
    clock_format(loop_wall_us(loop), text);
    CHECK(strncmp(text, "2026-01-02T00:00:00", 19) == 0, "%s", text);
    buffer_fini(&log);
    loop_destroy(loop);
}

static void on_slow(struct task *task)
{
    (void)task;
    uint64_t until = clock_now_us() + 20000;
    while (clock_now_us() < until)
        ;
}

TEST(loop_counts_slow_turns_with_their_cause)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct task task;
    task_init(&task, on_slow);
    loop_turn(loop, 0);
    loop_flush_later(loop, &task);
    loop_turn(loop, 0);
    const struct loop_stats *stats = loop_stats(loop);
    CHECK(stats->slow_turns[LOOP_FLUSH] == 1, "-");
    CHECK(stats->slow_turns[LOOP_RUN] == 0 && stats->slowest_turn_us >= 20000, "-");
    loop_destroy(loop);
}

/* --- other threads --------------------------------------------------------------------------- */

enum { POSTERS = 4, POSTS = 20000 };
struct counted {
    struct mail mail;
    unsigned poster, number;
};
static unsigned heard[POSTERS];
static bool in_order;
static struct loop *posted_to;

static void on_counted(struct mail *mail)
{
    struct counted *counted = CONTAINER_OF(mail, struct counted, mail);
    in_order &= heard[counted->poster]++ == counted->number;
    mem_free(counted);
}

static void *post_many(void *argument)
{
    unsigned poster = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < POSTS; i++) {
        struct counted *counted = mem_new(struct counted);
        *counted = (struct counted){{.deliver = on_counted}, poster, i};
        loop_post(posted_to, &counted->mail);
        if (i % 1000 == 0)
            usleep(100); /* so that the loop goes to sleep now and then */
    }
    return NULL;
}

TEST(loop_mail_arrives_in_order_from_every_thread)
{
    pthread_t threads[POSTERS];
    struct loop *loop = posted_to = open_loop(kernel_backend(), NULL);
    in_order = true;
    memset(heard, 0, sizeof(heard));
    for (uintptr_t i = 0; i < POSTERS; i++)
        CHECK(pthread_create(&threads[i], NULL, post_many, (void *)i) == 0, "-");
    uint64_t until_ms = loop_now_ms(loop) + 60000;
    for (unsigned sum = 0; sum < POSTERS * POSTS;) {
        loop_turn(loop, 1000);
        sum = 0;
        for (unsigned i = 0; i < POSTERS; i++)
            sum += heard[i];
        CHECK(loop_now_ms(loop) < until_ms, "%u", sum);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(in_order, "each sender's mail keeps its order");
    CHECK(loop_stats(loop)->waits < POSTERS * POSTS / 4, "wake-ups are coalesced");
    loop_destroy(loop);
}

static int turns_seen;
static void on_turn(void *owner)
{
    turns_seen++;
    if (turns_seen == 3)
        loop_stop(owner);
}
static atomic_bool has_stopped;
/* Two that come while the loop's thread stands still are one turn. */
static void *wake_until_stopped(void *argument)
{
    while (!atomic_load(&has_stopped)) {
        usleep(1000);
        loop_wake(argument);
    }
    return NULL;
}

TEST(loop_runs_until_stopped_and_is_woken)
{
    pthread_t thread;
    struct loop *loop = open_loop(kernel_backend(), NULL);
    turns_seen = 0;
    atomic_store(&has_stopped, false);
    loop_on_turn(loop, on_turn, loop);
    CHECK(pthread_create(&thread, NULL, wake_until_stopped, loop) == 0, "-");
    loop_run(loop);
    atomic_store(&has_stopped, true);
    CHECK(turns_seen == 3, "%d", turns_seen);
    pthread_join(thread, NULL);
    loop_destroy(loop);
}

static int dropped;
static void on_drop(struct mail *mail)
{
    (void)mail;
    dropped++;
}

TEST(loop_drops_mail_that_it_cannot_deliver)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct mail mail = {.drop = on_drop};
    dropped = 0;
    loop_post(loop, &mail);
    loop_destroy(loop);
    CHECK(dropped == 1, "-");
}

/* --- descriptors ----------------------------------------------------------------------------- */

struct pipe_watch {
    struct watch watch;
    unsigned ready;
    int count;
    struct loop *loop;
};
static void on_ready(struct watch *watch, unsigned ready)
{
    struct pipe_watch *pipe_watch = CONTAINER_OF(watch, struct pipe_watch, watch);
    pipe_watch->ready = ready;
    pipe_watch->count++;
}

TEST(loop_watch_is_level_triggered)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct pipe_watch in = {0};
    int fds[2];
    CHECK(pipe(fds) == 0, "-");
    CHECK(loop_watch(loop, &in.watch, fds[0], LOOP_READABLE, on_ready) == 0, "-");
    loop_turn(loop, 0);
    CHECK(in.count == 0, "-");
    CHECK(write(fds[1], "x", 1) == 1, "-");
    loop_turn(loop, 1000);
    loop_turn(loop, 1000);
    CHECK(in.count == 2 && in.ready == LOOP_READABLE, "%d %u", in.count, in.ready);
    close(fds[1]);
    loop_turn(loop, 1000);
    CHECK(in.ready & LOOP_HANGUP, "%u", in.ready);
    loop_unwatch(loop, &in.watch);
    loop_unwatch(loop, &in.watch);
    loop_turn(loop, 0);
    CHECK(in.count == 3, "-");
    close(fds[0]);
    loop_destroy(loop);
}

struct patience {
    struct timer timer;
    const struct pipe_watch *in;
    bool is_over;
};
static void on_silence(struct timer *timer)
{
    struct patience *patience = CONTAINER_OF(timer, struct patience, timer);
    CHECK(patience->in->count == 1, "the bytes came first");
    patience->is_over = true;
}

/* The thread had no processor for a while: both the bytes and the end of patience are there when it looks again. */
TEST(loop_hears_before_it_calls_it_silence)
{
    struct loop *loop = open_loop(kernel_backend(), NULL);
    struct pipe_watch in = {0};
    struct patience patience = {.in = &in};
    int fds[2];
    CHECK(pipe(fds) == 0, "-");
    CHECK(loop_watch(loop, &in.watch, fds[0], LOOP_READABLE, on_ready) == 0, "-");
    loop_turn(loop, 0);
    loop_timer_start(loop, &patience.timer, 1, on_silence);
    CHECK(write(fds[1], "x", 1) == 1, "-");
    usleep(5000);
    loop_turn(loop, 0);
    CHECK(patience.is_over && in.count == 1, "%d", in.count);
    loop_unwatch(loop, &in.watch);
    close(fds[0]);
    close(fds[1]);
    loop_destroy(loop);
}

TEST(loop_watch_is_refused_by_a_simulation)
{
    struct loop *loop = open_loop(LOOP_SIM, NULL);
    struct pipe_watch in = {0};
    CHECK(loop_watch(loop, &in.watch, 0, LOOP_READABLE, on_ready) == -ENOTSUP, "-");
    loop_destroy(loop);
}

/* --- budgets --------------------------------------------------------------------------------- */

TEST(loop_gives_each_turn_its_budgets)
{
    struct loop *loop = open_loop(LOOP_SIM, NULL);
    for (int turn = 0; turn < 2; turn++) {
        unsigned accepts = 0;
        loop_turn(loop, 0);
        while (loop_take_accept(loop))
            accepts++;
        CHECK(accepts == LOOP_TURN_ACCEPTS, "-");
    }
    loop_destroy(loop);
}

struct feeler {
    struct pressure_watch watch;
    enum memory_pressure level;
    int changes;
};
static void on_pressure(struct pressure_watch *watch, enum memory_pressure level)
{
    struct feeler *feeler = CONTAINER_OF(watch, struct feeler, watch);
    feeler->level = level;
    feeler->changes++;
}

TEST(loop_tells_memory_pressure_once_a_change)
{
    struct memory_budget budget = {.limit = 1000};
    struct loop *loop = open_loop(LOOP_SIM, &budget);
    struct feeler feeler = {0};
    loop_watch_pressure(loop, &feeler.watch, on_pressure);
    static const struct {
        size_t in_use;
        enum memory_pressure level;
        int changes;
    } steps[] = {
        {799, MEMORY_CALM, 0},        {800, MEMORY_CLOSE_IDLE, 1},     {850, MEMORY_CLOSE_IDLE, 1},
        {900, MEMORY_PAUSE_READS, 2}, {950, MEMORY_STOP_ACCEPTING, 3}, {0, MEMORY_CALM, 4},
    };
    EACH (step, steps) {
        budget.in_use = step->in_use;
        loop_turn(loop, 0);
        CHECK(feeler.level == step->level && feeler.changes == step->changes, "%zu", step->in_use);
        CHECK(loop_pressure(loop) == step->level, "%zu", step->in_use);
    }
    loop_unwatch_pressure(&feeler.watch);
    budget.in_use = 900;
    loop_turn(loop, 0);
    CHECK(feeler.changes == 4, "-");
    budget.in_use = 0;
    loop_destroy(loop);
}

TEST(loop_objects_are_zeroed_and_charged)
{
    struct memory_budget budget = {.limit = 100000};
    struct loop *loop = open_loop(LOOP_SIM, &budget);
    void *objects[2000];
    size_t count = 0;
    while (count < COUNT(objects) && (objects[count] = loop_object_new(loop, 200))) {
        for (size_t i = 0; i < 200; i++)
            CHECK(((char *)objects[count])[i] == 0, "zeroed");
        memset(objects[count++], 0xff, 200);
    }
    CHECK(count > 300 && count <= 500, "%zu objects of 200 bytes in 100,000", count);
    CHECK(budget.in_use > 80000, "-");
    for (size_t i = 0; i < count; i++)
        loop_object_free(loop, objects[i], 200);
    void *again = loop_object_new(loop, 200);
    CHECK(again && ((char *)again)[199] == 0, "zeroed again");
    loop_object_free(loop, again, 200);
    loop_destroy(loop);
    CHECK(budget.in_use == 0, "-");
}

/* Memory that was needed for a while goes back after 10 s of calm. */
TEST(loop_returns_memory_after_calm)
{
    struct memory_budget budget = {.limit = 1 << 24};
    struct loop *loop = open_loop(LOOP_SIM, &budget);
    struct block *blocks[100];
    for (size_t i = 0; i < COUNT(blocks); i++)
        blocks[i] = block_alloc(loop_blocks(loop), BLOCK_LARGE);
    loop_turn(loop, 0);
    for (size_t i = 0; i < COUNT(blocks); i++)
        block_unref(blocks[i]);
    size_t before = budget.in_use;
    for (int i = 0; i < 40; i++)
        loop_turn(loop, 1000);
    CHECK(budget.in_use < before / 2, "%zu of %zu", (size_t)budget.in_use, before);
    loop_destroy(loop);
}
