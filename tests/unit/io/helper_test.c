#include "io/helper.h"

#include "io/waiting.h"

#include <pthread.h>
#include <stdatomic.h>

enum { JOBS = 500 };

struct squaring {
    struct job job;
    uint64_t number, square;
    pthread_t worked_on;
    int done;
};

static unsigned done_count;

static void work(struct job *job)
{
    struct squaring *squaring = CONTAINER_OF(job, struct squaring, job);
    squaring->square = squaring->number * squaring->number;
    squaring->worked_on = pthread_self();
}

static void done(struct job *job)
{
    struct squaring *squaring = CONTAINER_OF(job, struct squaring, job);
    squaring->done++;
    done_count++;
}

static void submit_all(struct helper_pool *pool, struct loop *loop, struct squaring *jobs)
{
    done_count = 0;
    for (uint64_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct squaring){.job = {.work = work, .done = done}, .number = i};
        helper_submit(pool, loop, &jobs[i].job);
    }
}

TEST(helper_works_elsewhere_and_answers_here)
{
    static struct squaring jobs[JOBS];
    struct loop *loop = loop_for_test();
    struct helper_pool *pool = helper_pool_create(3);
    submit_all(pool, loop, jobs);
    CHECK(done_count == 0, "a call never calls back");
    WAIT_FOR(loop, done_count == JOBS);
    for (uint64_t i = 0; i < JOBS; i++) {
        CHECK(jobs[i].square == i * i && jobs[i].done == 1, "job %d", (int)i);
        CHECK(!pthread_equal(jobs[i].worked_on, pthread_self()), "job %d", (int)i);
    }
    helper_pool_destroy(pool);
    loop_destroy(loop);
}

TEST(helper_pool_finishes_what_is_queued)
{
    static struct squaring jobs[JOBS];
    struct loop *loop = loop_for_test();
    struct helper_pool *pool = helper_pool_create(0);
    submit_all(pool, loop, jobs);
    helper_pool_destroy(pool);
    loop_turn(loop, 0);
    CHECK(done_count == JOBS, "%u", done_count);
    loop_destroy(loop);
}

TEST(helper_works_at_once_when_its_pool_has_ended)
{
    static struct squaring jobs[JOBS];
    struct loop *loop = loop_for_test();
    struct helper_pool *pool = helper_pool_create(2);
    submit_all(pool, loop, jobs);
    helper_pool_end(pool);
    loop_settle(loop);
    CHECK(done_count == JOBS, "what was queued is answered by then: %u", done_count);
    submit_all(pool, loop, jobs);
    CHECK(done_count == 0, "a call never calls back");
    loop_settle(loop);
    CHECK(done_count == JOBS && pthread_equal(jobs[0].worked_on, pthread_self()));
    helper_pool_destroy(pool);
    loop_destroy(loop);
}

TEST(helper_works_on_the_loop_of_a_simulation)
{
    static struct squaring jobs[JOBS];
    struct loop *loop;
    struct loop_options options = {.name = "sim", .backend = LOOP_SIM, .seed = 1};
    CHECK(loop_create(&options, &loop) == 0, "-");
    struct helper_pool *pool = helper_pool_create(2);
    submit_all(pool, loop, jobs);
    CHECK(done_count == 0, "-");
    loop_settle(loop);
    CHECK(done_count == JOBS && pthread_equal(jobs[7].worked_on, pthread_self()), "-");
    helper_pool_destroy(pool);
    loop_destroy(loop);
}
